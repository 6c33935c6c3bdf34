//! Quantity parameters: `number`, `number|system|code`, `number||unit`. <https://hl7.org/fhir/R4/search.html#quantity>
//!
//! A value is found as it was written (by number, by its unit's text or code, by system and code), and, when its unit is
//! one of UCUM that can be read, in base units: 5400 ug finds 5.4 mg, never anything across substances
//! ([`ucum`](crate::search::ucum)). A comparator (`<5`) makes it open on one side, a Range is the interval between its
//! ends, SampledData the one between its lowest and highest sample, Money has its currency as unit.

use super::{bad_value, number, split, unescape};
use crate::error::Result;
use crate::fhir::path::Node;
use crate::search::decimal::Decimal;
use crate::search::hash::{Form, Slot};
use crate::search::index::Range;
use crate::search::query::{Amount, Clause, Interval, Term};
use crate::search::ucum::Unit;
use serde_json::Value;

const UCUM: &str = "http://unitsofmeasure.org";
const CURRENCY: &str = "urn:iso:std:iso:4217";

/// One value of a resource.
pub struct Measure<'a> {
    pub lo: f64,
    pub hi: f64,
    /// Dimension and ends in base units.
    pub canonical: Option<(String, f64, f64)>,
    system: Option<&'a str>,
    code: Option<&'a str>,
    unit: Option<&'a str>,
}

impl<'a> Measure<'a> {
    /// The value of a node; none when it has no number.
    pub fn of(node: Node<'a>) -> Option<Measure<'a>> {
        match node.fhir_type {
            "Money" => {
                let at = number::decimal(node.value.get("value")?)?;
                let code = text(node.value, "currency");
                Some(Measure { system: Some(CURRENCY), code, ..Measure::between(Some(at), Some(at), None) })
            }
            "Range" => {
                let (low, high) = (node.value.get("low"), node.value.get("high"));
                let end = |side: Option<&'a Value>| side?.get("value").and_then(number::decimal);
                let (lo, hi) = (end(low), end(high));
                let of = low.or(high).filter(|_| lo.is_some() || hi.is_some())?;
                Some(Measure::in_unit(lo, hi, of))
            }
            "SampledData" => {
                let origin = node.value.get("origin")?;
                let samples = Samples::of(node.value, number::decimal(origin.get("value")?)?);
                Some(Measure::in_unit(Some(samples.lowest()?), Some(samples.highest()?), origin))
            }
            _ => {
                let at = number::decimal(node.value.get("value")?)?;
                let measure = match text(node.value, "comparator") {
                    Some("<" | "<=") => Measure::in_unit(None, Some(at), node.value),
                    Some(">" | ">=") => Measure::in_unit(Some(at), None, node.value),
                    _ => Measure::in_unit(Some(at), Some(at), node.value),
                };
                Some(measure.without_end(text(node.value, "comparator")))
            }
        }
    }

    fn in_unit(lo: Option<Decimal>, hi: Option<Decimal>, of: &'a Value) -> Measure<'a> {
        let (system, code) = (text(of, "system"), text(of, "code"));
        let unit = code.filter(|_| system == Some(UCUM)).and_then(Unit::read);
        Measure { system, code, unit: text(of, "unit"), ..Measure::between(lo, hi, unit) }
    }

    fn between(lo: Option<Decimal>, hi: Option<Decimal>, unit: Option<Unit>) -> Measure<'a> {
        let ends = |convert: &dyn Fn(Decimal) -> f64| {
            (lo.map_or(f64::NEG_INFINITY, convert), hi.map_or(f64::INFINITY, convert))
        };
        let canonical = unit.map(|unit| {
            let (lo, hi) = ends(&|number| unit.canonical(number));
            (unit.dimension(), lo, hi)
        });
        let (lo, hi) = ends(&Decimal::nearest);
        Measure { lo, hi, canonical, system: None, code: None, unit: None }
    }

    /// `<5` is anything below 5, not 5 itself.
    fn without_end(mut self, comparator: Option<&str>) -> Self {
        match comparator {
            Some("<") => {
                self.hi = self.hi.next_down();
                self.canonical.iter_mut().for_each(|(_, _, hi)| *hi = hi.next_down());
            }
            Some(">") => {
                self.lo = self.lo.next_up();
                self.canonical.iter_mut().for_each(|(_, lo, _)| *lo = lo.next_up());
            }
            _ => {}
        }
        self
    }

    /// The keys of its unit as it was written.
    pub fn marks(&self, slot: &Slot) -> Vec<i64> {
        let mut marks = Vec::new();
        for text in [self.unit, self.code].into_iter().flatten() {
            marks.push(slot.key(Form::UnitText, &[text]));
        }
        if let (Some(system), Some(code)) = (self.system, self.code) {
            marks.push(slot.key(Form::UnitCode, &[system, code]));
        }
        marks.sort_unstable();
        marks.dedup();
        marks
    }
}

/// The numbers of SampledData: origin + sample x factor; `L` and `U` stand for the limits.
/// <https://hl7.org/fhir/R4/datatypes.html#SampledData>
struct Samples(Vec<Decimal>);

impl Samples {
    fn of(value: &Value, origin: Decimal) -> Samples {
        let limit = |name: &str| value.get(name).and_then(number::decimal);
        let factor = limit("factor").unwrap_or(Decimal { mantissa: 1, exponent: 0 });
        let words = text(value, "data").unwrap_or_default().split_whitespace();
        let samples = words.filter_map(|word| match word {
            "L" => limit("lowerLimit"),
            "U" => limit("upperLimit"),
            word => Decimal::parse(word).map(|sample| scaled(origin, sample, factor)),
        });
        let samples: Vec<Decimal> = samples.collect();
        Samples(if samples.is_empty() { vec![origin] } else { samples })
    }

    fn lowest(&self) -> Option<Decimal> {
        self.0.iter().copied().min_by(|a, b| a.nearest().total_cmp(&b.nearest()))
    }

    fn highest(&self) -> Option<Decimal> {
        self.0.iter().copied().max_by(|a, b| a.nearest().total_cmp(&b.nearest()))
    }
}

/// `origin + sample x factor`, exact where it fits.
fn scaled(origin: Decimal, sample: Decimal, factor: Decimal) -> Decimal {
    let exact = || {
        let mantissa = sample.mantissa.checked_mul(factor.mantissa)?;
        let exponent = sample.exponent.checked_add(factor.exponent)?;
        let least = exponent.min(origin.exponent);
        let raise = |mantissa: i128, from: i32| {
            mantissa.checked_mul(10_i128.checked_pow(from.checked_sub(least)?.unsigned_abs())?)
        };
        let sum = raise(mantissa, exponent)?.checked_add(raise(origin.mantissa, origin.exponent)?)?;
        Some(Decimal { mantissa: sum, exponent: least })
    };
    exact().unwrap_or(sample)
}

/// The rows of one node of a parameter that may have several values: as written, and in base units.
pub fn index(slot: &Slot, node: Node<'_>, ranges: &mut Vec<Range>) {
    let Some(measure) = Measure::of(node) else { return };
    let marks = measure.marks(slot);
    ranges.push(Range { key: slot.key(Form::Ranges, &[]), lo: measure.lo, hi: measure.hi, marks });
    if let Some((dimension, lo, hi)) = measure.canonical {
        ranges.push(Range { key: slot.key(Form::Dimension, &[&dimension]), lo, hi, marks: Vec::new() });
    }
}

/// What a query value asks for.
pub struct Asked {
    interval: Interval,
    unit: Wanted,
}

enum Wanted {
    Whatever,
    Text(String),
    Coded(String, String),
    /// In base units of this dimension.
    Comparable(String),
}

/// Reads a query value (escapes still in it).
pub fn asked(parameter: &str, value: &str) -> Result<Asked> {
    let wrong = || {
        bad_value(
            parameter,
            "a number, number|system|code or number||unit, perhaps with a prefix (eq ne gt lt ge le sa eb ap)",
        )
    };
    let parts: Vec<_> = split(value, '|').into_iter().map(unescape).collect();
    let (number, unit) = match parts.iter().map(|part| &**part).collect::<Vec<_>>().as_slice() {
        [number] | [number, "", ""] => (*number, Wanted::Whatever),
        [number, "", unit] => (*number, Wanted::Text((*unit).to_owned())),
        [number, system, code] if !code.is_empty() => {
            let (prefix, decimal) = number::asked(parameter, number).map_err(|_| wrong())?;
            if let Some(unit) = Unit::read(code).filter(|_| *system == UCUM) {
                let interval = number::interval(prefix, decimal, |number| unit.canonical(number)).ok_or_else(wrong)?;
                return Ok(Asked { interval, unit: Wanted::Comparable(unit.dimension()) });
            }
            (*number, Wanted::Coded((*system).to_owned(), (*code).to_owned()))
        }
        _ => return Err(wrong()),
    };
    let (prefix, decimal) = number::asked(parameter, number).map_err(|_| wrong())?;
    let interval = number::interval(prefix, decimal, Decimal::nearest).ok_or_else(wrong)?;
    Ok(Asked { interval, unit })
}

impl Asked {
    fn marks(&self, slot: &Slot) -> Vec<i64> {
        match &self.unit {
            Wanted::Whatever | Wanted::Comparable(_) => Vec::new(),
            Wanted::Text(text) => vec![slot.key(Form::UnitText, &[text])],
            Wanted::Coded(system, code) => vec![slot.key(Form::UnitCode, &[system, code])],
        }
    }

    /// Of the main quantity, which stands in the columns of the row.
    pub fn amount(&self, slot: &Slot) -> Amount {
        match &self.unit {
            Wanted::Comparable(dimension) => {
                Amount { canonical: true, keys: vec![slot.key(Form::Dimension, &[dimension])], interval: self.interval }
            }
            _ => Amount { canonical: false, keys: self.marks(slot), interval: self.interval },
        }
    }

    /// Of a parameter whose values are rows.
    pub fn term(&self, slot: &Slot) -> Term {
        let key = match &self.unit {
            Wanted::Comparable(dimension) => slot.key(Form::Dimension, &[dimension]),
            _ => slot.key(Form::Ranges, &[]),
        };
        Term { key, marks: self.marks(slot), interval: self.interval }
    }

    /// Of a composite, beside a code.
    pub fn term_beside(&self, slot: &Slot, code: &str, mark: Option<i64>) -> Term {
        let key = match &self.unit {
            Wanted::Comparable(dimension) => slot.key(Form::PairDimension, &[code, dimension]),
            _ => slot.key(Form::PairRanges, &[code]),
        };
        let mut marks = self.marks(slot);
        marks.extend(mark);
        Term { key, marks, interval: self.interval }
    }
}

/// The clause of a parameter: `main` when its one value stands in the columns of the row.
pub fn clause(slot: &Slot, main: bool, asked: &[Asked]) -> Clause {
    match main {
        true => Clause::Number(asked.iter().map(|one| one.amount(slot)).collect()),
        false => Clause::Range(asked.iter().map(|one| one.term(slot)).collect()),
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::query::Prefix;
    use serde_json::json;

    #[test]
    fn values_of_a_resource() {
        let check = |fhir_type: &'static str, value: Value, raw: (f64, f64), canonical: Option<(f64, f64)>| {
            let measure = Measure::of(Node { value: &value, fhir_type }).unwrap_or_else(|| panic!("{value}"));
            assert_eq!((measure.lo, measure.hi), raw, "{value}");
            assert_eq!(measure.canonical.map(|(_, lo, hi)| (lo, hi)), canonical, "{value}");
        };
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let mg = |number: Value| json!({"value": number, "unit": "miligramos", "system": UCUM, "code": "mg"});
        check("Quantity", mg(json!(5)), (5.0, 5.0), Some((0.005, 0.005)));
        check("Quantity", json!({"value": 5, "unit": "mg"}), (5.0, 5.0), None);
        check("Age", json!({"value": 2, "system": UCUM, "code": "min"}), (2.0, 2.0), Some((120.0, 120.0)));
        check("Quantity", json!({"value": 5, "comparator": "<"}), (low, 5.0_f64.next_down()), None);
        check("Quantity", json!({"value": 5, "comparator": ">="}), (5.0, high), None);
        check("Range", json!({"low": mg(json!(1)), "high": mg(json!(2))}), (1.0, 2.0), Some((0.001, 0.002)));
        check("Range", json!({"high": mg(json!(2))}), (low, 2.0), Some((low, 0.002)));
        check("Money", json!({"value": 10.5, "currency": "COP"}), (10.5, 10.5), None);
        let sampled = json!({"origin": mg(json!(10)), "factor": 0.5, "data": "2 -4 E 6"});
        check("SampledData", sampled, (8.0, 13.0), Some((0.008, 0.013)));
        let none = json!({"unit": "mg"});
        assert!(Measure::of(Node { value: &none, fhir_type: "Quantity" }).is_none());
    }

    #[test]
    fn query_values() {
        for good in ["5.4", "ge5.4", "5.4||mg", "5.4|http://x|mg", "lt5.4|http://unitsofmeasure.org|mg", "5||"] {
            assert!(asked("value-quantity", good).is_ok(), "{good}");
        }
        for bad in ["", "mg", "5|mg", "5|http://x|", "5|a|b|c", "ge|a|b"] {
            assert!(asked("value-quantity", bad).is_err(), "{bad}");
        }
        let one = asked("value-quantity", "ge5400|http://unitsofmeasure.org|ug").unwrap();
        let two = asked("value-quantity", "ge5.4|http://unitsofmeasure.org|mg").unwrap();
        assert_eq!(one.interval, two.interval);
        assert_eq!(one.interval, Interval { prefix: Prefix::Ge, lo: 0.0054, hi: 0.0054 });
    }
}
