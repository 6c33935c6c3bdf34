//! The identity document of a person, `<TYPE>-<NUMBER>`: the key under which a record is placed (`docs/contract.md`).
//!
//! Types are those of the Colombian list of identity documents (<https://vulcano.ihcecol.gov.co>, ColombianPersonIdentifier).
//! A document only places rows. It says nothing about who may see them, and a corrected document never moves a row.

use serde_json::Value;
use std::fmt;

/// The types of identity document that make a key.
pub const TYPES: [&str; 17] =
    ["CC", "TI", "RC", "CE", "PA", "CD", "SC", "PE", "PT", "PPT", "CN", "DE", "PC", "NIT", "AS", "MS", "SI"];

/// The HL7 table of identifier types. Two of its codes look like ours and mean another thing, see [`is_type_in`].
pub const V2_0203: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";

/// Where a resource of no patient lies.
const NOBODY: &str = "-";
/// Where a record without a usable document lies: `REG-<record_id>`.
const RECORD: &str = "REG-";

/// Types whose numbers are numbers: zeros before them say nothing.
const NUMERIC: [&str; 5] = ["CC", "TI", "RC", "CE", "PPT"];
/// Digits of a number with its zeros before it, as people and programs fill it up.
const FILLED: usize = 10;
const NUMBER_MIN: usize = 3;
const NUMBER_MAX: usize = 20;

/// A value of the column `documento_id`: a document, `REG-<record_id>`, or `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentoId(String);

/// The identifier systems that stand for a type of document (configuration `documento.systems`).
#[derive(Clone, Debug, Default)]
pub struct Systems(Vec<(String, &'static str)>);

impl DocumentoId {
    /// Reads `TYPE-NUMBER` as people write it: any case, dots and blanks in the number.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, number) = text.split_once('-')?;
        Self::from_parts(kind, number)
    }

    /// From a type code and a number; `None` when one of the two does not fit after normalising.
    pub fn from_parts(kind: &str, number: &str) -> Option<Self> {
        let kind = type_code(kind)?;
        let number: String = number
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '.')
            .map(|c| c.to_ascii_uppercase())
            .take(NUMBER_MAX + 1)
            .collect();
        let fits =
            (NUMBER_MIN..=NUMBER_MAX).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then(|| DocumentoId(format!("{kind}-{number}")))
    }

    /// The current document of a Patient: its official identifier (by type code, then by system), else any
    /// identifier that is not `old` and whose system is configured. The first that fits, in the order of the resource.
    pub fn of_patient(patient: &Value, systems: &Systems) -> Option<Self> {
        let identifiers = patient.get("identifier")?.as_array()?;
        let official = || identifiers.iter().filter(|identifier| usage(identifier) == Some("official"));
        official()
            .find_map(by_type)
            .or_else(|| official().find_map(|identifier| by_system(identifier, systems)))
            .or_else(|| {
                let current = identifiers.iter().filter(|identifier| usage(identifier) != Some("old"));
                current.into_iter().find_map(|identifier| by_system(identifier, systems))
            })
    }

    /// The document that one Identifier states by its type or by its system, whatever its use.
    pub fn of_identifier(identifier: &Value, systems: &Systems) -> Option<Self> {
        by_type(identifier).or_else(|| by_system(identifier, systems))
    }

    /// The key of a record that has no usable document.
    pub fn of_record(record_id: &str) -> Self {
        DocumentoId(format!("{RECORD}{record_id}"))
    }

    /// The key of what belongs to no patient.
    pub fn nobody() -> Self {
        DocumentoId(NOBODY.to_owned())
    }

    /// A value read back from the database, where it was checked on its way in.
    pub fn stored(text: String) -> Self {
        DocumentoId(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both name one document: `CC-051999208` is `CC-51999208`. As keys of rows they stay two.
    pub fn is_same(&self, other: &DocumentoId) -> bool {
        self == other || (self.bare().is_some() && self.bare() == other.bare())
    }

    /// Type and number without the zeros before it, where the type has numbers.
    fn bare(&self) -> Option<(&str, &str)> {
        let (kind, number) = self.parts()?;
        let is_number = NUMERIC.contains(&kind) && number.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| (kind, number.trim_start_matches('0')))
    }

    /// The number as it may be stored: as it is, without the zeros before it, filled up with zeros.
    pub fn spellings(&self) -> Vec<String> {
        let mut all: Vec<String> = self.parts().map(|(_, number)| number.to_owned()).into_iter().collect();
        if let Some((_, bare)) = self.bare().filter(|(_, bare)| !bare.is_empty()) {
            all.extend((bare.len()..=FILLED.max(bare.len())).map(|length| format!("{bare:0>length$}")));
        }
        let first = all.first().cloned();
        let mut n = 0;
        all.retain(|one| {
            n += 1;
            n == 1 || Some(one) != first.as_ref()
        });
        all
    }

    /// Type code and number; `None` for `REG-…` and `-`, which are no documents.
    pub fn parts(&self) -> Option<(&str, &str)> {
        self.0.split_once('-').filter(|(kind, number)| type_code(kind).is_some() && !number.is_empty())
    }
}

impl fmt::Display for DocumentoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<DocumentoId> for String {
    fn from(documento: DocumentoId) -> String {
        documento.0
    }
}

impl Systems {
    /// From pairs of system and type code; the first pair whose type is unknown is given back.
    pub fn new<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Self, String> {
        let mut systems = Vec::new();
        for (system, kind) in pairs {
            systems.push((system.to_owned(), type_code(kind).ok_or_else(|| kind.to_owned())?));
        }
        Ok(Systems(systems))
    }

    pub fn type_of(&self, system: &str) -> Option<&'static str> {
        self.0.iter().find(|(known, _)| known == system).map(|(_, kind)| *kind)
    }
}

/// The type code in its one spelling, when it is on the list.
pub fn type_code(text: &str) -> Option<&'static str> {
    let text = text.trim();
    TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(text))
}

/// The type code that `code` of `system` states. In v2-0203 `PE` and `PT` name hospital numbers of a patient (enterprise
/// number, external identifier), so there they are no document; its other homonyms (cost centre, ...) are of no patient.
pub fn is_type_in(system: &str, code: &str) -> Option<&'static str> {
    type_code(code).filter(|kind| system != V2_0203 || !matches!(*kind, "PE" | "PT"))
}

fn usage(identifier: &Value) -> Option<&str> {
    identifier.get("use")?.as_str()
}

fn by_type(identifier: &Value) -> Option<DocumentoId> {
    let number = identifier.get("value")?.as_str()?;
    let codings = identifier.get("type")?.get("coding")?.as_array()?;
    codings.iter().find_map(|coding| {
        let system = coding.get("system").and_then(Value::as_str).unwrap_or_default();
        let kind = is_type_in(system, coding.get("code")?.as_str()?)?;
        DocumentoId::from_parts(kind, number)
    })
}

fn by_system(identifier: &Value, systems: &Systems) -> Option<DocumentoId> {
    let kind = systems.type_of(identifier.get("system")?.as_str()?)?;
    DocumentoId::from_parts(kind, identifier.get("value")?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_normalised_or_refused() {
        let check = |input: &str, expected: Option<&str>| {
            assert_eq!(DocumentoId::parse(input).as_ref().map(DocumentoId::as_str), expected, "{input:?}");
        };
        check("CC-1020304050", Some("CC-1020304050"));
        check("cc-1.020.304 050", Some("CC-1020304050"));
        check("ppt-ab123c", Some("PPT-AB123C"));
        check(" ti - 99\u{a0}012", Some("TI-99012"));
        check("CC-12", None);
        check("CC-123456789012345678901", None);
        check("CC-12345678901234567890", Some("CC-12345678901234567890"));
        check("NIT-900123456-7", None);
        check("CC-10ñ", None);
        check("XX-1020304050", None);
        check("CC1020304050", None);
        check("REG-abcdefghjk", None);
        check("-", None);
        check("", None);
    }

    #[test]
    fn a_patient_has_the_document_of_its_official_identifier() {
        let systems = Systems::new([("http://registraduria/cc", "CC"), ("urn:pasaporte", "PA")]).unwrap();
        let check = |identifiers: Value, expected: Option<&str>| {
            let patient = json!({"resourceType": "Patient", "identifier": identifiers});
            let found = DocumentoId::of_patient(&patient, &systems);
            assert_eq!(found.as_ref().map(DocumentoId::as_str), expected, "{patient}");
        };
        let typed = |usage: &str, system: &str, code: &str, value: &str| json!({"use": usage, "type": {"coding": [{"system": V2_0203, "code": "PN"}, {"system": system, "code": code}]}, "value": value});
        check(json!([typed("official", "urn:x", "CC", "1.020")]), Some("CC-1020"));
        check(json!([typed("usual", "urn:x", "CC", "1020")]), None);
        check(json!([typed("usual", "urn:x", "TI", "111"), typed("official", "urn:x", "CE", "222")]), Some("CE-222"));
        // Hospital numbers of table 0203 are no documents, although their codes look like ours.
        check(json!([typed("official", V2_0203, "PT", "12345")]), None);
        check(json!([typed("official", "urn:x", "PT", "12345")]), Some("PT-12345"));
        // Type before system, official before any other, never an old one.
        check(
            json!([{"use": "official", "system": "urn:pasaporte", "value": "ab123"}, typed("official", "urn:x", "CC", "1020")]),
            Some("CC-1020"),
        );
        check(json!([{"system": "http://registraduria/cc", "value": "555"}]), Some("CC-555"));
        check(json!([{"use": "old", "system": "http://registraduria/cc", "value": "555"}]), None);
        // One that does not fit is not used, the next one is.
        check(
            json!([typed("official", "urn:x", "CC", "?"), {"system": "urn:pasaporte", "value": "ab 123"}]),
            Some("PA-AB123"),
        );
        check(json!("no list"), None);
        check(json!([{"system": "urn:other", "value": "1"}]), None);
    }

    #[test]
    fn zeros_before_a_number_say_nothing() {
        let check = |one: &str, other: &str, same: bool| {
            let (one, other) = (DocumentoId::parse(one).unwrap(), DocumentoId::parse(other).unwrap());
            assert_eq!((one.is_same(&other), other.is_same(&one)), (same, same), "{one} {other}");
        };
        check("CC-051999208", "CC-51999208", true);
        check("TI-0051999208", "TI-051999208", true);
        check("CC-51999208", "TI-51999208", false);
        check("CC-519992080", "CC-51999208", false);
        check("PA-0123", "PA-123", false);
        check("CE-0A123", "CE-A123", false);
        let spelled = |text: &str| DocumentoId::parse(text).unwrap().spellings();
        assert_eq!(spelled("CC-51999208"), ["51999208", "051999208", "0051999208"]);
        assert_eq!(spelled("CC-051999208"), ["051999208", "51999208", "0051999208"]);
        assert_eq!(spelled("CC-1020304050"), ["1020304050"]);
        assert_eq!(spelled("PA-0123"), ["0123"]);
        assert_eq!(spelled("CC-000"), ["000"]);
    }

    #[test]
    fn keys_that_are_no_documents() {
        assert_eq!(DocumentoId::of_record("0123456789").as_str(), "REG-0123456789");
        assert_eq!(DocumentoId::of_record("0123456789").parts(), None);
        assert_eq!(DocumentoId::nobody().parts(), None);
        assert_eq!(DocumentoId::parse("CC-123").unwrap().parts(), Some(("CC", "123")));
        assert_eq!(Systems::new([("urn:a", "ZZ")]).unwrap_err(), "ZZ");
    }
}
