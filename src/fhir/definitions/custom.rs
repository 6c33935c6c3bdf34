//! Search parameters of an installation: SearchParameter resources (<https://hl7.org/fhir/R4/searchparameter.html>).
//!
//! Judged and compiled when they are written, then part of the registry. Of a resource count url, code, type, base,
//! expression and target; `xpath`, `modifier`, `comparator`, `multipleOr`, `multipleAnd` and `chain` change nothing: a
//! parameter can do what its type can. Composite and special ones are refused by name.

use super::{Definitions, ResourceType, SearchKind, SearchParameter, Standard, r4};
use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::path::Expression;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};

/// Longer codes and expressions are refused.
const LONGEST_CODE: usize = 64;
const LONGEST_EXPRESSION: usize = 4096;

/// What a SearchParameter resource defines, in one form: two that are equal extract the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custom {
    pub url: String,
    pub code: String,
    #[serde(rename = "type")]
    kind: String,
    /// Names of the types, sorted, the abstract ones replaced by those made from them.
    pub base: Vec<String>,
    expression: String,
    target: Vec<String>,
}

impl Custom {
    /// Reads a valid SearchParameter; none when it is not active. All problems at once, with their places.
    pub fn read(resource: &Value) -> Result<Option<Custom>> {
        let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("status") != "active" {
            return Ok(None);
        }
        let mut issues = Vec::new();
        let mut custom = Custom {
            url: text("url"),
            code: text("code"),
            kind: text("type"),
            base: names(resource, "base", &mut issues),
            expression: text("expression"),
            target: names(resource, "target", &mut issues),
        };
        if custom.target.len() == ResourceType::all().count() {
            custom.target.clear();
        }
        custom.judge(&mut issues);
        if issues.is_empty() { Ok(Some(custom)) } else { Err(Error::all(issues)) }
    }

    fn judge(&self, issues: &mut Vec<Issue>) {
        let letters = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let begins = self.code.starts_with(|c: char| c.is_ascii_alphanumeric());
        if self.code.len() > LONGEST_CODE || !begins || !letters(&self.code) {
            let text = format!("must be up to {LONGEST_CODE} of A-Z a-z 0-9 - _, and begin with a letter or digit");
            issues.push(Issue::at(Kind::Value, "SearchParameter.code", text));
        }
        let bases: Vec<ResourceType> = self.bases().collect();
        for t in &bases {
            if r4().standard_parameters(*t).iter().any(|one| one.code == self.code) {
                let text = format!("{t} has a parameter with this code already");
                issues.push(Issue::at(Kind::BusinessRule, "SearchParameter.code", text));
                break;
            }
        }
        let Some(kind) = self.kind() else {
            let text = "composite and special parameters cannot be added";
            issues.push(Issue::at(Kind::NotSupported, "SearchParameter.type", text));
            return;
        };
        let place = "SearchParameter.expression";
        match self.expression.len() {
            0 => return issues.push(Issue::at(Kind::Required, place, "an active parameter needs an expression")),
            1..=LONGEST_EXPRESSION => {}
            _ => {
                let text = format!("is longer than {LONGEST_EXPRESSION} bytes");
                return issues.push(Issue::at(Kind::TooCostly, place, text));
            }
        }
        for t in bases {
            if let Err(issue) = compiled(r4(), &self.expression, t, kind) {
                return issues.push(issue);
            }
        }
    }

    pub fn bases(&self) -> impl Iterator<Item = ResourceType> {
        self.base.iter().filter_map(|name| ResourceType::parse(name))
    }

    fn kind(&self) -> Option<SearchKind> {
        Some(match self.kind.as_str() {
            "number" => SearchKind::Number,
            "date" => SearchKind::Date,
            "string" => SearchKind::String,
            "token" => SearchKind::Token,
            "reference" => SearchKind::Reference,
            "quantity" => SearchKind::Quantity,
            "uri" => SearchKind::Uri,
            _ => return None,
        })
    }

    /// Compiles it for each of its types. What comes out lives as long as the process, so the caller keeps it and asks
    /// once for each definition.
    pub fn compile(&self) -> Result<Vec<(ResourceType, &'static SearchParameter)>> {
        let kind = self.kind().ok_or_else(|| Error::internal("a stored parameter has an unknown type"))?;
        let (code, url) = (String::leak(self.code.clone()), String::leak(self.url.clone()));
        let (code, url): (&'static str, &'static str) = (code, url);
        let compile = |t: ResourceType| {
            let expression = compiled(r4(), &self.expression, t, kind).map_err(|issue| Error::all(vec![issue]))?;
            let targets = self.target.iter().filter_map(|name| ResourceType::parse(name)).collect();
            let parameter =
                SearchParameter { code, kind, url, expression: Some(expression), targets, components: Vec::new() };
            Ok((t, &*Box::leak(Box::new(parameter))))
        };
        self.bases().map(compile).collect()
    }
}

/// The type names of a member, each with its place when it is none.
fn names(resource: &Value, member: &str, issues: &mut Vec<Issue>) -> Vec<String> {
    let all = resource.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut names = Vec::new();
    for (n, name) in all.iter().enumerate() {
        let name = name.as_str().unwrap_or_default();
        let before = names.len();
        names.extend(ResourceType::all().filter(|t| r4().is_a(t.name(), name)).map(|t| t.name().to_owned()));
        if names.len() == before {
            let place = format!("SearchParameter.{member}[{n}]");
            issues.push(Issue::at(Kind::Value, place, "is no resource type of R4"));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The expression for one type: it gives something that the kind of parameter can hold.
fn compiled(standard: &Standard, text: &str, t: ResourceType, kind: SearchKind) -> Result<Expression, Issue> {
    let place = "SearchParameter.expression";
    let expression = Expression::compile(standard, text, t.name(), &[t.name()]).map_err(|error| {
        let text = error.issues.first().map(|issue| issue.text.clone()).unwrap_or_default();
        Issue::at(error.kind, place, text)
    })?;
    let results = expression.result_types();
    if results.is_empty() {
        return Err(Issue::at(Kind::Value, place, format!("gives nothing for {t}")));
    }
    if results.iter().any(|name| holds(standard, kind, name)) {
        return Ok(expression);
    }
    let shown: Vec<&str> = results.iter().take(5).copied().collect();
    let text = format!("gives {}, which such a parameter cannot be searched by", shown.join(", "));
    Err(Issue::at(Kind::Value, place, text))
}

/// Whether values of a type are found by a kind of parameter.
fn holds(standard: &Standard, kind: SearchKind, name: &str) -> bool {
    let any = |names: &[&str]| names.contains(&name);
    match kind {
        SearchKind::Token => any(&[
            "code",
            "Coding",
            "CodeableConcept",
            "Identifier",
            "ContactPoint",
            "boolean",
            "string",
            "uri",
            "id",
            "integer",
            "positiveInt",
            "unsignedInt",
        ]),
        SearchKind::String => {
            any(&["string", "markdown", "HumanName", "Address", "CodeableConcept", "Annotation", "code"])
        }
        SearchKind::Date => any(&["date", "dateTime", "instant", "Period", "Timing"]),
        SearchKind::Number => any(&["integer", "decimal", "positiveInt", "unsignedInt"]),
        SearchKind::Quantity => standard.is_a(name, "Quantity") || any(&["Money", "Range"]),
        SearchKind::Reference => any(&["Reference", "canonical", "uri"]),
        SearchKind::Uri => any(&["uri", "url", "canonical", "oid", "uuid"]),
        SearchKind::Composite | SearchKind::Special => false,
    }
}

/// A parameter that cannot be asked yet, because not every stored resource has been read for it.
#[derive(Debug)]
pub struct Unfinished {
    pub resource_type: ResourceType,
    pub code: String,
    /// Hundredths of the work that are done.
    pub percent: AtomicU8,
}

impl Definitions {
    /// The standard alone.
    pub(super) fn of(standard: &'static Standard) -> Definitions {
        Definitions { standard, lists: HashMap::new(), unfinished: Vec::new() }
    }

    /// The standard with these parameters besides: what is extracted. `unfinished`: what cannot be asked, be it extracted
    /// or not.
    pub fn with(
        parameters: impl Iterator<Item = (ResourceType, &'static SearchParameter)>,
        unfinished: Vec<Unfinished>,
    ) -> Definitions {
        let mut all = Definitions { unfinished, ..Definitions::of(r4().standard) };
        for (t, parameter) in parameters {
            let list = all.lists.entry(t).or_insert_with(|| all.standard.standard_parameters(t).to_vec());
            list.push(parameter);
        }
        for list in all.lists.values_mut() {
            list.sort_by_key(|parameter| parameter.code);
        }
        all
    }

    /// All parameters of a type, sorted by code.
    pub fn search_parameters(&self, t: ResourceType) -> &[&'static SearchParameter] {
        self.lists.get(&t).map_or_else(|| self.standard.standard_parameters(t), Vec::as_slice)
    }

    pub fn search_parameter(&self, t: ResourceType, code: &str) -> Option<&'static SearchParameter> {
        let parameters = self.search_parameters(t);
        let place = parameters.binary_search_by(|parameter| parameter.code.cmp(code)).ok()?;
        parameters.get(place).copied()
    }

    /// How much of the work is done, in hundredths, for a parameter that cannot be asked yet.
    pub fn unfinished(&self, t: ResourceType, code: &str) -> Option<u8> {
        let one = self.unfinished.iter().find(|one| one.resource_type == t && one.code == code)?;
        Some(one.percent.load(Ordering::Relaxed))
    }

    /// Whether the installation has parameters of its own.
    pub fn has_custom(&self) -> bool {
        !self.lists.is_empty()
    }

    /// All that cannot be asked yet.
    pub fn all_unfinished(&self) -> &[Unfinished] {
        &self.unfinished
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resource() -> Value {
        json!({"resourceType": "SearchParameter", "url": "http://a.example/sp", "name": "a", "status": "active",
            "description": "a", "code": "eps", "base": ["Patient"], "type": "token",
            "expression": "Patient.extension('http://a.example/eps').value"})
    }

    #[test]
    fn problems_have_their_places() {
        let check = |member: &str, value: Value, expected: &str| {
            let mut resource = resource();
            resource[member] = value;
            let shown = match Custom::read(&resource) {
                Ok(read) => read.map_or("none", |_| "read").to_owned(),
                Err(error) => {
                    let of = |issue: &Issue| format!("{:?} {}", issue.kind, issue.expression.as_deref().unwrap_or("-"));
                    error.issues.iter().map(of).collect::<Vec<_>>().join(", ")
                }
            };
            assert_eq!(shown, expected, "{member}");
        };
        check("status", json!("active"), "read");
        check("status", json!("draft"), "none");
        check("code", json!("gender"), "BusinessRule SearchParameter.code");
        check("code", json!("_eps"), "Value SearchParameter.code");
        check("code", json!("a:b"), "Value SearchParameter.code");
        check("base", json!(["Patient", "Nothing"]), "Value SearchParameter.base[1]");
        check("base", json!(["Patient", "Observation"]), "Value SearchParameter.expression");
        check("type", json!("composite"), "NotSupported SearchParameter.type");
        check("type", json!("date"), "read");
        check("type", json!("number"), "read");
        check("expression", Value::Null, "Required SearchParameter.expression");
        check("expression", json!("Patient.nome"), "NotSupported SearchParameter.expression");
        check("expression", json!("Patient.name"), "Value SearchParameter.expression");
        check("expression", json!("Patient.name.count()"), "NotSupported SearchParameter.expression");
        check("expression", json!("Observation.code"), "Value SearchParameter.expression");
        check("expression", json!("Patient.gender | Observation.code"), "read");
        check("target", json!(["Patiente"]), "Value SearchParameter.target[0]");
    }

    #[test]
    fn they_stand_among_the_others_and_can_be_unfinished() {
        let custom = Custom::read(&resource()).unwrap().unwrap();
        let text = serde_json::to_string(&custom).unwrap();
        assert_eq!(serde_json::from_str::<Custom>(&text).unwrap(), custom);
        let patient = ResourceType::parse("Patient").unwrap();
        let unfinished = Unfinished { resource_type: patient, code: "eps".into(), percent: AtomicU8::new(7) };
        let all = Definitions::with(custom.compile().unwrap().into_iter(), vec![unfinished]);
        assert_eq!(all.search_parameter(patient, "eps").unwrap().kind, SearchKind::Token);
        assert!(all.search_parameters(patient).iter().map(|one| one.code).is_sorted());
        assert_eq!(all.search_parameters(patient).len(), r4().search_parameters(patient).len() + 1);
        assert!(r4().search_parameter(patient, "eps").is_none());
        assert_eq!((all.unfinished(patient, "eps"), all.unfinished(patient, "name")), (Some(7), None));
    }

    #[test]
    fn a_parameter_of_every_type() {
        let mut resource = resource();
        resource["base"] = json!(["Resource"]);
        resource["expression"] = json!("Resource.language");
        let custom = Custom::read(&resource).unwrap().unwrap();
        assert_eq!(custom.compile().unwrap().len(), 146);
    }
}
