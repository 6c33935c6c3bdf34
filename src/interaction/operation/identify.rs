//! Which Patient people mean by the `{id}` of `/paciente/{id}` (docs/contract.md, "Routes").
//!
//! `TYPE-NUMBER` is matched with current official identifiers, else it is a Patient.id, else a bare document number. It
//! is never matched with `documento_id`: that key only places rows. Exactly one visible Patient, else 404.

use crate::access::{self, Access, Action};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::datetime::Range;
use crate::fhir::definitions::ResourceType;
use crate::fhir::documento::{DocumentoId, Systems};
use crate::fhir::format::{self, parse_json};
use crate::fhir::reference::is_id;
use crate::interaction::read;
use crate::interaction::search;
use crate::interaction::unit::Unit;
use crate::store::resource::Stored;
use jiff::Timestamp;
use serde_json::Value;

/// Patients with the same number that are looked at: several types of document may share one.
const LOOKED_AT: u32 = 50;
/// Longer ones are neither an id nor a document.
const LONGEST: usize = 64;

/// The id of the one Patient.
pub async fn identify(unit: &mut Unit<'_>, given: &str) -> Result<String> {
    let resource_type = ResourceType::parse("Patient").ok_or_else(|| Error::internal("no type Patient"))?;
    let access = access::authorize(unit.caller, Action::Search, resource_type)?;
    let none = || read::not_found(resource_type);
    let given = given.trim();
    if given.is_empty() || given.len() > LONGEST {
        return Err(none());
    }
    if let Some(documento) = DocumentoId::parse(given) {
        let number = documento.parts().map(|(_, number)| number).unwrap_or_default();
        match by_number(unit, &access, number, |current| *current == documento).await?.as_slice() {
            [] => {}
            [one] => return Ok(meant(unit, &access, one)),
            _ => return Err(none()),
        }
    }
    if is_id(given) {
        match read::visible(unit, &access, given).await {
            Ok(stored) if !stored.deleted => return Ok(meant(unit, &access, &stored)),
            Ok(_) => {}
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let Some(number) = number(given) else { return Err(none()) };
    let found =
        by_number(unit, &access, &number, |current| current.parts().is_some_and(|(_, own)| own == number)).await?;
    match found.as_slice() {
        [one] => Ok(meant(unit, &access, one)),
        _ => Err(none()),
    }
}

/// Who was found is read next: that needs no second look.
fn meant(unit: &mut Unit<'_>, access: &Access, found: &Stored) -> String {
    unit.remember(access, found.clone());
    found.id.clone()
}

/// A bare document number in its one spelling.
fn number(given: &str) -> Option<String> {
    let documento = DocumentoId::from_parts("CC", given)?;
    documento.parts().map(|(_, number)| number.to_owned())
}

/// The visible Patients that have a current document which `fits`; `number` in its one spelling.
async fn by_number(
    unit: &mut Unit<'_>,
    access: &Access,
    number: &str,
    fits: impl Fn(&DocumentoId) -> bool,
) -> Result<Vec<Stored>> {
    let query = format!("identifier={}", spellings(number).join(","));
    let rows = search::matches(unit, access, &query, LOOKED_AT).await?;
    let (systems, local, now) = (&unit.app.systems, unit.app.local, clock::now());
    let mut found = Vec::new();
    for row in rows {
        let patient = parse_json(&row.body, &format::Limits::default())?;
        if current(&patient, systems, local, now).iter().any(&fits) {
            found.push(row);
        }
    }
    Ok(found)
}

/// How a number may stand in an identifier: as it is, in small letters, with points.
fn spellings(number: &str) -> Vec<String> {
    let mut all = vec![number.to_owned()];
    let small = number.to_ascii_lowercase();
    if small != number {
        all.push(small);
    }
    if number.len() > 3 && number.bytes().all(|b| b.is_ascii_digit()) {
        let mut pointed = String::with_capacity(number.len() + number.len() / 3);
        for (n, digit) in number.chars().enumerate() {
            if n > 0 && (number.len() - n).is_multiple_of(3) {
                pointed.push('.');
            }
            pointed.push(digit);
        }
        all.push(pointed);
    }
    all
}

/// The documents by which a Patient goes now: official identifiers, and others whose system is configured, that are
/// neither old nor expired.
fn current(patient: &Value, systems: &Systems, local: i32, now: Timestamp) -> Vec<DocumentoId> {
    let identifiers = patient.get("identifier").and_then(Value::as_array).into_iter().flatten();
    let text = |identifier: &Value, name: &str| identifier.get(name).and_then(Value::as_str).map(str::to_owned);
    identifiers
        .filter(|identifier| match text(identifier, "use").as_deref() {
            Some("official") => true,
            Some("old") => false,
            _ => text(identifier, "system").is_some_and(|system| systems.type_of(&system).is_some()),
        })
        .filter(|identifier| {
            let period = identifier.get("period").and_then(|period| Range::of_period(period, local));
            period.and_then(Range::hi_timestamp).is_none_or(|end| end >= now)
        })
        .filter_map(|identifier| DocumentoId::of_identifier(identifier, systems))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_found_in_each_spelling() {
        let check = |number: &str, expected: &[&str]| assert_eq!(spellings(number), expected, "{number}");
        check("51999208", &["51999208", "51.999.208"]);
        check("1020304050", &["1020304050", "1.020.304.050"]);
        check("123", &["123"]);
        check("AB123C", &["AB123C", "ab123c"]);
        assert_eq!(number("51.999.208").as_deref(), Some("51999208"));
        assert_eq!(number("x"), None);
    }

    #[test]
    fn only_current_official_documents_count() {
        let systems = Systems::new([("urn:cc", "CC")]).unwrap();
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let check = |identifier: Value, expected: Option<&str>| {
            let patient = json!({"identifier": [identifier]});
            let found = current(&patient, &systems, -18_000, now);
            assert_eq!(found.first().map(DocumentoId::as_str), expected, "{patient}");
        };
        let coded = json!({"coding": [{"system": "urn:types", "code": "CC"}]});
        check(json!({"use": "official", "type": coded, "value": "51.999.208"}), Some("CC-51999208"));
        check(json!({"use": "old", "type": coded, "value": "51999208"}), None);
        check(json!({"use": "usual", "type": coded, "value": "51999208"}), None);
        check(json!({"system": "urn:cc", "value": "51999208"}), Some("CC-51999208"));
        check(json!({"use": "old", "system": "urn:cc", "value": "51999208"}), None);
        check(json!({"use": "official", "type": coded, "value": "51999208", "period": {"end": "2026-11-23"}}), None);
        check(
            json!({"use": "official", "type": coded, "value": "51999208", "period": {"end": "2026-11-24"}}),
            Some("CC-51999208"),
        );
    }
}
