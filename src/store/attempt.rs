//! Wrong passwords and codes in a row, per account and source.

use crate::error::Result;
use crate::store::pool::Conn;
use jiff::{Timestamp, ToSpan};

pub const STATEMENTS: &[&str] = &[FOUND, FAILED, FORGET, SWEEP];

const FOUND: &str = "select fallos, ultimo from intento where cuenta = $1 and origen = $2 and ultimo > $3";
// What is older than the window counts anew. Ten at once count as ten: each waits for the row.
const FAILED: &str = "\
insert into intento (cuenta, origen, fallos, ultimo) values ($1, $2, 1, $3)
on conflict (cuenta, origen) do update set
  fallos = case when intento.ultimo < $4 then 1 else intento.fallos + 1 end, ultimo = excluded.ultimo
returning fallos";
const FORGET: &str = "delete from intento where cuenta = $1 and origen = $2";
const SWEEP: &str = "delete from intento where ultimo < $1";

/// After this long without a wrong one the count starts anew.
fn window(now: Timestamp) -> Timestamp {
    now - 12.hours()
}

/// How many wrong ones in a row, and when the last was.
pub async fn found(conn: &Conn, account: &[u8], source: &str, now: Timestamp) -> Result<Option<(i32, Timestamp)>> {
    Ok(conn.query_opt(FOUND, &[&account, &source, &window(now)]).await?.map(|row| (row.get(0), row.get(1))))
}

/// Counts a wrong one. Returns how many there are now.
pub async fn failed(conn: &Conn, account: &[u8], source: &str, now: Timestamp) -> Result<i32> {
    Ok(conn.query_opt(FAILED, &[&account, &source, &now, &window(now)]).await?.map_or(1, |row| row.get(0)))
}

/// A right one ends the row.
pub async fn forget(conn: &Conn, account: &[u8], source: &str) -> Result<()> {
    conn.execute(FORGET, &[&account, &source]).await.map(drop)
}

pub async fn sweep(conn: &Conn, now: Timestamp) -> Result<()> {
    conn.execute(SWEEP, &[&window(now)]).await.map(drop)
}
