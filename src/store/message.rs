//! HL7 v2 messages as they came, and the receipts by which a resend is known.

use crate::error::Result;
use crate::store::pool::Conn;
use jiff::Timestamp;
use uuid::Uuid;

pub const STATEMENTS: &[&str] = &[RECEIPT, ADD_RECEIPT, ADD_MESSAGE, COUNTS, NEWS, LATEST];

/// What makes a message the same message: the configured sender (not its socket), MSH-3, MSH-4, MSH-10.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub sender: String,
    pub sending_application: String,
    pub sending_facility: String,
    pub control_id: String,
}

/// The first answer to a message.
pub struct Receipt {
    /// SHA-256 of the raw bytes.
    pub hash: Vec<u8>,
    pub ack: Vec<u8>,
}

/// A message to keep.
pub struct Message<'a> {
    pub documento_id: &'a str,
    pub received: Timestamp,
    pub id: Uuid,
    pub key: &'a Key,
    pub event: &'a str,
    /// `applied`, `error`, `rejected` or `conflict`.
    pub state: &'static str,
    /// Table 0357 code of what was wrong.
    pub code: Option<&'a str>,
    pub hash: &'a [u8],
    pub raw: &'a [u8],
    pub ack: &'a [u8],
}

const RECEIPT: &str = "\
select hash, ack from hl7_receipt where sender = $1 and sending_application = $2 and sending_facility = $3 and control_id = $4";
const ADD_RECEIPT: &str = "\
insert into hl7_receipt (sender, sending_application, sending_facility, control_id, hash, received, documento_id, message_id, ack)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing";
const ADD_MESSAGE: &str = "\
insert into hl7_message (documento_id, received, id, sender, control_id, event, state, code, hash, raw, ack)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// How many messages of one sender came on one day, by what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// `2026-11-23`.
    pub day: String,
    pub sender: String,
    pub applied: i64,
    pub error: i64,
    pub rejected: i64,
    pub conflict: i64,
}

const COUNTS: &str = "\
select to_char(received + $2::float8 * interval '1 second', 'YYYY-MM-DD') as day, sender,
  count(*) filter (where state = 'applied'), count(*) filter (where state = 'error'),
  count(*) filter (where state = 'rejected'), count(*) filter (where state = 'conflict')
from hl7_message where received >= $1 group by 1, 2 order by 1 desc, 2 limit 2000";

/// Counts since a moment, newest day first; `offset`: seconds east of UTC by which days are told apart.
pub async fn counts(conn: &Conn, since: Timestamp, offset: i32) -> Result<Vec<Count>> {
    let count = |row: &tokio_postgres::Row| Count {
        day: row.get(0),
        sender: row.get(1),
        applied: row.get(2),
        error: row.get(3),
        rejected: row.get(4),
        conflict: row.get(5),
    };
    conn.reach_all()?;
    Ok(conn.query(COUNTS, &[&since, &f64::from(offset)]).await?.iter().map(count).collect())
}

/// How many messages came, and how many were not applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    pub total: i64,
    pub failed: i64,
}

const NEWS: &str = "select count(*), count(*) filter (where state <> 'applied') from hl7_message where received >= $1";

/// What came since a moment, counted.
pub async fn news(conn: &Conn, since: Timestamp) -> Result<News> {
    conn.reach_all()?;
    let row = conn.query_opt(NEWS, &[&since]).await?;
    Ok(row.map(|row| News { total: row.get(0), failed: row.get(1) }).unwrap_or_default())
}

/// One message as the desk lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub received: Timestamp,
    pub sender: String,
    pub control_id: String,
    pub event: String,
    pub state: String,
    /// Of the record that it is about.
    pub documento_id: String,
    /// The answer, of one that was not applied.
    pub ack: Option<Vec<u8>>,
}

const LATEST: &str = "\
select received, sender, control_id, event, state, documento_id, case when state <> 'applied' then ack end
from hl7_message where received >= $1 and (state <> 'applied' or not $2) order by received desc, id desc limit $3";

/// The latest messages since a moment; `failed`: only those that were not applied.
pub async fn latest(conn: &Conn, since: Timestamp, failed: bool, most: i64) -> Result<Vec<Listed>> {
    let listed = |row: &tokio_postgres::Row| Listed {
        received: row.get(0),
        sender: row.get(1),
        control_id: row.get(2),
        event: row.get(3),
        state: row.get(4),
        documento_id: row.get(5),
        ack: row.get(6),
    };
    conn.reach_all()?;
    Ok(conn.query(LATEST, &[&since, &failed, &most]).await?.iter().map(listed).collect())
}

pub async fn receipt(conn: &Conn, key: &Key) -> Result<Option<Receipt>> {
    let row = conn
        .query_opt(RECEIPT, &[&key.sender, &key.sending_application, &key.sending_facility, &key.control_id])
        .await?;
    Ok(row.map(|row| Receipt { hash: row.get(0), ack: row.get(1) }))
}

/// Keeps a receipt. False: the same message was answered in the meantime.
pub async fn add_receipt(conn: &Conn, m: &Message<'_>) -> Result<bool> {
    let k = m.key;
    let added = conn
        .execute(
            ADD_RECEIPT,
            &[
                &k.sender,
                &k.sending_application,
                &k.sending_facility,
                &k.control_id,
                &m.hash,
                &m.received,
                &m.documento_id,
                &m.id,
                &m.ack,
            ],
        )
        .await?;
    Ok(added == 1)
}

pub async fn add(conn: &Conn, m: &Message<'_>) -> Result<()> {
    conn.reach(m.documento_id)?;
    conn.execute(
        ADD_MESSAGE,
        &[
            &m.documento_id,
            &m.received,
            &m.id,
            &m.key.sender,
            &m.key.control_id,
            &m.event,
            &m.state,
            &m.code,
            &m.hash,
            &m.raw,
            &m.ack,
        ],
    )
    .await
    .map(drop)
}
