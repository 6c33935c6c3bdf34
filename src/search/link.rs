//! Chains and `_has`: conditions on resources that a match points at, or that point at it.
//! <https://hl7.org/fhir/R4/search.html#chaining>, <https://hl7.org/fhir/R4/search.html#has>
//!
//! Each is answered in two steps, so that it means the same wherever the rows lie: the other resources are searched for
//! first, then the link becomes a clause on keys or ids of the row itself ([`chained`], [`held`]). The other searches see
//! what their caller may see and nothing else. Where they find too many to name, and the reference is to the Patient whose
//! record the row is, each row looks for itself among what lies beside it ([`Joined`]).

use crate::fhir::definitions::{Definitions, ResourceType, SearchKind, SearchParameter};
use crate::fhir::path::Node;
use crate::search::Context;
use crate::search::hash::Form;
use crate::search::param::reference::{self, Pointed};
use crate::search::query::{Clause, Query};
use crate::search::sql::Guard;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Which of the two resources holds the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The row points at what is searched for.
    Chain,
    /// What is searched for points at the row.
    Has,
}

/// One step of a chain, or one `_has`.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The parameter as it was given, for messages.
    pub name: String,
    pub way: Way,
    /// The reference parameter, of the type that holds the reference.
    pub code: &'static str,
    /// Whether the type was named: then it must be one that the caller may search.
    pub typed: bool,
    /// What is searched for, one query a type.
    pub arms: Vec<Query>,
}

/// A link that each row answers for itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    pub way: Way,
    pub query: Query,
    pub guard: Guard,
    /// What lies elsewhere than beside the row, answered before.
    pub elsewhere: Clause,
}

/// The many Patients that a chain leads to: a row of theirs has the key beside them, and lies where their record does. Stands
/// for the clause at `at`.
#[derive(Clone, Debug, PartialEq)]
pub struct Each {
    pub at: usize,
    pub patients: Vec<(String, i64)>,
}

/// Url and version of a resource that is called by them.
pub fn canonical(resource: &Value) -> Option<(&str, Option<&str>)> {
    let text = |name| resource.get(name).and_then(Value::as_str);
    Some((text("url")?, text("version")))
}

/// Whether resources of a type are called by a url.
pub fn is_called(definitions: &'static Definitions, t: ResourceType) -> bool {
    definitions.search_parameter(t, "url").is_some_and(|parameter| parameter.kind == SearchKind::Uri)
}

/// What was found of one type for a chain.
pub struct Found<'a> {
    pub t: ResourceType,
    pub ids: Vec<&'a str>,
    /// Url and version of each, and of everything that has one of these urls; empty when the reference is no canonical.
    pub called: Vec<(String, Option<String>)>,
    pub all: Vec<(String, Option<String>)>,
}

/// The rows of type `t` that point by `code` at one of what was found.
pub fn chained(context: &Context<'_>, t: ResourceType, code: &str, found: &[Found<'_>]) -> Clause {
    let slot = context.hasher.slot(t.name(), code);
    let mut keys = Vec::new();
    let mut several = Vec::new();
    for one in found {
        keys.extend(one.ids.iter().map(|id| slot.key(Form::Typed, &[one.t.name(), id])));
        let with = |url: &str, version: &str| slot.key(Form::Address, &[&format!("{url}|{version}")]);
        let mut urls: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (url, version) in &one.called {
            urls.entry(url).or_default().extend(version.as_deref());
        }
        for (url, versions) in urls {
            keys.extend(versions.iter().map(|version| with(url, version)));
            // A reference without version means each; one with another version has the key of the url too.
            let others = one.all.iter().filter(|(other, _)| other == url).filter_map(|(_, version)| version.as_deref());
            let others: Vec<i64> =
                others.filter(|other| !versions.contains(other)).map(|other| with(url, other)).collect();
            let own = slot.key(Form::Address, &[url]);
            match others.is_empty() {
                true => keys.push(own),
                false => several.push(Clause::All(vec![Clause::Any(vec![own]), Clause::Not(others)])),
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    match (keys.is_empty(), several.is_empty()) {
        (true, true) => Clause::Never,
        (false, true) => Clause::Any(keys),
        (true, false) => Clause::Either(several),
        (false, false) => {
            several.push(Clause::Any(keys));
            Clause::Either(several)
        }
    }
}

/// The rows of type `t` that the bodies found (of type `holder`) point at by `code`.
pub fn held<'a>(
    context: &Context<'_>,
    t: ResourceType,
    (holder, code): (ResourceType, &str),
    bodies: impl Iterator<Item = &'a Value>,
) -> Clause {
    let Some(parameter) = context.definitions.search_parameter(holder, code) else { return Clause::Never };
    let mut ids = BTreeSet::new();
    let mut called = BTreeSet::new();
    for body in bodies {
        each_target(parameter, body, context.base, &mut |pointed| match pointed {
            Pointed::Here(to, id) if to == t => drop(ids.insert(id.to_owned())),
            Pointed::Here(..) => {}
            Pointed::Canonical(url, version) => drop(called.insert((url.to_owned(), version.map(str::to_owned)))),
        });
    }
    let mut any = Vec::new();
    if !ids.is_empty() {
        any.push(Clause::Ids(ids.into_iter().collect()));
    }
    if is_called(context.definitions, t) {
        let key = |code, form, text: &str| Clause::Any(vec![context.hasher.key(t.name(), code, form, &[text])]);
        any.extend(called.iter().map(|(url, version)| match version {
            Some(version) => Clause::All(vec![key("url", Form::Address, url), key("version", Form::Code, version)]),
            None => key("url", Form::Address, url),
        }));
    }
    match any.len() {
        0 => Clause::Never,
        1 => any.pop().unwrap_or(Clause::Never),
        _ => Clause::Either(any),
    }
}

/// Calls `f` with everything that a resource points at by a parameter.
pub fn each_target(parameter: &SearchParameter, resource: &Value, base: &str, f: &mut dyn FnMut(Pointed<'_>)) {
    let mut nodes: Vec<Node<'_>> = Vec::new();
    if let Some(expression) = &parameter.expression {
        expression.evaluate(resource, &mut nodes);
    }
    nodes.iter().filter_map(|node| reference::pointed(*node, base)).for_each(f);
}

/// Whether a chain by `code` from a `t` leads to the Patients in whose compartment the row is: its rows lie under theirs.
/// Not so for Patient (a link gives no place) and Group (lies under no patient).
pub fn leads_to_record(definitions: &'static Definitions, t: ResourceType, code: &str) -> bool {
    let compartment = definitions.compartment("Patient", t);
    // Of `subject` and `patient` the definition of a compartment names one; where it names any, both are the same element.
    let named = compartment.contains(&code) || (!compartment.is_empty() && matches!(code, "subject" | "patient"));
    named && !matches!(t.name(), "Patient" | "Group")
}

/// Whether `code` of type `t` is the one element that says whose record a resource is: then the Patients it points at are
/// its owners, and it lies beside them.
pub fn is_owner(definitions: &'static Definitions, t: ResourceType, code: &str) -> bool {
    let def = definitions.resource(t);
    let elements =
        ["subject", "patient", "beneficiary", "individual"].into_iter().filter_map(|name| def.element_named(name));
    let elements: Vec<_> = elements.collect();
    let ([element], "subject" | "patient") = (elements.as_slice(), code) else { return false };
    let Some(parameter) = definitions.search_parameter(t, code) else { return false };
    if !matches!(element.name, "subject" | "patient") || matches!(t.name(), "Patient" | "Group" | "Person") {
        return false;
    }
    let points = json!({"reference": "Patient/a"});
    let points = if element.max.is_list() { json!([points]) } else { points };
    let mut is_it = false;
    each_target(parameter, &json!({"resourceType": t.name(), element.name: points}), "", &mut |to| {
        is_it |= matches!(to, Pointed::Here(of, "a") if of.name() == "Patient");
    });
    is_it
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::definitions::r4;

    #[test]
    fn owners_by_type_and_code() {
        let check = |name: &str, code: &str, expected: bool| {
            assert_eq!(is_owner(r4(), ResourceType::parse(name).unwrap(), code), expected, "{name}.{code}");
        };
        check("Observation", "subject", true);
        check("Observation", "patient", true);
        check("Observation", "performer", false);
        check("AllergyIntolerance", "patient", true);
        check("Account", "patient", true);
        check("Appointment", "patient", false);
        check("Coverage", "patient", false);
        check("Task", "patient", false);
        check("Provenance", "patient", false);
        check("AuditEvent", "patient", false);
        check("Patient", "link", false);
    }
}
