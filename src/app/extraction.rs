//! Which search parameters this instance extracts and asks by, in step with the others (docs/adr/0019).
//!
//! Whoever writes or searches holds the [`Extraction`] it does so by. When a later one is known, work that begins takes it,
//! and this instance announces it as soon as nobody holds an earlier one. An instance that could not say for a while that
//! it lives takes itself for gone and writes nothing, before the others take it for gone.

use super::App;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{self, Custom, Definitions, ResourceType, SearchParameter, Unfinished};
use crate::search::{Extraction, index};
use crate::store::extraction::{self, Known, Parameter};
use crate::store::{self, Conn};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use uuid::Uuid;

const BEAT: Duration = Duration::from_secs(1);
/// Half of what the others wait (`store::extraction`): a statement that was sent in time has ended by then.
const GONE: Duration = Duration::from_secs(10);

/// How often, and how long, a change of a parameter looks whether all know of it.
const SETTLING: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(5);

type Compiled = Vec<(ResourceType, &'static SearchParameter)>;

/// The extraction of this instance.
pub struct Extracting {
    pub instance: Uuid,
    now: RwLock<Arc<Extraction>>,
    /// Earlier ones that may be held still.
    before: Mutex<Vec<Arc<Extraction>>>,
    /// Each definition is compiled once: what comes out lives as long as the process.
    compiled: Mutex<HashMap<String, Compiled>>,
    /// When the latest beat that succeeded was begun.
    seen: Mutex<Instant>,
    left: AtomicBool,
}

impl Default for Extracting {
    fn default() -> Self {
        Extracting {
            instance: clock::uuid(),
            // Of the standard alone, and before every generation, so that it is replaced at once.
            now: RwLock::new(Arc::new(Extraction { generation: -1, lapse: 0, definitions: definitions::r4() })),
            before: Mutex::default(),
            compiled: Mutex::default(),
            seen: Mutex::new(Instant::now()),
            left: AtomicBool::new(false),
        }
    }
}

impl Extracting {
    /// What work that begins now goes by; it holds it until it has ended.
    pub fn current(&self) -> Arc<Extraction> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The generation that nobody here is behind.
    fn announced(&self) -> i64 {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody can take an earlier one any more: a single holder is this list.
        before.retain(|one| Arc::strong_count(one) > 1);
        let held = before.iter().map(|one| one.generation).min();
        held.unwrap_or(i64::MAX).min(self.current().generation)
    }

    fn is_gone(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > GONE
    }

    /// Takes over what all instances know. `lapsed`: they may have taken this one for gone in the meantime.
    fn take(&self, known: Known, lapsed: bool) -> Result<()> {
        let current = self.current();
        let unfinished = unfinished(&known)?;
        if known.generation == current.generation && !lapsed {
            for one in &unfinished {
                let all = current.definitions.all_unfinished().iter();
                let mut same = all.filter(|now| now.resource_type == one.resource_type && now.code == one.code);
                if let Some(now) = same.next() {
                    now.percent.store(one.percent.load(Ordering::Relaxed), Ordering::Relaxed);
                }
            }
            return Ok(());
        }
        let mut parameters = Vec::new();
        for text in known.parameters.iter().filter_map(|parameter| parameter.definition.as_deref()) {
            parameters.extend(self.compiled(text)?);
        }
        let definitions = Definitions::with(parameters.into_iter(), unfinished);
        // Leaked, a few hundred bytes for each type with such parameters: changes are few, and everything points at it.
        let definitions: &'static Definitions = Box::leak(Box::new(definitions));
        let lapse = current.lapse + u64::from(lapsed);
        let next = Extraction { generation: known.generation, lapse, definitions };
        let last = std::mem::replace(&mut *self.now.write().unwrap_or_else(PoisonError::into_inner), Arc::new(next));
        drop(current);
        self.before.lock().unwrap_or_else(PoisonError::into_inner).push(last);
        Ok(())
    }

    fn compiled(&self, text: &str) -> Result<Compiled> {
        let mut all = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = all.get(text) {
            return Ok(compiled.clone());
        }
        let compiled = read(text)?.compile().map_err(|error| {
            Error::internal("a search parameter of this installation cannot be compiled by this version")
                .caused_by(error)
        })?;
        all.insert(text.to_owned(), compiled.clone());
        Ok(compiled)
    }
}

fn read(text: &str) -> Result<Custom> {
    serde_json::from_str(text).map_err(|_| Error::internal("the definition of a search parameter cannot be read"))
}

/// What cannot be asked: of a parameter that changes or goes both what it was and what it will be.
fn unfinished(known: &Known) -> Result<Vec<Unfinished>> {
    let one = |name: &str, code: &str, percent: u8| {
        let resource_type = ResourceType::parse(name)?;
        Some(Unfinished { resource_type, code: code.to_owned(), percent: AtomicU8::new(percent) })
    };
    let standard = known.unfinished.iter().filter_map(|(name, code, percent)| one(name, code, *percent));
    let mut all: Vec<Unfinished> = standard.collect();
    for parameter in &known.parameters {
        let Parameter { definition, base, code, unfinished: Some(percent), leaving: _ } = parameter else { continue };
        all.extend(base.iter().filter_map(|name| one(name, code, *percent)));
        if let Some(text) = definition {
            let was = read(text)?;
            all.extend(was.base.iter().filter_map(|name| one(name, &was.code, *percent)));
        }
    }
    Ok(all)
}

impl App {
    /// Makes this instance known, then reads what there is: in this order nothing falls between.
    pub(super) async fn begin_extraction(&self, conn: &Conn) -> Result<()> {
        extraction::beat(conn, self.extracting.instance, -1).await?;
        self.extracting.take(extraction::read(conn).await?, false)?;
        extraction::beat(conn, self.extracting.instance, self.extracting.announced()).await.map(drop)
    }

    pub(super) async fn keep_extraction(self: Arc<Self>) {
        loop {
            tokio::time::sleep(BEAT).await;
            if self.extracting.left.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = self.beat().await
                && !self.is_draining()
            {
                tracing::warn!(%error, "cannot say that this instance lives; it writes nothing while that lasts");
            }
        }
    }

    async fn beat(&self) -> Result<()> {
        let begun = Instant::now();
        let conn = self.pool.lane().await?;
        let latest =
            self.pool.within(extraction::beat(&conn, self.extracting.instance, self.extracting.announced())).await?;
        let (current, lapsed) = (self.extracting.current(), self.extracting.is_gone());
        if latest != current.generation || lapsed || !current.definitions.all_unfinished().is_empty() {
            drop(current);
            let known = self.pool.within(extraction::read(&conn)).await?;
            self.extracting.take(known, lapsed)?;
        }
        *self.extracting.seen.lock().unwrap_or_else(PoisonError::into_inner) = begun;
        Ok(())
    }

    /// After a change was committed: waits, not for ever, until no instance searches by what was before.
    pub async fn settle(&self) {
        let settled = async {
            let conn = self.pool.get().await?;
            let changed = extraction::generation(&conn).await?;
            while !extraction::all_announced(&conn, changed).await? {
                self.beat().await?;
                tokio::time::sleep(SETTLING).await;
            }
            Ok::<(), Error>(())
        };
        match tokio::time::timeout(PATIENCE, settled).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot tell whether all know of a search parameter that changed"),
            Err(_) => tracing::warn!("some server has not heard in time of a search parameter that changed"),
        }
    }

    /// Before rows are stored whose columns were extracted by `held`: not after the others have gone on without this
    /// instance. Then it is a race, and the work is done again.
    pub async fn may_store(&self, held: &Extraction) -> Result<()> {
        self.know_again().await?;
        if self.extracting.current().lapse == held.lapse { Ok(()) } else { Err(store::race()) }
    }

    /// Before a search, when a parameter may have changed in the meantime.
    pub async fn may_search(&self) -> Result<()> {
        if self.extracting.current().definitions.has_custom() { self.know_again().await } else { Ok(()) }
    }

    async fn know_again(&self) -> Result<()> {
        if self.extracting.is_gone() {
            let unsure = |error: Error| {
                Error::new(Kind::Transient, "this server cannot tell the others that it lives").caused_by(error)
            };
            self.beat().await.map_err(unsure)?;
        }
        Ok(())
    }

    /// Nobody waits for this instance any more. Call it when nothing is written any more.
    pub async fn leave(&self) -> Result<()> {
        self.extracting.left.store(true, Ordering::Relaxed);
        let conn = self.pool.lane().await?;
        self.pool.within(extraction::leave(&conn, self.extracting.instance)).await
    }

    /// A set of parameters is known in `shape` before the first row that carries its key.
    pub async fn know_shape(&self, resource_type: ResourceType, parameters: &[&'static str]) -> Result<()> {
        let key = index::shape_key(&self.hasher, resource_type, parameters);
        if self.shapes.lock().is_ok_and(|known| known.contains(&key)) {
            return Ok(());
        }
        let conn = self.pool.lane().await?;
        self.pool.within(store::write::shape(&conn, resource_type, key, parameters)).await?;
        if let Ok(mut known) = self.shapes.lock() {
            known.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(generation: i64) -> Known {
        Known { generation, parameters: Vec::new(), unfinished: Vec::new() }
    }

    #[test]
    fn a_generation_is_announced_when_nobody_holds_an_earlier_one() {
        let extracting = Extracting::default();
        extracting.take(known(3), false).unwrap();
        assert_eq!(extracting.announced(), 3);
        let (one, other) = (extracting.current(), extracting.current());
        extracting.take(known(4), false).unwrap();
        extracting.take(known(5), false).unwrap();
        let late = extracting.current();
        assert_eq!((extracting.announced(), late.generation), (3, 5));
        drop(one);
        assert_eq!(extracting.announced(), 3);
        drop(other);
        assert_eq!(extracting.announced(), 5);
        extracting.take(known(5), false).unwrap();
        assert_eq!(extracting.current().lapse, late.lapse);
        extracting.take(known(5), true).unwrap();
        assert_ne!(extracting.current().lapse, late.lapse, "what began before is done again");
    }
}
