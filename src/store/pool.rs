//! Connections to PostgreSQL: a pool for transactions, shared pipelined lanes for single statements.
//!
//! * [`Conn`] prepares each static statement once and keeps it.
//! * [`Tx`] is the only place that says BEGIN. Dropped without an end (a client went away, a deadline passed), it
//!   marks its connection as broken, so the pool closes it and the server rolls back.
//! * A [`Lane`] is one connection that many tasks use at once; only single autocommit statements may go there.
//!
//! * On a cluster [`direct`] has connections to the nodes themselves.
//!
//! Nothing of a parameter reaches a log: `log_parameter_max_length = 0` is set on each connection.

mod direct;
mod lane;

use crate::config::{Config, Direct};
use crate::error::{Error, Kind, Result};
use crate::search::plan::Bounds;
use crate::store::cluster::{self, Address, nodes::Nodes, shard};
use crate::store::statistics::Known;
use crate::store::{self, NO_DATABASE, fault, has_state};
use crate::telemetry::metric;
use bytes::Bytes;
use direct::{At, Workers};
use futures_util::SinkExt;
use lane::Lane;
use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, NoTls, Row, SimpleQueryMessage, Statement};

/// Generated statements kept per connection before the cache is emptied.
const GENERATED_KEPT: usize = 200;

/// Shared connections: two keep both cores of a small server busy, more only make the batches smaller.
const LANES: usize = 2;

/// Session of a writer. How many rows an array holds is guessed too high when its values are not known, so PostgreSQL
/// would find each execution worth a plan of its own, which is a fifth of the CPU of an insert.
const WRITER: &str = "set plan_cache_mode = force_generic_plan";

/// One connection with its prepared statements.
pub struct Conn {
    client: Client,
    fixed: Mutex<HashMap<&'static str, Statement>>,
    generated: Mutex<HashMap<String, Statement>>,
    citus: bool,
    nodes: Arc<Nodes>,
    /// The node at the other end, when it is not the coordinator.
    node: Option<Address>,
    /// What it is lent for, when that is the shard of one document: statements then name its tables.
    at: Option<At>,
    known: Arc<Known>,
    /// How many nodes had been lost when it was opened.
    losses: u64,
    /// Statements whose answer has not come. One that was given up stays: its answer would be the next one's.
    in_flight: AtomicUsize,
    /// Inside a transaction that has not ended: not fit for anybody else.
    dirty: bool,
}

/// The parameters of a statement.
pub type Params<'a> = [&'a (dyn ToSql + Sync)];

impl Conn {
    async fn open(target: &Target) -> Result<Conn> {
        let late = |_| Error::new(Kind::Transient, "the database cannot be reached");
        tokio::time::timeout(target.patience, Conn::connect(target)).await.map_err(late)?
    }

    async fn connect(target: &Target) -> Result<Conn> {
        let losses = target.nodes.losses();
        let (client, mut connection) = target.config.connect(NoTls).await.map_err(fault)?;
        tokio::spawn(async move {
            while let Some(message) = futures_util::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if message.is_err() {
                    break;
                }
            }
        });
        client.batch_execute(&target.session).await.map_err(fault)?;
        let answer = client.simple_query(cluster::EXTENSION).await.map_err(fault)?;
        let citus = answer.iter().any(|message| matches!(message, SimpleQueryMessage::Row(_)));
        if citus {
            client.batch_execute(&target.session_citus).await.map_err(fault)?;
        }
        if let Some(system) = &target.system {
            let who = client.query_one(shard::WHO, &[]).await.map_err(fault)?;
            if who.get::<_, i64>(0).to_string() != *system {
                return Err(Error::new(Kind::Transient, "who answers is not the node that the coordinator means"));
            }
        }
        Ok(Conn {
            client,
            fixed: Mutex::default(),
            generated: Mutex::default(),
            citus,
            nodes: target.nodes.clone(),
            node: target.node.clone(),
            at: None,
            known: target.known.clone(),
            losses,
            in_flight: AtomicUsize::new(0),
            dirty: false,
        })
    }

    /// Waits for an answer; on a cluster not for that of a lost node, and never for ever.
    async fn answered<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let answer = match self.citus {
            false => work.await.map_err(fault),
            true => tokio::select! {
                answer = work => answer.map_err(fault),
                () = self.nodes.lost(self.node.as_ref()) => return Err(Error::new(Kind::Transient, "a node of the database was lost")),
            },
        };
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.citus && answer.as_ref().is_err_and(Error::is_transient) {
            self.nodes.doubt();
        }
        answer
    }

    /// Fails when the node of a documento_id is lost.
    pub fn reach(&self, documento_id: &str) -> Result<()> {
        self.nodes.reach(documento_id)
    }

    /// Fails when any node is lost: for statements that ask them all.
    pub fn reach_all(&self) -> Result<()> {
        self.nodes.reach_all()
    }

    /// Whether an answer is still to come that nobody waits for.
    fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    async fn fixed(&self, sql: &'static str) -> Result<Statement> {
        if self.at.is_some() {
            return self.generated(sql, &[]).await;
        }
        if let Some(statement) = locked(&self.fixed).get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.answered(self.client.prepare(sql)).await?;
        locked(&self.fixed).insert(sql, statement.clone());
        Ok(statement)
    }

    /// Prepares a static statement ahead of its use.
    pub async fn prepare(&self, sql: &'static str) -> Result<()> {
        self.fixed(sql).await.map(drop)
    }

    /// Rows of a static statement.
    pub async fn query(&self, sql: &'static str, params: &Params<'_>) -> Result<Vec<Row>> {
        match (self.query_here(sql, params).await, &self.at) {
            (Err(error), Some(at)) if at.is_elsewhere(&error) => {
                self.nodes.doubt();
                at.home().await?.query_here(sql, params).await
            }
            (answer, _) => answer,
        }
    }

    async fn query_here(&self, sql: &'static str, params: &Params<'_>) -> Result<Vec<Row>> {
        let statement = self.fixed(sql).await?;
        self.answered(self.client.query(&statement, params)).await
    }

    /// The one row, or none, of a static statement.
    pub async fn query_opt(&self, sql: &'static str, params: &Params<'_>) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Rows touched by a static statement.
    pub async fn execute(&self, sql: &'static str, params: &Params<'_>) -> Result<u64> {
        let statement = self.fixed(sql).await?;
        self.answered(self.client.execute(&statement, params)).await
    }

    /// Rows of a generated statement. `fenced` ones keep the right plan when prepared; the others are planned anew
    /// for their values each time (a generic plan walks the whole type).
    pub async fn query_generated(
        &self,
        sql: &str,
        fenced: bool,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>> {
        match (self.query_generated_here(sql, fenced, params).await, &self.at) {
            (Err(error), Some(at)) if at.is_elsewhere(&error) => {
                self.nodes.doubt();
                at.home().await?.query_generated_here(sql, fenced, params).await
            }
            (answer, _) => answer,
        }
    }

    async fn query_generated_here(
        &self,
        sql: &str,
        fenced: bool,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>> {
        if !fenced {
            return self.answered(self.client.query_typed(&self.text(sql)?, params)).await;
        }
        let types: Vec<Type> = params.iter().map(|(_, ty)| ty.clone()).collect();
        let statement = self.generated(sql, &types).await?;
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
        self.answered(self.client.query(&statement, &values)).await
    }

    /// The text as this connection sends it.
    fn text<'s>(&self, sql: &'s str) -> Result<Cow<'s, str>> {
        match &self.at {
            None => Ok(Cow::Borrowed(sql)),
            Some(at) => at.shard.rewrite(sql).map(Cow::Owned).ok_or_else(store::refused),
        }
    }

    /// A statement whose text is not known beforehand.
    async fn generated(&self, sql: &str, types: &[Type]) -> Result<Statement> {
        let text = self.text(sql)?;
        let kept = locked(&self.generated).get(&*text).cloned();
        if let Some(statement) = kept {
            return Ok(statement);
        }
        let statement = self.answered(self.client.prepare_typed(&text, types)).await?;
        let mut generated = locked(&self.generated);
        if generated.len() >= GENERATED_KEPT {
            generated.clear();
        }
        generated.insert(text.into_owned(), statement.clone());
        Ok(statement)
    }

    /// Several statements as text: migrations and session settings only.
    pub async fn batch(&self, sql: &str) -> Result<()> {
        self.answered(self.client.batch_execute(sql)).await
    }

    /// The rows of one COPY of another connection into one of this; returns how many. Both texts are generated.
    pub async fn copy_from(&self, source: &Conn, out: &str, into: &str) -> Result<u64> {
        let mut rows = Box::pin(source.client.copy_out(out).await.map_err(fault)?);
        let mut sink = Box::pin(self.client.copy_in::<_, Bytes>(into).await.map_err(fault)?);
        sink.send_all(&mut rows).await.map_err(fault)?;
        sink.as_mut().finish().await.map_err(fault)
    }

    /// What searches go by.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Whether the rows lie on several nodes, as far as this connection sees them.
    pub fn is_citus(&self) -> bool {
        self.citus && self.at.is_none()
    }

    /// Whether it leads to a node itself.
    pub fn is_near(&self) -> bool {
        self.node.is_some()
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether what is read here may be our own, not committed yet: then it must not go into a cache.
    pub fn is_in_transaction(&self) -> bool {
        self.dirty
    }
}

/// A poisoned lock guards a cache only: what is in it is whole.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where and how to connect.
pub struct Target {
    config: tokio_postgres::Config,
    session: String,
    /// What is set besides where the database is a cluster.
    session_citus: String,
    /// How long a connection may take, its log-in included.
    patience: Duration,
    nodes: Arc<Nodes>,
    /// The node that it leads to, and what must answer there; none for the address of the configuration.
    node: Option<Address>,
    system: Option<String>,
    known: Arc<Known>,
}

impl Target {
    /// Another server with the same account; without `database`, the database of the same name.
    fn elsewhere(&self, address: &Address, database: Option<&str>) -> Target {
        let own = &self.config;
        let mut config = tokio_postgres::Config::new();
        config.host(&address.host).port(address.port).ssl_mode(own.get_ssl_mode()).application_name("historia");
        config.keepalives_idle(own.get_keepalives_idle());
        if let Some(timeout) = own.get_connect_timeout() {
            config.connect_timeout(*timeout);
        }
        if let Some(user) = own.get_user() {
            config.user(user);
        }
        if let Some(password) = own.get_password() {
            config.password(password);
        }
        if let Some(database) = database.or(own.get_dbname()) {
            config.dbname(database);
        }
        if let Some(timeout) = own.get_tcp_user_timeout() {
            config.tcp_user_timeout(*timeout);
        }
        if let Some(options) = own.get_options() {
            config.options(options);
        }
        let (session, session_citus) = (self.session.clone(), self.session_citus.clone());
        let (patience, nodes, known) = (self.patience, self.nodes.clone(), self.known.clone());
        Target { config, session, session_citus, patience, nodes, known, node: None, system: None }
    }
}

/// bb8's view of a [`Target`]: no ping at check-out (30 % of a read); broken connections are seen on return.
pub struct Manager(Arc<Target>);

impl bb8::ManageConnection for Manager {
    type Connection = Conn;
    type Error = Error;

    async fn connect(&self) -> Result<Conn> {
        Conn::open(&self.0).await
    }

    async fn is_valid(&self, _: &mut Conn) -> Result<()> {
        Ok(())
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        conn.dirty || conn.is_closed() || conn.is_busy()
    }
}

/// A connection that goes back to the pool.
pub type Pooled = bb8::PooledConnection<'static, Manager>;

/// The pool and the lanes.
pub struct Pool {
    target: Arc<Target>,
    pool: bb8::Pool<Manager>,
    /// On a cluster, in place of the lanes: reads wait neither for a slow node nor for those who queue for a hot row.
    readers: bb8::Pool<Manager>,
    lanes: Vec<Lane>,
    /// Whether the nodes of a cluster are asked themselves; their pools, and how long a connection to one may take.
    direct_wanted: bool,
    direct: Workers,
    node_patience: Duration,
    size: u32,
    next: AtomicUsize,
    deadline: Duration,
    /// How long a request waits for a connection.
    patience: Duration,
}

impl Pool {
    /// Connects lazily: an unreachable database is seen by the first statement.
    pub fn new(config: &Config, url: &str) -> Result<Pool> {
        let mut target: tokio_postgres::Config = url
            .parse()
            .map_err(|_| Error::at(Kind::Invalid, "database.url", "database.url is not a PostgreSQL address"))?;
        target.application_name("historia");
        target.connect_timeout(config.database.connect_timeout);
        target.tcp_user_timeout(Duration::from_secs(20));
        // A link that died in silence is noticed: the listener of ended sessions must not believe it hears.
        target
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        let statement_timeout = config.database.statement_timeout.as_millis();
        let session = format!(
            "set statement_timeout = {statement_timeout}; set timezone = 'UTC'; set jit = off; \
             set idle_in_transaction_session_timeout = 60000; set default_transaction_isolation = 'read committed';"
        );
        // One connection to each node: more at once take longer to open than the shards take to answer.
        let session_citus = format!(
            "set citus.max_adaptive_executor_pool_size = 1; set citus.node_connection_timeout = {};",
            config.cluster.node_timeout.as_millis()
        );
        let patience = config.database.connect_timeout;
        let mut bounds = Bounds::new(config.limits.search_rows as f64);
        if config.failpoint.as_deref() == Some("search-small") {
            // So that every plan is needed for few rows.
            (bounds.walked, bounds.picked) = (45.0, 4);
        }
        let known = Arc::new(Known::new(bounds));
        let nodes = Arc::default();
        let target =
            Target { config: target, session, session_citus, patience, nodes, known, node: None, system: None };
        let target = Arc::new(target);
        let (size, patience) = (config.database.pool_size, config.database.pool_timeout);
        let (pool, readers) = (sized(&target, size, patience), sized(&target, size, patience));
        let lanes = (0..LANES).map(|_| Lane::default()).collect();
        let deadline = config.database.statement_timeout + Duration::from_secs(2);
        Ok(Pool {
            target,
            pool,
            readers,
            lanes,
            direct_wanted: config.cluster.direct == Direct::Auto,
            direct: Workers::default(),
            node_patience: config.cluster.node_timeout,
            size,
            next: AtomicUsize::new(0),
            deadline,
            patience,
        })
    }

    /// The nodes of the cluster, as far as it is one.
    pub fn nodes(&self) -> &Arc<Nodes> {
        &self.target.nodes
    }

    /// A connection of one's own, outside a transaction.
    pub async fn get(&self) -> Result<Pooled> {
        self.lend(&self.pool).await
    }

    /// A connection for reading on a cluster.
    pub async fn reader(&self) -> Result<Pooled> {
        self.lend(&self.readers).await
    }

    async fn lend(&self, pool: &bb8::Pool<Manager>) -> Result<Pooled> {
        self.target.nodes.reach_coordinator()?;
        let asked = Instant::now();
        let mut conn = pool.get_owned().await;
        // After a restart of the database every idle connection is dead, and known to be; returning one closes it.
        while conn.as_ref().is_ok_and(|conn| conn.is_closed()) && asked.elapsed() < self.patience {
            drop(conn);
            conn = pool.get_owned().await;
        }
        metrics::histogram!(metric::POOL_WAIT_SECONDS).record(asked.elapsed().as_secs_f64());
        conn.map_err(|e| match e {
            bb8::RunError::User(e) => e,
            bb8::RunError::TimedOut => Error::new(Kind::Transient, "no database connection is free"),
        })
    }

    /// A connection outside the pool for a task that writes rows by a few static statements.
    pub async fn writer(&self) -> Result<Conn> {
        self.target.nodes.reach_coordinator()?;
        let conn = self.dedicated().await?;
        if !conn.is_citus() {
            conn.batch(WRITER).await?;
        }
        Ok(conn)
    }

    /// A connection outside the pool, for a task that keeps it (migrations, the listener's fallback).
    pub async fn dedicated(&self) -> Result<Conn> {
        Conn::open(&self.target).await.map_err(|error| match has_state(&error, NO_DATABASE) {
            true => error.told(Kind::Transient, "database.url", "database.url names a database that does not exist"),
            false => error,
        })
    }

    /// A connection to another server of the cluster, with the same account.
    pub async fn elsewhere(&self, address: &Address, database: Option<&str>) -> Result<Conn> {
        self.within(Conn::open(&self.target.elsewhere(address, database))).await
    }

    /// Host and port of the database; none for a socket in the file system.
    pub fn address(&self) -> Option<Address> {
        let port = self.target.config.get_ports().first().copied().unwrap_or(5432);
        match self.target.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => Some(Address { host: host.clone(), port }),
            _ => None,
        }
    }

    /// Name of the database.
    pub fn database(&self) -> &str {
        self.target.config.get_dbname().or(self.target.config.get_user()).unwrap_or("postgres")
    }

    /// A shared connection for one single statement. A lane that broke is opened anew.
    pub async fn lane(&self) -> Result<Arc<Conn>> {
        self.target.nodes.reach_coordinator()?;
        let n = self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len().max(1);
        match self.lanes.get(n) {
            Some(lane) => lane.conn(&self.target).await,
            None => Err(Error::internal("no lane")),
        }
    }

    /// Opens a transaction.
    pub async fn begin(&self) -> Result<Tx> {
        let mut conn = self.get().await?;
        conn.dirty = true;
        let tx = Tx { conn, commit: Cow::Borrowed("commit") };
        self.within(tx.conn.batch("begin")).await?;
        Ok(tx)
    }

    /// The client-side deadline of a statement: a frozen node defeats the server's own.
    pub async fn within<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(Kind::Timeout, "the database did not answer in time")),
        }
    }

    /// Hears `channel` (LISTEN) on a connection of its own until that connection ends.
    pub async fn listen(&self, channel: &'static str, mut on: impl FnMut(&str) + Send + 'static) -> Result<Listener> {
        let (client, mut connection) = self.target.config.connect(NoTls).await.map_err(fault)?;
        let pump = tokio::spawn(async move {
            while let Some(Ok(message)) = futures_util::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(notice) = message {
                    on(notice.payload());
                }
            }
        });
        let listened =
            self.within(async { client.batch_execute(&format!("listen {channel}")).await.map_err(fault) }).await;
        if let Err(e) = listened {
            pump.abort();
            return Err(e);
        }
        Ok(Listener { _client: client, pump })
    }
}

fn sized(target: &Arc<Target>, size: u32, patience: Duration) -> bb8::Pool<Manager> {
    bb8::Pool::builder()
        .max_size(size)
        .connection_timeout(patience)
        .test_on_check_out(false)
        .retry_connection(false)
        .build_unchecked(Manager(target.clone()))
}

/// An ear at one channel.
pub struct Listener {
    /// Dropping the client would end the connection.
    _client: Client,
    pump: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// Returns when the connection has ended and notices may be missed.
    pub async fn ended(self) {
        let _ = self.pump.await;
    }
}

/// An open transaction. Dropped before its end it leaves its connection dirty, and the pool closes that.
pub struct Tx {
    conn: Pooled,
    /// What ends it.
    commit: Cow<'static, str>,
}

impl Tx {
    pub fn conn(&self) -> &Conn {
        &self.conn
    }

    /// Makes everything durable. The caller has looked at every result before: COMMIT of a failed transaction answers OK.
    pub async fn commit(mut self) -> Result<()> {
        self.conn.batch(&self.commit).await?;
        self.conn.dirty = false;
        Ok(())
    }

    pub async fn rollback(mut self) -> Result<()> {
        if self.conn.is_busy() {
            // Behind a statement that was given up; closing the connection rolls back as well.
            return Ok(());
        }
        self.conn.batch("rollback").await?;
        self.conn.dirty = false;
        Ok(())
    }
}
