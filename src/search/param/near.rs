//! `near` of Location (<https://hl7.org/fhir/R4/location.html#positional>): `latitude|longitude|distance|units`.
//!
//! A position is a row of `search_range`, latitude in `lo` and longitude in `hi`: a search reads the box that the circle
//! stands in and measures the distance on a sphere. Without a unit kilometres; without a distance [`WITHOUT_DISTANCE`]. The order of the
//! matches is that of the search, not their distance.

use super::{bad_value, split, unescape};
use crate::error::Result;
use crate::fhir::path::Node;
use crate::search::decimal::Decimal;
use crate::search::hash::{Form, Slot};
use crate::search::index::Range;
use crate::search::query::Circle;
use crate::search::ucum::Unit;
use serde_json::Value;

/// Metres; R4 leaves it to the server.
const WITHOUT_DISTANCE: f64 = 10_000.0;
/// Metres of the mean sphere.
pub const RADIUS: f64 = 6_371_008.8;

/// The row of a position.
pub fn index(slot: &Slot, node: Node<'_>, ranges: &mut Vec<Range>) {
    let of = |name| match node.value.get(name) {
        Some(Value::Number(number)) => Decimal::parse(number.as_str()).map(|decimal| decimal.nearest()),
        _ => None,
    };
    if let (Some(lo), Some(hi)) = (of("latitude"), of("longitude")) {
        ranges.push(Range { key: slot.key(Form::Ranges, &[]), lo, hi, marks: Vec::new() });
    }
}

/// What a query value (escapes still in it) asks for.
pub fn circle(slot: &Slot, parameter: &str, value: &str) -> Result<Circle> {
    let wrong = || {
        let form = "latitude|longitude|distance|units: degrees, a distance of 0 or more and a UCUM unit of length (km when there is none)";
        bad_value(parameter, form)
    };
    let parts: Vec<_> = split(value, '|').into_iter().map(unescape).collect();
    let number = |at: usize| parts.get(at).and_then(|text| Decimal::parse(text));
    let given = |at: usize| parts.get(at).is_some_and(|text| !text.is_empty());
    let latitude = number(0).ok_or_else(wrong)?.nearest();
    let longitude = number(1).ok_or_else(wrong)?.nearest();
    let metres = match (given(2), given(3)) {
        (true, unit) => {
            let code = parts.get(3).filter(|_| unit).map_or("km", |code| code);
            let unit = Unit::read(code).filter(|unit| unit.dimension() == "m1/").ok_or_else(wrong)?;
            unit.canonical(number(2).ok_or_else(wrong)?)
        }
        (false, _) => WITHOUT_DISTANCE,
    };
    let there = latitude.abs() <= 90.0 && longitude.abs() <= 180.0 && metres >= 0.0 && metres.is_finite();
    if !there || parts.len() > 4 {
        return Err(wrong());
    }
    Ok(Circle { key: slot.key(Form::Ranges, &[]), latitude, longitude, metres })
}

impl Circle {
    /// The latitudes that it touches, and the longitudes: none when it holds a pole or goes round, two where it crosses
    /// the 180th meridian.
    pub fn bounds(&self) -> ((f64, f64), Vec<(f64, f64)>) {
        // A little more than the circle, so that rounding loses nothing: the distance decides.
        let angle = (self.metres / RADIUS).to_degrees() + 1e-9;
        let latitudes = (self.latitude - angle, self.latitude + angle);
        let widest = angle.to_radians().sin() / self.latitude.to_radians().cos();
        if angle >= 90.0 || latitudes.0 <= -90.0 || latitudes.1 >= 90.0 || widest >= 1.0 {
            return (latitudes, Vec::new());
        }
        let half = widest.asin().to_degrees() + 1e-9;
        let (west, east) = (self.longitude - half, self.longitude + half);
        let longitudes = match (west < -180.0, east > 180.0) {
            (true, _) => vec![(west + 360.0, 180.0), (-180.0, east)],
            (_, true) => vec![(west, 180.0), (-180.0, east - 360.0)],
            _ => vec![(west, east)],
        };
        (latitudes, longitudes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::hash::Hasher;

    fn read(value: &str) -> Result<Circle> {
        circle(&Hasher::new([1; 16]).slot("Location", "near"), "near", value)
    }

    #[test]
    fn values() {
        let check = |value: &str, metres: f64| {
            let circle = read(value).unwrap_or_else(|e| panic!("{value}: {e}"));
            assert!((circle.metres - metres).abs() < 1e-6 * metres.max(1.0), "{value}: {}", circle.metres);
        };
        check("4.6|-74.1|5|km", 5000.0);
        check("4.6|-74.1|5", 5000.0);
        check("4.6|-74.1|5|", 5000.0);
        check("4.6|-74.1|250|m", 250.0);
        check("4.6|-74.1|1|[mi_i]", 1609.344);
        check("4.6|-74.1", WITHOUT_DISTANCE);
        check("4.6|-74.1||m", WITHOUT_DISTANCE);
        for bad in [
            "",
            "4.6",
            "4.6|x",
            "91|0|1",
            "0|181|1",
            "4.6|-74.1|-1",
            "4.6|-74.1|1|kg",
            "4.6|-74.1|1|leguas",
            "1|2|3|km|x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn boxes_go_round_the_earth() {
        let of = |value: &str| read(value).unwrap().bounds();
        let ((south, north), longitudes) = of("4.6|-74.1|111.195|km");
        assert!((south - 3.6).abs() < 1e-3 && (north - 5.6).abs() < 1e-3);
        let [(west, east)] = longitudes.as_slice() else { panic!() };
        assert!((east - west - 2.0064).abs() < 1e-3, "{west} {east}");
        assert_eq!(of("0|179.9|100|km").1.len(), 2);
        assert_eq!(of("0|-179.9|100|km").1.len(), 2);
        assert_eq!(of("89.9|0|100|km").1.len(), 0);
        assert_eq!(of("0|0|20000|km").1.len(), 0);
    }
}
