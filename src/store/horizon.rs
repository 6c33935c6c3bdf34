//! Up to which time every write is known: what pollers of `_history` and `_lastUpdated` are told (docs/adr/0018).
//!
//! A version gets its time before its commit, so a slow transaction makes a version known that is older than others which
//! were known before. Every process counts the times of its writes in work, and promises the others in the database: "what I
//! commit from now on is younger than this". The promise is a session-level advisory lock whose key is the time, in quarters
//! of a second: no table, no write, gone with the process. Who answers a poll hides what is younger than the oldest
//! write of its own, and than the oldest promise.

use crate::clock;
use crate::error::{Error, Result};
use crate::store::pool::{Conn, Pool};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub const STATEMENTS: &[&str] = &[PROMISE, RENEW, OTHERS];

/// How often a promise is renewed: with its precision, what another process writes is told after 750 ms at the latest.
const EVERY: Duration = Duration::from_millis(500);
/// Precision of a promise in milliseconds: 32 bits reach to 2060.
const STEP: i64 = 250;
/// 2026-01-01T00:00:00Z in milliseconds: the first time that a promise can say.
const EPOCH: i64 = 1_767_225_600_000;
/// How long an answer waits for writes of its own process which began before it.
const PATIENCE: Duration = Duration::from_secs(1);
const STILL: SignedDuration = SignedDuration::from_secs(60);

// The first number keeps these locks apart from others of the two-number form; there are none so far.
const PROMISE: &str = "select pg_advisory_lock_shared(7166216, $1::int8::int4)::text, pg_backend_pid()::int8";
// The new one first: there is no moment without.
const RENEW: &str =
    "select pg_advisory_lock_shared(7166216, $1::int8::int4), pg_advisory_unlock_shared(7166216, $2::int8::int4)";
const OTHERS: &str = "\
select min(l.objid::int8) from pg_locks l
where l.locktype = 'advisory' and l.objsubid = 2 and l.classid = 7166216 and l.granted and l.pid <> all($1::int8[])
  and l.database = (select d.oid from pg_database d where d.datname = current_database())";

/// The times of the writes in work.
#[derive(Debug)]
struct Times {
    /// Time -> how many writes have it as their first.
    running: BTreeMap<Timestamp, usize>,
    /// What was told last: no write gets a time at or before it.
    told: Timestamp,
}

impl Default for Times {
    fn default() -> Self {
        Times { running: BTreeMap::new(), told: Timestamp::MIN }
    }
}

impl Times {
    fn begin(&mut self, now: Timestamp) -> Timestamp {
        let at = now.max(after(self.told));
        *self.running.entry(at).or_default() += 1;
        at
    }

    fn end(&mut self, at: Timestamp) {
        if let Some(count) = self.running.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&at);
            }
        }
    }

    /// All that is committed from now on is younger than this.
    fn known(&mut self, now: Timestamp) -> Timestamp {
        let known = self.running.first_key_value().map_or(now, |(at, _)| before(*at)).max(self.told);
        self.told = known;
        known
    }
}

const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);

fn before(at: Timestamp) -> Timestamp {
    at.checked_sub(MILLISECOND).unwrap_or(at)
}

fn after(at: Timestamp) -> Timestamp {
    at.checked_add(MILLISECOND).unwrap_or(at)
}

/// What this process knows and promises.
#[derive(Default)]
pub struct Horizon {
    times: Arc<Mutex<Times>>,
    /// The process of the database that holds our promises, and the one before it.
    holders: Mutex<Vec<i64>>,
}

/// A write in work, until it is dropped.
pub struct Running {
    times: Arc<Mutex<Times>>,
    at: Timestamp,
}

impl Running {
    /// The time of its first version.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        locked(&self.times).end(self.at);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Horizon {
    /// Makes the first promise, and keeps renewing it.
    pub async fn start(pool: Arc<Pool>) -> Result<Arc<Horizon>> {
        let horizon = Arc::new(Horizon::default());
        let promise = horizon.promise(&pool).await?;
        tokio::spawn(horizon.clone().keep(pool, promise));
        Ok(horizon)
    }

    /// A write begins: its versions get this time or later ones.
    pub fn begin(&self) -> Running {
        let at = locked(&self.times).begin(clock::now());
        Running { times: self.times.clone(), at }
    }

    fn own(&self) -> Timestamp {
        locked(&self.times).known(clock::now())
    }

    /// The time up to which all that this process writes is known: what began before is waited for, a while.
    pub async fn own_known(&self) -> Timestamp {
        let (asked, started) = (clock::now(), std::time::Instant::now());
        let mut own = self.own();
        while own < asked && started.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(10)).await;
            own = self.own();
        }
        own
    }

    /// The time up to which all is known, that of this process being `own`. Rows are to be read after it.
    pub async fn known(&self, conn: &Conn, own: Timestamp) -> Result<Timestamp> {
        let holders = locked(&self.holders).clone();
        let others: Option<i64> = conn.query_opt(OTHERS, &[&holders]).await?.and_then(|row| row.get(0));
        let Some(others) = others.and_then(time_of) else { return Ok(own) };
        if own.duration_since(others) > STILL {
            tracing::warn!(since = %others, "another process has not renewed its promise: pollers are told of nothing younger");
        }
        Ok(own.min(others))
    }

    async fn promise(&self, pool: &Pool) -> Result<(Conn, i64)> {
        let conn = pool.dedicated().await?;
        let promised = step_of(self.own());
        let backend: Option<i64> = conn.query_opt(PROMISE, &[&promised]).await?.map(|row| row.get(1));
        let mut holders = locked(&self.holders);
        holders.extend(backend);
        // The backend of a connection that broke may live a little longer than the connection.
        let first = holders.len().saturating_sub(2);
        holders.drain(..first);
        drop(holders);
        Ok((conn, promised))
    }

    async fn keep(self: Arc<Self>, pool: Arc<Pool>, (conn, promised): (Conn, i64)) {
        let mut holding = Some((conn, promised));
        loop {
            tokio::time::sleep(EVERY).await;
            holding = match holding.take() {
                Some((conn, promised)) => match pool.within(self.renew(&conn, promised)).await {
                    Ok(promised) => Some((conn, promised)),
                    Err(_) => None,
                },
                None => match pool.within(self.promise(&pool)).await {
                    Ok(promise) => Some(promise),
                    Err(error) => {
                        tracing::debug!(%error, "cannot promise up to when all is written");
                        None
                    }
                },
            };
        }
    }

    async fn renew(&self, conn: &Conn, promised: i64) -> Result<i64> {
        let next = step_of(self.own());
        if next != promised {
            conn.query(RENEW, &[&next, &promised]).await?;
        } else if conn.is_closed() {
            return Err(Error::internal("the connection of the promises is closed"));
        }
        Ok(next)
    }
}

/// A time as the key of a lock, rounded down: 32 bits, which PostgreSQL takes with their sign and shows without.
fn step_of(at: Timestamp) -> i64 {
    let step = (at.as_millisecond() - EPOCH).max(0) / STEP;
    i64::from(u32::try_from(step).unwrap_or(u32::MAX).cast_signed())
}

fn time_of(step: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(EPOCH + step * STEP).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(EPOCH + millisecond).unwrap()
    }

    #[test]
    fn what_is_told_is_before_all_that_is_in_work() {
        let mut times = Times::default();
        assert_eq!(times.known(at(1_000)), at(1_000));
        // Nothing is written at a time that was told, whatever the clock does.
        assert_eq!(times.begin(at(900)), at(1_001));
        assert_eq!(times.begin(at(2_000)), at(2_000));
        assert_eq!(times.known(at(5_000)), at(1_000));
        times.end(at(1_001));
        assert_eq!(times.known(at(5_000)), at(1_999));
        times.end(at(2_000));
        assert_eq!(times.known(at(5_000)), at(5_000));
        assert_eq!(times.known(at(4_000)), at(5_000), "what was told is not taken back");
    }

    #[test]
    fn writes_of_one_time_are_counted() {
        let mut times = Times::default();
        assert_eq!((times.begin(at(5)), times.begin(at(5))), (at(5), at(5)));
        times.end(at(5));
        assert_eq!(times.known(at(9)), at(4));
        times.end(at(5));
        assert_eq!(times.known(at(9)), at(9));
    }

    #[test]
    fn a_promise_is_rounded_down_and_read_back() {
        for (millisecond, expected) in [(0, 0), (249, 0), (250, 250), (86_400_123, 86_400_000), (-5, 0)] {
            assert_eq!(time_of(step_of(at(millisecond))), Some(at(expected)), "{millisecond}");
        }
        let far: Timestamp = "2058-06-01T00:00:00Z".parse().unwrap();
        let step = step_of(far);
        assert!(step < 0);
        assert_eq!(time_of(step + (1 << 32)), Some(far));
    }
}
