//! `historia cluster`: makes a cluster of PostgreSQL servers with Citus, tells of it, changes its nodes.

use super::{Exit, Failure, configuration, database_url, runtime, say};
use crate::config::Environment;
use crate::error::{Error, Kind};
use crate::store::Pool;
use crate::store::cluster::Address;
use crate::store::cluster::setup::{self, Made, Progress, Settings};
use crate::store::cluster::status::{self, Node, Status};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// Commits that wait longer for their second phase than Citus takes to look after them (`citus.recover_2pc_interval`).
const HANGS: f64 = 120.0;

/// Make, show and change a Citus cluster
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  DATABASE_URL=postgres://historia@coordinator:5432/historia historia cluster init --worker worker-1:5432 --worker worker-2:5432
  historia cluster status
  historia cluster add-node worker-3:5432 && historia cluster rebalance")]
pub struct Arguments {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Register the nodes, bring the schema up to this version, distribute it by documento_id; safe to repeat
    Init {
        /// A node that holds patients, by a name that stays
        #[arg(long = "worker", value_name = "HOST:PORT")]
        workers: Vec<Address>,
        /// Report as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Nodes, shards, sizes, moves, half commits, and what to do
    Status {
        /// Report as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Take in a node; `rebalance` moves patients to it
    AddNode {
        #[arg(value_name = "HOST:PORT")]
        node: Address,
    },
    /// Move everything off a node and forget it
    DrainNode {
        #[arg(value_name = "HOST:PORT")]
        node: Address,
    },
    /// Even out the nodes while everybody goes on working
    Rebalance,
}

pub fn run(arguments: &Arguments, file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    let config = configuration(file, environment)?;
    let url = database_url(&config)?;
    let settings = Settings { shards: config.cluster.shards, patience: config.cluster.patience };
    runtime()?.block_on(async {
        let pool = Pool::new(&config, url.expose())?;
        match &arguments.action {
            Action::Init { workers, json } => {
                let made = setup::init(&pool, settings, workers).await.map_err(refused)?;
                say(&told(&made, *json));
                Ok(Exit::Done)
            }
            Action::Status { json } => {
                let status = status::status(&pool).await?;
                say(&shown(&status, *json));
                // What does not answer is not told of.
                Ok(if status.nodes.iter().all(|node| node.found.is_some()) { Exit::Done } else { Exit::PartlyDone })
            }
            Action::AddNode { node } => {
                let text = match setup::add_node(&pool, settings, node).await.map_err(refused)? {
                    true => {
                        format!("{node} is a node of the cluster; `historia cluster rebalance` moves patients to it\n")
                    }
                    false => format!("{node} was a node of the cluster already\n"),
                };
                say(&text);
                Ok(Exit::Done)
            }
            Action::DrainNode { node } => {
                setup::drain_node(&pool, node, reporter()).await.map_err(refused)?;
                say(&format!("{node} holds nothing and is no node of the cluster any more: it may be switched off\n"));
                Ok(Exit::Done)
            }
            Action::Rebalance => {
                let done = setup::rebalance(&pool, reporter()).await.map_err(refused)?;
                say(&match done.moves {
                    0 => "the nodes are even: nothing to move\n".to_owned(),
                    moves => format!("{moves} shards moved\n"),
                });
                Ok(Exit::Done)
            }
        }
    })
}

/// What was asked for cannot be: the sentence is enough, and a missing argument is a mistake of usage.
fn refused(error: Error) -> Failure {
    match error.kind {
        Kind::Required => Failure::new(Exit::Usage, error.to_string()),
        _ => error.into(),
    }
}

/// One line for each step at a terminal, one every ten seconds elsewhere.
fn reporter() -> impl FnMut(&Progress) {
    let pause = if std::io::stderr().is_terminal() { Duration::from_millis(500) } else { Duration::from_secs(10) };
    let (mut last, mut before) = (Instant::now(), Progress::default());
    move |progress| {
        if *progress != before && last.elapsed() >= pause {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{} of {} shards moved", progress.done, progress.moves);
            (last, before) = (Instant::now(), *progress);
        }
    }
}

fn told(made: &Made, as_json: bool) -> String {
    let names = |nodes: &[Address]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
    if as_json {
        let report = json!({
            "coordinator": made.coordinator.to_string(), "workers": names(&made.workers), "added": names(&made.added),
            "applied": made.applied, "distributed": made.distributed, "shards": made.shards,
        });
        return format!("{report}\n");
    }
    let mut lines = vec![format!("coordinator {}, workers {}", made.coordinator, names(&made.workers).join(" "))];
    if !made.added.is_empty() {
        lines.push(format!("registered now: {}", names(&made.added).join(" ")));
    }
    lines.push(match made.applied.is_empty() {
        true => "the schema is up to date".to_owned(),
        false => format!("applied {}", made.applied.join(", ")),
    });
    lines.push(format!("{} tables distributed by documento_id over {} shards", made.distributed.len(), made.shards));
    lines.join("\n") + "\n"
}

fn shown(status: &Status, as_json: bool) -> String {
    let advice = advice(status);
    if as_json {
        let report = json!({
            "distributed": status.distributed,
            "nodes": status.nodes.iter().map(node_json).collect::<Vec<_>>(),
            "shards": status.shards,
            "tables": {"distributed": status.distributed_tables, "coordinator": status.coordinator_tables},
            "moves": status.moves.iter().map(|m| json!({"status": m.status, "message": m.message})).collect::<Vec<_>>(),
            "planned_moves": status.planned, "skew": status.skew, "advice": advice,
        });
        return format!("{report}\n");
    }
    let mut lines: Vec<String> = status.nodes.iter().map(node_line).collect();
    if status.distributed {
        lines.push(format!(
            "{} shards; {} tables distributed by documento_id, {} of the coordinator",
            status.shards, status.distributed_tables, status.coordinator_tables
        ));
    }
    if let Some(skew) = status.skew {
        lines.push(format!("the largest shard is {skew:.1} times the mean one"));
    }
    if !status.moves.is_empty() {
        lines.push(format!("moves of shards that are not finished: {}", status.moves.len()));
    }
    lines.extend(advice.iter().map(|text| format!("* {text}")));
    if advice.is_empty() {
        lines.push("nothing to do".to_owned());
    }
    lines.join("\n") + "\n"
}

fn node_json(node: &Node) -> Value {
    let found = node.found.as_ref();
    json!({
        "node": node.registered.address.to_string(), "coordinator": node.registered.coordinator,
        "active": node.registered.active, "metadata_synced": node.registered.synced,
        "holds_shards": node.registered.holds_shards, "answers": found.is_some(), "shards": node.shards,
        "bytes": found.map(|f| f.bytes), "prepared_transactions": found.map(|f| f.prepared),
        "oldest_prepared_seconds": found.map(|f| f.oldest), "missing_settings": found.map(|f| f.missing.clone()),
    })
}

fn node_line(node: &Node) -> String {
    let role = if node.registered.coordinator { "coordinator" } else { "worker" };
    let state = match &node.found {
        None => "DOES NOT ANSWER".to_owned(),
        Some(found) => {
            format!("answers, {} MB, {} half commits", found.bytes / 1_000_000, found.prepared)
        }
    };
    format!("{role:<12} {:<28} {} shards, {state}", node.registered.address.to_string(), node.shards)
}

/// What to do, most urgent first.
fn advice(status: &Status) -> Vec<String> {
    if !status.distributed {
        return vec!["this database is no cluster: run `historia cluster init --worker HOST:PORT`".to_owned()];
    }
    let mut advice = Vec::new();
    for node in &status.nodes {
        let address = &node.registered.address;
        match &node.found {
            None => advice.push(format!(
                "{address} does not answer: start it. Until then patients of its {} shards are answered 503; nothing else is to be done",
                node.shards
            )),
            Some(found) => {
                if found.prepared > 0 && found.oldest > HANGS {
                    advice.push(format!(
                        "{address} holds {} commits without their second phase: on the coordinator, select recover_prepared_transactions();",
                        found.prepared
                    ));
                }
                advice.extend(found.missing.iter().map(|text| format!("{address}: {text}")));
            }
        }
        if !node.registered.active || !node.registered.synced {
            advice.push(format!("{address} has not taken the metadata: `historia cluster add-node {address}`"));
        }
    }
    match status.moves.iter().find(|one| one.status == "error") {
        Some(failed) => {
            advice.push(format!("a move of shards has failed ({}): `historia cluster rebalance`", failed.message))
        }
        None if !status.moves.is_empty() => advice.push("shards are moving: wait, the work goes on".to_owned()),
        None if status.planned.is_some_and(|moves| moves > 0) => {
            advice.push("the nodes are uneven: `historia cluster rebalance`".to_owned());
        }
        None => {}
    }
    advice
}
