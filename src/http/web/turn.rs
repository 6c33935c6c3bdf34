//! Pages take turns: a few are made at once, in the order in which they were asked for.
//!
//! When many ask at the same moment, all of them together would wait for all of them, and a page of many steps once a
//! step: the clinical ones last. In turns a page is made without rest once it is begun, so each waits for those before it
//! only. Forms that save and programs do not queue here.

use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Pages that are made at once, for each core: while one waits for the database another is written.
const EACH_CORE: usize = 3;

/// A slow page must not hold up the others: who has waited for so long begins beside it.
const PATIENCE: Duration = Duration::from_millis(250);

pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Turns(Semaphore::new(cores * EACH_CORE))
    }
}

impl Turns {
    /// Returns when it is one's turn, which lasts as long as what is returned.
    pub async fn take(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(PATIENCE, self.0.acquire()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_too_long_begins_all_the_same() {
        let turns = Turns(Semaphore::new(1));
        let first = turns.take().await;
        assert!(first.is_some());
        assert!(turns.take().await.is_none());
        drop(first);
        assert!(turns.take().await.is_some());
    }
}
