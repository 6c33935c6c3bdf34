//! Which date parameter is the main one of a type: the one in `date_lo`, `date_hi` and `sort_date`.
//!
//! One list of codes for all types instead of a table of 146: the first code of the list that the type has, else its first
//! date parameter. The dates of an order or a record come before the dates it speaks of.

use crate::fhir::definitions::{Definitions, ResourceType, SearchKind, SearchParameter};

const PREFERRED: [&str; 23] = [
    "authoredon",
    "authored-on",
    "authored",
    "date",
    "created",
    "onset-date",
    "issued",
    "sent",
    "recorded",
    "started",
    "start",
    "start-date",
    "birthdate",
    "effective",
    "effective-time",
    "occurrence",
    "whenhandedover",
    "collected",
    "datetime",
    "datewritten",
    "timestamp",
    "identified",
    "period",
];

/// Types whose main date may have several values (`Substance.instance` repeats): a search asks `search_range`, the
/// columns hold the enclosing interval and serve the order alone.
const SEVERAL: [&str; 1] = ["Substance"];

/// The main date parameter of a type; none when the type has no date parameter of its own.
pub fn main_date(definitions: &'static Definitions, t: ResourceType) -> Option<&'static SearchParameter> {
    let rank = |code: &str| PREFERRED.iter().position(|preferred| *preferred == code).unwrap_or(PREFERRED.len());
    // Those of an installation come and go; the columns stay what they are.
    let dates = definitions.standard_parameters(t).iter().copied();
    dates
        .filter(|parameter| parameter.kind == SearchKind::Date && parameter.code != "_lastUpdated")
        .min_by_key(|parameter| rank(parameter.code))
}

/// Whether the columns hold the one value exactly.
pub fn is_single(t: ResourceType) -> bool {
    !SEVERAL.contains(&t.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::definitions::r4;

    #[test]
    fn main_dates_by_type() {
        let check = |name: &str, expected: Option<&str>| {
            let main = main_date(r4(), ResourceType::parse(name).unwrap());
            assert_eq!(main.map(|parameter| parameter.code), expected, "{name}");
        };
        check("Observation", Some("date"));
        check("Encounter", Some("date"));
        check("Condition", Some("onset-date"));
        check("Patient", Some("birthdate"));
        check("Procedure", Some("date"));
        check("DiagnosticReport", Some("date"));
        check("MedicationRequest", Some("authoredon"));
        check("Immunization", Some("date"));
        check("AllergyIntolerance", Some("date"));
        check("DocumentReference", Some("date"));
        check("Claim", Some("created"));
        check("Task", Some("authored-on"));
        check("ServiceRequest", Some("authored"));
        check("Goal", Some("start-date"));
        check("Account", Some("period"));
        check("Substance", Some("expiry"));
        check("Organization", None);
    }
}
