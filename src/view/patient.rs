//! The patient of a page: finding one by what an address says, names as they are written here, the banner.

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::documento::DocumentoId;
use crate::fhir::format::{Limits, parse_json};
use crate::interaction::{Interaction, Unit, operation};
use crate::view::format::Reader;
use crate::view::page::Link;
use crate::view::visit::Visit;
use serde::Serialize;
use serde_json::Value;

/// Surnames and given names, as every list writes them: surnames first and bold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Name {
    pub surnames: String,
    pub names: String,
}

impl Name {
    /// The official name of a Patient, else the first that is not old. A name that is text only counts as surname.
    pub fn of(patient: &Value) -> Name {
        let all = || patient.get("name").and_then(Value::as_array).into_iter().flatten();
        let usage = |name: &&Value, wanted: &str| name.get("use").and_then(Value::as_str) == Some(wanted);
        let found = all().find(|name| usage(name, "official")).or_else(|| all().find(|name| !usage(name, "old")));
        let Some(found) = found else { return Name::default() };
        let text = |member: &str| found.get(member).and_then(Value::as_str).unwrap_or("").trim().to_owned();
        let given = found.get("given").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let name = Name { surnames: text("family"), names: given.collect::<Vec<_>>().join(" ") };
        if name.surnames.is_empty() && name.names.is_empty() { Name { surnames: text("text"), ..name } } else { name }
    }

    /// `Muñoz Peñaranda, Gloria Inés`.
    pub fn whole(&self) -> String {
        match (self.surnames.is_empty(), self.names.is_empty()) {
            (false, false) => format!("{}, {}", self.surnames, self.names),
            (true, _) => self.names.clone(),
            (false, true) => self.surnames.clone(),
        }
    }
}

/// The text of a sex (<https://hl7.org/fhir/R4/valueset-administrative-gender.html>).
pub fn sex(reader: &Reader, patient: &Value) -> Option<&'static str> {
    Some(reader.text(match patient.get("gender")?.as_str()? {
        "female" => "sex.female",
        "male" => "sex.male",
        "other" => "sex.other",
        _ => "sex.unknown",
    }))
}

pub fn age(reader: &Reader, patient: &Value) -> Option<String> {
    let birth = reader.day_of(patient.get("birthDate")?.as_str()?)?;
    let died = patient.get("deceasedDateTime").and_then(Value::as_str).and_then(|died| reader.day_of(died));
    match died {
        Some(died) => reader.age_on(birth, died),
        None => reader.age(birth),
    }
}

pub fn is_deceased(patient: &Value) -> bool {
    patient.get("deceasedDateTime").is_some() || patient.get("deceasedBoolean").and_then(Value::as_bool) == Some(true)
}

/// The current document of a Patient, as it is shown.
pub fn document(visit: &Visit, patient: &Value) -> Option<String> {
    visit.reader.document(DocumentoId::of_patient(patient, &visit.app.systems)?.as_str())
}

/// One fact of the banner. `desk`: only on a wide screen.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    pub term: Option<&'static str>,
    /// What it is, for those who hear it, when no term is shown.
    pub hidden: &'static str,
    pub text: String,
    pub desk: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct Allergy {
    pub substance: String,
    pub reaction: Option<String>,
}

/// Always one of three states: has, none (asked), unasked.
#[derive(Clone, Debug, Serialize)]
pub struct Allergies {
    pub kind: &'static str,
    pub icon: &'static str,
    pub label: &'static str,
    pub items: Vec<Allergy>,
    pub note: Option<String>,
    pub link: Option<Link>,
}

impl Allergies {
    pub fn has(reader: &Reader, items: Vec<Allergy>) -> Allergies {
        let label = reader.text("banner.allergies");
        Allergies { kind: "has", icon: "triangle", label, items, note: None, link: None }
    }

    /// `asked`: when, as it is written.
    pub fn none(reader: &Reader, asked: Option<String>) -> Allergies {
        let label = reader.text("banner.no_allergies");
        let note = asked.map(|date| reader.fill("banner.asked", &[("date", &date)]));
        Allergies { kind: "none", icon: "check", label, items: Vec::new(), note, link: None }
    }

    pub fn unasked(reader: &Reader, link: Option<Link>) -> Allergies {
        let label = reader.text("banner.allergies_unasked");
        Allergies { kind: "unasked", icon: "pending", label, items: Vec::new(), note: None, link }
    }
}

/// A button of the banner, which on a phone stands in the bottom bar.
#[derive(Clone, Debug, Serialize)]
pub struct Act {
    pub href: String,
    pub label: String,
    pub icon: Option<&'static str>,
    pub primary: bool,
}

/// The partial `banner`: who it is. It wraps and is never cut.
#[derive(Clone, Debug, Serialize)]
pub struct Banner {
    pub surnames: String,
    pub names: String,
    pub facts: Vec<Fact>,
    pub allergies: Option<Allergies>,
    pub actions: Vec<Act>,
}

impl Banner {
    /// Name, age, sex, document, birth date; `bed` and `insurer` as far as they are known. `allergies`: none for roles
    /// that may not see them.
    pub fn new(
        visit: &Visit,
        patient: &Value,
        bed: Option<&str>,
        insurer: Option<&str>,
        allergies: Option<Allergies>,
    ) -> Banner {
        let (reader, name) = (&visit.reader, Name::of(patient));
        let fact = |term: Option<&'static str>, hidden: &'static str, text: String, desk: bool| Fact {
            term: term.map(|key| reader.text(key)),
            hidden: reader.text(hidden),
            text,
            desk,
        };
        let mut facts = Vec::new();
        facts.extend(age(reader, patient).map(|text| fact(Some("banner.age"), "banner.age", text, false)));
        facts.extend(sex(reader, patient).map(|text| fact(None, "banner.sex", text.to_owned(), false)));
        facts.extend(document(visit, patient).map(|text| fact(None, "banner.document", text, false)));
        let birth = patient.get("birthDate").and_then(Value::as_str);
        facts.extend(birth.map(|date| fact(Some("banner.born"), "banner.born", reader.fhir(date), true)));
        let died = patient.get("deceasedDateTime").and_then(Value::as_str).map(|died| reader.fhir(died));
        let died = died.or_else(|| is_deceased(patient).then(|| reader.text("rec.yes").to_owned()));
        facts.extend(died.map(|text| fact(Some("chart.died"), "chart.died", text, false)));
        facts.extend(insurer.map(|text| fact(Some("banner.insurer"), "banner.insurer", text.to_owned(), true)));
        facts.extend(bed.map(|text| fact(None, "banner.bed", text.to_owned(), false)));
        Banner { surnames: name.surnames, names: name.names, facts, allergies, actions: Vec::new() }
    }

    #[must_use]
    pub fn action(mut self, href: impl Into<String>, label: impl Into<String>, icon: Option<&'static str>) -> Banner {
        let primary = self.actions.is_empty();
        self.actions.push(Act { href: href.into(), label: label.into(), icon, primary });
        self
    }
}

/// A resource by type and id; 404 when it is not there or not visible.
pub async fn read(unit: &mut Unit<'_>, resource_type: &str, id: &str) -> Result<Value> {
    let resource_type = named(resource_type)?;
    let answer = unit.run(&Interaction::Read { resource_type, id: id.to_owned() }).await?;
    parsed(answer.body)
}

/// One version of a resource.
pub async fn version(unit: &mut Unit<'_>, resource_type: &str, id: &str, version: &str) -> Result<Value> {
    let version = version.parse().map_err(|_| Error::at(Kind::Value, "version", "not a version"))?;
    let read = Interaction::Vread { resource_type: named(resource_type)?, id: id.to_owned(), version };
    parsed(unit.run(&read).await?.body)
}

/// What a search finds: the resources of one page, and the total when it is known.
#[derive(Debug, Default)]
pub struct Found {
    pub resources: Vec<Value>,
    pub total: Option<u64>,
    /// Whether there is another page.
    pub more: bool,
}

/// A search by the parameters of FHIR, values encoded by `visit::encoded`.
pub async fn search(unit: &mut Unit<'_>, resource_type: &str, query: &str) -> Result<Found> {
    let resource_type = named(resource_type)?;
    let answer = unit.run(&Interaction::SearchType { resource_type, query: query.to_owned(), lenient: false }).await?;
    let mut bundle = parsed(answer.body)?;
    let total = bundle.get("total").and_then(Value::as_u64);
    let links = bundle.get("link").and_then(Value::as_array).into_iter().flatten();
    let more = links.filter_map(|link| link.get("relation")?.as_str()).any(|relation| relation == "next");
    let entries = bundle.get_mut("entry").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    let resources = entries.into_iter().filter_map(|mut entry| entry.get_mut("resource").map(Value::take)).collect();
    Ok(Found { resources, total, more })
}

pub fn named(resource_type: &str) -> Result<ResourceType> {
    ResourceType::parse(resource_type).ok_or_else(|| Error::internal("a page names a type that is none"))
}

fn parsed(body: Option<Vec<u8>>) -> Result<Value> {
    // The reader that keeps every digit: what is read here is written back by forms.
    parse_json(body.as_deref().unwrap_or_default(), &Limits::default())
}

/// The Patient of an address (`docs/contract.md`): exactly one that is visible, else 404.
pub async fn resolve(unit: &mut Unit<'_>, text: &str) -> Result<Value> {
    let id = operation::identify(unit, text).await?;
    read(unit, "Patient", &id).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_written_surnames_first() {
        let check =
            |names: Value, expected: &str| assert_eq!(Name::of(&json!({"name": names})).whole(), expected, "{names}");
        check(
            json!([{"use": "old", "family": "X"}, {"family": "Muñoz Peñaranda", "given": ["Gloria", "Inés"]}]),
            "Muñoz Peñaranda, Gloria Inés",
        );
        check(json!([{"use": "usual", "family": "A"}, {"use": "official", "family": "B"}]), "B");
        check(json!([{"text": "Sin identificar"}]), "Sin identificar");
        check(json!([{"given": ["Ana"]}]), "Ana");
        check(json!([]), "");
        check(json!("?"), "");
    }
}
