//! Single writes of many requests in one commit.
//!
//! A unit that holds one version hands it to a [`Group`], which sends those that wait as the statements of
//! [`write::one`] inside one transaction, pipelined: one flush of the log and few wake-ups for all of them. Each statement
//! compares and sets by itself, so who lost a race is told and the others are kept. When a statement fails, nothing of
//! the batch was written, and each is repeated by itself.
//!
//! Not on Citus: it would send the parts of such a statement to every node, so one that is down would stop all writes, and
//! a batch of several patients would need a two-phase commit.

use crate::access::Access;
use crate::error::{Error, Kind, Result};
use crate::store;
use crate::store::audit::Event;
use crate::store::pool::{Conn, Pool};
use crate::store::write::{self, Version};
use crate::telemetry::metric;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait; more are refused.
const QUEUE: usize = 1024;
/// Writes of one commit: with BEGIN and COMMIT as many statements as are surely sent in their order.
const BATCH: usize = 22;
/// A writer keeps one core of the database busy, and half of the cores are the server's own.
const MOST_WRITERS: usize = 4;

/// Who holds a row for longer must not hold up all who write.
const PATIENCE: &str = "set lock_timeout = 25";

struct Waiting {
    access: Access,
    version: Version,
    events: Vec<Event>,
    done: oneshot::Sender<Result<bool>>,
}

/// Hands single writes to the writers.
pub struct Group {
    pool: Arc<Pool>,
    queues: Vec<mpsc::Sender<Waiting>>,
    next: AtomicUsize,
}

impl Group {
    /// `conn`: a connection to the database that tells whether it is a cluster.
    pub fn start(pool: Arc<Pool>, conn: &Conn) -> Group {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let writers = if conn.is_citus() { 0 } else { (cores / 2).clamp(1, MOST_WRITERS) };
        let queues = (0..writers).map(|_| {
            let (queue, waiting) = mpsc::channel(QUEUE);
            tokio::spawn(serve(pool.clone(), waiting));
            queue
        });
        Group { queues: queues.collect(), pool, next: AtomicUsize::new(0) }
    }

    /// Whether it takes writes: not on a cluster.
    pub fn serves(&self) -> bool {
        !self.queues.is_empty()
    }

    /// Returns when the version and its audit records are durable. False: somebody else was faster, nothing was written.
    pub async fn write(&self, access: Access, version: Version, events: Vec<Event>) -> Result<bool> {
        let writer = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len().max(1);
        let Some(queue) = self.queues.get(writer) else { return Err(Error::internal("no writer on a cluster")) };
        let (done, answered) = oneshot::channel();
        let waiting = Waiting { access, version, events, done };
        queue.try_send(waiting).map_err(|_| Error::new(Kind::Transient, "too many writes are waiting"))?;
        self.pool.within(async { answered.await.map_err(|_| unknown()) }).await?
    }
}

/// The connection was lost or the time was up: what was sent may be there or not.
fn unknown() -> Error {
    Error::new(Kind::Transient, "the database did not say whether the write was done")
}

/// One write as a commit of its own.
async fn alone(pool: &Pool, waiting: Waiting) {
    let Waiting { access, version, events, done } = waiting;
    let written = async {
        let conn = pool.get().await?;
        pool.within(write::one(&conn, &access, &version, &events)).await
    };
    let _ = done.send(written.await);
}

async fn serve(pool: Arc<Pool>, mut queue: mpsc::Receiver<Waiting>) {
    let mut conn: Option<Conn> = None;
    while let Some(first) = queue.recv().await {
        let mut batch = vec![first];
        // Letting the others run first makes larger batches.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        while batch.len() < BATCH
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        metrics::histogram!(metric::WRITE_BATCH).record(batch.len() as f64);
        if conn.as_ref().is_none_or(Conn::is_closed) {
            conn = open(&pool).await;
        }
        let Some(open) = conn.as_ref() else {
            repeat(&pool, batch);
            continue;
        };
        match pool.within(commit(open, &mut batch)).await {
            Ok(Some(written)) => {
                for (waiting, written) in batch.into_iter().zip(written) {
                    let _ = waiting.done.send(Ok(written));
                }
            }
            Ok(None) => repeat(&pool, batch),
            Err(error) => {
                tracing::error!(%error, source = error.source.as_deref().map(tracing::field::display), "a commit of several writes has failed");
                conn = None;
                for waiting in batch {
                    let _ = waiting.done.send(Err(unknown()));
                }
            }
        }
    }
}

/// Opens the connection of a writer. None: the writes take the pool, which tells each why it fails.
async fn open(pool: &Pool) -> Option<Conn> {
    let opened = async {
        let conn = pool.writer().await?;
        conn.batch(PATIENCE).await?;
        for sql in write::SINGLE {
            // Prepared first: a statement that still has to be prepared would be overtaken by those behind it.
            conn.prepare(sql).await?;
        }
        Ok(conn)
    };
    pool.within(opened).await.inspect_err(|error| tracing::error!(%error, "a writer has no connection")).ok()
}

/// Repeats each write of a batch by itself, on connections of the pool: they may wait for each other's locks there
/// without holding up the writer.
fn repeat(pool: &Arc<Pool>, batch: Vec<Waiting>) {
    for waiting in batch {
        let pool = pool.clone();
        tokio::spawn(async move { alone(&pool, waiting).await });
    }
}

/// One transaction of all. None: a statement was refused and nothing was written. An error: it is not known.
async fn commit(conn: &Conn, batch: &mut [Waiting]) -> Result<Option<Vec<bool>>> {
    if let [one] = batch {
        return settled(vec![write::one(conn, &one.access, &one.version, &one.events).await]);
    }
    // All writers in one order, so that two do not wait for each other.
    batch.sort_unstable_by(|a, b| place(a).cmp(&place(b)));
    let writes = batch.iter().map(|w| write::one(conn, &w.access, &w.version, &w.events));
    // Polled in this order, and so sent in this order.
    let (begun, written, committed) =
        futures_util::future::join3(conn.batch("begin"), futures_util::future::join_all(writes), conn.batch("commit"))
            .await;
    // Without it each write was a commit of its own.
    begun.map_err(|_| unknown())?;
    // COMMIT of a failed transaction answers OK, so every answer counts.
    match committed {
        Err(error) if !store::is_refusal(&error) => Err(error),
        Err(_) => Ok(None),
        Ok(()) => settled(written),
    }
}

fn place(waiting: &Waiting) -> (&str, &str, &str) {
    let version = &waiting.version;
    (&version.documento_id, version.resource_type.name(), &version.id)
}

/// What became of statements that share a fate: a refusal by the database is a rollback, silence is not known.
fn settled(results: Vec<Result<bool>>) -> Result<Option<Vec<bool>>> {
    let mut written = Vec::with_capacity(results.len());
    let mut refused = false;
    for result in results {
        match result {
            Ok(one) => written.push(one),
            Err(error) if store::is_refusal(&error) => refused = true,
            Err(error) => return Err(error),
        }
    }
    Ok((!refused).then_some(written))
}
