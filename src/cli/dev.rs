//! `historia dev`: embedded PostgreSQL, sample data once, everything listening on loopback.

use super::{Exit, Failure, serve};
use crate::access::Caller;
use crate::app::App;
use crate::clock;
use crate::config::{Command as For, Config, Environment};
use crate::error::{Error, Result};
use crate::fhir::format::{Limits, parse_json};
use crate::interaction::{self, Interaction};
use crate::oauth::dev::{DevAccess, ensure_dev_logins};
use crate::store::installation;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// Everything on this machine: its own PostgreSQL, sample data, listeners on loopback
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  historia dev\n\nThe data lies in ./.historia (data_dir); Ctrl-C stops all of it.")]
pub struct Arguments {}

/// Composed: these people do not exist.
const SAMPLE: &str = include_str!("../../examples/fhir/muestra.json");

pub fn run(file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    let config = Config::load(For::Dev, file, environment)?;
    serve::start(config, environment, true)
}

/// Sample data on the first start, and the sign-ins.
pub async fn prepare(app: &Arc<App>) -> Result<DevAccess> {
    let patient = sample(app).await?;
    ensure_dev_logins(app, patient).await
}

/// Loads the sample once. Returns Patient.id and documento_id of the sample patient that the paciente sign-in is bound to.
async fn sample(app: &Arc<App>) -> Result<Option<(String, String)>> {
    const NAME: &str = "sample_patient";
    let conn = app.pool.dedicated().await?;
    if let Some(kept) = installation::read(&conn, NAME).await? {
        let kept = String::from_utf8(kept).map_err(Error::internal)?;
        return Ok(kept.split_once(' ').map(|(id, documento_id)| (id.to_owned(), documento_id.to_owned())));
    }
    let caller = Caller::system("dev", clock::uuid().to_string());
    let bundle = parse_json(SAMPLE.as_bytes(), &Limits::default())?;
    let answer = interaction::execute(app, &caller, &Interaction::Transaction { bundle }).await?;
    let response: Value = serde_json::from_slice(answer.body.as_deref().unwrap_or_default()).map_err(Error::internal)?;
    let locations = response.get("entry").and_then(Value::as_array).into_iter().flatten();
    let mut locations = locations.filter_map(|entry| entry.get("response")?.get("location")?.as_str());
    let id = locations.find_map(|location| location.strip_prefix("Patient/")?.split('/').next()).map(str::to_owned);
    let Some(id) = id else { return Ok(None) };
    let documento_id = app.placement.records_of(&conn, &[&id]).await?.get(&id).map(|record| record.documento_id.clone());
    let Some(documento_id) = documento_id else { return Ok(None) };
    installation::key(&conn, NAME, || Ok(format!("{id} {documento_id}").into_bytes())).await?;
    Ok(Some((id, documento_id)))
}
