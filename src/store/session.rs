//! Tokens and cookies that were given out, and their end. No request asks the database whether its token lives: each
//! instance holds the ended, unexpired ones, pushed by NOTIFY in the ending transaction ([`CHANNEL`]) and read anew when
//! the listening connection is opened. While that is down the row is asked for.

use crate::error::Result;
use crate::store::pool::Conn;
use jiff::Timestamp;
use uuid::Uuid;

pub const STATEMENTS: &[&str] = &[OPEN, BY_SECRET, LIVE, END, END_USUARIO, END_CLIENT, ENDED, SWEEP, NOTIFY];

/// The channel on which the ids of ended sessions travel.
pub const CHANNEL: &str = "historia_session";

/// For whom a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    Usuario(Uuid),
    Client(String),
}

#[derive(Clone, Debug)]
pub struct Session {
    pub jti: Uuid,
    pub holder: Holder,
    /// SHA-256 of the cookie's value; none for a bearer token.
    pub secret: Option<Vec<u8>>,
    pub created: Timestamp,
    pub expires: Timestamp,
}

const OPEN: &str = "insert into session (jti, usuario_id, client_id, kind, secret, created, expires) values ($1, $2, $3, $4, $5, $6, $7)";
const BY_SECRET: &str = "select jti, usuario_id, client_id, created, expires from session where secret = $1 and ended is null and expires > $2";
const LIVE: &str = "select 1 from session where jti = $1 and ended is null and expires > $2";
const END: &str = "update session set ended = $2 where jti = $1 and ended is null returning jti";
const END_USUARIO: &str = "update session set ended = $2 where usuario_id = $1 and ended is null and expires > $2 returning jti";
const END_CLIENT: &str = "update session set ended = $2 where client_id = $1 and ended is null and expires > $2 returning jti";
const ENDED: &str = "select jti from session where ended is not null and expires > $1";
const SWEEP: &str = "delete from session where expires < $1";
const NOTIFY: &str = "select pg_notify($1, $2)";

pub async fn open(conn: &Conn, session: &Session) -> Result<()> {
    let (usuario, client) = match &session.holder {
        Holder::Usuario(id) => (Some(*id), None),
        Holder::Client(id) => (None, Some(id.as_str())),
    };
    let kind = if session.secret.is_some() { "cookie" } else { "bearer" };
    conn.execute(OPEN, &[&session.jti, &usuario, &client, &kind, &session.secret, &session.created, &session.expires]).await.map(drop)
}

/// The live session of a cookie.
pub async fn by_secret(conn: &Conn, secret: &[u8], now: Timestamp) -> Result<Option<Session>> {
    let Some(row) = conn.query_opt(BY_SECRET, &[&secret, &now]).await? else { return Ok(None) };
    let holder = match (row.get::<_, Option<Uuid>>(1), row.get::<_, Option<String>>(2)) {
        (Some(id), _) => Holder::Usuario(id),
        (None, Some(id)) => Holder::Client(id),
        (None, None) => return Ok(None),
    };
    Ok(Some(Session { jti: row.get(0), holder, secret: Some(secret.to_vec()), created: row.get(3), expires: row.get(4) }))
}

pub async fn is_live(conn: &Conn, jti: Uuid, now: Timestamp) -> Result<bool> {
    Ok(conn.query_opt(LIVE, &[&jti, &now]).await?.is_some())
}

/// Ends one session, inside the transaction of `conn`, and tells every instance at its commit.
pub async fn end(conn: &Conn, jti: Uuid, now: Timestamp) -> Result<()> {
    tell(conn, END, &[&jti, &now]).await
}

/// Ends all sessions of an account or client.
pub async fn end_all(conn: &Conn, holder: &Holder, now: Timestamp) -> Result<()> {
    match holder {
        Holder::Usuario(id) => tell(conn, END_USUARIO, &[id, &now]).await,
        Holder::Client(id) => tell(conn, END_CLIENT, &[id, &now]).await,
    }
}

async fn tell(conn: &Conn, sql: &'static str, params: &crate::store::pool::Params<'_>) -> Result<()> {
    let ended = conn.query(sql, params).await?;
    // A notice holds 8,000 bytes; an id takes 37.
    for some in ended.chunks(200) {
        let ids: Vec<String> = some.iter().map(|row| row.get::<_, Uuid>(0).to_string()).collect();
        conn.query(NOTIFY, &[&CHANNEL, &ids.join(",")]).await?;
    }
    Ok(())
}

/// Ended sessions that have not expired.
pub async fn ended(conn: &Conn, now: Timestamp) -> Result<Vec<Uuid>> {
    Ok(conn.query(ENDED, &[&now]).await?.iter().map(|row| row.get(0)).collect())
}

/// Removes what has expired.
pub async fn sweep(conn: &Conn, now: Timestamp) -> Result<u64> {
    conn.execute(SWEEP, &[&now]).await
}
