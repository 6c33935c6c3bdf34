//! Connections to the nodes of a cluster themselves: work on one record goes to the node that holds it.
//!
//! `cluster.direct = auto`: each node that the coordinator names gets a small pool, opened at its first use with user,
//! password and database of `database.url`. Who answers must be the node that the coordinator means (a name may mean another
//! machine from here). A node that cannot be reached so is left alone for a while, and its work goes through the coordinator.

use super::{Conn, Manager, Pool, Pooled, Target, Tx, locked};
use crate::error::{Error, Kind, Result};
use crate::store;
use crate::store::cluster::Address;
use crate::store::cluster::shard::{self, Shard};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a node is not tried again that could not be reached from here.
const REST: Duration = Duration::from_secs(30);

/// Statements of Citus on a node are planned for their values each time: kept plans of 13.2 lose memory there.
const BEGIN: &str = "begin; set local plan_cache_mode = force_custom_plan";
const WRITER: &str = "set plan_cache_mode = force_custom_plan";

/// What a connection is lent for: reads of one shard.
pub(super) struct At {
    pub shard: Arc<Shard>,
    /// Where the coordinator is asked when the node refuses: its shard has moved away.
    home: bb8::Pool<Manager>,
}

impl At {
    /// Whether what failed here may do there.
    pub fn is_elsewhere(&self, error: &Error) -> bool {
        store::is_refusal(error) && error.kind != Kind::Timeout
    }

    pub async fn home(&self) -> Result<Pooled> {
        self.home.get_owned().await.map_err(|e| match e {
            bb8::RunError::User(e) => e,
            bb8::RunError::TimedOut => Error::new(Kind::Transient, "no database connection is free"),
        })
    }
}

/// The nodes that were used.
#[derive(Default)]
pub(super) struct Workers(Mutex<HashMap<Address, Arc<Node>>>);

struct Node {
    target: Arc<Target>,
    pool: bb8::Pool<Manager>,
    resting: Mutex<Option<Instant>>,
}

impl Node {
    fn rests(&self) -> bool {
        locked(&self.resting).is_some_and(|since| since.elapsed() < REST)
    }

    fn rest(&self, error: &Error) {
        let was = locked(&self.resting).replace(Instant::now());
        if was.is_none() {
            let node = self.target.node.as_ref().map(tracing::field::display);
            tracing::warn!(%error, node, "a node is not reached from here; its work goes through the coordinator");
        }
    }
}

impl Pool {
    /// Whether work may go to the nodes themselves.
    pub fn goes_direct(&self) -> bool {
        self.direct_wanted
    }

    /// The node of a shard, when it may be asked itself.
    fn node(&self, shard: &Shard) -> Option<Arc<Node>> {
        // What lies on the coordinator the coordinator does.
        let system = shard.system.as_ref().filter(|_| self.direct_wanted && shard.group != 0)?;
        let mut nodes = locked(&self.direct.0);
        let known = nodes.get(&shard.node).filter(|node| node.target.system.as_ref() == Some(system)).cloned();
        let node = known.unwrap_or_else(|| {
            let target = Arc::new(Target {
                node: Some(shard.node.clone()),
                system: Some(system.clone()),
                patience: self.node_patience,
                ..self.target.elsewhere(&shard.node, None)
            });
            let node = Arc::new(Node {
                pool: super::sized(&target, self.size, self.patience),
                target,
                resting: Mutex::default(),
            });
            nodes.insert(shard.node.clone(), node.clone());
            node
        });
        (!node.rests()).then_some(node)
    }

    async fn lend_at(&self, shard: &Shard) -> Result<Option<Pooled>> {
        self.target.nodes.reach_coordinator()?;
        let Some(node) = self.node(shard) else { return Ok(None) };
        match self.lend(&node.pool).await {
            Ok(conn) => {
                locked(&node.resting).take();
                Ok(Some(conn))
            }
            // None of it is free.
            Err(error) if node.pool.state().connections > 0 => Err(error),
            Err(error) => {
                node.rest(&error);
                self.target.nodes.doubt();
                Ok(None)
            }
        }
    }

    /// A connection for reading the rows of a document where they lie, when that is a node which may be asked.
    pub async fn at(&self, documento_id: &str) -> Result<Option<Pooled>> {
        let Some(shard) = self.target.nodes.shard(documento_id) else { return Ok(None) };
        let mut conn = self.lend_at(&shard).await?;
        if let Some(conn) = &mut conn {
            conn.at = Some(At { shard, home: self.readers.clone() });
        }
        Ok(conn)
    }

    /// Opens a transaction on the node that holds all these documents, when there is one which may be asked.
    pub async fn begin_at<'d>(&self, documents: impl IntoIterator<Item = &'d str>) -> Result<Option<Tx>> {
        let Some(shards) = self.target.nodes.shards(documents) else { return Ok(None) };
        let Some(first) = shards.first() else { return Ok(None) };
        let Some(mut conn) = self.lend_at(first).await? else { return Ok(None) };
        conn.at = None;
        conn.dirty = true;
        let tx = Tx { conn, commit: Cow::Owned(shard::commit(&shards)) };
        self.within(tx.conn.batch(BEGIN)).await?;
        Ok(Some(tx))
    }

    /// As [`Pool::writer`], to the node of a number when it may be asked.
    pub async fn writer_at(&self, lot: usize) -> Result<Conn> {
        if let Some(shard) = self.target.nodes.of_lot(lot)
            && let Some(node) = self.node(&shard)
        {
            match Conn::open(&node.target).await {
                Ok(conn) => {
                    conn.batch(WRITER).await?;
                    return Ok(conn);
                }
                Err(error) => node.rest(&error),
            }
        }
        self.writer().await
    }

    /// What ends a transaction of a node itself that wrote for these documents, when all are there.
    pub fn commit_at<'d>(&self, documents: impl IntoIterator<Item = &'d str>) -> Option<String> {
        let shards = self.target.nodes.shards(documents)?;
        (!shards.is_empty()).then(|| shard::commit(&shards))
    }

    /// Whether a writer of this number has a connection to another node by now: nodes came or went.
    pub fn strays(&self, conn: &Conn, lot: usize) -> bool {
        let Some(shard) = self.target.nodes.of_lot(lot) else { return false };
        match &conn.node {
            Some(node) => *node != shard.node,
            None => self.node(&shard).is_some(),
        }
    }

    /// A connection that only looks whether the node answers.
    pub async fn watcher(&self, node: &Address, system: &str) -> Option<Conn> {
        let shard = self.target.nodes.any_of(node, system)?;
        let node = self.node(&shard)?;
        Conn::open(&node.target).await.inspect_err(|error| node.rest(error)).ok()
    }
}
