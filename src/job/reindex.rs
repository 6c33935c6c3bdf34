//! Reads stored resources again for what they are found by: one job at a time on one instance, in small sets with pauses.
//! <http://hl7.org/fhir/R4/search.html> leaves to servers how; docs/adr/0019 says why it is done so.
//!
//! The place is stored with each set, so that whoever takes the job over goes on there. A row is rewritten only when
//! something of it differs, and only while it is of the version that was read: who writes meanwhile wins, and has written
//! with the extraction of the job. Owners and labels, which say who may see a row, stay.

use crate::app::App;
use crate::error::Result;
use crate::fhir::definitions::ResourceType;
use crate::search::{Context, Extraction, index};
use crate::store::Conn;
use crate::store::reindex::{self, Found, Held, Stored};
use crate::store::write::again::Row;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between looks at the table of jobs.
const IDLE: Duration = Duration::from_secs(1);
/// While others have to announce something.
const SOON: Duration = Duration::from_millis(200);
/// Rows that are read, and that are stored, together.
const BATCH: i64 = 100;
const TOGETHER: usize = 20;
/// How often a row that somebody else holds is tried.
const PATIENCE: usize = 50;

pub async fn run(app: Arc<App>) {
    loop {
        let pause = match step(&app).await {
            Ok(pause) => pause,
            Err(error) => {
                if !app.is_draining() {
                    tracing::warn!(%error, "a reindex job was interrupted and goes on");
                }
                IDLE
            }
        };
        if app.is_draining() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

/// The next step of the job that is next, and how long to wait then.
async fn step(app: &App) -> Result<Duration> {
    let conn = app.pool.get().await?;
    let Some(job) = app.pool.within(reindex::claim(&conn, app.extracting.instance)).await? else { return Ok(IDLE) };
    drop(conn);
    let Some(generation) = job.generation else {
        reindex::choose(app.pool.begin().await?, &job).await?;
        return Ok(SOON);
    };
    let extraction = app.extracting.current();
    if extraction.generation < generation {
        return Ok(SOON);
    }
    // Of its own: counting and reading take longer than requests may.
    let conn = app.pool.dedicated().await?;
    conn.batch("set statement_timeout = '10min'").await?;
    if !job.is_running && !reindex::begin(&conn, &job, generation).await? {
        return Ok(SOON);
    }
    if walk(app, &conn, &job, &extraction).await? {
        reindex::end(app.pool.begin().await?, &job, app.extracting.instance).await?;
    }
    Ok(SOON)
}

/// True at the end; false when the job is not this instance's any more.
async fn walk(app: &App, conn: &Conn, job: &Held, extraction: &Arc<Extraction>) -> Result<bool> {
    let instance = app.extracting.instance;
    let slow = app.config.failpoint.as_deref() == Some("reindex-slow");
    let most = if slow { 5 } else { BATCH };
    let mut at = job.at.clone();
    while !app.is_draining() {
        let begun = Instant::now();
        if !reindex::stays(conn, job, instance).await? {
            return Ok(false);
        }
        let found = reindex::batch(conn, &job.types, &at, most).await?;
        let Some(last) = found.last() else { return Ok(true) };
        at = vec![last.documento_id.clone(), last.resource_type.clone(), last.id.clone()];
        let done = i64::try_from(found.len()).unwrap_or(most);
        let (rows, failed) = differing(app, found, extraction).await?;
        let changed = i64::try_from(rows.len()).unwrap_or(most);
        for together in rows.chunks(TOGETHER) {
            app.may_store(extraction).await?;
            store(app, together).await?;
        }
        if !reindex::advance(conn, job, instance, &at, [done, changed, failed]).await? {
            return Ok(false);
        }
        // As long as the set has taken: requests have the machine at least half of the time.
        let pause = begun.elapsed().clamp(Duration::from_millis(5), Duration::from_secs(1));
        tokio::time::sleep(if slow { Duration::from_millis(300) } else { pause }).await;
    }
    Ok(false)
}

/// The rows that would be stored otherwise today, and how many cannot be read.
async fn differing(app: &App, found: Vec<Found>, extraction: &Arc<Extraction>) -> Result<(Vec<Row>, i64)> {
    let context = Context { definitions: extraction.definitions, ..app.search_context() };
    let (mut rows, mut failed) = (Vec::new(), 0);
    for one in found {
        let Some(resource_type) = ResourceType::parse(&one.resource_type) else { continue };
        let value = one.body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
        let columns = value.map(|value| index::columns(&context, resource_type, &value));
        let Some(Ok(mut columns)) = columns else {
            tracing::error!(resource_type = resource_type.name(), "a stored resource cannot be read for searches");
            failed += 1;
            continue;
        };
        let shape = std::mem::take(&mut columns.shape);
        if columns == one.columns {
            continue;
        }
        app.know_shape(resource_type, &shape).await?;
        rows.push(Row {
            documento_id: one.documento_id,
            resource_type,
            id: one.id,
            version: one.version,
            replaces: Some(one.version),
            method: "",
            updated: jiff::Timestamp::UNIX_EPOCH,
            deleted: false,
            columns,
            owner: Vec::new(),
            labels: Vec::new(),
            body: Vec::new(),
            extraction: extraction.clone(),
        });
    }
    Ok((rows, failed))
}

/// Together; one by one when somebody else is at one of them.
async fn store(app: &App, rows: &[Row]) -> Result<()> {
    if matches!(reindex::store(app.pool.begin().await?, rows).await?, Stored::All) {
        return Ok(());
    }
    for row in rows {
        let mut attempt = 0;
        // A newer version was stored with the extraction of this job: nothing is left to do.
        while matches!(reindex::store(app.pool.begin().await?, std::slice::from_ref(row)).await?, Stored::Busy) {
            attempt += 1;
            if attempt == PATIENCE {
                return Err(crate::error::Error::new(crate::error::Kind::Transient, "a row is held for too long"));
            }
            tokio::time::sleep(SOON).await;
        }
    }
    Ok(())
}
