//! Units: what of two quantities can be compared, and by which factor (<https://ucum.org/ucum>).
//!
//! An expression (`mg/dL`, `10*3/uL`, `mL/min/{1.73_m2}`) is read by the grammar of UCUM over the units of
//! `fhir-profiles/ucum/units.txt`, with exact fractions. Two units are comparable when they have the same
//! [dimension](Unit::dimension). Numerator and denominator do not cancel (mmol/mol is not mg/g nor %), and mol, doses and
//! arbitrary units stand for themselves, so nothing is converted from one substance to another. Logarithmic units are not
//! here. What cannot be read gives none: it is compared by its code alone.

use crate::search::decimal::{Decimal, Ratio};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::LazyLock;

const UNITS: &str = include_str!("../../fhir-profiles/ucum/units.txt");
const PREFIXES: [(&str, i32); 20] = [
    ("da", 1),
    ("Y", 24),
    ("Z", 21),
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("h", 2),
    ("d", -1),
    ("c", -2),
    ("m", -3),
    ("u", -6),
    ("n", -9),
    ("p", -12),
    ("f", -15),
    ("a", -18),
    ("z", -21),
    ("y", -24),
];
/// Longer expressions, deeper parentheses and larger exponents are no units of a record.
const LONGEST: usize = 64;
const DEEPEST: usize = 8;
const EXPONENT: i32 = 12;

/// What a unit is in base units: (value + offset) x factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    factor: Ratio,
    offset: Ratio,
    /// Base unit -> power above and below the line.
    powers: BTreeMap<&'static str, (i32, i32)>,
}

impl Unit {
    /// Reads an expression.
    pub fn read(code: &str) -> Option<Unit> {
        static TABLE: LazyLock<Table> = LazyLock::new(|| table(UNITS));
        if code.is_empty() || code.len() > LONGEST || !code.is_ascii() {
            return None;
        }
        expression(&TABLE, code, 0)
    }

    /// The base units and their powers, as text: `g/m3`.
    pub fn dimension(&self) -> String {
        let side = |of: fn(&(i32, i32)) -> i32| {
            let mut text = String::new();
            for (name, powers) in self.powers.iter().filter(|(_, powers)| of(powers) > 0) {
                let _ = write!(text, "{name}{}", of(powers));
            }
            text
        };
        format!("{}/{}", side(|powers| powers.0), side(|powers| powers.1))
    }

    /// A number of this unit in base units, as the nearest double.
    pub fn canonical(&self, number: Decimal) -> f64 {
        let exact = || number.ratio()?.plus(self.offset)?.times(self.factor).map(Ratio::nearest);
        // Too large or small for exact fractions: not what is measured in people.
        exact().unwrap_or_else(|| (number.nearest() + self.offset.nearest()) * self.factor.nearest())
    }

    const NUMBER: Unit = Unit { factor: Ratio::ONE, offset: Ratio::ZERO, powers: BTreeMap::new() };

    fn number(ratio: Ratio) -> Unit {
        Unit { factor: ratio, ..Unit::NUMBER }
    }

    /// With an offset a unit is good by itself only.
    fn times(mut self, other: &Unit) -> Option<Unit> {
        if self.offset != Ratio::ZERO || other.offset != Ratio::ZERO {
            return (self == Unit::NUMBER).then(|| other.clone()).or_else(|| (*other == Unit::NUMBER).then_some(self));
        }
        self.factor = self.factor.times(other.factor)?;
        for (name, (above, below)) in &other.powers {
            let powers = self.powers.entry(name).or_default();
            *powers = (powers.0 + above, powers.1 + below);
        }
        Some(self)
    }

    fn inverse(mut self) -> Option<Unit> {
        self.factor = self.factor.inverse()?;
        self.powers.values_mut().for_each(|powers| *powers = (powers.1, powers.0));
        (self.offset == Ratio::ZERO).then_some(self)
    }

    fn power(self, exponent: i32) -> Option<Unit> {
        if exponent == 1 {
            return Some(self);
        }
        let base = if exponent < 0 { self.inverse()? } else { self };
        let mut product = Unit::NUMBER;
        for _ in 0..exponent.abs() {
            product = product.times(&base)?;
        }
        Some(product)
    }
}

struct Row {
    unit: Unit,
    metric: bool,
}

type Table = HashMap<&'static str, Row>;

/// Every line is read with the units above it; a test sees that none is passed over.
fn table(text: &'static str) -> Table {
    let mut table = Table::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split(' ');
        let (Some(code), Some(metric)) = (words.next(), words.next()) else { continue };
        let unit = match (words.next(), words.next(), words.next()) {
            (None, ..) => Some(Unit { powers: BTreeMap::from([(code, (1, 0))]), ..Unit::NUMBER }),
            (Some(value), Some(of), offset) => derived(&table, value, of, offset),
            _ => None,
        };
        if let Some(unit) = unit {
            table.insert(code, Row { unit, metric: metric == "+" });
        }
    }
    table
}

fn derived(table: &Table, value: &str, of: &str, offset: Option<&str>) -> Option<Unit> {
    let value = Unit::number(Decimal::parse(value)?.ratio()?);
    let mut unit = expression(table, of, 0)?.times(&value)?;
    if let Some(offset) = offset {
        unit.offset = Decimal::parse(offset)?.ratio()?;
    }
    Some(unit)
}

/// `component`s joined by `.` and `/`; a `/` may stand first. Evaluated from left to right, as UCUM has it.
fn expression(table: &Table, text: &str, depth: usize) -> Option<Unit> {
    if depth > DEEPEST {
        return None;
    }
    let mut unit = Unit::NUMBER;
    let mut rest = text;
    let mut divide = false;
    if let Some(after) = rest.strip_prefix('/') {
        (rest, divide) = (after, true);
    }
    loop {
        let end = component_end(rest)?;
        let (component, after) = rest.split_at_checked(end)?;
        let factor = self::component(table, component, depth)?;
        unit = unit.times(&if divide { factor.inverse()? } else { factor })?;
        rest = match after.split_at_checked(1) {
            None => return Some(unit),
            Some((".", after)) => {
                divide = false;
                after
            }
            Some(("/", after)) => {
                divide = true;
                after
            }
            Some(_) => return None,
        };
    }
}

/// Where a component ends: before an operator that stands in no bracket, annotation or parenthesis.
fn component_end(text: &str) -> Option<usize> {
    let (mut round, mut square, mut curly) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '}' if curly => curly = false,
            _ if curly => {}
            '{' => curly = true,
            ']' => square = false,
            _ if square => {}
            '[' => square = true,
            '(' => round += 1,
            ')' => round = round.checked_sub(1)?,
            '.' | '/' if round == 0 => return Some(at),
            _ => {}
        }
    }
    (round == 0 && !square && !curly).then_some(text.len())
}

fn component(table: &Table, text: &str, depth: usize) -> Option<Unit> {
    // An annotation says something to people, nothing to the value.
    let text = match text.split_once('{') {
        Some((before, note)) if note.ends_with('}') => before,
        Some(_) => return None,
        None if text.is_empty() => return None,
        None => text,
    };
    if text.is_empty() {
        return Some(Unit::NUMBER);
    }
    if let Some(inner) = text.strip_prefix('(') {
        return expression(table, inner.strip_suffix(')')?, depth + 1);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Unit::number(Decimal::parse(text)?.ratio()?));
    }
    if let Some(unit) = simple(table, text) {
        return Some(unit);
    }
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (name, digits) = text.split_at_checked(text.len().checked_sub(digits)?)?;
    let (name, sign) = match name.strip_suffix('-') {
        Some(name) => (name, -1),
        None => (name.strip_suffix('+').unwrap_or(name), 1),
    };
    let exponent = digits.parse::<i32>().ok().filter(|exponent| *exponent <= EXPONENT)?;
    simple(table, name)?.power(sign * exponent)
}

/// A unit of the table, with or without a prefix.
fn simple(table: &Table, name: &str) -> Option<Unit> {
    if let Some(row) = table.get(name) {
        return Some(row.unit.clone());
    }
    PREFIXES.iter().find_map(|(prefix, power)| {
        let row = table.get(name.strip_prefix(prefix)?).filter(|row| row.metric)?;
        let factor = Decimal { mantissa: 1, exponent: *power }.ratio()?;
        // `mCel` has an offset, which a factor would change.
        (row.unit.offset == Ratio::ZERO).then(|| row.unit.clone().times(&Unit::number(factor)))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: &str, code: &str) -> (String, f64) {
        let unit = Unit::read(code).unwrap_or_else(|| panic!("{code} is not read"));
        (unit.dimension(), unit.canonical(Decimal::parse(number).unwrap()))
    }

    #[test]
    fn every_line_of_the_table_is_read() {
        let lines = UNITS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let missing: Vec<&str> =
            lines.filter(|line| Unit::read(line.split(' ').next().unwrap_or_default()).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn the_same_amount_is_the_same_value() {
        let check = |a: (&str, &str), b: (&str, &str)| assert_eq!(of(a.0, a.1), of(b.0, b.1), "{a:?} {b:?}");
        check(("5.4", "mg"), ("0.0054", "g"));
        check(("5.4", "mg/dL"), ("54", "mg/L"));
        check(("5.4", "mg/dL"), ("0.054", "g/L"));
        check(("1", "kg"), ("1000", "g"));
        check(("1", "[lb_av]"), ("453.59237", "g"));
        check(("37", "Cel"), ("98.6", "[degF]"));
        check(("0", "Cel"), ("273.15", "K"));
        check(("-40", "Cel"), ("-40", "[degF]"));
        check(("180", "cm"), ("1.8", "m"));
        check(("1", "[ft_i]"), ("30.48", "cm"));
        check(("4.5", "10*3/uL"), ("4.5", "10*9/L"));
        check(("4500", "/uL"), ("4.5", "10*3/uL"));
        check(("4.5", "10^3/uL"), ("4500", "{cells}/uL"));
        check(("120", "mm[Hg]"), ("15.99864", "kPa"));
        check(("60", "min"), ("1", "h"));
        check(("7", "d"), ("1", "wk"));
        check(("12", "mo"), ("1", "a"));
        check(("90", "mL/min/{1.73_m2}"), ("0.09", "L/min"));
        check(("1", "mg/kg/d"), ("1", "ug/g/d"));
        check(("1", "m/s2"), ("1", "m.s-2"));
        check(("100", "U/L"), ("100", "umol/(min.L)"));
        check(("100", "[IU]/L"), ("0.1", "[IU]/mL"));
        check(("50", "%"), ("0.5", "1"));
        check(("72", "/min"), ("1.2", "/s"));
        check(("72", "{beats}/min"), ("72", "/min"));
        check(("24", "kg/m2"), ("2.4", "g/cm2"));
    }

    #[test]
    fn nothing_is_converted_across_substances() {
        for (a, b) in [
            ("mg/dL", "mmol/L"),
            ("%", "mmol/mol"),
            ("mg/g", "%"),
            ("mmol/mol", "mg/g"),
            ("U/L", "[IU]/L"),
            ("meq/L", "mmol/L"),
            ("mosm/kg", "mmol/kg"),
            ("Gy", "Sv"),
            ("Cel", "mm[Hg]"),
            ("kg", "L"),
        ] {
            assert_ne!(Unit::read(a).unwrap().dimension(), Unit::read(b).unwrap().dimension(), "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_unit_is_not_read() {
        for code in [
            "", "mgs", "mg//dL", "mg/", ".mg", "mg.", "(mg", "mg)", "{a", "a}b{", "kmin", "mCel", "Cel2", "mg dL",
            "m99", "lb", "ñ",
        ] {
            assert_eq!(Unit::read(code), None, "{code}");
        }
        assert_eq!(Unit::read(&"(".repeat(40)), None);
    }
}
