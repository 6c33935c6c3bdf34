//! Activation codes: what admission prints so that a patient may open an account. Only their SHA-256 is kept.

use crate::error::Result;
use crate::store::pool::Conn;
use jiff::Timestamp;

pub const STATEMENTS: &[&str] = &[REVOKE, ADD, FOUND, GOOD, USE, SWEEP];

const REVOKE: &str = "delete from codigo where paciente_id = $1 and usado is null";
const ADD: &str = "insert into codigo (hash, paciente_id, creado, vence, actor) values ($1, $2, $3, $4, $5)";
const FOUND: &str = "select paciente_id from codigo where hash = $1 and usado is null and vence > $2";
const GOOD: &str = "select max(vence) from codigo where paciente_id = $1 and usado is null and vence > $2";
const USE: &str = "update codigo set usado = $2 where hash = $1 and usado is null and vence > $2";
const SWEEP: &str = "delete from codigo where vence < $1";

/// Keeps a new code, inside an open transaction; an earlier one of the patient is worth nothing any more.
pub async fn add(
    conn: &Conn,
    hash: &[u8],
    patient: &str,
    now: Timestamp,
    expires: Timestamp,
    actor: &str,
) -> Result<()> {
    conn.execute(REVOKE, &[&patient]).await?;
    conn.execute(ADD, &[&hash, &patient, &now, &expires, &actor]).await.map(drop)
}

/// The Patient.id of a code that is still good.
pub async fn find(conn: &Conn, hash: &[u8], now: Timestamp) -> Result<Option<String>> {
    Ok(conn.query_opt(FOUND, &[&hash, &now]).await?.map(|row| row.get(0)))
}

/// Until when the code of a patient is good that nobody has used.
pub async fn good_until(conn: &Conn, patient: &str, now: Timestamp) -> Result<Option<Timestamp>> {
    Ok(conn.query_opt(GOOD, &[&patient, &now]).await?.and_then(|row| row.get(0)))
}

/// Uses a code up. False: somebody was faster, or it is too late.
pub async fn consume(conn: &Conn, hash: &[u8], now: Timestamp) -> Result<bool> {
    Ok(conn.execute(USE, &[&hash, &now]).await? == 1)
}

pub async fn sweep(conn: &Conn, now: Timestamp) -> Result<()> {
    conn.execute(SWEEP, &[&now]).await.map(drop)
}
