//! Tokens and cookies that were given out, and their end. No request asks the database whether its token lives: each
//! instance holds the ended, unexpired ones, pushed by NOTIFY in the ending transaction ([`CHANNEL`]) and read anew when
//! the listening connection is opened. While that is down the row is asked for.

use crate::error::Result;
use crate::store::pool::Conn;
use jiff::Timestamp;
use uuid::Uuid;

pub const STATEMENTS: &[&str] = &[
    OPEN,
    BY_SECRET,
    LIVE,
    SEEN,
    TOUCH,
    OF_USUARIO,
    END,
    END_ONE_OF,
    END_USUARIO,
    END_OTHERS,
    END_CLIENT,
    ENDED,
    SWEEP,
    NOTIFY,
];

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
    /// When a cookie was last used, at most a minute old.
    pub seen: Timestamp,
}

const OPEN: &str = "insert into session (jti, usuario_id, client_id, kind, secret, created, expires) values ($1, $2, $3, $4, $5, $6, $7)";
const BY_SECRET: &str = "select jti, usuario_id, client_id, created, expires, coalesce(seen, created) from session where secret = $1 and ended is null and expires > $2";
const LIVE: &str = "select 1 from session where jti = $1 and ended is null and expires > $2";
const SEEN: &str = "select coalesce(seen, created) from session where jti = $1 and ended is null";
const TOUCH: &str = "update session set seen = $2 where jti = $1 and ended is null and coalesce(seen, created) < $2";
const OF_USUARIO: &str = "\
select jti, kind, created, expires, coalesce(seen, created) from session
where usuario_id = $1 and ended is null and expires > $2 order by coalesce(seen, created) desc limit 200";
const END_ONE_OF: &str =
    "update session set ended = $3 where jti = $1 and usuario_id = $2 and ended is null returning jti";
const END_OTHERS: &str = "update session set ended = $3 where usuario_id = $1 and jti <> $2 and ended is null and expires > $3 returning jti";
const END: &str = "update session set ended = $2 where jti = $1 and ended is null returning jti";
const END_USUARIO: &str =
    "update session set ended = $2 where usuario_id = $1 and ended is null and expires > $2 returning jti";
const END_CLIENT: &str =
    "update session set ended = $2 where client_id = $1 and ended is null and expires > $2 returning jti";
const ENDED: &str = "select jti from session where ended is not null and expires > $1";
const SWEEP: &str = "delete from session where expires < $1";
const NOTIFY: &str = "select pg_notify($1, $2)";

pub async fn open(conn: &Conn, session: &Session) -> Result<()> {
    let (usuario, client) = match &session.holder {
        Holder::Usuario(id) => (Some(*id), None),
        Holder::Client(id) => (None, Some(id.as_str())),
    };
    let kind = if session.secret.is_some() { "cookie" } else { "bearer" };
    conn.execute(OPEN, &[&session.jti, &usuario, &client, &kind, &session.secret, &session.created, &session.expires])
        .await
        .map(drop)
}

/// The live session of a cookie.
pub async fn by_secret(conn: &Conn, secret: &[u8], now: Timestamp) -> Result<Option<Session>> {
    let Some(row) = conn.query_opt(BY_SECRET, &[&secret, &now]).await? else { return Ok(None) };
    let holder = match (row.get::<_, Option<Uuid>>(1), row.get::<_, Option<String>>(2)) {
        (Some(id), _) => Holder::Usuario(id),
        (None, Some(id)) => Holder::Client(id),
        (None, None) => return Ok(None),
    };
    Ok(Some(Session {
        jti: row.get(0),
        holder,
        secret: Some(secret.to_vec()),
        created: row.get(3),
        expires: row.get(4),
        seen: row.get(5),
    }))
}

pub async fn is_live(conn: &Conn, jti: Uuid, now: Timestamp) -> Result<bool> {
    Ok(conn.query_opt(LIVE, &[&jti, &now]).await?.is_some())
}

/// When a session was last used, as the rows know it; none when it has ended.
pub async fn seen(conn: &Conn, jti: Uuid) -> Result<Option<Timestamp>> {
    Ok(conn.query_opt(SEEN, &[&jti]).await?.map(|row| row.get(0)))
}

pub async fn touch(conn: &Conn, jti: Uuid, now: Timestamp) -> Result<()> {
    conn.execute(TOUCH, &[&jti, &now]).await.map(drop)
}

/// A live session, as its owner sees it.
#[derive(Clone, Debug)]
pub struct Open {
    pub jti: Uuid,
    pub is_cookie: bool,
    pub created: Timestamp,
    pub expires: Timestamp,
    pub seen: Timestamp,
}

pub async fn of_usuario(conn: &Conn, id: Uuid, now: Timestamp) -> Result<Vec<Open>> {
    let open = |row: &tokio_postgres::Row| Open {
        jti: row.get(0),
        is_cookie: row.get::<_, &str>(1) == "cookie",
        created: row.get(2),
        expires: row.get(3),
        seen: row.get(4),
    };
    Ok(conn.query(OF_USUARIO, &[&id, &now]).await?.iter().map(open).collect())
}

/// Ends a session of an account; one of somebody else stays.
pub async fn end_one_of(conn: &Conn, jti: Uuid, usuario: Uuid, now: Timestamp) -> Result<()> {
    tell(conn, END_ONE_OF, &[&jti, &usuario, &now]).await.map(drop)
}

/// Ends all sessions of an account but one.
pub async fn end_others(conn: &Conn, usuario: Uuid, jti: Uuid, now: Timestamp) -> Result<()> {
    tell(conn, END_OTHERS, &[&usuario, &jti, &now]).await.map(drop)
}

/// Ends one session, inside the transaction of `conn`, and tells every instance at its commit.
pub async fn end(conn: &Conn, jti: Uuid, now: Timestamp) -> Result<()> {
    tell(conn, END, &[&jti, &now]).await.map(drop)
}

/// Ends all sessions of an account or client, and returns them.
pub async fn end_all(conn: &Conn, holder: &Holder, now: Timestamp) -> Result<Vec<Uuid>> {
    match holder {
        Holder::Usuario(id) => tell(conn, END_USUARIO, &[id, &now]).await,
        Holder::Client(id) => tell(conn, END_CLIENT, &[id, &now]).await,
    }
}

async fn tell(conn: &Conn, sql: &'static str, params: &crate::store::pool::Params<'_>) -> Result<Vec<Uuid>> {
    let ended: Vec<Uuid> = conn.query(sql, params).await?.iter().map(|row| row.get(0)).collect();
    // A notice holds 8,000 bytes; an id takes 37.
    for some in ended.chunks(200) {
        let ids: Vec<String> = some.iter().map(Uuid::to_string).collect();
        conn.query(NOTIFY, &[&CHANNEL, &ids.join(",")]).await?;
    }
    Ok(ended)
}

/// Ended sessions that have not expired.
pub async fn ended(conn: &Conn, now: Timestamp) -> Result<Vec<Uuid>> {
    Ok(conn.query(ENDED, &[&now]).await?.iter().map(|row| row.get(0)).collect())
}

/// Removes what has expired.
pub async fn sweep(conn: &Conn, now: Timestamp) -> Result<u64> {
    conn.execute(SWEEP, &[&now]).await
}
