//! `historia copy --to URL`: the whole installation into another database, from one node to a cluster or back.

use super::{Exit, Failure, configuration, database_url, runtime, say};
use crate::config::Environment;
use crate::store::Pool;
use crate::store::copy::{Report, Table, copy};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// Copy the whole installation into another, empty database
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  historia copy --to postgres://historia@coordinator/historia\n\n\
Nobody may write meanwhile. A copy that was interrupted goes on where it stopped when it is run again.")]
pub struct Arguments {
    /// Address of the target: an empty database, or a cluster after `historia cluster init`
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Report as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Between two lines of progress where nobody watches a terminal.
const PROGRESS: Duration = Duration::from_secs(10);

pub fn run(arguments: &Arguments, file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    let config = configuration(file, environment)?;
    let url = database_url(&config)?;
    let started = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    let (mut rows, mut last) = (0, Instant::now());
    let mut watch = |table: &str, more: u64| {
        rows += more;
        if last.elapsed() >= if terminal { Duration::from_millis(200) } else { PROGRESS } {
            last = Instant::now();
            eprint!("{rows} rows, {table}{}", if terminal { "\r" } else { "\n" });
        }
    };
    let report = runtime()?.block_on(async {
        let (source, target) = (Pool::new(&config, url.expose())?, Pool::new(&config, &arguments.to)?);
        copy(&source, &target, &mut watch).await
    })?;
    let seconds = started.elapsed().as_secs_f64();
    say(&if arguments.json { as_json(&report, seconds) } else { as_text(&report, seconds) });
    Ok(if report.is_equal() { Exit::Done } else { Exit::PartlyDone })
}

fn as_json(report: &Report, seconds: f64) -> String {
    let table = |table: &Table| {
        let Table { name, shards, differing } = table;
        (*name, json!({"rows": table.rows(), "shards": shards, "differing": differing}))
    };
    let tables: Vec<(&str, Value)> = report.tables.iter().map(table).collect();
    let tables: serde_json::Map<String, Value> = tables.into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
    let whole = json!({"equal": report.is_equal(), "resumed": report.resumed, "rows": report.rows(),
        "by_shard": report.by_shard, "tables": tables, "seconds": seconds});
    format!("{whole}\n")
}

fn as_text(report: &Report, seconds: f64) -> String {
    let part = if report.by_shard { "shards" } else { "parts" };
    let mut text = String::new();
    for table in &report.tables {
        let verdict = match table.differing.as_slice() {
            [] => format!("equal in {} {part}", table.shards.len()),
            differing => format!("DIFFERENT in {part} {differing:?}"),
        };
        text.push_str(&format!("{:<20} {:>10} rows  {verdict}\n", table.name, table.rows()));
    }
    let last = match report.is_equal() {
        true => "counts and checksums are the same on both sides",
        false => "the source keeps changing: stop what writes to it, and run the same command again",
    };
    text.push_str(&format!("{} rows in {seconds:.1} s: {last}\n", report.rows()));
    text
}
