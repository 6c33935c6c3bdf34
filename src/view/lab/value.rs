//! What is typed for an examination, into its Observation: value, reference, interpretation. The digits stay as typed.

use super::exam::{Reference, reference};
use crate::oauth::form::Form;
use crate::view::admission::years;
use crate::view::format::Reader;
use crate::view::loinc;
use crate::view::observation::{Amount, float, impossible, put, quantity};
use crate::view::observe::{comparator, numbered};
use crate::view::record::words::{code_of, text};
use crate::view::sheet::Problems;
use crate::view::visit::Visit;
use serde_json::{Value, json};

const INTERPRETATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";

/// The reference that goes with a person: adults only.
pub fn reference_of(visit: &Visit, person: &Value, code: &str) -> Option<&'static Reference> {
    let birth = visit.reader.day_of(text(person, "birthDate"))?;
    years(&visit.reader, birth).filter(|years| *years >= 18)?;
    reference(code, text(person, "gender"))
}

/// From where a value is critical, in words; empty when there is no limit.
pub fn limits(reader: &Reader, known: &Reference) -> String {
    let end = |end: Option<&str>| end.map(|end| reader.number(end));
    match (end(known.critical_low), end(known.critical_high)) {
        (Some(low), Some(high)) => reader.fill("lab.critical_both", &[("low", &low), ("high", &high)]),
        (Some(low), None) => reader.fill("lab.critical_to", &[("value", &low)]),
        (None, Some(high)) => reader.fill("lab.critical_from", &[("value", &high)]),
        (None, None) => String::new(),
    }
}

/// The names of the fields of one examination.
#[derive(Clone, Copy)]
pub struct Names {
    pub value: &'static str,
    pub low: &'static str,
    pub high: &'static str,
    pub critical: &'static str,
}

/// What the examination is measured in; without a UCUM code its value is text.
#[derive(Clone, Copy)]
pub struct Measure<'a> {
    pub unit: &'a str,
    pub ucum: &'a str,
    pub limits: Option<&'a Reference>,
}

impl Measure<'_> {
    /// What is possible of an examination, when it is measured in the unit of the list.
    fn possible(&self, made: &Value) -> (f64, f64) {
        possible_in(made, self.ucum)
    }
}

/// What is possible of an observation in a unit; of another unit than the list's nothing is known.
pub fn possible_in(holder: &Value, ucum: &str) -> (f64, f64) {
    let code = code_of(holder.get("code"), |system| system == "http://loinc.org");
    match loinc::find(&code) {
        Some(common) if common.ucum == ucum => loinc::possible(&code),
        None if crate::view::signs::possible(&code).is_some() => loinc::possible(&code),
        _ => (f64::MIN, f64::MAX),
    }
}

/// Value, reference and interpretation as they were typed.
pub fn typed(visit: &Visit, made: &mut Value, form: &Form, names: Names, of: Measure<'_>, problems: &mut Problems) {
    let is_critical = form.typed(names.critical) == "1";
    if of.ucum.is_empty() {
        put(made, "valueString", json!(form.typed(names.value)));
        return if is_critical {
            interpreted(made, Some("AA"))
        };
    }
    let mut end = |name: &'static str| match form.typed(name) {
        "" => None,
        typed => numbered(visit, name, typed, problems),
    };
    let (low, high) = (end(names.low), end(names.high));
    if let (Some(low), Some(high)) = (&low, &high)
        && float(low) > float(high)
    {
        problems.add(names.high, visit.text("lab.range_wrong"));
    }
    let Some(amount) = amount(visit, made, names.value, form.typed(names.value), of, problems) else { return };
    let ends = [("low", &low), ("high", &high)];
    let range: serde_json::Map<String, Value> = ends
        .iter()
        .filter_map(|(name, end)| Some(((*name).to_owned(), quantity(end.as_ref()?, of.unit, of.ucum))))
        .collect();
    if !range.is_empty() {
        put(made, "referenceRange", json!([range]));
    }
    let range = (low.as_ref().map(float), high.as_ref().map(float));
    interpreted(made, code(amount, range, of.limits, is_critical));
}

/// The quantity of a field; what it says.
pub fn amount(
    visit: &Visit,
    made: &mut Value,
    field: &'static str,
    typed: &str,
    of: Measure<'_>,
    problems: &mut Problems,
) -> Option<Amount> {
    let (sign, digits) = comparator(typed);
    let value = numbered(visit, field, digits, problems)?;
    if let Some(text) = impossible(&visit.reader, &value, of.unit, of.possible(made)) {
        problems.add(field, text);
    }
    let mut amount = match of.ucum {
        "" => json!({"value": value, "unit": of.unit}),
        ucum => quantity(&value, of.unit, ucum),
    };
    if let Some(sign) = sign {
        put(&mut amount, "comparator", json!(sign));
    }
    put(made, "valueQuantity", amount);
    Some(Amount { number: float(&value), comparator: sign })
}

/// The code of ObservationInterpretation: critical by the limits or because somebody says so, else by the reference; none
/// where there is nothing to judge by.
pub fn code(
    value: Amount,
    (low, high): (Option<f64>, Option<f64>),
    limits: Option<&Reference>,
    is_critical: bool,
) -> Option<&'static str> {
    let limit = |end: Option<&str>| end.and_then(|end| end.parse::<f64>().ok());
    let critical = |end: fn(&Reference) -> Option<&'static str>| limits.and_then(|limits| limit(end(limits)));
    match (critical(|limits| limits.critical_low), critical(|limits| limits.critical_high)) {
        (Some(least), _) if value.is_at_most(least) => return Some("LL"),
        (_, Some(most)) if value.is_at_least(most) => return Some("HH"),
        _ => {}
    }
    match (low, high) {
        (Some(low), _) if value.is_below(low) => Some(if is_critical { "LL" } else { "L" }),
        (_, Some(high)) if value.is_above(high) => Some(if is_critical { "HH" } else { "H" }),
        _ if is_critical => Some("AA"),
        (None, None) => None,
        ends if value.is_within(ends) => Some("N"),
        // `> 4`, when 5 is the end: it may be either.
        _ => None,
    }
}

/// Puts an interpretation in the place of the one that is there.
pub fn interpreted(made: &mut Value, code: Option<&str>) {
    if let Some(members) = made.as_object_mut() {
        members.shift_remove("interpretation");
    }
    if let Some(code) = code {
        put(made, "interpretation", json!([{"coding": [{"system": INTERPRETATION, "code": code}]}]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_judged_by_limits_and_reference() {
        let potassium = reference("2823-3", "");
        let check = |value: f64, is_critical: bool, limits: bool, expected: Option<&str>| {
            let limits = potassium.filter(|_| limits);
            assert_eq!(code(Amount::exact(value), (Some(3.5), Some(5.1)), limits, is_critical), expected, "{value}");
        };
        check(6.2, false, true, Some("HH"));
        check(6.1, false, true, Some("H"));
        check(2.5, false, true, Some("LL"));
        check(5.1, false, true, Some("N"));
        check(6.3, false, false, Some("H"));
        check(6.3, true, false, Some("HH"));
        check(3.4, true, false, Some("LL"));
        check(4.0, true, false, Some("AA"));
        assert_eq!(code(Amount::exact(1.0), (None, None), None, false), None);
    }
}
