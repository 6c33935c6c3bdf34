//! Which node holds whom, and which nodes are lost: so that one that died or froze holds up only its own patients.
//!
//! Every process looks at the nodes about once a second ([`watch`]). Whether the coordinator reaches a worker decides; while
//! all is calm, that a worker answers on a kept connection of our own is taken as enough, and the coordinator is asked now
//! and then. A node that refuses connections, or does not take one in time, twice in a row, is lost: work that needs it is
//! refused at once, work that waits for it is given up ([`Nodes::lost`]), everything else goes on. When it is back, commits
//! that were left half-way are ended. On a database that is no cluster nothing of this happens.

use super::Address;
use super::shard::{self, Shard};
use crate::error::{Error, Kind, Result};
use crate::store::pool::{Conn, Pool};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio_postgres::types::ToSql;

const CHECK: &str = "select citus_check_connection_to_node($1, $2)";
const RECOVER: &str = "select recover_prepared_transactions()";

/// A look opens a new connection each time: a kept one says nothing of a node that froze.
const SESSION: &str = "set citus.max_cached_conns_per_worker = 0";

const PING: &str = "select 1";

/// Prepared by a test.
pub const STATEMENTS: &[&str] = &[CHECK, RECOVER, PING];

const PERIOD: Duration = Duration::from_millis(750);
/// Looks after which, all being calm, the map is read again, and the coordinator is asked whether it reaches the workers
/// (a new connection to each: 10 ms of CPU).
const MAP_EVERY: u32 = 5;
const CHECK_EVERY: u32 = 10;
/// In a row: one may be a busy machine.
const STRIKES: u32 = 2;
/// What is nearly done when a node is lost may end.
const GRACE: Duration = Duration::from_secs(1);
/// Keys of rows of no patient, beside `-`: one of them lies on a node that lives.
const STAND_INS: u32 = 64;

/// What was seen last.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Sorted by their hashes.
    shards: Arc<Vec<Arc<Shard>>>,
    lost: HashSet<Address>,
    coordinator_lost: bool,
}

impl Seen {
    fn shard(&self, documento_id: &str) -> Option<&Arc<Shard>> {
        let hash = hash(documento_id.as_bytes());
        let at = self.shards.partition_point(|shard| shard.to < hash);
        self.shards.get(at).filter(|shard| shard.from <= hash)
    }

    fn holder(&self, documento_id: &str) -> Option<&Address> {
        self.shard(documento_id).map(|shard| &shard.node)
    }

    fn is_lost(&self, documento_id: &str) -> bool {
        self.holder(documento_id).is_some_and(|node| self.lost.contains(node))
    }

    /// The nodes that hold anything.
    fn holders(&self) -> BTreeSet<&Address> {
        self.shards.iter().map(|shard| &shard.node).collect()
    }
}

/// The nodes as this process sees them.
#[derive(Debug)]
pub struct Nodes {
    seen: RwLock<Arc<Seen>>,
    /// Whether any node is lost: the look that every statement takes.
    any: AtomicBool,
    /// How many times a node was lost.
    losses: watch::Sender<u64>,
    /// Something failed that may be for a node, or for a map that is not true any more: the next look is a whole one.
    doubt: AtomicBool,
}

impl Default for Nodes {
    fn default() -> Self {
        Nodes {
            seen: RwLock::default(),
            any: AtomicBool::new(false),
            losses: watch::Sender::new(0),
            doubt: AtomicBool::new(false),
        }
    }
}

fn refusal(node: Option<&Address>) -> Error {
    let source = node.map_or_else(|| "the coordinator is lost".to_owned(), |node| format!("the node {node} is lost"));
    Error::new(Kind::Transient, "the database is busy or unavailable").caused_by(source)
}

impl Nodes {
    fn seen(&self) -> Arc<Seen> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fails when the node of a documento_id is lost.
    pub fn reach(&self, documento_id: &str) -> Result<()> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let seen = self.seen();
        match seen.is_lost(documento_id) {
            true => Err(refusal(seen.holder(documento_id))),
            false => Ok(()),
        }
    }

    /// Fails when any node is lost: for work that asks them all.
    pub fn reach_all(&self) -> Result<()> {
        match self.any.load(Ordering::Acquire) {
            true => Err(refusal(self.seen().lost.iter().next())),
            false => Ok(()),
        }
    }

    /// Fails when the coordinator is lost.
    pub fn reach_coordinator(&self) -> Result<()> {
        match self.any.load(Ordering::Acquire) && self.seen().coordinator_lost {
            true => Err(refusal(None)),
            false => Ok(()),
        }
    }

    /// Whether a node is lost, the coordinator living.
    pub fn is_degraded(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The number of the node of a documento_id.
    pub fn lot(&self, documento_id: &str) -> usize {
        let seen = self.seen();
        let holder = seen.holder(documento_id);
        seen.holders().into_iter().position(|node| Some(node) == holder).unwrap_or_default()
    }

    /// A shard on the node of a number.
    pub fn of_lot(&self, lot: usize) -> Option<Arc<Shard>> {
        let seen = self.seen();
        let node = seen.holders().into_iter().nth(lot)?;
        seen.shards.iter().find(|shard| shard.node == *node).cloned()
    }

    /// A shard on a node that was just met.
    pub fn any_of(&self, node: &Address, system: &str) -> Option<Arc<Shard>> {
        let seen = self.seen();
        let shard = seen.shards.iter().find(|shard| shard.node == *node)?;
        Some(Arc::new(shard.known_as(system)))
    }

    /// The shard that the rows of a document lie in.
    pub fn shard(&self, documento_id: &str) -> Option<Arc<Shard>> {
        self.seen().shard(documento_id).cloned()
    }

    /// The shards that the rows of these documents lie in, when all are on one node.
    pub fn shards<'d>(&self, documents: impl IntoIterator<Item = &'d str>) -> Option<Vec<Arc<Shard>>> {
        let seen = self.seen();
        let mut shards: Vec<Arc<Shard>> = Vec::new();
        for documento_id in documents {
            let shard = seen.shard(documento_id)?;
            if shards.first().is_some_and(|first| first.node != shard.node) {
                return None;
            }
            if !shards.iter().any(|known| Arc::ptr_eq(known, shard)) {
                shards.push(shard.clone());
            }
        }
        Some(shards)
    }

    /// The next look asks for everything.
    pub fn doubt(&self) {
        self.doubt.store(true, Ordering::Release);
    }

    /// Where a row of no patient may lie now, when its own node is lost.
    pub fn stand_in(&self, documento_id: &str) -> Option<String> {
        if !self.any.load(Ordering::Acquire) || !self.seen().is_lost(documento_id) {
            return None;
        }
        let seen = self.seen();
        std::iter::once("-".to_owned()).chain((1..STAND_INS).map(|n| format!("-{n}"))).find(|key| !seen.is_lost(key))
    }

    /// How many times a node was lost: connections from before may wait for it.
    pub fn losses(&self) -> u64 {
        *self.losses.borrow()
    }

    /// Ends when a node is lost from now on (`only`: when it is that one), and what was nearly done had time to end.
    pub async fn lost(&self, only: Option<&Address>) {
        let mut losses = self.losses.subscribe();
        loop {
            if losses.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(GRACE).await;
            if only.is_none_or(|node| self.seen().lost.contains(node)) {
                return;
            }
        }
    }

    fn saw(&self, seen: Seen) {
        let before = self.seen();
        let newly =
            seen.lost.difference(&before.lost).count() > 0 || (seen.coordinator_lost && !before.coordinator_lost);
        for node in seen.lost.difference(&before.lost) {
            tracing::error!(node = %node, "a node is lost: its patients are answered 503");
        }
        for node in before.lost.difference(&seen.lost) {
            tracing::warn!(node = %node, "a node is back");
        }
        if seen.coordinator_lost != before.coordinator_lost {
            tracing::error!(lost = seen.coordinator_lost, "the coordinator is lost or back");
        }
        self.any.store(seen.coordinator_lost || !seen.lost.is_empty(), Ordering::Release);
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(seen);
        if newly {
            self.losses.send_modify(|count| *count += 1);
        }
    }
}

/// Looks at the nodes until the process ends.
pub async fn watch(pool: Arc<Pool>, timeout: Duration) {
    let nodes = pool.nodes().clone();
    let mut look = Look {
        pool,
        timeout,
        conn: None,
        own: HashMap::new(),
        systems: HashMap::new(),
        strikes: HashMap::new(),
        looks: 0,
        coordinator: 0,
        recover: false,
    };
    loop {
        let doubt = nodes.doubt.swap(false, Ordering::AcqRel);
        match look.once(&nodes.seen(), doubt).await {
            Ok(seen) => nodes.saw(seen),
            Err(error) if !error.is_transient() => tracing::error!(%error, "the nodes cannot be looked at"),
            Err(error) => {
                tracing::warn!(%error, "the coordinator does not answer");
                look.coordinator += 1;
                look.conn = None;
                if look.coordinator >= STRIKES {
                    nodes.saw(Seen { coordinator_lost: true, ..(*nodes.seen()).clone() });
                }
            }
        }
        // One strike is looked at again without a rest.
        let struck = look.strikes.values().any(|strikes| *strikes > 0) || look.coordinator > 0;
        tokio::time::sleep(if struck { PERIOD / 4 } else { PERIOD }).await;
    }
}

struct Look {
    pool: Arc<Pool>,
    timeout: Duration,
    conn: Option<Conn>,
    /// Connections of our own to the workers.
    own: HashMap<Address, Conn>,
    /// What the coordinator says that each worker is: who answers under its address must be it.
    systems: HashMap<Address, String>,
    strikes: HashMap<Address, u32>,
    looks: u32,
    /// Looks in a row that the coordinator did not answer.
    coordinator: u32,
    /// Whether commits may have been left half-way.
    recover: bool,
}

impl Look {
    /// One look. An error: the coordinator did not answer.
    async fn once(&mut self, before: &Seen, doubt: bool) -> Result<Seen> {
        let timeout = self.timeout;
        self.recover |= before.coordinator_lost;
        let conn = match self.conn.take().filter(|conn| !conn.is_closed()) {
            Some(conn) => conn,
            None => {
                self.recover = true;
                let conn = tokio::time::timeout(timeout, self.pool.dedicated()).await.map_err(late)??;
                conn.batch(SESSION).await?;
                conn
            }
        };
        self.looks = self.looks.wrapping_add(1);
        let stormy = doubt || !before.lost.is_empty() || self.strikes.values().any(|strikes| *strikes > 0);
        let shards = match stormy || before.shards.is_empty() || self.looks.is_multiple_of(MAP_EVERY) {
            true => tokio::time::timeout(timeout, shard::all(&conn, &self.systems)).await.map_err(late)??,
            false => {
                tokio::time::timeout(timeout, conn.query(PING, &[])).await.map_err(late)??;
                before.shards.to_vec()
            }
        };
        let mut seen = Seen { shards: Arc::new(shards), lost: HashSet::new(), coordinator_lost: false };
        let workers: Vec<(Address, i32)> = workers(&seen.shards);
        // Of nodes that left nothing stays.
        self.strikes.retain(|node, _| workers.iter().any(|(worker, _)| worker == node));
        self.own.retain(|node, _| workers.iter().any(|(worker, _)| worker == node));
        let whole = stormy || self.looks.is_multiple_of(CHECK_EVERY);
        for (worker, group) in workers {
            let answers = match whole {
                true => None,
                false => self.answers(&worker).await,
            };
            let answers = match answers {
                Some(answers) => answers,
                None => self.is_reached(&conn, &worker).await?,
            };
            let strikes = self.strikes.entry(worker.clone()).or_default();
            *strikes = if answers { 0 } else { *strikes + 1 };
            if *strikes >= STRIKES || (!answers && before.lost.contains(&worker)) {
                self.own.remove(&worker);
                self.systems.remove(&worker);
                seen.lost.insert(worker);
            } else {
                self.recover |= before.lost.contains(&worker);
                if answers && group != 0 && !self.own.contains_key(&worker) {
                    self.meet(&conn, &worker, &mut seen).await;
                }
            }
        }
        self.coordinator = 0;
        // It asks every node, so it waits until all are there; what it ends is what no living transaction owns.
        if self.recover && seen.lost.is_empty() && self.strikes.values().all(|strikes| *strikes == 0) {
            let recovered = tokio::time::timeout(timeout * 2, conn.query(RECOVER, &[])).await.map_err(late)?;
            if let Err(error) = recovered {
                // An account that may not; Citus does the same within a minute.
                tracing::warn!(%error, "half commits are left to Citus");
            }
            self.recover = false;
        }
        self.conn = Some(conn);
        Ok(seen)
    }

    /// Whether a worker answers on our own connection; none when there is no connection (any more).
    async fn answers(&mut self, worker: &Address) -> Option<bool> {
        let own = self.own.get(worker)?;
        let answer = match tokio::time::timeout(self.timeout, own.query(PING, &[])).await {
            Ok(Ok(_)) => return Some(true),
            Ok(Err(_)) => None,
            Err(_) => Some(false),
        };
        self.own.remove(worker);
        answer
    }

    /// Whether the coordinator reaches a worker; it gives up after the timeout itself.
    async fn is_reached(&self, conn: &Conn, worker: &Address) -> Result<bool> {
        let port = i32::from(worker.port);
        let params: [&(dyn ToSql + Sync); 2] = [&worker.host, &port];
        let answer = tokio::time::timeout(self.timeout * 2, conn.query_opt(CHECK, &params)).await.map_err(late)??;
        Ok(answer.is_some_and(|row| row.get::<_, Option<bool>>(0) == Some(true)))
    }

    /// Learns who a worker is, and opens our own connection to it when it may be reached from here.
    async fn meet(&mut self, conn: &Conn, worker: &Address, seen: &mut Seen) {
        if !self.pool.goes_direct() {
            return;
        }
        if !self.systems.contains_key(worker) {
            let system = tokio::time::timeout(self.timeout * 2, shard::system(conn, worker)).await;
            let Ok(Ok(Some(system))) = system else { return };
            self.systems.insert(worker.clone(), system.clone());
            seen.shards = Arc::new(shard::known(&seen.shards, worker, &system));
        }
        if let Some(system) = self.systems.get(worker)
            && let Some(own) = self.pool.watcher(worker, system).await
        {
            self.own.insert(worker.clone(), own);
        }
    }
}

fn late(_: tokio::time::error::Elapsed) -> Error {
    Error::new(Kind::Timeout, "no answer in time")
}

/// The workers that hold anything, each with its group.
fn workers(shards: &[Arc<Shard>]) -> Vec<(Address, i32)> {
    let all: BTreeSet<(Address, i32)> = shards.iter().map(|shard| (shard.node.clone(), shard.group)).collect();
    // Group 0 is the coordinator.
    all.into_iter().filter(|(_, group)| *group != 0).collect()
}

/// The hash of a text that Citus distributes by: PostgreSQL's `hash_bytes` (src/common/hashfn.c).
pub fn hash(bytes: &[u8]) -> i32 {
    let word = |part: &[u8]| part.iter().rev().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    let start = 0x9e37_79b9_u32.wrapping_add(u32::try_from(bytes.len()).unwrap_or_default()).wrapping_add(3_923_095);
    let (mut a, mut b, mut c) = (start, start, start);
    let chunks = bytes.chunks_exact(12);
    let rest = chunks.remainder();
    let words = |part: &[u8]| {
        let at = |n: usize| word(part.get(n.min(part.len())..(n + 4).min(part.len())).unwrap_or_default());
        (at(0), at(4), at(8))
    };
    for chunk in chunks {
        let (x, y, z) = words(chunk);
        (a, b, c) = (a.wrapping_add(x), b.wrapping_add(y), c.wrapping_add(z));
        for turn in [[4, 6, 8], [16, 19, 4]] {
            a = a.wrapping_sub(c) ^ c.rotate_left(turn[0]);
            c = c.wrapping_add(b);
            b = b.wrapping_sub(a) ^ a.rotate_left(turn[1]);
            a = a.wrapping_add(c);
            c = c.wrapping_sub(b) ^ b.rotate_left(turn[2]);
            b = b.wrapping_add(a);
        }
    }
    // The lowest byte of the last word is that of the length.
    let (x, y, z) = words(rest);
    (a, b, c) = (a.wrapping_add(x), b.wrapping_add(y), c.wrapping_add(z << 8));
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    i32::from_ne_bytes(c.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `select hashtext(..)`; the cluster's own are compared in tests/it/cluster.rs.
    #[test]
    fn hashes_are_those_of_postgresql() {
        for (text, expected) in [
            ("-", -441_436_218),
            ("CC-1", -1_099_638_293),
            ("ABCDEFGHIJKL", -260_129_258),
            ("ABCDEFGHIJKLM", -1_667_244_406),
            ("CC-1020304050607", -53_603_628),
            ("PPT-ABCDEFGHIJKLMNOPQRST", -1_259_868_822),
        ] {
            assert_eq!(hash(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_lost_node_is_known_by_its_patients() {
        let node = |n: u16| Address { host: "h".to_owned(), port: n };
        let nodes = Nodes::default();
        assert!(nodes.reach("CC-1").is_ok() && nodes.reach_all().is_ok() && nodes.stand_in("CC-1").is_none());
        let shard = |from, to, n| Arc::new(Shard::of(from, to, node(n)));
        let shards = Arc::new(vec![shard(i32::MIN, -1, 1), shard(0, i32::MAX, 2)]);
        let holder = if hash(b"CC-1") < 0 { 1 } else { 2 };
        let lost = HashSet::from([node(holder)]);
        nodes.saw(Seen { shards: shards.clone(), lost, coordinator_lost: false });
        assert!(nodes.reach("CC-1").is_err() && nodes.reach_all().is_err());
        assert!(nodes.reach_coordinator().is_ok());
        let other = (2..99).map(|n| format!("CC-{n}")).find(|d| (hash(d.as_bytes()) < 0) != (holder == 1)).unwrap();
        assert!(nodes.reach(&other).is_ok());
        assert_ne!(nodes.lot(&other), nodes.lot("CC-1"));
        assert_eq!(nodes.of_lot(nodes.lot("CC-1")).unwrap().node, node(holder));
        assert_eq!(nodes.shard("CC-1").unwrap().node, node(holder));
        assert_eq!(nodes.shards(["CC-1", "CC-1"]).unwrap().len(), 1);
        assert!(nodes.shards(["CC-1", &other]).is_none());
        let stand_in = nodes.stand_in("CC-1").unwrap();
        assert!(nodes.reach(&stand_in).is_ok() && stand_in.starts_with('-'));
        assert_eq!(nodes.losses(), 1);
        nodes.saw(Seen { shards, ..Seen::default() });
        assert!(nodes.reach("CC-1").is_ok());
        assert_eq!(nodes.losses(), 1, "a return is no loss");
    }
}
