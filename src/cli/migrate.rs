//! `historia migrate`: brings the schema up to this version.

use super::{Exit, Failure, configuration, database_url, runtime, say};
use crate::config::Environment;
use crate::store::{Pool, migrate};
use serde_json::json;
use std::path::Path;

/// Bring the schema of the database up to this version
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  DATABASE_URL=postgres://historia@db/historia historia migrate")]
pub struct Arguments {
    /// Report as one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: &Arguments, file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    let config = configuration(file, environment)?;
    let url = database_url(&config)?;
    let applied = runtime()?.block_on(async {
        let pool = Pool::new(&config, url.expose())?;
        migrate::migrate(&pool).await
    })?;
    match (arguments.json, applied.is_empty()) {
        (true, _) => say(&format!("{}\n", json!({"applied": applied}))),
        (false, true) => say("the schema is up to date\n"),
        (false, false) => say(&format!("applied {}\n", applied.join(", "))),
    }
    Ok(Exit::Done)
}
