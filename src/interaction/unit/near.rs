//! Work on one record on the node of a cluster that holds it (docs/adr/0015); on one node, and where the node cannot be
//! asked, on the connections that everything has.

use super::Unit;
use crate::error::Result;
use crate::store::pool::Pooled;
use crate::store::write::Set;
use crate::store::{self, Conn};

impl Unit<'_> {
    /// Reads rows of one documento_id: outside a transaction on a connection to the node that holds them.
    pub(in crate::interaction) async fn at<T>(
        &self,
        documento_id: &str,
        work: impl AsyncFnOnce(&Conn) -> Result<T>,
    ) -> Result<T> {
        match self.near(&[documento_id]).await? {
            Some(conn) => self.app.pool.within(work(&conn)).await,
            None => self.with(work).await,
        }
    }

    /// The same for a search, which in no case shares its connection.
    pub(in crate::interaction) async fn search_at<T>(
        &self,
        documents: Option<&[String]>,
        work: impl AsyncFnOnce(&Conn) -> Result<T>,
    ) -> Result<T> {
        match self.near(documents.unwrap_or_default()).await? {
            Some(conn) => self.app.pool.within(work(&conn)).await,
            None => self.with_own(work).await,
        }
    }

    async fn near<D: AsRef<str>>(&self, documents: &[D]) -> Result<Option<Pooled>> {
        match (&self.tx, documents) {
            (None, [one]) => self.app.pool.at(one.as_ref()).await,
            _ => Ok(None),
        }
    }

    /// The last writes of a unit that holds no lock and touches one node go there themselves. A record that it opens is
    /// made known first, as a commit of its own: without its Patient it is an id that nobody was told, or, for an id that a
    /// client chose, one that the next attempt finds (docs/adr/0015).
    pub(super) async fn go_near(&mut self) -> Result<()> {
        let Set { versions, records, directory, record_keys } = &self.set;
        if !directory.is_empty() || !record_keys.is_empty() || records.len() > 1 {
            return Ok(());
        }
        let pool = &self.app.pool;
        let places = versions.iter().map(|v| &v.documento_id).chain(self.events.iter().map(|e| &e.documento_id));
        let places = places.chain(records.iter().map(|r| &r.documento_id));
        let Some(tx) = pool.begin_at(places.map(String::as_str)).await? else { return Ok(()) };
        let records = std::mem::take(&mut self.set.records);
        if !records.is_empty() {
            let conn = pool.get().await?;
            if !pool.within(store::write::open_records(&conn, &records)).await? {
                let _ = pool.within(tx.rollback()).await;
                return Err(store::race());
            }
        }
        (self.tx, self.near) = (Some(tx), true);
        Ok(())
    }
}
