//! `historia dev`: embedded PostgreSQL, sample data once, everything listening on loopback.

use super::{Exit, Failure, sample, serve};
use crate::app::App;
use crate::config::{Command as For, Config, Environment};
use crate::error::Result;
use crate::oauth::dev::{DevAccess, ensure_dev_logins};
use std::path::Path;
use std::sync::Arc;

/// Everything on this machine: its own PostgreSQL, sample data, listeners on loopback
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  historia dev\n\nThe data lies in ./.historia (data_dir); Ctrl-C stops all of it.")]
pub struct Arguments {}

pub fn run(file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    let config = Config::load(For::Dev, file, environment)?;
    serve::start(config, environment, true)
}

/// Sample data on the first start, and the sign-ins.
pub async fn prepare(app: &Arc<App>) -> Result<DevAccess> {
    let patient = sample::load(app).await?;
    ensure_dev_logins(app, patient).await
}
