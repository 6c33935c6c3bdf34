//! A unit of work: one caller, one commit. Authorization and audit happen per interaction, the commit once.
//!
//! A unit gathers its rows and sends them as sets at its commit. It opens a transaction only when it must: for a
//! lock, or to commit more than one row. A single write is one statement; a unit that only read commits its audit
//! records by the group writer.

use crate::access::{self, Access, Caller};
use crate::app::App;
use crate::audit::Event;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::reference::Id;
use crate::fhir::{resource, subset};
use crate::interaction::places::at_places;
use crate::interaction::{
    Answer, Content, Interaction, capabilities, conditional, create, custom, delete, history, operation, patch, read,
    refined, search, search_system, transaction, update,
};
use crate::search::{Context, Extraction, index};
use crate::store::horizon::Running;
use crate::store::placement::Record;
use crate::store::pool::Pooled;
use crate::store::resource::{Found, Stored};
use crate::store::write::{Set, Version};
use crate::store::{self, Conn, Tx};
use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;
use uuid::Uuid;

mod near;
mod place;
mod references;
mod time;

pub struct Unit<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) caller: &'a Caller,
    tx: Option<Tx>,
    /// Whether the transaction is one of the node of the record.
    near: bool,
    set: Set,
    events: Vec<Event>,
    /// The access of the latest write: the proof that goes with the set.
    access: Option<Access>,
    locks: bool,
    /// Current versions read ahead, as sets; `None`: looked for and not there.
    ahead: HashMap<(ResourceType, String), Option<Stored>>,
    /// Records by patient, those that this unit opens included.
    records: HashMap<String, Arc<Record>>,
    /// What this unit writes: references to it need no look-up, and nothing is written twice.
    written: HashSet<(ResourceType, String)>,
    /// References that must point at something, with their place.
    targets: Vec<(ResourceType, String, String)>,
    /// What is deleted, which nothing may point at, with the entry that says so.
    released: Vec<(ResourceType, String, Option<String>)>,
    /// The versions that criteria have picked: another one is not written.
    pinned: HashMap<(ResourceType, String), i64>,
    /// Before the places of issues, while a Bundle entry is in work.
    pub(super) place: Option<String>,
    /// Whether answers of writes carry the resource.
    pub(super) wants_body: bool,
    /// Sessions that end with the commit.
    ended: Vec<Uuid>,
    /// What its columns are extracted and its searches read by, held until it has ended.
    extraction: Arc<Extraction>,
    /// Whether it changes what is extracted.
    pub(super) redefines: bool,
    /// That it writes, once it does.
    running: Option<Running>,
}

/// The connection that a unit reads with.
enum Reader<'r> {
    Own(&'r Conn),
    Shared(Arc<Conn>),
    Lent(Box<Pooled>),
}

impl Deref for Reader<'_> {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        match self {
            Reader::Own(conn) => conn,
            Reader::Shared(conn) => conn,
            Reader::Lent(conn) => conn,
        }
    }
}

/// Where a new resource goes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub id: String,
    pub documento_id: String,
}

impl<'a> Unit<'a> {
    pub fn begin(app: &'a Arc<App>, caller: &'a Caller) -> Unit<'a> {
        Unit {
            app,
            caller,
            tx: None,
            near: false,
            set: Set::default(),
            events: Vec::new(),
            access: None,
            locks: false,
            ahead: HashMap::new(),
            records: HashMap::new(),
            written: HashSet::new(),
            targets: Vec::new(),
            released: Vec::new(),
            pinned: HashMap::new(),
            place: None,
            wants_body: true,
            ended: Vec::new(),
            extraction: app.extracting.current(),
            redefines: false,
            running: None,
        }
    }

    /// From now on what is read to be written is locked until the commit.
    pub fn lock_what_is_read(&mut self) {
        self.locks = true;
    }

    /// One interaction inside this unit.
    pub async fn run(&mut self, interaction: &Interaction) -> Result<Answer> {
        match interaction {
            Interaction::Capabilities { mode } => capabilities::run(self, *mode),
            Interaction::Read { resource_type, id } => read::read(self, *resource_type, id).await,
            Interaction::Vread { resource_type, id, version } => read::vread(self, *resource_type, id, *version).await,
            Interaction::HistoryInstance { resource_type, id, query } => {
                history::instance(self, *resource_type, id, query).await
            }
            Interaction::HistoryMany { resource_type, query } => history::of_many(self, *resource_type, query).await,
            Interaction::Refined { interaction, unless, subset } => {
                refined::run(self, interaction, unless.as_ref(), subset.as_ref()).await
            }
            Interaction::SearchType { resource_type, query, lenient } => {
                search::run(self, *resource_type, None, query, *lenient).await
            }
            Interaction::SearchSystem { query, lenient } => search_system::run(self, None, query, *lenient).await,
            Interaction::SearchCompartment { compartment, resource_type, query, lenient } => match resource_type {
                Some(resource_type) => search::run(self, *resource_type, Some(compartment), query, *lenient).await,
                None => search_system::run(self, Some(compartment), query, *lenient).await,
            },
            Interaction::Create { resource_type, resource, if_none_exist } => {
                create::run(self, *resource_type, resource.clone(), if_none_exist.as_deref(), None).await
            }
            Interaction::Update { resource_type, id, resource, if_match } => {
                update::run(self, *resource_type, id, resource.clone(), *if_match).await
            }
            Interaction::Patch { resource_type, id, patch, if_match } => {
                patch::run(self, *resource_type, id, patch, *if_match).await
            }
            Interaction::Delete { resource_type, id, if_match } => {
                delete::run(self, *resource_type, id, *if_match).await
            }
            Interaction::Conditional { resource_type, criteria, change } => {
                conditional::run(self, *resource_type, criteria, change).await
            }
            Interaction::Everything { kind, id, query } => operation::everything(self, *kind, id, query).await,
            Interaction::Meta(labels) => operation::meta(self, labels).await,
            Interaction::MetaChange(change) => operation::meta_change(self, change).await,
            Interaction::Validate(asked) => operation::validate(self, asked).await,
            Interaction::Explain { query } => operation::explain(self, query).await,
            Interaction::Reindex(ask) => operation::reindex(self, ask).await,
            Interaction::Transaction { bundle, returns } => Box::pin(transaction::run(self, bundle, *returns)).await,
            Interaction::Batch { .. } => Err(Error::new(Kind::Invalid, "a batch is not one unit of work")),
        }
    }

    pub(super) fn ends_sessions(&mut self, ended: Vec<Uuid>) {
        self.ended.extend(ended);
    }

    pub(super) fn audit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Says in the latest audit record what was made of what was read: a page, a document of so many pages.
    pub(super) fn retell(&mut self, action: &'static str, detail: String) {
        if let Some(event) = self.events.last_mut() {
            event.action = action;
            event.detail = Some(detail);
        }
    }

    /// The connection of the transaction, opened now when there is none.
    pub async fn transaction(&mut self) -> Result<&Conn> {
        if self.tx.is_none() {
            self.tx = Some(self.app.pool.begin().await?);
        }
        self.tx.as_ref().map(Tx::conn).ok_or_else(|| Error::internal("no transaction"))
    }

    async fn reader(&self) -> Result<Reader<'_>> {
        match &self.tx {
            Some(tx) => Ok(Reader::Own(tx.conn())),
            // On a cluster a shared connection would make all wait for the slowest node.
            None if !self.app.group.serves() => Ok(Reader::Lent(Box::new(self.app.pool.reader().await?))),
            None => Ok(Reader::Shared(self.app.pool.lane().await?)),
        }
    }

    /// Runs `work` with the unit's connection under the client-side deadline.
    pub(super) async fn with<T>(&self, work: impl AsyncFnOnce(&Conn) -> Result<T>) -> Result<T> {
        let reader = self.reader().await?;
        self.app.pool.within(work(&reader)).await
    }

    // ------------------------------------------------------------------ finding

    /// The current version of an id: first where the id leads, then where the directory says.
    pub(super) async fn find(&mut self, access: &Access, id: &str) -> Result<Found> {
        let key = (access.resource_type(), id.to_owned());
        let is_seen =
            |known: &Option<Stored>| known.as_ref().is_none_or(|known| access.sees(&known.owner, &known.labels));
        if let Some(known) = self.ahead.remove(&key).filter(is_seen) {
            return Ok(known.map_or(Found::Nothing, |stored| Found::Here(Box::new(stored))));
        }
        let lock = self.locks && self.access.is_some();
        if lock {
            self.transaction().await?;
        }
        let ids = [(access.resource_type(), id)];
        let placement = &self.app.placement;
        let candidate =
            self.with(async |conn| placement.candidates(conn, &ids).await).await?.into_iter().next().flatten();
        if let Some(place) = candidate {
            match self.at(&place, async |conn| store::resource::current(conn, access, &place, id, lock).await).await? {
                Found::Nothing => {}
                found => return Ok(found),
            }
        }
        match self.with(async |conn| placement.directory(conn, &ids).await).await?.into_iter().next().flatten() {
            Some(place) => {
                self.at(&place, async |conn| store::resource::current(conn, access, &place, id, lock).await).await
            }
            None => Ok(Found::Nothing),
        }
    }

    /// For a write: as [`Unit::find`], locking when an attempt was lost before.
    pub(super) async fn find_to_write(&mut self, access: &Access, id: &str) -> Result<Found> {
        self.access = Some(access.clone());
        let found = self.find(access, id).await?;
        if let (Found::Here(here), false) = (&found, self.pinned.is_empty())
            && self.pinned.get(&(access.resource_type(), id.to_owned())).is_some_and(|picked| *picked != here.version)
        {
            return Err(store::race());
        }
        Ok(found)
    }

    /// Whether what is read to be written is locked.
    pub(super) fn locks(&self) -> bool {
        self.locks
    }

    /// Holds fast which version criteria have picked: when another one is met, the unit is done again.
    pub(super) fn pin(&mut self, resource_type: ResourceType, found: &Stored) {
        self.pinned.insert((resource_type, found.id.clone()), found.version);
    }

    /// Keeps the current version that a search has found, which does not tell its method, for the next read of its id.
    pub(super) fn remember(&mut self, access: &Access, found: Stored) {
        if !self.locks {
            self.ahead.insert((access.resource_type(), found.id.clone()), Some(found));
        }
    }

    /// Reads current versions of many ids ahead: one query a place, not one an id.
    pub(super) async fn read_ahead(&mut self, access: &Access, ids: &[&str]) -> Result<()> {
        if self.locks || ids.is_empty() {
            return Ok(());
        }
        let resource_type = access.resource_type();
        let is_known = |id: &str| self.ahead.contains_key(&(resource_type, id.to_owned()));
        let ids: Vec<&str> = ids.iter().copied().filter(|id| !is_known(id)).collect();
        let typed: Vec<(ResourceType, &str)> = ids.iter().map(|id| (resource_type, *id)).collect();
        let placement = &self.app.placement;
        let candidates = self.with(async |conn| placement.candidates(conn, &typed).await).await?;
        let mut found = at_places(self, access, ids.iter().copied().zip(candidates)).await?;
        let there: HashSet<&str> = found.iter().map(|s| s.id.as_str()).collect();
        let rest: Vec<(ResourceType, &str)> = typed.iter().copied().filter(|(_, id)| !there.contains(id)).collect();
        let directory = self.with(async |conn| placement.directory(conn, &rest).await).await?;
        let more = at_places(self, access, rest.iter().map(|(_, id)| *id).zip(directory)).await?;
        found.extend(more);
        let mut by_id: HashMap<String, Stored> = found.into_iter().map(|s| (s.id.clone(), s)).collect();
        for id in ids {
            self.ahead.insert((resource_type, id.to_owned()), by_id.remove(id));
        }
        Ok(())
    }

    /// Runs a search: in the transaction when there is one, else on a connection of its own, so that nobody waits behind it.
    pub(super) async fn with_own<T>(&self, work: impl AsyncFnOnce(&Conn) -> Result<T>) -> Result<T> {
        match &self.tx {
            Some(tx) => self.app.pool.within(work(tx.conn())).await,
            None => {
                let conn = self.app.pool.get().await?;
                self.app.pool.within(work(&conn)).await
            }
        }
    }

    // ------------------------------------------------------------------ writing

    /// Takes a new version into the set: id, meta, search columns, owner, labels, references to be checked.
    /// `current`: the version it replaces. Returns the answer without its status.
    pub(super) async fn keep(
        &mut self,
        access: &Access,
        method: &'static str,
        place: Place,
        content: Content,
        current: Option<&Stored>,
    ) -> Result<Answer> {
        let resource_type = access.resource_type();
        let mut value = content.value;
        let Some(id) = Id::parse(&place.id) else { return Err(Error::at(Kind::Value, "id", "not a FHIR id")) };
        let version = current.map_or(1, |c| c.version + 1);
        let updated = self.time_after(current);
        if subset::is_part(&value) {
            let text = "the tag SUBSETTED says that this is a part of a resource: the rest would be lost";
            return Err(Error::at(Kind::BusinessRule, format!("{resource_type}.meta.tag"), text));
        }
        resource::set_id(&mut value, &id);
        resource::set_meta(&mut value, u64::try_from(version).unwrap_or(1), updated);

        let base = &self.app.base;
        let context = Context { definitions: self.extraction.definitions, ..self.app.search_context() };
        let columns = index::columns(&context, resource_type, &value)?;
        let owner = access::compartment::owner(resource_type, &value, base);
        let labels = access::compartment::labels(resource_type, &value);
        access.may_write(&labels)?;
        if let Some(current) = current {
            access.may_write(&current.labels)?;
        }
        self.take_targets(&value)?;
        self.spread(resource_type, &columns.patient, &place.documento_id).await?;
        self.app.know_shape(resource_type, &columns.shape).await?;
        custom::kept(self, resource_type, &place.id, Some(&value)).await?;
        if !self.written.insert((resource_type, place.id.clone())) {
            return Err(Error::new(Kind::Invalid, "the same resource is written twice in one transaction"));
        }
        let body = value.to_string().into_bytes();
        let mut answer = Answer::of(200, resource_type, &place.id, version, updated);
        answer.is_write = true;
        answer.body = self.wants_body.then(|| body.clone());
        let whose = owner.first().or(columns.patient.first()).map(String::as_str);
        let action = match (method, current) {
            ("POST", None) => "create",
            ("PATCH", _) => "patch",
            _ => "update",
        };
        let event = Event::new(self.caller, action)
            .of(resource_type)
            .instance(&place.id, Some(version))
            .record(&place.documento_id, whose);
        self.events.push(event);
        self.access = Some(access.clone());
        self.set.versions.push(Version {
            documento_id: place.documento_id,
            resource_type,
            id: place.id,
            version,
            replaces: current.map(|c| c.version),
            method,
            updated,
            deleted: false,
            columns,
            owner,
            labels,
            body,
            extraction: self.extraction.clone(),
        });
        Ok(answer)
    }

    /// Takes a tombstone into the set.
    pub(super) fn bury(&mut self, access: &Access, current: &Stored) -> Result<Answer> {
        access.may_write(&current.labels)?;
        let resource_type = access.resource_type();
        if !self.written.insert((resource_type, current.id.clone())) {
            return Err(Error::new(Kind::Invalid, "the same resource is written twice in one transaction"));
        }
        self.release(resource_type, &current.id);
        let (version, updated) = (current.version + 1, self.time_after(Some(current)));
        let event = Event::new(self.caller, "delete").of(resource_type).instance(&current.id, Some(version));
        self.events.push(event.record(&current.documento_id, current.whose()));
        self.access = Some(access.clone());
        self.set.versions.push(Version {
            documento_id: current.documento_id.clone(),
            resource_type,
            id: current.id.clone(),
            version,
            replaces: Some(current.version),
            method: "DELETE",
            updated,
            deleted: true,
            // A deleted version stays visible to those who saw it: owner and labels are kept, what it is found by goes.
            columns: index::Columns { patient: current.patient.clone(), ..index::Columns::default() },
            owner: current.owner.clone(),
            labels: current.labels.clone(),
            body: Vec::new(),
            extraction: self.extraction.clone(),
        });
        let mut answer = Answer::of(204, resource_type, &current.id, version, updated);
        answer.location = None;
        Ok(answer)
    }

    /// A client-chosen id goes into the directory.
    pub(super) fn register(&mut self, resource_type: ResourceType, place: &Place) {
        self.set.directory.push((resource_type, place.id.clone(), place.documento_id.clone()));
    }

    /// Patients of a compartment whose own key is another one learn that data of theirs lie here too.
    async fn spread(&mut self, resource_type: ResourceType, patients: &[String], documento_id: &str) -> Result<()> {
        let limit = self.app.config.limits.patients_per_resource;
        if patients.len() > limit {
            let text = format!("a resource may concern at most {limit} patients (limits.patients_per_resource)");
            return Err(Error::new(Kind::BusinessRule, text));
        }
        // A Group is a list of people, not a part of their records.
        if resource_type.name() == "Group" {
            return Ok(());
        }
        for patient in patients {
            let Some(record) = self.record_of(patient).await? else { continue };
            if record.documento_id != documento_id {
                let row = (patient.clone(), record.documento_id.clone(), documento_id.to_owned());
                if !self.set.record_keys.contains(&row) {
                    self.set.record_keys.push(row);
                }
            }
        }
        Ok(())
    }

    // ------------------------------------------------------------------ ending

    /// Before a search: what this unit has written so far must be found.
    pub(super) async fn flush_what_waits(&mut self) -> Result<()> {
        if self.set.is_empty() { Ok(()) } else { self.flush().await }
    }

    /// Sends what was gathered into the transaction, so that later reads of this unit see it.
    pub(super) async fn flush(&mut self) -> Result<()> {
        self.check_targets().await?;
        let events = std::mem::take(&mut self.events);
        let set = std::mem::take(&mut self.set);
        self.transaction().await?;
        let Some(tx) = &self.tx else { return Err(Error::internal("no transaction")) };
        if !self.app.pool.within(store::write::all(tx.conn(), &set, &events)).await? {
            return Err(store::race());
        }
        self.check_holders().await
    }

    /// Makes everything durable, the audit records included. Fails with a race (`store::is_race`) when somebody else
    /// was faster; nothing was written then.
    pub async fn commit(mut self) -> Result<()> {
        if let Err(error) = self.make_durable().await {
            self.abandon().await;
            return Err(error);
        }
        if !self.ended.is_empty() {
            self.app.sessions.let_all_hear(&self.ended).await;
        }
        if self.redefines {
            let app = self.app;
            // It would wait for itself.
            drop(self);
            app.settle().await;
        }
        Ok(())
    }

    /// Rolls back. A unit that is dropped instead costs its connection.
    pub async fn abandon(mut self) {
        if let Some(tx) = self.tx.take()
            && let Err(error) = self.app.pool.within(tx.rollback()).await
        {
            tracing::debug!(%error, "a transaction could not be rolled back; its connection is closed");
        }
    }

    async fn make_durable(&mut self) -> Result<()> {
        if self.set.is_empty() && self.tx.is_none() {
            return self.app.audit.record(std::mem::take(&mut self.events)).await;
        }
        self.app.may_store(&self.extraction).await?;
        if self.tx.is_none() && self.set.versions.len() == 1 {
            self.check_holders().await?;
        }
        if let (None, true, true, Some(access)) =
            (&self.tx, self.set.is_one(), self.app.group.serves(), self.access.clone())
        {
            self.check_targets().await?;
            let Some(version) = self.set.versions.pop() else { return Err(Error::internal("no version")) };
            let written = self.app.group.write(access, version, std::mem::take(&mut self.events)).await?;
            return if written { Ok(()) } else { Err(store::race()) };
        }
        self.check_targets().await?;
        // Again after a lost race it goes the way that knows all.
        if self.tx.is_none() && !self.locks && self.released.is_empty() {
            self.go_near().await?;
        }
        let done = self.flush_and_commit().await;
        match done {
            // The shard has moved away, or the node is none of the cluster any more.
            Err(error) if self.near && store::is_refusal(&error) && error.kind != Kind::Timeout => {
                self.app.pool.nodes().doubt();
                Err(store::race())
            }
            done => done,
        }
    }

    async fn flush_and_commit(&mut self) -> Result<()> {
        self.flush().await?;
        let Some(tx) = self.tx.take() else { return Err(Error::internal("no transaction")) };
        self.app.pool.within(tx.commit()).await
    }
}
