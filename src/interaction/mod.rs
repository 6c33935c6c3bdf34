//! Everything that touches a resource is an [`Interaction`]: FHIR's own interaction codes
//! (<https://hl7.org/fhir/R4/http.html>). HTTP, Bundle entries, HL7 v2 messages, pages, jobs and the command line build
//! the same values and hand them to a [`Unit`]: authorize, do, audit, commit.

mod batch;
mod capabilities;
mod conditional;
mod create;
mod custom;
mod delete;
mod entry;
mod history;
mod includes;
mod links;
pub mod operation;
mod patch;
mod places;
mod planned;
mod read;
mod refined;
pub mod request;
mod resolve;
mod search;
mod search_system;
pub mod sight;
mod transaction;
pub mod unit;
mod update;

use crate::access::Caller;
use crate::app::App;
use crate::audit::{Event, Outcome};
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::patch::Patch;
use crate::fhir::reference::Id;
use crate::fhir::subset::Subset;
use crate::fhir::{outcome, resource};
use crate::search::compartment::Compartment;
use crate::store;
use crate::telemetry::metric;
pub use capabilities::Mode;
use jiff::Timestamp;
pub use operation::{Labels, MetaChange};
pub use refined::Unless;
use serde_json::Value;
use std::sync::Arc;
pub use unit::Unit;

/// A unit that lost a race is done again; from the second time on it locks what it reads, so few times are enough.
const ATTEMPTS: usize = 6;

/// A resource on its way in: its structure is checked once.
#[derive(Clone, Debug)]
pub struct Content {
    value: Value,
    checked: bool,
}

impl Content {
    pub fn new(value: Value) -> Content {
        Content { value, checked: false }
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Judges the structure: all problems at once.
    pub fn check(&mut self, app: &App, resource_type: ResourceType) -> Result<()> {
        if !self.checked {
            let issues = operation::problems(app, resource_type, &self.value);
            if !issues.is_empty() {
                return Err(Error::all(issues));
            }
            self.checked = true;
        }
        Ok(())
    }

    /// The content itself, where what is left behind is not looked at again.
    fn take(&mut self) -> Content {
        Content { value: self.value.take(), checked: self.checked }
    }

    /// Gives what was checked its id: it stays as valid as it was.
    fn identify(&mut self, id: &Id) {
        resource::set_id(&mut self.value, id);
    }
}

/// What becomes of the resource that the criteria of a conditional interaction pick.
#[derive(Clone, Debug)]
pub enum Change {
    Update { resource: Content, if_match: Option<i64> },
    Patch { patch: Patch, if_match: Option<i64> },
    Delete { if_match: Option<i64> },
}

/// How much of what was written comes back (`Prefer: return=...`, <https://hl7.org/fhir/R4/http.html#ops>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    Minimal,
    Representation,
    OperationOutcome,
}

/// The version of what is not there: with it as `if_match` an update creates or fails (`If-None-Match: *`).
pub const NO_VERSION: i64 = 0;

/// One interaction, closed.
#[derive(Clone, Debug)]
pub enum Interaction {
    Capabilities {
        mode: Mode,
    },
    Read {
        resource_type: ResourceType,
        id: String,
    },
    Vread {
        resource_type: ResourceType,
        id: String,
        version: i64,
    },
    HistoryInstance {
        resource_type: ResourceType,
        id: String,
        query: String,
    },
    /// The history of a type, or of everything.
    HistoryMany {
        resource_type: Option<ResourceType>,
        query: String,
    },
    SearchType {
        resource_type: ResourceType,
        query: String,
        /// `Prefer: handling=lenient`: what is not supported is left out and told, not refused.
        lenient: bool,
    },
    /// Over several types: all that the caller may see, or those of `_type`.
    SearchSystem {
        query: String,
        lenient: bool,
    },
    /// What belongs to one resource, of one type (which is in the compartment) or of all.
    SearchCompartment {
        compartment: Compartment,
        resource_type: Option<ResourceType>,
        query: String,
        lenient: bool,
    },
    Create {
        resource_type: ResourceType,
        resource: Content,
        if_none_exist: Option<String>,
    },
    Update {
        resource_type: ResourceType,
        id: String,
        resource: Content,
        if_match: Option<i64>,
    },
    Patch {
        resource_type: ResourceType,
        id: String,
        patch: Patch,
        if_match: Option<i64>,
    },
    Delete {
        resource_type: ResourceType,
        id: String,
        if_match: Option<i64>,
    },
    /// `PUT`, `PATCH` or `DELETE Type?criteria`
    Conditional {
        resource_type: ResourceType,
        criteria: String,
        change: Change,
    },
    /// `Patient/{id}/$everything`, `Encounter/{id}/$everything`
    Everything {
        kind: ResourceType,
        id: String,
        query: String,
    },
    /// `$meta`
    Meta(Labels),
    /// `$meta-add`, `$meta-delete`
    MetaChange(Box<MetaChange>),
    /// Another interaction, of whose answer only this is wanted.
    Refined {
        interaction: Box<Interaction>,
        unless: Option<Unless>,
        subset: Option<Subset>,
    },
    /// `$validate`, of a type or of an instance.
    Validate(Box<operation::Validate>),
    /// `$explain?url=..`
    Explain {
        query: String,
    },
    /// `$reindex`
    Reindex(operation::Reindex),
    /// `returns`: what each entry's response carries of what it wrote; nothing when it is not said.
    Transaction {
        bundle: Value,
        returns: Option<Return>,
    },
    Batch {
        bundle: Value,
        returns: Option<Return>,
    },
}

impl Interaction {
    /// FHIR's code (<https://hl7.org/fhir/R4/valueset-type-restful-interaction.html> and the system ones).
    pub fn code(&self) -> &'static str {
        match self {
            Interaction::Capabilities { .. } => "capabilities",
            Interaction::Read { .. } => "read",
            Interaction::Vread { .. } => "vread",
            Interaction::HistoryInstance { .. } => "history-instance",
            Interaction::HistoryMany { resource_type: Some(_), .. } => "history-type",
            Interaction::HistoryMany { .. } => "history-system",
            Interaction::Refined { interaction, .. } => interaction.code(),
            Interaction::SearchType { .. } | Interaction::SearchCompartment { resource_type: Some(_), .. } => {
                "search-type"
            }
            Interaction::SearchSystem { .. } | Interaction::SearchCompartment { .. } => "search-system",
            Interaction::Create { .. } => "create",
            Interaction::Update { .. } | Interaction::Conditional { change: Change::Update { .. }, .. } => "update",
            Interaction::Patch { .. } | Interaction::Conditional { change: Change::Patch { .. }, .. } => "patch",
            Interaction::Delete { .. } | Interaction::Conditional { change: Change::Delete { .. }, .. } => "delete",
            Interaction::Everything { .. }
            | Interaction::Meta(_)
            | Interaction::MetaChange(_)
            | Interaction::Validate(_)
            | Interaction::Explain { .. }
            | Interaction::Reindex(_) => "operation",
            Interaction::Transaction { .. } => "transaction",
            Interaction::Batch { .. } => "batch",
        }
    }

    pub fn resource_type(&self) -> Option<ResourceType> {
        match self {
            Interaction::Read { resource_type, .. }
            | Interaction::Vread { resource_type, .. }
            | Interaction::HistoryInstance { resource_type, .. }
            | Interaction::SearchType { resource_type, .. }
            | Interaction::Create { resource_type, .. }
            | Interaction::Update { resource_type, .. }
            | Interaction::Patch { resource_type, .. }
            | Interaction::Delete { resource_type, .. }
            | Interaction::Conditional { resource_type, .. } => Some(*resource_type),
            Interaction::Everything { kind, .. } => Some(*kind),
            Interaction::MetaChange(change) => Some(change.resource_type),
            Interaction::Meta(labels) => labels.resource_type(),
            Interaction::Validate(validate) => Some(validate.resource_type),
            Interaction::SearchCompartment { resource_type, .. } | Interaction::HistoryMany { resource_type, .. } => {
                *resource_type
            }
            Interaction::Refined { interaction, .. } => interaction.resource_type(),
            Interaction::Capabilities { .. }
            | Interaction::Explain { .. }
            | Interaction::Reindex(_)
            | Interaction::SearchSystem { .. }
            | Interaction::Transaction { .. }
            | Interaction::Batch { .. } => None,
        }
    }

    fn id(&self) -> Option<&str> {
        match self {
            Interaction::Read { id, .. }
            | Interaction::Vread { id, .. }
            | Interaction::HistoryInstance { id, .. }
            | Interaction::Update { id, .. }
            | Interaction::Patch { id, .. }
            | Interaction::Delete { id, .. }
            | Interaction::Everything { id, .. } => Some(id),
            Interaction::MetaChange(change) => Some(&change.id),
            Interaction::Meta(labels) => labels.id(),
            Interaction::Refined { interaction, .. } => interaction.id(),
            Interaction::Validate(validate) => validate.id.as_deref(),
            _ => None,
        }
    }
}

/// What an interaction answers.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// JSON text.
    pub body: Option<Vec<u8>>,
    pub version: Option<i64>,
    pub updated: Option<Timestamp>,
    /// `Type/id/_history/version`, relative to the base, of what was written.
    pub location: Option<String>,
    /// Where the state of what goes on is asked, relative to the base.
    pub content_location: Option<String>,
    /// Whether it tells of a write: then the client chooses how much comes back.
    pub is_write: bool,
}

impl Answer {
    /// An answer of one version of a resource.
    fn of(status: u16, resource_type: ResourceType, id: &str, version: i64, updated: Timestamp) -> Answer {
        let location = format!("{resource_type}/{id}/_history/{version}");
        Answer {
            status,
            body: None,
            version: Some(version),
            updated: Some(updated),
            location: Some(location),
            content_location: None,
            is_write: false,
        }
    }

    fn bundle(bundle: Vec<u8>) -> Answer {
        Answer { status: 200, body: Some(bundle), ..Answer::default() }
    }
}

/// What a patch may cost.
pub fn patch_limits(app: &App) -> crate::fhir::patch::Limits {
    patch::limits(&app.config.limits)
}

/// Runs one interaction as a unit of its own. What fails is audited too, before the answer.
pub async fn execute(app: &Arc<App>, caller: &Caller, interaction: &Interaction) -> Result<Answer> {
    if app.is_draining() {
        return Err(Error::new(Kind::Transient, "the server is stopping"));
    }
    let result = match interaction {
        Interaction::Batch { bundle, returns } => batch::execute(app, caller, bundle, *returns).await,
        _ => attempt(app, caller, interaction).await,
    };
    let kind = result.as_ref().err().map_or("ok", |error| outcome::issue_code(error.kind));
    metrics::counter!(metric::INTERACTIONS, "interaction" => interaction.code(), "outcome" => kind).increment(1);
    if let Err(error) = &result {
        refused(app, caller, interaction, error).await?;
    }
    result
}

async fn attempt(app: &Arc<App>, caller: &Caller, interaction: &Interaction) -> Result<Answer> {
    for attempt in 0..ATTEMPTS {
        app.may_search().await?;
        let mut unit = Unit::begin(app, caller);
        if attempt > 0 {
            unit.lock_what_is_read();
        }
        let committed = match unit.run(interaction).await {
            Ok(answer) => unit.commit().await.map(|()| answer),
            Err(error) => {
                unit.abandon().await;
                Err(error)
            }
        };
        match committed {
            Ok(answer) => return Ok(answer),
            Err(error) if store::is_race(&error) && attempt + 1 < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(Kind::Transient, "others keep changing the same resources"))
}

/// Reads everything of the patient that `given` means in an address, and makes a page or a document of it, all as one unit:
/// found, read, made, audited. `make` gives what it made and the detail of the audit record, whose action is `action`.
/// What is not there, not visible, deleted or meant by several people is one and the same 404.
pub async fn show<T>(
    app: &Arc<App>,
    caller: &Caller,
    given: &str,
    query: &str,
    action: &'static str,
    make: impl AsyncFnOnce(Answer) -> Result<(T, String)>,
) -> Result<T> {
    if app.is_draining() {
        return Err(Error::new(Kind::Transient, "the server is stopping"));
    }
    let mut unit = Unit::begin(app, caller);
    let mut found = None;
    let made = async {
        let id = operation::identify(&mut unit, given).await?;
        found = Some(id.clone());
        let kind = ResourceType::parse("Patient").ok_or_else(|| Error::internal("no type Patient"))?;
        let answer = unit.run(&Interaction::Everything { kind, id, query: query.to_owned() }).await?;
        let (made, detail) = make(answer).await?;
        unit.retell(action, detail);
        Ok(made)
    }
    .await;
    let error = match made {
        Ok(made) => match unit.commit().await {
            Ok(()) => return Ok(made),
            Err(error) => error,
        },
        Err(error) => {
            unit.abandon().await;
            error
        }
    };
    // What was typed is in no record: it may be a document number.
    let mut event = Event::new(caller, action);
    if let (Some(id), Some(patient)) = (found, ResourceType::parse("Patient")) {
        event = event.of(patient).instance(&id, None);
    }
    app.audit.record(vec![event.ended(gravity(&error), outcome::issue_code(error.kind))]).await?;
    Err(error)
}

/// Several interactions as one unit: what a page or a form does. It is done again after a lost race, so `work` must have
/// no other effect. What fails is audited as `action`, before the answer.
pub async fn together<T>(
    app: &Arc<App>,
    caller: &Caller,
    action: &'static str,
    work: impl AsyncFn(&mut Unit<'_>) -> Result<T>,
) -> Result<T> {
    if app.is_draining() {
        return Err(Error::new(Kind::Transient, "the server is stopping"));
    }
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut unit = Unit::begin(app, caller);
        if attempt > 1 {
            unit.lock_what_is_read();
        }
        let done = match work(&mut unit).await {
            Ok(done) => unit.commit().await.map(|()| done),
            Err(error) => {
                unit.abandon().await;
                Err(error)
            }
        };
        match done {
            Err(error) if store::is_race(&error) && attempt < ATTEMPTS => {}
            Err(error) => {
                let event = Event::new(caller, action).ended(gravity(&error), outcome::issue_code(error.kind));
                app.audit.record(vec![event]).await?;
                return Err(error);
            }
            done => return done,
        }
    }
}

fn gravity(error: &Error) -> Outcome {
    match outcome::status(error.kind) {
        500.. => Outcome::Serious,
        _ => Outcome::Minor,
    }
}

/// The audit record of what was not done, durable before the answer leaves.
async fn refused(app: &Arc<App>, caller: &Caller, interaction: &Interaction, error: &Error) -> Result<()> {
    let ended = gravity(error);
    let mut event = Event::new(caller, interaction.code());
    if let Some(resource_type) = interaction.resource_type() {
        event = event.of(resource_type);
    }
    if let Some(id) = interaction.id() {
        event = event.instance(id, None);
    }
    app.audit.record(vec![event.ended(ended, outcome::issue_code(error.kind))]).await
}
