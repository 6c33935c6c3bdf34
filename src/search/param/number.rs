//! Number parameters: a value in a resource is a point, one in a query the interval of its last digit.
//! <https://hl7.org/fhir/R4/search.html#number>

use super::bad_value;
use crate::error::Result;
use crate::fhir::path::Node;
use crate::search::decimal::Decimal;
use crate::search::hash::{Form, Slot};
use crate::search::index::Range;
use crate::search::query::{Interval, Prefix};
use serde_json::Value;

/// The row of one node.
pub fn index(slot: &Slot, node: Node<'_>, ranges: &mut Vec<Range>) {
    if let Some(number) = decimal(node.value) {
        let at = number.nearest();
        ranges.push(Range { key: slot.key(Form::Ranges, &[]), lo: at, hi: at, marks: Vec::new() });
    }
}

/// The number of a JSON value, digit by digit.
pub fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        // More digits than are compared exactly: the nearest double.
        Value::Number(number) => Decimal::parse(number.as_str()).or_else(|| {
            let nearest = number.as_str().parse::<f64>().ok().filter(|nearest| nearest.is_finite())?;
            Decimal::parse(&format!("{nearest:?}"))
        }),
        _ => None,
    }
}

/// What a query value asks for, in whichever unit `convert` answers: `eq` and `ne` by the precision of what was written,
/// `ap` with a tenth around it, every other prefix by the exact number.
pub fn interval(prefix: Prefix, number: Decimal, convert: impl Fn(Decimal) -> f64) -> Option<Interval> {
    let (lo, hi) = match prefix {
        Prefix::Eq | Prefix::Ne => {
            let (lo, hi) = number.half_a_digit_around()?;
            // The upper end is not part of it. Digits beyond those of a double leave the number itself.
            let at = convert(number);
            (convert(lo).min(at), convert(hi).next_down().max(at))
        }
        Prefix::Ap => {
            let (lo, hi) = number.a_tenth_around()?;
            (convert(lo), convert(hi))
        }
        _ => (convert(number), convert(number)),
    };
    Some(Interval { prefix, lo, hi })
}

/// Reads a query value: prefix and number.
pub fn asked(parameter: &str, value: &str) -> Result<(Prefix, Decimal)> {
    let (prefix, text) = Prefix::split(value);
    match Decimal::parse(text) {
        Some(number) => Ok((prefix, number)),
        None => {
            Err(bad_value(parameter, "a number (5, -5.40, 1e3), perhaps with a prefix (eq ne gt lt ge le sa eb ap)"))
        }
    }
}

/// The interval of a query value without unit.
pub fn comparison(parameter: &str, value: &str) -> Result<Interval> {
    let (prefix, number) = asked(parameter, value)?;
    interval(prefix, number, Decimal::nearest).ok_or_else(|| bad_value(parameter, "a number of at most 30 digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_left_out() {
        let number = |text: &str| decimal(&serde_json::from_str(text).unwrap()).map(Decimal::nearest);
        assert_eq!(number("5.40"), Some(5.4));
        assert_eq!(number(&format!("0.{}", "3".repeat(60))), Some(1.0 / 3.0));
        assert_eq!(number("1.0e-245"), Some(1e-245));
        assert_eq!(number("\"5\""), None);
    }

    #[test]
    fn intervals_of_query_values() {
        let check = |value: &str, expected: Option<(Prefix, f64, f64)>| {
            let found = comparison("probability", value).ok().map(|i| (i.prefix, i.lo, i.hi));
            assert_eq!(found, expected, "{value}");
        };
        check("100", Some((Prefix::Eq, 99.5, 100.5_f64.next_down())));
        check("1e2", Some((Prefix::Eq, 95.0, 105.0_f64.next_down())));
        check("ne5.40", Some((Prefix::Ne, 5.395, 5.405_f64.next_down())));
        check("lt100", Some((Prefix::Lt, 100.0, 100.0)));
        check("1000000000000000000", Some((Prefix::Eq, 1e18, 1e18)));
        check("ap-50", Some((Prefix::Ap, -55.0, -45.0)));
        for bad in ["", "ge", "x5", "5x", "1,0"] {
            check(bad, None);
        }
    }
}
