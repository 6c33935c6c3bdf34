//! What a person wants to know of a cluster: who answers, what lies where, what moves, what hangs, what to do.

use super::setup::{Registered, missing, registered};
use super::{Address, IS_DISTRIBUTED};
use crate::error::Result;
use crate::store::pool::{Conn, Pool};
use std::collections::HashMap;

const SHARDS: &str = "select count(*) from pg_dist_shard where logicalrelid = to_regclass('resource')";
const PLACED: &str = "\
select s.logicalrelid::text, s.shardid, n.nodename, n.nodeport, s.logicalrelid = to_regclass('resource'), s.shardminvalue
from pg_dist_shard s join pg_dist_partition t using (logicalrelid) join pg_dist_placement p using (shardid) join pg_dist_node n using (groupid)
where t.partmethod = 'h' and n.noderole = 'primary'";
const VISIBLE: &str = "set citus.override_table_visibility = off";
const SIZES: &str = "select relname::text, pg_total_relation_size(oid) from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace";
const PREPARED: &str = "\
select count(*), coalesce(extract(epoch from max(now() - prepared)), 0)::float8 from pg_prepared_xacts where gid like 'citus\\_%' and database = current_database()";
const MOVES: &str = "\
select t.status::text, coalesce(t.message, ''), t.task_id from pg_dist_background_job j join pg_dist_background_task t using (job_id)
where j.state in ('scheduled', 'running', 'failing', 'cancelling') order by t.task_id";
const PLANNED: &str = "select count(*) from get_rebalance_table_shards_plan()";
const TABLES: &str = "\
select count(*) filter (where citus_table_type = 'distributed'), count(*) filter (where citus_table_type = 'local') from citus_tables";

/// Prepared by a test.
pub const STATEMENTS: &[&str] = &[SHARDS, PLACED, SIZES, PREPARED, MOVES, PLANNED, TABLES];

/// A node as it was found.
#[derive(Clone, Debug)]
pub struct Node {
    pub registered: Registered,
    /// None: it does not answer, and nothing more is known.
    pub found: Option<Found>,
    /// Shards of the patients: one is the same part of every distributed table.
    pub shards: usize,
}

#[derive(Clone, Debug)]
pub struct Found {
    /// Of the distributed tables, with their indexes.
    pub bytes: i64,
    /// Commits that wait for their second phase, and the age of the oldest in seconds.
    pub prepared: i64,
    pub oldest: f64,
    /// Settings that it should have.
    pub missing: Vec<String>,
}

/// A move of shards: not finished, or failed.
#[derive(Clone, Debug)]
pub struct Move {
    pub status: String,
    pub message: String,
}

#[derive(Clone, Debug)]
pub struct Status {
    pub distributed: bool,
    pub nodes: Vec<Node>,
    pub shards: i64,
    pub distributed_tables: i64,
    pub coordinator_tables: i64,
    pub moves: Vec<Move>,
    /// Moves that would even out the nodes; unknown while one of them does not answer.
    pub planned: Option<i64>,
    /// The largest shard against the mean one.
    pub skew: Option<f64>,
}

pub(super) async fn shards(conn: &Conn) -> Result<i64> {
    Ok(conn.query_opt(SHARDS, &[]).await?.map_or(0, |row| row.get(0)))
}

/// The shards of each node.
type Placed = HashMap<Address, Vec<Shard>>;

struct Shard {
    name: String,
    /// Counts once for all tables.
    first: bool,
    range: String,
}

/// Asks the coordinator, then every node by itself: one that does not answer hides nothing of the others.
pub async fn status(pool: &Pool) -> Result<Status> {
    let conn = pool.dedicated().await?;
    let distributed =
        conn.is_citus() && conn.query_opt(IS_DISTRIBUTED, &[]).await?.is_some_and(|row| row.get::<_, bool>(0));
    let mut status = Status {
        distributed,
        nodes: Vec::new(),
        shards: 0,
        distributed_tables: 0,
        coordinator_tables: 0,
        moves: Vec::new(),
        planned: None,
        skew: None,
    };
    if !conn.is_citus() {
        return Ok(status);
    }
    let placed = placed(&conn).await?;
    let mut ranges: HashMap<String, i64> = HashMap::new();
    for registered in registered(&conn).await? {
        let empty = Vec::new();
        let shards = placed.get(&registered.address).unwrap_or(&empty);
        let found = pool.within(found(pool, &registered, shards, &mut ranges)).await.ok();
        let shards = shards.iter().filter(|shard| shard.first).count();
        status.nodes.push(Node { registered, found, shards });
    }
    status.shards = shards(&conn).await?;
    if let Some(row) = conn.query_opt(TABLES, &[]).await? {
        (status.distributed_tables, status.coordinator_tables) = (row.get(0), row.get(1));
    }
    status.moves =
        conn.query(MOVES, &[]).await?.iter().map(|row| Move { status: row.get(0), message: row.get(1) }).collect();
    if distributed && status.nodes.iter().all(|node| node.found.is_some()) {
        status.planned = conn.query_opt(PLANNED, &[]).await?.map(|row| row.get(0));
        let (all, largest) = (ranges.values().sum::<i64>(), ranges.values().max().copied().unwrap_or_default());
        status.skew = (all > 0).then(|| largest as f64 * ranges.len() as f64 / all as f64);
    }
    Ok(status)
}

async fn placed(conn: &Conn) -> Result<Placed> {
    let mut placed = Placed::new();
    for row in conn.query(PLACED, &[]).await? {
        let port = u16::try_from(row.get::<_, i32>(3)).unwrap_or_default();
        let shard = Shard {
            name: format!("{}_{}", row.get::<_, &str>(0), row.get::<_, i64>(1)),
            first: row.get(4),
            range: row.get(5),
        };
        placed.entry(Address { host: row.get(2), port }).or_default().push(shard);
    }
    Ok(placed)
}

async fn found(pool: &Pool, node: &Registered, shards: &[Shard], ranges: &mut HashMap<String, i64>) -> Result<Found> {
    let conn = pool.elsewhere(&node.address, None).await?;
    // Shards are hidden from those who look at the tables.
    conn.batch(VISIBLE).await?;
    let sizes: HashMap<String, i64> =
        conn.query(SIZES, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut bytes = 0;
    for shard in shards {
        let size = sizes.get(&shard.name).copied().unwrap_or_default();
        *ranges.entry(shard.range.clone()).or_default() += size;
        bytes += size;
    }
    let row = conn.query_opt(PREPARED, &[]).await?;
    let (prepared, oldest) = row.map_or((0, 0.0), |row| (row.get(0), row.get(1)));
    Ok(Found { bytes, prepared, oldest, missing: missing(&conn).await? })
}
