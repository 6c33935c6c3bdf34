//! Makes a cluster of PostgreSQL servers with Citus, and adds, empties and evens out its nodes.
//!
//! Everything may be repeated: what is done is found done. Nodes are registered by the name that was given, so it must be
//! one that stays (a DNS name, not the address of a container).

use super::{Address, DISTRIBUTE, IS_DISTRIBUTED};
use crate::error::{Error, Issue, Kind, Result};
use crate::store::pool::{Conn, Pool};
use crate::store::{NO_DATABASE, has_state, migrate};
use std::time::{Duration, Instant};

/// One change of the nodes at a time; any number that nobody else in the database uses.
const LOCK: &str = "select pg_advisory_lock(7166215)";
const SETTINGS: &str = "select name, setting from pg_settings where name = any($1)";
const DATABASE: &str = "select quote_ident($1)";
const CREATE_EXTENSION: &str = "create extension if not exists citus";
const VERSIONS: &str =
    "select current_setting('server_version_num')::int / 10000, extversion from pg_extension where extname = 'citus'";

pub(super) const NODES: &str = "\
select nodename, nodeport, groupid = 0, isactive, metadatasynced, shouldhaveshards from pg_dist_node
where noderole = 'primary' and nodecluster = 'default' order by groupid, nodeid";
const SET_COORDINATOR: &str = "select citus_set_coordinator_host($1, $2)";
const ADD_NODE: &str = "select citus_add_node($1, $2)";
const ACTIVATE: &str = "select citus_activate_node($1, $2)";
const HOLDS_SHARDS: &str = "select citus_set_node_property($1, $2, 'shouldhaveshards', $3)";
const REMOVE_NODE: &str = "select citus_remove_node($1, $2)";
const LEFT: &str = "\
select count(*) from pg_dist_placement p join pg_dist_node n using (groupid) where n.nodename = $1 and n.nodeport = $2
  and exists (select 1 from pg_dist_shard s join pg_dist_partition t using (logicalrelid) where s.shardid = p.shardid and t.partmethod = 'h')";
const TABLES: &str = "\
select t.table_name::text, pg_relation_size(t.table_name) > 0 and exists (select 1 from pg_class c where c.oid = t.table_name and c.relkind = 'r')
from citus_tables t where t.citus_table_type = 'distributed' order by 1";
const EMPTY_SHELL: &str = "select truncate_local_data_after_distributing_table($1::text::regclass)";

const START: &str = "select citus_rebalance_start(drain_only => $1)";
const RUNNING: &str = "select job_id from pg_dist_background_job where state in ('scheduled', 'running', 'failing', 'cancelling') order by job_id desc limit 1";
const PROGRESS: &str = "\
select j.state::text, count(t.task_id) filter (where t.status = 'done'), count(t.task_id),
  max(t.message) filter (where t.status in ('error', 'runnable') and t.message <> '')
from pg_dist_background_job j left join pg_dist_background_task t using (job_id) where j.job_id = $1 group by 1";

/// Until every instance has seen that a node holds nothing (`nodes`: the map is read every few seconds).
const UNASKED: Duration = Duration::from_secs(8);

/// Prepared by a test.
pub const STATEMENTS: &[&str] = &[
    LOCK,
    SETTINGS,
    DATABASE,
    VERSIONS,
    NODES,
    SET_COORDINATOR,
    ADD_NODE,
    ACTIVATE,
    HOLDS_SHARDS,
    REMOVE_NODE,
    LEFT,
    TABLES,
    EMPTY_SHELL,
    START,
    RUNNING,
    PROGRESS,
];

/// How often something that takes its time is asked for.
const PAUSE: Duration = Duration::from_millis(500);

/// What `init` found or made.
#[derive(Debug)]
pub struct Made {
    pub coordinator: Address,
    pub workers: Vec<Address>,
    /// Workers that were not registered before.
    pub added: Vec<Address>,
    /// Migrations that were applied now.
    pub applied: Vec<&'static str>,
    /// Tables that are distributed by documento_id.
    pub distributed: Vec<String>,
    pub shards: i64,
}

/// A registered node.
#[derive(Clone, Debug)]
pub struct Registered {
    pub address: Address,
    pub coordinator: bool,
    pub active: bool,
    pub synced: bool,
    pub holds_shards: bool,
}

/// What a cluster is made with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Shards of the distributed tables; counts when they are distributed, never afterwards.
    pub shards: usize,
    /// How long a node is waited for.
    pub patience: Duration,
}

/// Makes a cluster of the database of `pool` and of `workers`, or brings one up to this version.
pub async fn init(pool: &Pool, settings: Settings, workers: &[Address]) -> Result<Made> {
    let own = own_address(pool, workers)?;
    ready_nodes(pool, std::iter::once(&own).chain(workers), settings.patience).await?;
    let conn = lone(pool).await?;
    let before = registered(&conn).await?;
    if !before.iter().any(|node| node.coordinator) {
        conn.query(SET_COORDINATOR, &[&own.host, &i32::from(own.port)]).await?;
    }
    let mut added = Vec::new();
    for worker in workers.iter().filter(|worker| !before.iter().any(|node| node.address == **worker)) {
        conn.query(ADD_NODE, &[&worker.host, &i32::from(worker.port)]).await?;
        added.push(worker.clone());
    }
    let nodes = synced(&conn, settings.patience).await?;
    let workers: Vec<Address> =
        nodes.iter().filter(|node| !node.coordinator).map(|node| node.address.clone()).collect();
    if workers.is_empty() {
        let text = "a cluster needs a node that holds the patients: name one with --worker HOST:PORT";
        return Err(Error::at(Kind::Required, "--worker", text));
    }
    let applied = migrate::migrate(pool).await?;
    conn.batch(&format!("set citus.shard_count = {}", settings.shards)).await?;
    conn.batch(DISTRIBUTE).await?;
    let mut distributed = Vec::new();
    for row in conn.query(TABLES, &[]).await? {
        let (table, shell): (String, bool) = (row.get(0), row.get(1));
        // What lay here before it was distributed lies in the shards now.
        if shell {
            conn.query(EMPTY_SHELL, &[&table]).await?;
        }
        distributed.push(table);
    }
    let shards = super::status::shards(&conn).await?;
    Ok(Made { coordinator: own, workers, added, applied, distributed, shards })
}

/// Adds a node, or takes one in again that was emptied. Nothing moves to it before [`rebalance`].
pub async fn add_node(pool: &Pool, settings: Settings, address: &Address) -> Result<bool> {
    own_address(pool, std::slice::from_ref(address))?;
    ready_nodes(pool, [address], settings.patience).await?;
    let conn = made(pool).await?;
    let known = registered(&conn).await?.into_iter().find(|node| node.address == *address);
    let (host, port) = (&address.host, i32::from(address.port));
    match &known {
        None => drop(conn.query(ADD_NODE, &[host, &port]).await?),
        Some(node) if node.coordinator => {
            return Err(Error::new(Kind::Invalid, format!("{address} is the coordinator")));
        }
        Some(node) => {
            if !node.active {
                conn.query(ACTIVATE, &[host, &port]).await?;
            }
            if !node.holds_shards {
                conn.query(HOLDS_SHARDS, &[host, &port, &true]).await?;
            }
        }
    }
    synced(&conn, settings.patience).await?;
    Ok(known.is_none_or(|node| !node.active || !node.holds_shards))
}

/// Moves everything off a node, then forgets it: it may be switched off.
pub async fn drain_node(pool: &Pool, address: &Address, mut progress: impl FnMut(&Progress)) -> Result<()> {
    let conn = made(pool).await?;
    let nodes = registered(&conn).await?;
    let Some(node) = nodes.iter().find(|node| node.address == *address) else {
        return Err(Error::new(Kind::NotFound, format!("{address} is not a node of this cluster")));
    };
    if node.coordinator {
        return Err(Error::new(Kind::Invalid, format!("{address} is the coordinator: it cannot be taken out")));
    }
    if !nodes.iter().any(|other| !other.coordinator && other.holds_shards && other.address != *address) {
        return Err(Error::new(Kind::Invalid, "there is no other node that could hold the patients"));
    }
    let (host, port) = (&address.host, i32::from(address.port));
    if node.holds_shards {
        conn.query(HOLDS_SHARDS, &[host, &port, &false]).await?;
    }
    if left(&conn, address).await? > 0 {
        follow(&conn, true, &mut progress).await?;
    }
    let left = left(&conn, address).await?;
    if left > 0 {
        return Err(Error::new(
            Kind::Exception,
            format!("{left} shards are still on {address}: run the command again"),
        ));
    }
    // A node that is none of the cluster any more hears of nothing, and whoever still writes there would write past the others.
    tokio::time::sleep(UNASKED).await;
    conn.query(REMOVE_NODE, &[host, &port]).await.map(drop)
}

async fn left(conn: &Conn, address: &Address) -> Result<i64> {
    let row = conn.query_opt(LEFT, &[&address.host, &i32::from(address.port)]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

/// Moves shards so that every node holds its part, while everybody goes on working.
pub async fn rebalance(pool: &Pool, mut progress: impl FnMut(&Progress)) -> Result<Progress> {
    let conn = made(pool).await?;
    follow(&conn, false, &mut progress).await
}

/// How far the moves of shards have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub done: i64,
    pub moves: i64,
}

/// Starts moving, or follows what moves already, to its end.
async fn follow(conn: &Conn, drain_only: bool, progress: &mut impl FnMut(&Progress)) -> Result<Progress> {
    let job: Option<i64> = match conn.query_opt(RUNNING, &[]).await? {
        Some(row) => Some(row.get(0)),
        None => conn.query_opt(START, &[&drain_only]).await?.and_then(|row| row.get(0)),
    };
    let Some(job) = job else { return Ok(Progress::default()) };
    loop {
        let Some(row) = conn.query_opt(PROGRESS, &[&job]).await? else {
            return Err(Error::internal("the job is gone"));
        };
        let (state, now): (String, Progress) = (row.get(0), Progress { done: row.get(1), moves: row.get(2) });
        progress(&now);
        match state.as_str() {
            "finished" => return Ok(now),
            "failed" | "cancelled" => {
                let text = format!("moving shards has {state} after {} of {}", now.done, now.moves);
                let why = row.get::<_, Option<String>>(3).unwrap_or_default();
                return Err(Error::new(Kind::Exception, text).caused_by(why));
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

// ------------------------------------------------------------------ nodes

/// The coordinator's address as the workers will know it.
fn own_address(pool: &Pool, others: &[Address]) -> Result<Address> {
    let wrong = |text: String| Error::at(Kind::Invalid, "database.url", format!("database.url {text}"));
    let own = pool.address().ok_or_else(|| wrong("must name the coordinator by host and port".to_owned()))?;
    match others.iter().find(|other| own.is_loopback() && !other.is_loopback()) {
        Some(other) => {
            Err(wrong(format!("names the coordinator {own}, which {other} cannot reach: use its name on the network")))
        }
        None => Ok(own),
    }
}

/// Sees to it that every node answers, has the database and the extension, and is set as a node must be. What is wrong
/// is told of all nodes at once.
async fn ready_nodes<'a>(pool: &Pool, nodes: impl IntoIterator<Item = &'a Address>, patience: Duration) -> Result<()> {
    let (mut wrong, mut versions) = (Vec::new(), Vec::new());
    for node in nodes {
        let conn = awaited(pool, node, patience).await.map_err(|error| {
            let cause = error.source.as_ref().map_or_else(|| error.to_string(), ToString::to_string);
            Error::new(error.kind, format!("{node} does not answer as a node should")).caused_by(cause)
        })?;
        let mut missing = missing(&conn).await?;
        if missing.is_empty() {
            let mut made = conn.batch(CREATE_EXTENSION).await;
            if made.as_ref().is_err_and(|error| has_state(error, "23505")) {
                // Somebody else was making it just then.
                made = conn.batch(CREATE_EXTENSION).await;
            }
            if let Err(error) = made {
                let cause = error.source.as_ref().map_or_else(|| error.to_string(), ToString::to_string);
                missing.push(format!("the extension citus cannot be made: {cause}"));
            } else if let Some(row) = conn.query_opt(VERSIONS, &[]).await? {
                versions.push((row.get::<_, i32>(0), row.get::<_, String>(1), node));
            }
        }
        wrong.extend(missing.into_iter().map(|text| Issue::new(Kind::BusinessRule, format!("{node}: {text}"))));
    }
    if let (true, Some((server, citus, first))) = (wrong.is_empty(), versions.first()) {
        let others = versions.iter().filter(|(s, c, _)| (s, c) != (server, citus));
        wrong.extend(others.map(|(s, c, node)| {
            let text = format!(
                "{node} has PostgreSQL {s} with Citus {c}, {first} has {server} with {citus}: all nodes need the same"
            );
            Issue::new(Kind::BusinessRule, text)
        }));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let all = wrong.iter().map(|issue| issue.text.as_str()).collect::<Vec<_>>().join("\n  ");
    Err(Error::all(vec![Issue::new(Kind::BusinessRule, format!("nodes are not set as they must be:\n  {all}"))]))
}

/// A connection to a node's database, which is made when it is not there.
async fn awaited(pool: &Pool, node: &Address, patience: Duration) -> Result<Conn> {
    let started = Instant::now();
    loop {
        match pool.elsewhere(node, None).await {
            Ok(conn) => {
                conn.batch("set statement_timeout = 0").await?;
                return Ok(conn);
            }
            Err(error) if has_state(&error, NO_DATABASE) => {
                let server = pool.elsewhere(node, Some("postgres")).await?;
                let name = server.query_opt(DATABASE, &[&pool.database()]).await?;
                let name = name.map_or_else(String::new, |row| row.get(0));
                match server.batch(&format!("create database {name}")).await {
                    Err(error) if !has_state(&error, "42P04") && !has_state(&error, "23505") => return Err(error),
                    _ => {}
                }
            }
            Err(error) if error.is_transient() && started.elapsed() < patience => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

/// Settings of the server that a node needs, as sentences that say what to do.
pub(super) async fn missing(conn: &Conn) -> Result<Vec<String>> {
    let names: Vec<&str> =
        vec!["shared_preload_libraries", "wal_level", "max_prepared_transactions", "output_plugin_libraries"];
    let rows = conn.query(SETTINGS, &[&names]).await?;
    // One that this account may not see is not judged.
    let value = |name: &str| rows.iter().find(|row| row.get::<_, &str>(0) == name).map(|row| row.get::<_, String>(1));
    let lists = |name: &str, item: &str| {
        value(name).is_none_or(|all| all.split(',').any(|one| one.trim().trim_matches('"') == item))
    };
    let mut missing = Vec::new();
    if !lists("shared_preload_libraries", "citus") {
        missing.push("alter system set shared_preload_libraries = 'citus'; then restart PostgreSQL".to_owned());
    }
    if value("wal_level").is_some_and(|level| level != "logical") {
        missing.push("alter system set wal_level = 'logical'; then restart PostgreSQL (shards move by it while the work goes on)".to_owned());
    }
    if value("max_prepared_transactions").and_then(|most| most.parse::<i64>().ok()) == Some(0) {
        missing.push("alter system set max_prepared_transactions = 200; then restart PostgreSQL".to_owned());
    }
    // Since PostgreSQL 15.20: which libraries may decode the log.
    if !lists("output_plugin_libraries", "citus_pgoutput") {
        missing.push(
            "alter system set output_plugin_libraries = pgoutput, test_decoding, citus, citus_pgoutput, citus_wal2json; then reload PostgreSQL"
                .to_owned(),
        );
    }
    Ok(missing)
}

/// The registered nodes, the coordinator first.
pub(super) async fn registered(conn: &Conn) -> Result<Vec<Registered>> {
    let rows = conn.query(NODES, &[]).await?;
    let node = |row: &tokio_postgres::Row| Registered {
        address: Address { host: row.get(0), port: u16::try_from(row.get::<_, i32>(1)).unwrap_or_default() },
        coordinator: row.get(2),
        active: row.get(3),
        synced: row.get(4),
        holds_shards: row.get(5),
    };
    Ok(rows.iter().map(node).collect())
}

/// Waits until every node knows where everything lies.
async fn synced(conn: &Conn, patience: Duration) -> Result<Vec<Registered>> {
    let started = Instant::now();
    loop {
        let nodes = registered(conn).await?;
        let Some(open) = nodes.iter().find(|node| !node.active || !node.synced) else { return Ok(nodes) };
        if started.elapsed() > patience {
            let text = format!(
                "{} has not taken the metadata of the cluster: is it reachable from the coordinator?",
                open.address
            );
            return Err(Error::new(Kind::Transient, text));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A connection to the coordinator of which there is one at a time; it may take as long as it takes.
async fn lone(pool: &Pool) -> Result<Conn> {
    let conn = pool.dedicated().await?;
    conn.batch("set statement_timeout = 0").await?;
    conn.query(LOCK, &[]).await?;
    Ok(conn)
}

/// [`lone`], to a cluster that is made.
async fn made(pool: &Pool) -> Result<Conn> {
    let conn = lone(pool).await?;
    let distributed =
        conn.is_citus() && conn.query_opt(IS_DISTRIBUTED, &[]).await?.is_some_and(|row| row.get::<_, bool>(0));
    match distributed {
        true => Ok(conn),
        false => Err(Error::new(Kind::Invalid, "this database is no cluster yet: run `historia cluster init`")),
    }
}
