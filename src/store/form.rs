//! Forms of pages: the first answer to each one-time key, and drafts of ended sessions.

use crate::error::Result;
use crate::store::pool::Conn;
use jiff::{Timestamp, ToSpan};
use uuid::Uuid;

pub const STATEMENTS: &[&str] = &[ANSWER, CLAIM, KEEP_DRAFT, DRAFT, SWEEP_FORMS, SWEEP_DRAFTS];

const ANSWER: &str = "select answer, coalesce(sent, ''), created from form where key = $1 and action = $2";
// A second sending waits here for the first: then it finds the key taken.
const CLAIM: &str = "insert into form (key, action, session, answer, created, sent) values ($1, $2, $3, $4, $5, $6) on conflict do nothing";
const KEEP_DRAFT: &str = "insert into draft (id, usuario_id, action, body, created) values ($1, $2, $3, $4, $5)";
const DRAFT: &str = "select body from draft where id = $1 and usuario_id = $2 and action = $3 and created > $4";
const SWEEP_FORMS: &str = "delete from form where created < $1";
const SWEEP_DRAFTS: &str = "delete from draft where created < $1";

/// The first sending of a form.
pub struct First {
    /// The address to which it led.
    pub answer: String,
    /// What it said; empty when that is not known.
    pub sent: String,
    pub at: Timestamp,
}

/// The first sending of a form, once it is done.
pub async fn answer(conn: &Conn, key: &str, action: &str) -> Result<Option<First>> {
    let first = |row: tokio_postgres::Row| First { answer: row.get(0), sent: row.get(1), at: row.get(2) };
    Ok(conn.query_opt(ANSWER, &[&key, &action]).await?.map(first))
}

/// What identifies a form, and what it says.
#[derive(Clone, Copy)]
pub struct Sending<'s> {
    pub key: &'s str,
    pub action: &'s str,
    pub session: Uuid,
    pub sent: &'s str,
}

/// Keeps the answer of a form, inside the transaction that does what the form says. False: it was sent before.
pub async fn claim(conn: &Conn, form: Sending<'_>, answer: &str, now: Timestamp) -> Result<bool> {
    let Sending { key, action, session, sent } = form;
    Ok(conn.execute(CLAIM, &[&key, &action, &session, &answer, &now, &sent]).await? == 1)
}

pub async fn keep_draft(conn: &Conn, id: &str, usuario: Uuid, action: &str, body: &str, now: Timestamp) -> Result<()> {
    conn.execute(KEEP_DRAFT, &[&id, &usuario, &action, &body, &now]).await.map(drop)
}

/// The draft of an account for an address, at most an hour old.
pub async fn draft(conn: &Conn, id: &str, usuario: Uuid, action: &str, now: Timestamp) -> Result<Option<String>> {
    let since = now - 1.hour();
    Ok(conn.query_opt(DRAFT, &[&id, &usuario, &action, &since]).await?.map(|row| row.get(0)))
}

/// Removes drafts after their hour, and answers when no session can send their form any more.
pub async fn sweep(conn: &Conn, now: Timestamp) -> Result<()> {
    conn.execute(SWEEP_FORMS, &[&(now - 48.hours())]).await?;
    conn.execute(SWEEP_DRAFTS, &[&(now - 1.hour())]).await.map(drop)
}
