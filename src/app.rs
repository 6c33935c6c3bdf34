//! What every entrance needs, and nothing else: configuration, database, keys of the installation, the audit writer.

use crate::clock;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::fhir::documento::Systems;
use crate::search::Context;
use crate::search::hash::Hasher;
use crate::store::audit::Writer;
use crate::store::cluster::nodes;
use crate::store::group::Group;
use crate::store::horizon::Horizon;
use crate::store::placement::Placement;
use crate::store::{NO_RIGHT, Pool, has_state, installation, migrate, session, statistics};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

mod extraction;

pub use extraction::Extracting;

pub struct App {
    pub config: Config,
    /// Base of FHIR addresses: `<public_url>/fhir`.
    pub base: String,
    pub pool: Arc<Pool>,
    pub placement: Placement,
    pub hasher: Hasher,
    pub audit: Writer,
    pub group: Group,
    /// The times of the writes in work.
    pub horizon: Arc<Horizon>,
    pub sessions: Sessions,
    pub systems: Systems,
    /// Seconds east of UTC of dates and times without a zone.
    pub local: i32,
    /// Bundles in work: each holds its whole body in memory.
    pub bundles: Semaphore,
    /// Sets of parameters that `shape` surely knows.
    pub shapes: Mutex<HashSet<i64>>,
    /// Which search parameters are extracted and asked by.
    pub extracting: Extracting,
    /// Names of the sign-ins that `historia dev` shows: no limits hold for them.
    pub dev_logins: OnceLock<Vec<String>>,
    /// No new work is taken: `/readyz` says so, and what comes in is answered 503.
    pub draining: AtomicBool,
}

impl App {
    /// Opens the database of `url`, makes or reads the keys of the installation and starts the writers.
    /// `public_url`: the address that stands in links, tokens and the CapabilityStatement, without a slash at the end.
    pub async fn open(config: Config, url: &str, public_url: &str, migrate_now: bool) -> Result<Arc<App>> {
        let pool = Arc::new(Pool::new(&config, url)?);
        if migrate_now {
            migrate::migrate(&pool).await?;
        }
        let conn = pool.dedicated().await?;
        migrate::check(&conn).await?;
        crate::store::audit::partitions(&conn).await.map_err(|error| match has_state(&error, NO_RIGHT) {
            true => error.told(Kind::Forbidden, "database.url", NO_PARTITIONS),
            false => error,
        })?;
        statistics::refresh(&conn).await?;
        if conn.is_citus() {
            tokio::spawn(nodes::watch(pool.clone(), config.cluster.node_timeout));
        }
        let hasher = Hasher::new(installation::hash_secret(&conn).await?);
        let pairs = config.documento_systems.iter().map(|s| (s.system.as_str(), s.type_code.as_str()));
        let systems = Systems::new(pairs).map_err(|e| Error::at(Kind::Invalid, "documento.systems", e))?;
        let app = Arc::new(App {
            base: format!("{public_url}/fhir"),
            audit: Writer::start(pool.clone(), &conn),
            group: Group::start(pool.clone(), &conn),
            horizon: Horizon::start(pool.clone()).await?,
            placement: Placement::default(),
            sessions: Sessions::default(),
            local: offset_seconds(&config.hl7v2.time_zone),
            bundles: Semaphore::new(config.limits.bundles_at_once),
            shapes: Mutex::default(),
            extracting: Extracting::default(),
            dev_logins: OnceLock::new(),
            draining: AtomicBool::new(false),
            config,
            pool,
            hasher,
            systems,
        });
        app.begin_extraction(&conn).await?;
        tokio::spawn(app.clone().keep_extraction());
        app.hear_sessions().await?;
        tokio::spawn(app.clone().keep_hearing());
        Ok(app)
    }

    /// The address of the server without `/fhir`.
    pub fn public_url(&self) -> &str {
        self.base.strip_suffix("/fhir").unwrap_or(&self.base)
    }

    /// What index and search need to know of the installation.
    pub fn search_context(&self) -> Context<'_> {
        let definitions = self.extracting.current().definitions;
        Context { hasher: &self.hasher, definitions, base: &self.base, local: self.local }
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Listens first, then reads what has ended: nothing falls between.
    async fn hear_sessions(self: &Arc<Self>) -> Result<()> {
        let hears = self.clone();
        let listener = self.pool.listen(session::CHANNEL, move |ids| hears.sessions.end(ids.split(','))).await?;
        let conn = self.pool.lane().await?;
        let ended = session::ended(&conn, clock::now()).await?;
        self.sessions.replace(ended);
        self.sessions.hearing.store(true, Ordering::Release);
        let app = self.clone();
        tokio::spawn(async move {
            listener.ended().await;
            app.sessions.hearing.store(false, Ordering::Release);
        });
        Ok(())
    }

    /// Opens the ear again after the database was away.
    async fn keep_hearing(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // In an orderly stop the database may go first.
            if !self.sessions.hears()
                && !self.is_draining()
                && let Err(error) = self.hear_sessions().await
            {
                tracing::warn!(%error, "cannot hear of ended sessions; each token is checked in the database");
            }
        }
    }
}

/// Of an account that may not make the partitions of the coming months.
const NO_PARTITIONS: &str = "the account of database.url may not make the partitions of the coming months: it must own the tables \
     and may create in the schema public (docs/operations/cluster.md)";

/// How long an end waits for its own notice, and then for the other instances to have had it too.
const PATIENCE: Duration = Duration::from_millis(500);
pub const GRACE: Duration = Duration::from_millis(20);

/// The ended, unexpired sessions, as this instance knows them.
#[derive(Default)]
pub struct Sessions {
    /// Whether the notice of each has come, or only this instance's own word.
    ended: RwLock<HashMap<Uuid, bool>>,
    hearing: AtomicBool,
    notice: Notify,
}

impl Sessions {
    /// Whether notices arrive: otherwise the database is asked for each token.
    pub fn hears(&self) -> bool {
        self.hearing.load(Ordering::Acquire)
    }

    pub fn is_ended(&self, jti: Uuid) -> bool {
        self.ended.read().unwrap_or_else(PoisonError::into_inner).contains_key(&jti)
    }

    /// Ends a session here at once, before its notice has made the way through the database.
    pub fn end_here(&self, jti: Uuid) {
        self.ended.write().unwrap_or_else(PoisonError::into_inner).entry(jti).or_insert(false);
    }

    /// Waits for the notice of an ended session, so that the other instances have had it too; false after `patience`.
    pub async fn heard(&self, jti: Uuid, patience: Duration) -> bool {
        let arrival = async {
            loop {
                let mut next = pin!(self.notice.notified());
                // Enabled before the look, so that no notice falls between look and wait.
                next.as_mut().enable();
                if self.ended.read().unwrap_or_else(PoisonError::into_inner).get(&jti) == Some(&true) {
                    return;
                }
                next.await;
            }
        };
        tokio::time::timeout(patience, arrival).await.is_ok()
    }

    /// After the commit that ended sessions: they are dead here at once, and on the other instances when this returns.
    pub async fn let_all_hear(&self, ended: &[Uuid]) {
        ended.iter().for_each(|jti| self.end_here(*jti));
        if let (true, Some(last)) = (self.hears(), ended.last())
            && !self.heard(*last, PATIENCE).await
        {
            tracing::warn!("the notice of an ended session has not come back in time");
        }
        tokio::time::sleep(GRACE).await;
    }

    /// Forgets the sessions that were opened before `then`: they have expired. Ids are version 7, so they tell.
    pub fn forget(&self, then: Timestamp) {
        let opened = |jti: &Uuid| jti.get_timestamp().map(|at| i64::try_from(at.to_unix().0).unwrap_or(i64::MAX));
        let old = |jti: &Uuid| opened(jti).is_some_and(|seconds| seconds < then.as_second());
        self.ended.write().unwrap_or_else(PoisonError::into_inner).retain(|jti, _| !old(jti));
    }

    fn end<'a>(&self, ids: impl Iterator<Item = &'a str>) {
        let ids = ids.filter_map(|id| Some((Uuid::try_parse(id).ok()?, true)));
        self.ended.write().unwrap_or_else(PoisonError::into_inner).extend(ids);
        self.notice.notify_waiters();
    }

    fn replace(&self, ids: Vec<Uuid>) {
        // Kept: a notice may have arrived while the rows were read.
        self.ended.write().unwrap_or_else(PoisonError::into_inner).extend(ids.into_iter().map(|id| (id, true)));
        self.notice.notify_waiters();
    }
}

/// `-05:00` in seconds; the configuration has checked its form.
fn offset_seconds(text: &str) -> i32 {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.trim_start_matches('+')),
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    sign * (hours.parse::<i32>().unwrap_or(0) * 3600 + minutes.parse::<i32>().unwrap_or(0) * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_is_known_here_at_once_and_heard_with_its_notice() {
        let (sessions, jti) = (Arc::new(Sessions::default()), clock::uuid());
        assert!(!sessions.is_ended(jti));
        sessions.end_here(jti);
        assert!(sessions.is_ended(jti));
        assert!(!sessions.heard(jti, Duration::from_millis(5)).await);
        let waiter = tokio::spawn({
            let sessions = sessions.clone();
            async move { sessions.heard(jti, Duration::from_secs(5)).await }
        });
        tokio::task::yield_now().await;
        sessions.end([jti.to_string().as_str(), "no id"].into_iter());
        assert!(waiter.await.unwrap());
        sessions.end_here(jti);
        assert!(sessions.heard(jti, Duration::ZERO).await, "a notice is not taken back");
    }

    #[test]
    fn what_has_expired_is_forgotten() {
        let (sessions, jti) = (Sessions::default(), clock::uuid());
        sessions.end_here(jti);
        sessions.forget(clock::now() - jiff::SignedDuration::from_secs(60));
        assert!(sessions.is_ended(jti));
        sessions.forget(clock::now() + jiff::SignedDuration::from_secs(60));
        assert!(!sessions.is_ended(jti));
    }
}
