//! The code tables between HL7 v2 and FHIR (`fhir-profiles/v2-to-fhir/codes.csv`), compiled in.
//!
//! Source: HL7's v2-to-FHIR map, <https://build.fhir.org/ig/HL7/v2-to-fhir/>. A code that is not here has no target:
//! the caller keeps it as it came and says so.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a v2 code becomes. `system` and `display` are empty where FHIR wants a bare code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub code: &'static str,
    pub system: &'static str,
    pub display: &'static str,
}

static CODES: LazyLock<HashMap<(&'static str, &'static str), Target>> = LazyLock::new(|| {
    let file = include_str!("../../fhir-profiles/v2-to-fhir/codes.csv");
    file.lines().skip(1).filter_map(row).collect()
});

fn row(line: &'static str) -> Option<((&'static str, &'static str), Target)> {
    let mut cells = line.split(',');
    let key = (cells.next()?, cells.next()?);
    Some((key, Target { code: cells.next()?, system: cells.next()?, display: cells.next()? }))
}

/// The target of `code` in `table`.
pub fn lookup(table: &str, code: &str) -> Option<Target> {
    CODES.get(&(table, code)).copied()
}

/// Whether `table` lists `code`.
pub fn lists(table: &str, code: &str) -> bool {
    lookup(table, code).is_some()
}

/// The address of the HL7 table `number` (`0007`).
pub fn system(number: &str) -> String {
    format!("http://terminology.hl7.org/CodeSystem/v2-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_once() {
        let rows = include_str!("../../fhir-profiles/v2-to-fhir/codes.csv").lines().skip(1);
        assert_eq!(CODES.len(), rows.clone().count(), "a row is malformed or doubled");
        assert!(rows.clone().all(|line| line.split(',').count() == 5));
    }

    #[test]
    fn codes_become_what_the_map_says() {
        let check = |table: &str, code: &str, expected: Option<&str>| {
            assert_eq!(lookup(table, code).map(|target| target.code), expected, "{table} {code}");
        };
        check("0001", "F", Some("female"));
        check("0001", "A", Some("other"));
        check("0001", "f", None);
        check("0002", "G", Some("T"));
        check("0004", "I", Some("IMP"));
        check("0004", "R", Some("R"));
        check("0112", "20", Some("exp"));
        check("0190-use", "BA", Some("old"));
        check("0190-use", "L", None);
        check("0200", "L", Some("official"));
        check("0202", "CP", Some("phone"));
        check("documento", "CZ", Some("CC"));
        check("documento", "MR", None);
        assert_eq!(lookup("0004", "I").unwrap().system, "http://terminology.hl7.org/CodeSystem/v3-ActCode");
    }
}
