//! What a server does now and then by itself: partitions ahead, expired sessions, pending index entries, histograms.

use crate::app::App;
use crate::clock;
use crate::error::Result;
use crate::store::{self, attempt, audit, code, form, session};
use crate::telemetry::Telemetry;
use std::sync::Arc;
use std::time::Duration;

/// Pending index entries slow every search (6,000 rows: tenfold), histograms grow until they are drained.
const MINUTE: Duration = Duration::from_secs(60);
const MINUTES_PER_HOUR: u32 = 60;

pub async fn run(app: Arc<App>, telemetry: Telemetry) {
    let mut minutes = 0_u32;
    loop {
        tokio::time::sleep(MINUTE).await;
        telemetry.render();
        if let Err(error) = every_minute(&app).await {
            tracing::warn!(%error, "upkeep failed and is tried again");
        }
        minutes = (minutes + 1) % MINUTES_PER_HOUR;
        if minutes == 0
            && let Err(error) = every_hour(&app).await
        {
            tracing::warn!(%error, "hourly upkeep failed and is tried again");
        }
    }
}

async fn every_minute(app: &App) -> Result<()> {
    let conn = app.pool.get().await?;
    store::search::clean_pending(&conn).await?;
    store::statistics::refresh(&conn).await
}

async fn every_hour(app: &App) -> Result<()> {
    let conn = app.pool.get().await?;
    audit::partitions(&conn).await?;
    let now = clock::now();
    form::sweep(&conn, now).await?;
    attempt::sweep(&conn, now).await?;
    code::sweep(&conn, now).await?;
    session::sweep(&conn, now).await.map(drop)
}
