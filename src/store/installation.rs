//! Keys of the installation: made once, at random, kept in the database and its backup.

use crate::clock;
use crate::error::{Error, Result};
use crate::store::pool::Conn;

pub const STATEMENTS: &[&str] = &[READ, KEEP];

const READ: &str = "select value from installation where name = $1";
const KEEP: &str = "insert into installation (name, value) values ($1, $2) on conflict do nothing";

/// The value of `name`, when there is one.
pub async fn read(conn: &Conn, name: &str) -> Result<Option<Vec<u8>>> {
    Ok(conn.query_opt(READ, &[&name]).await?.map(|row| row.get(0)))
}

/// The value of `name`; when there is none, `make`s one. Of several instances that start at once one wins, and all
/// read its value.
pub async fn key(conn: &Conn, name: &str, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    if let Some(value) = read(conn, name).await? {
        return Ok(value);
    }
    let made = make()?;
    conn.execute(KEEP, &[&name, &made]).await?;
    read(conn, name).await?.ok_or_else(|| Error::internal("a key of the installation was not kept"))
}

/// The secret of the keyed hashes of search values.
pub async fn hash_secret(conn: &Conn) -> Result<[u8; 16]> {
    let value = key(conn, "hash", || Ok(clock::random::<16>()?.to_vec())).await?;
    value.try_into().map_err(|_| Error::internal("the hash key of the installation has a wrong length"))
}
