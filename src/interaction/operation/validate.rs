//! `$validate` (<https://hl7.org/fhir/R4/resource-operation-validate.html>): what a write would say, without writing.
//!
//! The answer is 200 with an OperationOutcome, also when the resource is wrong. Without a mode the resource is judged for
//! itself; `create`, `update` and `delete` also try the interaction in a unit that is abandoned: references, identity and
//! rights are judged by the code of the write itself. Of profiles only the base definitions are known: another one is
//! refused by name when it was asked for, and named as not judged when the resource claims it.

use crate::access::{self, Action};
use crate::app::App;
use crate::audit::Event;
use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::definitions::{self, ResourceType, TypeKind};
use crate::fhir::{outcome, resource, rule, validate};
use crate::interaction::request::{self, Method, pairs};
use crate::interaction::unit::Unit;
use crate::interaction::{Answer, Content, Interaction, read};
use serde_json::Value;

/// Profiles that are looked at, of a request or of a resource.
const MOST_PROFILES: usize = 20;
/// Longer addresses of profiles are not shown.
const MOST_SHOWN: usize = 200;
const BASE: &str = "http://hl7.org/fhir/StructureDefinition/";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Create,
    Update,
    Delete,
    Profile,
}

/// What is to be judged, and how.
#[derive(Clone, Debug)]
pub struct Validate {
    pub resource_type: ResourceType,
    pub id: Option<String>,
    /// None: the stored one.
    resource: Option<Value>,
    mode: Option<Mode>,
    profiles: Vec<String>,
}

/// What is wrong with the structure of a resource that is to be a `resource_type`: of every write, and of `$validate`.
pub(in crate::interaction) fn problems(app: &App, resource_type: ResourceType, value: &Value) -> Vec<Issue> {
    validate::validate(definitions::r4(), resource_type, value, app.config.limits.string)
}

// ---------------------------------------------------------------------- reading the request

pub(in crate::interaction) fn parse(
    method: Method,
    resource_type: ResourceType,
    id: Option<String>,
    query: &str,
    body: Option<Value>,
) -> Result<Interaction> {
    let mut asked = Validate { resource_type, id, resource: None, mode: None, profiles: Vec::new() };
    match (method, body) {
        (Method::Get, _) if asked.id.is_some() => {}
        (Method::Post, None) => {}
        (Method::Post, Some(body)) if is_parameters(&asked, &body) => asked.take_parameters(body)?,
        (Method::Post, Some(body)) => asked.resource = Some(body),
        _ => return Err(Error::new(Kind::MethodNotAllowed, "the address does not have this method")),
    }
    for (name, value) in pairs(query)? {
        if !matches!(name.as_str(), "_format" | "_pretty") {
            asked.take(&name, &value)?;
        }
    }
    if asked.resource.is_none() && asked.id.is_none() {
        return Err(Error::at(Kind::Required, "resource", "a resource is expected in the body"));
    }
    if asked.mode == Some(Mode::Delete) && asked.id.is_none() {
        return Err(Error::at(Kind::Required, "mode", "the mode delete is of an instance: Type/id/$validate"));
    }
    if asked.mode == Some(Mode::Profile) && asked.profiles.is_empty() {
        return Err(wrong("mode", "rule.profile_missing"));
    }
    Ok(Interaction::Validate(Box::new(asked)))
}

fn wrong(place: &str, key: &'static str) -> Error {
    Error::all(vec![rule::issue(Kind::Value, place, key, &[])])
}

/// Whether the body is the parameters of the operation; a Parameters without `resource` may be what is to be judged.
fn is_parameters(asked: &Validate, body: &Value) -> bool {
    let names =
        |name: &str| list(body, "parameter").iter().any(|parameter| parameter.get("name") == Some(&name.into()));
    resource::text(body, "resourceType") == Some("Parameters")
        && (asked.resource_type.name() != "Parameters" || asked.id.is_some() || names("resource"))
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl Validate {
    fn take_parameters(&mut self, mut body: Value) -> Result<()> {
        let parameters = body.get_mut("parameter").and_then(Value::as_array_mut).map(std::mem::take);
        for (n, mut parameter) in parameters.unwrap_or_default().into_iter().enumerate() {
            let place = format!("Parameters.parameter[{n}]");
            let within = |error: Error| Error::at(error.kind, place.clone(), error.text());
            let name = resource::text(&parameter, "name").unwrap_or_default().to_owned();
            if name == "resource" {
                let given = parameter.get_mut("resource").map(Value::take).filter(Value::is_object);
                let given = given.ok_or_else(|| Error::at(Kind::Required, place.clone(), "the resource is missing"))?;
                if self.resource.replace(given).is_some() {
                    return Err(Error::at(Kind::Value, place, "is given more than once"));
                }
                continue;
            }
            let values = ["valueCode", "valueUri", "valueCanonical", "valueUrl", "valueString"];
            let value = values.iter().find_map(|value| resource::text(&parameter, value)).unwrap_or_default();
            self.take(&name, value).map_err(within)?;
        }
        Ok(())
    }

    fn take(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "mode" if self.mode.is_some() => Err(Error::at(Kind::Value, "mode", "is given more than once")),
            "mode" => {
                self.mode = Some(match value {
                    "create" => Mode::Create,
                    "update" => Mode::Update,
                    "delete" => Mode::Delete,
                    "profile" => Mode::Profile,
                    _ => return Err(wrong("mode", "rule.no_such_mode")),
                });
                Ok(())
            }
            "profile" if self.profiles.len() < MOST_PROFILES => {
                self.profiles.push(value.to_owned());
                Ok(())
            }
            "profile" => Err(Error::at(Kind::TooCostly, "profile", format!("more than {MOST_PROFILES} profiles"))),
            _ => Err(Error::at(Kind::NotSupported, request::shown(name), "is no parameter of $validate")),
        }
    }
}

// ---------------------------------------------------------------------- judging

pub(in crate::interaction) async fn run(unit: &mut Unit<'_>, asked: &Validate) -> Result<Answer> {
    let access = access::authorize(unit.caller, Action::Read, asked.resource_type)?;
    let event = Event::new(unit.caller, "operation").of(asked.resource_type);
    let mut event = Event { detail: Some("$validate".to_owned()), ..event };
    let mut value = asked.resource.clone();
    if let Some(id) = asked.id.as_deref().filter(|_| value.is_none() || asked.mode == Some(Mode::Delete)) {
        let stored = read::visible(unit, &access, id).await?;
        event = event.instance(id, Some(stored.version)).record(&stored.documento_id, stored.whose());
        if stored.deleted {
            return Err(Error::new(Kind::Deleted, format!("this {} was deleted", asked.resource_type)));
        }
        if value.is_none() {
            value = Some(serde_json::from_slice(&stored.body).map_err(Error::internal)?);
        }
    }
    let value = value.unwrap_or_default();
    let mut errors = match asked.mode {
        Some(Mode::Delete) => Vec::new(),
        _ => problems(unit.app, asked.resource_type, &value),
    };
    if errors.is_empty() {
        errors = tried(unit, asked, &value).await?;
    }
    errors.extend(asked.profiles.iter().filter_map(|profile| unknown(asked.resource_type, profile)));
    let mut warnings = match asked.mode {
        Some(Mode::Delete) => Vec::new(),
        _ => hints(asked.resource_type, &value),
    };
    let key = if asked.mode == Some(Mode::Delete) { "rule.ok_delete" } else { "rule.ok" };
    let mut well = rule::issue(Kind::Invalid, "", key, &[]);
    let language = unit.caller.language;
    errors.iter_mut().chain(&mut warnings).chain([&mut well]).for_each(|issue| rule::tell(language, issue));
    unit.audit(event);
    let body = outcome::judged(&errors, &warnings, &well.text).to_string().into_bytes();
    Ok(Answer { status: 200, body: Some(body), ..Answer::default() })
}

/// What the write of the mode says beyond the structure. Nothing of it stays: its unit is abandoned.
async fn tried(unit: &Unit<'_>, asked: &Validate, value: &Value) -> Result<Vec<Issue>> {
    let resource_type = asked.resource_type;
    let content = || Content::new(value.clone());
    let interaction = match asked.mode {
        None | Some(Mode::Profile) => return Ok(Vec::new()),
        Some(Mode::Create) => Interaction::Create { resource_type, resource: content(), if_none_exist: None },
        Some(Mode::Update) => {
            let Some(id) = asked.id.as_deref().or(resource::id(value)) else {
                let place = format!("{resource_type}.id");
                return Ok(vec![rule::issue(Kind::Required, place, "rule.id_missing", &[])]);
            };
            Interaction::Update { resource_type, id: id.to_owned(), resource: content(), if_match: None }
        }
        Some(Mode::Delete) => {
            let id = asked.id.clone().unwrap_or_default();
            Interaction::Delete { resource_type, id, if_match: None }
        }
    };
    let mut trial = Unit::begin(unit.app, unit.caller);
    let tried = match Box::pin(trial.run(&interaction)).await {
        Ok(_) => match trial.check_targets().await {
            Ok(()) => trial.check_holders().await,
            error => error,
        },
        Err(error) => Err(error),
    };
    trial.abandon().await;
    match tried {
        Ok(()) => Ok(Vec::new()),
        // A refusal of rights tells nothing else, and what is our fault is no fault of the resource.
        Err(error) if matches!(outcome::status(error.kind), 403 | 404 | 500..) => Err(error),
        Err(error) => Ok(error.issues),
    }
}

/// Why a profile that was asked for cannot be judged by; none for a base definition of the type.
fn unknown(resource_type: ResourceType, profile: &str) -> Option<Issue> {
    let name = base_definition(profile);
    let r4 = definitions::r4();
    if name.is_some_and(|name| r4.is_a(resource_type.name(), name)) {
        return None;
    }
    let of_another = name.and_then(|name| r4.type_def(name)).is_some_and(|def| def.kind == TypeKind::Resource);
    let (kind, key) = match of_another {
        true => (Kind::Value, "rule.profile_other"),
        false => (Kind::NotSupported, "rule.profile_unknown"),
    };
    Some(rule::issue(kind, "profile", key, &[("profile", address(profile))]))
}

/// `Patient` of `http://hl7.org/fhir/StructureDefinition/Patient|4.0.1`.
fn base_definition(profile: &str) -> Option<&str> {
    let (url, version) = profile.split_once('|').unwrap_or((profile, "4.0.1"));
    url.strip_prefix(BASE).filter(|_| matches!(version, "4.0.1" | "4.0"))
}

/// An address as it may be shown.
fn address(profile: &str) -> &str {
    let plain = profile.len() <= MOST_SHOWN && profile.bytes().all(|b| b.is_ascii_graphic()) && profile.contains(':');
    if plain { profile } else { "?" }
}

/// What is not wrong and still to be known: profiles that the resource claims and that were not judged, no narrative (dom-6).
fn hints(resource_type: ResourceType, value: &Value) -> Vec<Issue> {
    let claimed = value.get("meta").map_or(&[][..], |meta| list(meta, "profile"));
    let mut hints = Vec::new();
    for (n, profile) in claimed.iter().enumerate().take(MOST_PROFILES) {
        let Some(profile) = profile.as_str().filter(|profile| base_definition(profile).is_none()) else { continue };
        let place = format!("{resource_type}.meta.profile[{n}]");
        hints.push(rule::issue(Kind::NotSupported, place, "rule.profile_claimed", &[("profile", address(profile))]));
    }
    let narrative = value.get("text").and_then(|text| text.get("div"));
    if definitions::r4().is_a(resource_type.name(), "DomainResource") && narrative.is_none() {
        hints.push(rule::issue(Kind::Invariant, format!("{resource_type}.text"), "rule.dom6", &[]));
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(method: Method, name: &str, id: Option<&str>, query: &str, body: Option<Value>) -> String {
        let resource_type = ResourceType::parse(name).unwrap();
        match parse(method, resource_type, id.map(str::to_owned), query, body) {
            Ok(Interaction::Validate(asked)) => {
                let given = asked.resource.as_ref().map(|value| value["resourceType"].to_string());
                format!("{:?} {:?} {}", given, asked.mode, asked.profiles.join(","))
            }
            Ok(_) => unreachable!(),
            Err(error) => format!("{:?} {}", error.kind, error.issues[0].expression.as_deref().unwrap_or("-")),
        }
    }

    #[test]
    fn a_request_is_read_from_its_address_and_its_body() {
        let check = |body: Value, query: &str, expected: &str| {
            assert_eq!(of(Method::Post, "Patient", None, query, Some(body.clone())), expected, "{body} {query}");
        };
        let patient = json!({"resourceType": "Patient"});
        let with = |parameters: Value| json!({"resourceType": "Parameters", "parameter": parameters});
        check(patient.clone(), "", "Some(\"\\\"Patient\\\"\") None ");
        check(
            patient.clone(),
            "mode=create&profile=http://a&_format=json",
            "Some(\"\\\"Patient\\\"\") Some(Create) http://a",
        );
        check(
            with(json!([{"name": "resource", "resource": patient}, {"name": "mode", "valueCode": "update"},
                {"name": "profile", "valueUri": "http://a"}, {"name": "profile", "valueCanonical": "http://b"}])),
            "",
            "Some(\"\\\"Patient\\\"\") Some(Update) http://a,http://b",
        );
        check(with(json!([])), "", "Required resource");
        check(with(json!([{"name": "resource"}])), "", "Required Parameters.parameter[0]");
        check(with(json!([{"name": "mode", "valueCode": "destroy"}])), "", "Value Parameters.parameter[0]");
        check(patient.clone(), "mode=destroy", "Value mode");
        check(patient.clone(), "mode=profile", "Value mode");
        check(patient.clone(), "mode=delete", "Required mode");
        check(patient.clone(), "nombre=x", "NotSupported nombre");
        check(patient, "mode=create&mode=create", "Value mode");
    }

    #[test]
    fn parameters_may_be_what_is_to_be_judged() {
        let bare = json!({"resourceType": "Parameters", "parameter": [{"name": "x", "valueCode": "y"}]});
        assert_eq!(of(Method::Post, "Parameters", None, "", Some(bare)), "Some(\"\\\"Parameters\\\"\") None ");
        assert_eq!(of(Method::Get, "Patient", None, "", None), "MethodNotAllowed -");
        assert_eq!(of(Method::Get, "Patient", Some("a"), "mode=delete", None), "None Some(Delete) ");
        assert_eq!(of(Method::Post, "Patient", Some("a"), "", None), "None None ");
        assert_eq!(of(Method::Put, "Patient", Some("a"), "", None), "MethodNotAllowed -");
    }

    #[test]
    fn only_base_definitions_are_known() {
        let patient = ResourceType::parse("Patient").unwrap();
        let check = |profile: &str, expected: Option<Kind>| {
            assert_eq!(unknown(patient, profile).map(|issue| issue.kind), expected, "{profile}");
        };
        for known in ["Patient", "Patient|4.0.1", "DomainResource", "Resource"] {
            check(&format!("{BASE}{known}"), None);
        }
        check(&format!("{BASE}Observation"), Some(Kind::Value));
        check(&format!("{BASE}Patient|5.0.0"), Some(Kind::NotSupported));
        check(&format!("{BASE}vitalsigns"), Some(Kind::NotSupported));
        check("http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient", Some(Kind::NotSupported));
        assert!(unknown(patient, "Ana Ruiz").unwrap().text.contains("profile ? is not"));
    }
}
