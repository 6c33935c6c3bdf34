//! `$meta` (<https://hl7.org/fhir/R4/resource-operation-meta.html>): profiles, tags and security labels of a resource, of
//! one of its versions, or of the newest resources of a type or of all. `$meta-add` and `$meta-delete` change them.
//!
//! A change is a new version, with its history and audit like any other: what a label says may decide who sees what. A
//! change that changes nothing makes none. Versions of the past are not changed.

use super::members;
use crate::access::{self, Action};
use crate::audit::Event;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::resource::format_instant;
use crate::interaction::history::{accesses, own_documents};
use crate::interaction::read::{self, not_found};
use crate::interaction::request::{checked, resource_type};
use crate::interaction::unit::{Place, Unit};
use crate::interaction::update::stale;
use crate::interaction::{Answer, Content};
use crate::search::param::date::END;
use crate::search::sql::Span;
use crate::store;
use crate::store::resource::Found;
use serde_json::{Map, Value, json};

/// Resources that the labels of a type or of all are gathered from: the newest.
const NEWEST: i64 = 1000;

/// What the labels are those of.
#[derive(Clone, Debug)]
pub enum Labels {
    All,
    Type(ResourceType),
    Instance(ResourceType, String),
    Version(ResourceType, String, i64),
}

impl Labels {
    pub(super) fn of(place: &[&str]) -> Result<Labels> {
        match place {
            [] => Ok(Labels::All),
            [name] => Ok(Labels::Type(resource_type(name)?)),
            [name, id] => Ok(Labels::Instance(resource_type(name)?, checked(id)?)),
            [name, id, "_history", version] => {
                let version = version.parse().map_err(|_| Error::new(Kind::NotFound, "there is no such version"))?;
                Ok(Labels::Version(resource_type(name)?, checked(id)?, version))
            }
            _ => Err(Error::new(Kind::NotFound, "there is no such address")),
        }
    }

    pub(in crate::interaction) fn resource_type(&self) -> Option<ResourceType> {
        match self {
            Labels::All => None,
            Labels::Type(t) | Labels::Instance(t, _) | Labels::Version(t, ..) => Some(*t),
        }
    }

    pub(in crate::interaction) fn id(&self) -> Option<&str> {
        match self {
            Labels::All | Labels::Type(_) => None,
            Labels::Instance(_, id) | Labels::Version(_, id, _) => Some(id),
        }
    }
}

pub(in crate::interaction) async fn run(unit: &mut Unit<'_>, labels: &Labels) -> Result<Answer> {
    let mut answer = match labels {
        Labels::Instance(t, id) => read::read(unit, *t, id).await?,
        Labels::Version(t, id, version) => read::vread(unit, *t, id, *version).await?,
        Labels::All | Labels::Type(_) => return of_many(unit, labels.resource_type()).await,
    };
    unit.retell("operation", "$meta".to_owned());
    answer.location = None;
    answer.body = answer.body.as_deref().map(meta_of).transpose()?;
    Ok(answer)
}

/// `Parameters` with the meta of a stored body.
fn meta_of(body: &[u8]) -> Result<Vec<u8>> {
    let mut resource: Value = serde_json::from_slice(body).map_err(Error::internal)?;
    Ok(told(resource.get_mut("meta").map(Value::take).unwrap_or_else(|| json!({}))))
}

fn told(meta: Value) -> Vec<u8> {
    let parameter = json!([{"name": "return", "valueMeta": meta}]);
    json!({"resourceType": "Parameters", "parameter": parameter}).to_string().into_bytes()
}

async fn of_many(unit: &mut Unit<'_>, resource_type: Option<ResourceType>) -> Result<Answer> {
    let accesses = accesses(unit, resource_type, None).await?;
    let own = own_documents(unit, &accesses).await?;
    unit.flush_what_waits().await?;
    let span = Span { until: END, limit: NEWEST, ..Span::default() };
    let rows = unit.with_own(async |conn| store::history::newest(conn, &accesses, own.as_deref(), &span).await).await?;
    let mut all = Map::new();
    for (_, row) in &rows {
        let resource: Value = serde_json::from_slice(&row.body).map_err(Error::internal)?;
        if let Some(Value::Object(meta)) = resource.get("meta") {
            change_lists(&mut all, meta, true);
        }
    }
    let mut event = Event::new(unit.caller, "operation");
    event.resource_type = resource_type.map(|t| t.name());
    unit.audit(Event { detail: Some("$meta".to_owned()), ..event });
    Ok(Answer { status: 200, body: Some(told(Value::Object(all))), ..Answer::default() })
}

/// `$meta-add`, `$meta-delete`.
#[derive(Clone, Debug)]
pub struct MetaChange {
    pub(in crate::interaction) resource_type: ResourceType,
    pub(in crate::interaction) id: String,
    adds: bool,
    if_match: Option<i64>,
    meta: Map<String, Value>,
}

impl MetaChange {
    pub(super) fn new(
        resource_type: ResourceType,
        id: String,
        adds: bool,
        if_match: Option<i64>,
        body: Option<Value>,
    ) -> Result<MetaChange> {
        let expected = || {
            Error::at(
                Kind::Invalid,
                "Parameters.parameter",
                "a parameter meta with a valueMeta is expected, and no other",
            )
        };
        let body = body.ok_or_else(expected)?;
        let [parameter] = members(&body)? else { return Err(expected()) };
        if parameter.get("name").and_then(Value::as_str) != Some("meta") {
            return Err(expected());
        }
        let meta = parameter.get("valueMeta").and_then(Value::as_object).cloned().ok_or_else(expected)?;
        Ok(MetaChange { resource_type, id, adds, if_match, meta })
    }
}

/// The members of Meta that are lists of labels.
const LISTS: [&str; 3] = ["profile", "security", "tag"];

/// Adds to `meta` the labels of `other`, or takes them away. Codings are the same by system and code.
fn change_lists(meta: &mut Map<String, Value>, other: &Map<String, Value>, adds: bool) {
    let same = |a: &Value, b: &Value| match (a, b) {
        (Value::Object(a), Value::Object(b)) => a.get("system") == b.get("system") && a.get("code") == b.get("code"),
        _ => a == b,
    };
    for name in LISTS {
        let Some(Value::Array(wanted)) = other.get(name) else { continue };
        let list = meta.entry(name).or_insert_with(|| json!([]));
        let Value::Array(list) = list else { continue };
        if adds {
            for one in wanted {
                if !list.iter().any(|known| same(known, one)) {
                    list.push(one.clone());
                }
            }
        } else {
            list.retain(|known| !wanted.iter().any(|one| same(known, one)));
        }
        if list.is_empty() {
            meta.shift_remove(name);
        }
    }
}

pub(in crate::interaction) async fn change(unit: &mut Unit<'_>, change: &MetaChange) -> Result<Answer> {
    let resource_type = change.resource_type;
    let access = access::authorize(unit.caller, Action::Update, resource_type)?;
    let current = match unit.find_to_write(&access, &change.id).await? {
        Found::Here(current) if current.deleted => {
            return Err(Error::new(Kind::Deleted, format!("this {resource_type} was deleted")));
        }
        Found::Here(current) => *current,
        Found::Nothing | Found::Hidden => return Err(not_found(resource_type)),
    };
    stale(change.if_match, current.version)?;
    let mut resource: Value = serde_json::from_slice(&current.body).map_err(Error::internal)?;
    let members = resource.as_object_mut().ok_or_else(|| Error::internal("a stored body is no object"))?;
    let mut meta = match members.get("meta") {
        Some(Value::Object(meta)) => meta.clone(),
        _ => Map::new(),
    };
    let before = meta.clone();
    change_lists(&mut meta, &change.meta, change.adds);
    if meta == before {
        let event = Event::new(unit.caller, "operation").of(resource_type).instance(&current.id, Some(current.version));
        let event = event.record(&current.documento_id, current.whose());
        unit.audit(Event { detail: Some("$meta, nothing changed".to_owned()), ..event });
        return Ok(answered(Value::Object(meta), current.version, current.updated));
    }
    members.insert("meta".to_owned(), Value::Object(meta.clone()));
    let mut content = Content::new(resource);
    content.check(unit.app, resource_type)?;
    let place = Place { id: current.id.clone(), documento_id: current.documento_id.clone() };
    let kept = unit.keep(&access, "PUT", place, content, Some(&current)).await?;
    let (Some(version), Some(updated)) = (kept.version, kept.updated) else {
        return Err(Error::internal("a write without its version"));
    };
    meta.insert("versionId".to_owned(), version.to_string().into());
    meta.insert("lastUpdated".to_owned(), format_instant(updated).into());
    Ok(answered(Value::Object(meta), version, updated))
}

fn answered(meta: Value, version: i64, updated: jiff::Timestamp) -> Answer {
    Answer { status: 200, body: Some(told(meta)), version: Some(version), updated: Some(updated), ..Answer::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(meta: Value, other: Value, adds: bool) -> Value {
        let mut meta = meta.as_object().unwrap().clone();
        change_lists(&mut meta, other.as_object().unwrap(), adds);
        Value::Object(meta)
    }

    #[test]
    fn labels_are_the_same_by_system_and_code() {
        let tags = json!({"versionId": "1", "tag": [{"system": "urn:x", "code": "a", "display": "A"}]});
        let more =
            json!({"versionId": "9", "profile": ["urn:p"], "tag": [{"system": "urn:x", "code": "a"}, {"code": "a"}]});
        assert_eq!(
            changed(tags.clone(), more.clone(), true),
            json!({"versionId": "1", "tag": [{"system": "urn:x", "code": "a", "display": "A"}, {"code": "a"}], "profile": ["urn:p"]})
        );
        assert_eq!(changed(tags, more, false), json!({"versionId": "1"}));
        assert_eq!(changed(json!({}), json!({"security": []}), true), json!({}));
    }
}
