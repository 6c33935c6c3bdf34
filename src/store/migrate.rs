//! Migrations: forward only, each in a transaction of its own, under an advisory lock so that instances may start at once.

use crate::error::{Error, Kind, Result};
use crate::store::pool::{Conn, Pool};

/// The migrations of this version, in order.
pub const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_foundation", include_str!("../../sql/migrations/0001_foundation.sql")),
    ("0002_pages", include_str!("../../sql/migrations/0002_pages.sql")),
];

/// Chosen once; any number that nobody else in the database uses.
const LOCK: &str = "select pg_advisory_lock(7166214)";
const UNLOCK: &str = "select pg_advisory_unlock(7166214)";
const TABLE: &str = "create table if not exists migration (name text collate \"C\" primary key, applied timestamptz not null default now())";
const EXISTS: &str = "select to_regclass('migration') is not null";
const APPLIED: &str = "select name from migration order by name";

/// Brings the schema up to this version. Returns the names of what was applied now.
pub async fn migrate(pool: &Pool) -> Result<Vec<&'static str>> {
    let conn = pool.dedicated().await?;
    // Waiting for the lock and long migrations are no faults.
    conn.batch("set statement_timeout = 0").await?;
    conn.batch(LOCK).await?;
    let result = apply(&conn).await;
    conn.batch(UNLOCK).await?;
    result
}

async fn apply(conn: &Conn) -> Result<Vec<&'static str>> {
    conn.batch(TABLE).await?;
    let applied = applied(conn).await?;
    let mut now = Vec::new();
    for (name, sql) in MIGRATIONS {
        if !applied.iter().any(|done| done == name) {
            // A batch without BEGIN is one transaction of the simple protocol.
            conn.batch(&format!("{sql};\ninsert into migration (name) values ('{name}');")).await?;
            now.push(*name);
        }
    }
    Ok(now)
}

async fn applied(conn: &Conn) -> Result<Vec<String>> {
    Ok(conn.query(APPLIED, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// Whether the schema is that of this version: `serve` refuses an older one.
pub async fn check(conn: &Conn) -> Result<()> {
    let there = conn.query_opt(EXISTS, &[]).await?.is_some_and(|row| row.get(0));
    let applied = if there { applied(conn).await? } else { Vec::new() };
    let missing: Vec<&str> =
        MIGRATIONS.iter().map(|(name, _)| *name).filter(|name| !applied.iter().any(|done| done == name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let text = format!(
        "the database lacks the migrations {}: run `historia migrate`, or set database.migrate = true",
        missing.join(", ")
    );
    Err(Error::at(Kind::Invalid, "database.migrate", text))
}
