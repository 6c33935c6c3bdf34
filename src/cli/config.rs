//! `historia config`: the effective configuration with where each value came from; secrets masked.

use super::{Exit, Failure, say};
use crate::config::{Command, Config, Environment};
use clap::ValueEnum;
use std::fmt::Write;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    Dev,
    Serve,
}

/// The effective configuration, with where each value came from
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  historia config\n  historia config --for serve   # exit 3 when serve could not start with it\n  historia config --json"
)]
pub struct Arguments {
    /// As that command would have it, checked; else as the other commands have it
    #[arg(long = "for", value_name = "COMMAND")]
    pub profile: Option<Profile>,
    /// As one JSON object: {key: {value, origin}}
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: &Arguments, file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    let command = match arguments.profile {
        Some(Profile::Dev) => Command::Dev,
        Some(Profile::Serve) => Command::Serve,
        None => Command::Other,
    };
    let config = Config::gather(command, file, environment)?;
    say(&if arguments.json { json(&config) } else { text(&config) });
    // Printed first: what is missing is easier to see beside what is there.
    config.check(command)?;
    Ok(Exit::Done)
}

fn text(config: &Config) -> String {
    let rows: Vec<(String, String)> =
        config.effective().map(|(key, value, origin)| (format!("{key} = {value}"), origin.to_string())).collect();
    let width = rows.iter().map(|(left, _)| left.chars().count()).filter(|width| *width < 60).max().unwrap_or(0);
    let mut text = String::new();
    for (left, origin) in rows {
        let _ = writeln!(text, "{left:<width$}  # {origin}");
    }
    text
}

fn json(config: &Config) -> String {
    let members = config.effective().map(|(key, value, origin)| {
        (key.to_owned(), serde_json::json!({"value": value, "origin": origin.to_string()}))
    });
    format!("{:#}\n", serde_json::Value::Object(members.collect()))
}
