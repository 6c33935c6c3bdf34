//! A connection that many tasks use at once.

use super::{Conn, Target};
use crate::error::Result;
use std::sync::{Arc, PoisonError, RwLock};

/// One shared connection, opened on first use and again after it broke.
#[derive(Default)]
pub(super) struct Lane {
    conn: RwLock<Option<Arc<Conn>>>,
    opening: tokio::sync::Mutex<()>,
}

impl Lane {
    pub async fn conn(&self, target: &Target) -> Result<Arc<Conn>> {
        if let Some(conn) = self.live() {
            return Ok(conn);
        }
        let _one = self.opening.lock().await;
        if let Some(conn) = self.live() {
            return Ok(conn);
        }
        let conn = Arc::new(Conn::open(target).await?);
        *self.conn.write().unwrap_or_else(PoisonError::into_inner) = Some(conn.clone());
        Ok(conn)
    }

    fn live(&self) -> Option<Arc<Conn>> {
        // One from before a node was lost may have somebody waiting for that node in front.
        let fit = |conn: &&Arc<Conn>| !conn.is_closed() && conn.losses == conn.nodes.losses();
        self.conn.read().unwrap_or_else(PoisonError::into_inner).as_ref().filter(fit).cloned()
    }
}
