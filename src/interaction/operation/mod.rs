//! Operations (<https://hl7.org/fhir/R4/operations.html>), one file per `$operation`; here their addresses.

mod everything;
mod explain;
mod identify;
mod meta;
mod reindex;
mod validate;

use crate::error::{Error, Kind, Result};
use crate::interaction::Interaction;
use crate::interaction::request::{Conditions, Method, checked, if_match, resource_type};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

pub(super) use everything::run as everything;
pub(super) use explain::run as explain;
pub use identify::identify;
pub use meta::{Labels, MetaChange};
pub(super) use meta::{change as meta_change, run as meta};
pub use reindex::Ask as Reindex;
pub(super) use reindex::run as reindex;
pub use validate::Validate;
pub(super) use validate::{problems, run as validate};

/// The operation at a place: `$everything` at `Patient/1`.
pub(super) fn parse(
    method: Method,
    place: &[&str],
    operation: &str,
    query: &str,
    conditions: &Conditions,
    body: Option<Value>,
) -> Result<Interaction> {
    let reads = matches!(method, Method::Get | Method::Post);
    match (operation, place) {
        ("$explain", []) if method == Method::Get => Ok(Interaction::Explain { query: query.to_owned() }),
        ("$reindex", []) if method == Method::Get => Ok(Interaction::Reindex(Reindex::List)),
        ("$reindex", []) if method == Method::Post => {
            Ok(Interaction::Reindex(Reindex::Start { query: parameters(query, body)? }))
        }
        ("$everything", [kind @ ("Patient" | "Encounter"), id]) if reads => {
            let query = parameters(query, body)?;
            Ok(Interaction::Everything { kind: resource_type(kind)?, id: checked(id)?, query })
        }
        ("$everything", ["Patient" | "Encounter"]) if reads => {
            let text = "$everything is of one Patient or Encounter: name it in the address";
            Err(Error::new(Kind::NotSupported, text))
        }
        ("$meta", place) if reads => {
            parameters(query, body)?;
            Ok(Interaction::Meta(Labels::of(place)?))
        }
        ("$meta-add" | "$meta-delete", [name, id]) if method == Method::Post => {
            let (resource_type, id) = (resource_type(name)?, checked(id)?);
            let change = MetaChange::new(resource_type, id, operation == "$meta-add", if_match(conditions)?, body)?;
            Ok(Interaction::MetaChange(Box::new(change)))
        }
        ("$validate", [name]) => validate::parse(method, resource_type(name)?, None, query, body),
        ("$validate", [name, id]) => validate::parse(method, resource_type(name)?, Some(checked(id)?), query, body),
        ("$explain" | "$reindex", [])
        | ("$everything", ["Patient" | "Encounter", _] | ["Patient" | "Encounter"])
        | ("$meta-add" | "$meta-delete", [_, _]) => {
            Err(Error::new(Kind::MethodNotAllowed, "the address does not have this method"))
        }
        ("$meta", place) if Labels::of(place).is_ok() => {
            Err(Error::new(Kind::MethodNotAllowed, "the address does not have this method"))
        }
        _ => {
            let known = operation.trim_start_matches('$').chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            let name = if known { operation } else { "$..." };
            Err(Error::new(Kind::NotFound, format!("the operation {name} is not supported here")))
        }
    }
}

/// `$reindex/{job}`
pub(super) fn job(method: Method, job: &str) -> Result<Interaction> {
    match method {
        Method::Get => Ok(Interaction::Reindex(Reindex::Look { job: job.to_owned() })),
        Method::Delete => Ok(Interaction::Reindex(Reindex::Cancel { job: job.to_owned() })),
        _ => Err(Error::new(Kind::MethodNotAllowed, "the address does not have this method")),
    }
}

/// The methods of an operation, by its name.
pub fn methods(operation: &str) -> &'static str {
    match operation {
        "$explain" => "GET, HEAD, OPTIONS",
        "$meta-add" | "$meta-delete" => "POST, OPTIONS",
        _ => "GET, HEAD, POST, OPTIONS",
    }
}

/// By POST the parameters stand in a Parameters resource, in the address, or in both: each has a name and one primitive
/// value.
fn parameters(query: &str, body: Option<Value>) -> Result<String> {
    let mut query = query.to_owned();
    let Some(body) = body else { return Ok(query) };
    for (n, parameter) in members(&body)?.iter().enumerate() {
        let wrong = || {
            Error::at(
                Kind::Value,
                format!("Parameters.parameter[{n}]"),
                "a parameter has a name and one primitive value",
            )
        };
        let members = parameter.as_object().ok_or_else(wrong)?;
        let name = members.get("name").and_then(Value::as_str).ok_or_else(wrong)?;
        let value =
            members.iter().find(|(key, _)| key.starts_with("value")).map(|(_, value)| value).ok_or_else(wrong)?;
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(wrong()),
        };
        let separator = if query.is_empty() { "" } else { "&" };
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        query.push_str(&format!("{separator}{}={}", encoded(name), encoded(&value)));
    }
    Ok(query)
}

/// `Parameters.parameter`
fn members(body: &Value) -> Result<&[Value]> {
    if body.get("resourceType").and_then(Value::as_str) != Some("Parameters") {
        return Err(Error::at(Kind::Invalid, "Parameters", "the body of an operation is a Parameters resource"));
    }
    Ok(body.get("parameter").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default())
}
