//! When what a unit writes was written, and up to when all is known (docs/adr/0018).

use super::Unit;
use crate::clock;
use crate::error::Result;
use crate::store::resource::Stored;
use jiff::{Timestamp, ToSpan};

impl Unit<'_> {
    /// The time of a new version: after the one that it replaces, whatever the clock did. From the first one on the unit
    /// counts as one that writes, until its end.
    pub(super) fn time_after(&mut self, replaced: Option<&Stored>) -> Timestamp {
        let running = self.running.get_or_insert_with(|| self.app.horizon.begin());
        let now = clock::now().max(running.at());
        match replaced {
            Some(replaced) if now <= replaced.updated => {
                replaced.updated.checked_add(1.millisecond()).unwrap_or(replaced.updated)
            }
            _ => now,
        }
    }

    /// The time up to which no write is missing: nothing younger is told to those who poll.
    pub(in crate::interaction) async fn known_until(&self) -> Result<Timestamp> {
        if let Some(running) = &self.running {
            // A Bundle sees what it has written itself.
            return Ok(clock::now().max(running.at()));
        }
        let own = self.app.horizon.own_known().await;
        self.with(async |conn| self.app.horizon.known(conn, own).await).await
    }
}
