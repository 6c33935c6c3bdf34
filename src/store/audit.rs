//! The audit trail: durable before the answer leaves.
//!
//! Writes take their records into their own transaction (`store::write`). Everything else hands them to one [`Writer`]
//! that commits what waits as one insert (group commit). A full queue, a deadline or a failed insert is an error of
//! the request: an answer without its audit record never leaves.

use crate::error::{Error, Kind, Result};
use crate::store;
use crate::store::cluster::nodes::Nodes;
use crate::store::pool::{Conn, Pool};
use crate::store::write::rows;
use crate::telemetry::metric;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

pub const STATEMENTS: &[&str] = &[INSERT, PARTITIONS, SEARCH];

/// Requests that may wait; more are refused.
const QUEUE: usize = 4096;
/// Records of one insert.
const BATCH: usize = 512;
/// Writers on a cluster: at least as many as a small one has nodes.
const CLUSTER_WRITERS: usize = 8;
/// How long a request waits for its record to be durable.
const DEADLINE: Duration = Duration::from_secs(10);

pub const INSERT: &str = "\
insert into audit_event (documento_id, recorded, id, action, outcome, actor, role, patient_id, resource_type, resource_id, version, request_id, detail)
select * from unnest($1::text[], $2::timestamptz[], $3::uuid[], $4::text[], $5::int2[], $6::text[], $7::text[], $8::text[], $9::text[],
  $10::text[], $11::int8[], $12::text[], $13::text[])";

const PARTITIONS: &str = "select historia_partitions(2)";

/// How it ended, by the codes of AuditEvent.outcome (<https://hl7.org/fhir/R4/valueset-audit-event-outcome.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// Refused or wrong: 4xx.
    Minor,
    /// A fault of this server or of the database: 5xx.
    Serious,
}

impl Outcome {
    pub fn code(self) -> i16 {
        match self {
            Outcome::Success => 0,
            Outcome::Minor => 4,
            Outcome::Serious => 8,
        }
    }
}

/// One audit record.
#[derive(Clone, Debug)]
pub struct Event {
    /// Of the record that was shown or written, else of the actor.
    pub documento_id: String,
    pub recorded: Timestamp,
    pub id: Uuid,
    /// Interaction code, or `login`, `logout`, `message`, ...
    pub action: &'static str,
    pub outcome: Outcome,
    pub actor: String,
    pub role: &'static str,
    /// Whose record.
    pub patient_id: Option<String>,
    pub resource_type: Option<&'static str>,
    pub resource_id: Option<String>,
    pub version: Option<i64>,
    pub request_id: String,
    /// Parameter names of a search, status of a refusal, event of a message. Never values.
    pub detail: Option<String>,
}

/// The columns of several records.
#[derive(Default)]
pub struct Batch<'a> {
    documento_id: Vec<&'a str>,
    recorded: Vec<Timestamp>,
    id: Vec<Uuid>,
    action: Vec<&'a str>,
    outcome: Vec<i16>,
    actor: Vec<&'a str>,
    role: Vec<&'a str>,
    patient_id: Vec<Option<&'a str>>,
    resource_type: Vec<Option<&'a str>>,
    resource_id: Vec<Option<&'a str>>,
    version: Vec<Option<i64>>,
    request_id: Vec<&'a str>,
    detail: Vec<Option<&'a str>>,
}

impl<'a> Batch<'a> {
    pub fn of(events: impl IntoIterator<Item = &'a Event>) -> Batch<'a> {
        let mut batch = Batch::default();
        for event in events {
            batch.documento_id.push(&event.documento_id);
            batch.recorded.push(event.recorded);
            batch.id.push(event.id);
            batch.action.push(event.action);
            batch.outcome.push(event.outcome.code());
            batch.actor.push(&event.actor);
            batch.role.push(event.role);
            batch.patient_id.push(event.patient_id.as_deref());
            batch.resource_type.push(event.resource_type);
            batch.resource_id.push(event.resource_id.as_deref());
            batch.version.push(event.version);
            batch.request_id.push(&event.request_id);
            batch.detail.push(event.detail.as_deref());
        }
        batch
    }

    pub fn params(&self) -> [&(dyn ToSql + Sync); 13] {
        [
            &self.documento_id,
            &self.recorded,
            &self.id,
            &self.action,
            &self.outcome,
            &self.actor,
            &self.role,
            &self.patient_id,
            &self.resource_type,
            &self.resource_id,
            &self.version,
            &self.request_id,
            &self.detail,
        ]
    }

    pub fn into_params(self) -> Vec<Box<dyn ToSql + Sync + Send + 'a>> {
        vec![
            Box::new(self.documento_id),
            Box::new(self.recorded),
            Box::new(self.id),
            Box::new(self.action),
            Box::new(self.outcome),
            Box::new(self.actor),
            Box::new(self.role),
            Box::new(self.patient_id),
            Box::new(self.resource_type),
            Box::new(self.resource_id),
            Box::new(self.version),
            Box::new(self.request_id),
            Box::new(self.detail),
        ]
    }
}

/// Inserts records inside an open transaction.
pub async fn insert(conn: &Conn, events: &[Event]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    conn.execute(INSERT, &Batch::of(events).params()).await.map(drop)
}

/// Makes the monthly partitions of the months ahead.
pub async fn partitions(conn: &Conn) -> Result<()> {
    conn.query(PARTITIONS, &[]).await.map(drop)
}

/// What the list of the administrator shows: who did what to which record, without content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub recorded: Timestamp,
    pub id: Uuid,
    pub action: String,
    pub outcome: i16,
    pub actor: String,
    pub role: String,
    pub patient_id: Option<String>,
    pub resource_type: Option<String>,
    pub resource_id: Option<String>,
    pub request_id: String,
    pub detail: Option<String>,
}

/// What is looked for; None: anything.
#[derive(Clone, Debug)]
pub struct Filter {
    pub from: Timestamp,
    pub to: Timestamp,
    pub actor: Option<String>,
    pub role: Option<String>,
    pub action: Option<String>,
    pub patient_id: Option<String>,
    /// 0 done, 4 refused, 8 fault.
    pub outcome: Option<i16>,
    /// Only what is older than this: the last one of the page before.
    pub before: Option<(Timestamp, Uuid)>,
}

// Goes by time over all records: fans out on Citus, and walks the index of recorded backwards.
const SEARCH: &str = "\
select recorded, id, action, outcome, actor, role, patient_id, resource_type, resource_id, request_id, detail from audit_event
where recorded >= $1 and recorded < $2 and ($3::text is null or actor = $3) and ($4::text is null or role = $4)
  and ($5::text is null or action = $5) and ($6::text is null or patient_id = $6) and ($7::int2 is null or outcome = $7)
  and ($8::timestamptz is null or (recorded, id) < ($8, $9::uuid))
order by recorded desc, id desc limit $10";

/// The newest records that fit, at most `most`.
pub async fn search(conn: &Conn, filter: &Filter, most: i64) -> Result<Vec<Shown>> {
    conn.reach_all()?;
    let f = filter;
    let (at, id) = f.before.map_or((None, None), |(at, id)| (Some(at), Some(id)));
    let rows = conn
        .query(SEARCH, &[&f.from, &f.to, &f.actor, &f.role, &f.action, &f.patient_id, &f.outcome, &at, &id, &most])
        .await?;
    let shown = |row: &tokio_postgres::Row| Shown {
        recorded: row.get(0),
        id: row.get(1),
        action: row.get(2),
        outcome: row.get(3),
        actor: row.get(4),
        role: row.get(5),
        patient_id: row.get(6),
        resource_type: row.get(7),
        resource_id: row.get(8),
        request_id: row.get(9),
        detail: row.get(10),
    };
    Ok(rows.iter().map(shown).collect())
}

struct Waiting {
    events: Vec<Event>,
    done: oneshot::Sender<bool>,
}

/// The group committers: one task per process; on a cluster more, so that records of different nodes do not wait for each
/// other and one lost node fails its own only.
#[derive(Clone)]
pub struct Writer {
    queues: Arc<[mpsc::Sender<Waiting>]>,
    nodes: Arc<Nodes>,
}

impl Writer {
    /// `conn`: a connection to the database that tells whether it is a cluster.
    pub fn start(pool: Arc<Pool>, conn: &Conn) -> Writer {
        let nodes = pool.nodes().clone();
        let writers = if conn.is_citus() { CLUSTER_WRITERS } else { 1 };
        let queues = (0..writers).map(|lot| {
            let (queue, waiting) = mpsc::channel(QUEUE);
            tokio::spawn(write(pool.clone(), lot, waiting));
            queue
        });
        Writer { queues: queues.collect(), nodes }
    }

    /// Returns when the records are durable.
    pub async fn record(&self, events: Vec<Event>) -> Result<()> {
        self.nodes.reach_coordinator()?;
        let mut lots: Vec<Vec<Event>> = self.queues.iter().map(|_| Vec::new()).collect();
        for mut event in events {
            self.stand_in(&mut event);
            self.nodes.reach(&event.documento_id)?;
            let writers = self.queues.len().max(1);
            let lot = if writers > 1 { self.nodes.lot(&event.documento_id) % writers } else { 0 };
            if let Some(lot) = lots.get_mut(lot) {
                lot.push(event);
            }
        }
        let mut answers = Vec::new();
        for (queue, events) in self.queues.iter().zip(lots).filter(|(_, events)| !events.is_empty()) {
            let (done, durable) = oneshot::channel();
            let waiting = Waiting { events, done };
            queue.try_send(waiting).map_err(|_| Error::new(Kind::Transient, "the audit trail is busy"))?;
            answers.push(durable);
        }
        match tokio::time::timeout(DEADLINE, futures_util::future::join_all(answers)).await {
            Ok(answers) if answers.iter().all(|answer| *answer == Ok(true)) => Ok(()),
            _ => Err(Error::new(Kind::Transient, "the audit trail cannot be written")),
        }
    }

    /// A record of no patient lies anywhere: while its node is lost, on another.
    fn stand_in(&self, event: &mut Event) {
        if event.patient_id.is_none()
            && let Some(key) = self.nodes.stand_in(&event.documento_id)
        {
            event.documento_id = key;
        }
    }
}

async fn write(pool: Arc<Pool>, lot: usize, mut queue: mpsc::Receiver<Waiting>) {
    let mut conn: Option<Conn> = None;
    while let Some(first) = queue.recv().await {
        let mut batch = vec![first];
        let mut events = batch.iter().map(|w| w.events.len()).sum::<usize>();
        // Letting the others run first makes larger batches for a quarter less CPU.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        while events < BATCH
            && let Ok(next) = queue.try_recv()
        {
            events += next.events.len();
            batch.push(next);
        }
        metrics::histogram!(metric::AUDIT_BATCH).record(events as f64);
        let written = insert_batch(&pool, lot, &mut conn, &batch).await;
        for waiting in batch {
            let _ = waiting.done.send(written);
        }
    }
}

/// One insert on the writer's own connection; a broken connection is replaced once. The ids are made before, so a
/// repetition of what did arrive fails on its key and is reported as not written: the request is answered 503.
async fn insert_batch(pool: &Pool, lot: usize, conn: &mut Option<Conn>, batch: &[Waiting]) -> bool {
    if conn.as_ref().is_none_or(|conn| conn.is_closed() || pool.strays(conn, lot)) {
        match pool.writer_at(lot).await {
            Ok(opened) => *conn = Some(opened),
            Err(error) => {
                tracing::error!(%error, "the audit trail has no connection");
                return false;
            }
        }
    }
    let Some(open) = conn.as_ref() else { return false };
    let events: Vec<&Event> = batch.iter().flat_map(|w| &w.events).collect();
    match pool.within(insert_here(pool, open, &events)).await {
        Ok(usable) => {
            if !usable {
                *conn = None;
            }
            true
        }
        Err(error) => {
            tracing::error!(%error, source = error.source.as_deref().map(tracing::field::display), "the audit trail could not be written");
            *conn = None;
            false
        }
    }
}

/// False: written, but the connection is left in the middle.
async fn insert_here(pool: &Pool, open: &Conn, events: &[&Event]) -> Result<bool> {
    let set = Batch::of(events.iter().copied());
    let inserted = match events {
        // One row goes to its node as it is.
        [event] if open.is_citus() => {
            let values = rows::values(event);
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|v| &**v as &(dyn ToSql + Sync)).collect();
            open.execute(rows::AUDIT, &values).await
        }
        _ if !open.is_near() => open.execute(INSERT, &set.params()).await,
        _ => match pool.commit_at(events.iter().map(|event| event.documento_id.as_str())) {
            Some(commit) => rows::audits(open, events, &commit).await,
            None => Err(store::race()),
        },
    };
    match inserted {
        // Shards have moved away, and nothing was written. The coordinator knows where they are.
        Err(error) if open.is_near() && store::is_refusal(&error) => {
            pool.nodes().doubt();
            pool.get().await?.execute(INSERT, &set.params()).await?;
            Ok(events.len() == 1)
        }
        inserted => inserted.map(|_| true),
    }
}
