//! Date parameters: a value is the closed interval of instants that it stands for, and prefixes compare intervals.
//! <https://hl7.org/fhir/R4/search.html#date>

use super::bad_value;
use crate::error::Result;
use crate::fhir::datetime::{DateTime, Form, Range};
use crate::search::query::{Comparison, Interval, Prefix};
use jiff::Timestamp;

/// `date_lo` of a period without start: before every date of FHIR, and finite, so that intervals can be subtracted.
pub const BEGINNING: Timestamp = Timestamp::constant(-62_167_219_200, 0);
/// `date_hi` of a period without end, and what is later than it: the last microsecond that jiff holds (9999-12-30).
pub const END: Timestamp = Timestamp::constant(253_402_207_200, 999_999_000);

/// The ends of an interval as columns hold them.
pub fn timestamps(range: Range) -> (Timestamp, Timestamp) {
    (instant(range.lo), instant(range.hi))
}

fn instant(micros: i64) -> Timestamp {
    let micros = micros.clamp(BEGINNING.as_microsecond(), END.as_microsecond());
    Timestamp::from_microsecond(micros).unwrap_or(END)
}

/// The ends of an interval as `search_range` holds them: epoch seconds, infinite where the columns have
/// [`BEGINNING`] or [`END`].
pub fn seconds(lo: Timestamp, hi: Timestamp) -> (f64, f64) {
    let lo = if lo <= BEGINNING { f64::NEG_INFINITY } else { lo.as_microsecond() as f64 / 1e6 };
    if hi >= END {
        return (lo, f64::INFINITY);
    }
    // From the year 2242 on a double is coarser than a microsecond: an upper end must not be rounded into the next second.
    let next = hi.as_microsecond().div_euclid(1_000_000) as f64 + 1.0;
    let hi = hi.as_microsecond() as f64 / 1e6;
    (lo, if hi >= next { next.next_down() } else { hi })
}

/// Where the row stands in the order: its beginning, else its end.
pub fn sort_date(range: Range) -> Option<Timestamp> {
    let (lo, hi) = timestamps(range);
    match (range.lo == Range::OPEN_LO, range.hi == Range::OPEN_HI) {
        (false, _) => Some(lo),
        (true, false) => Some(hi),
        (true, true) => None,
    }
}

/// Reads a query value: prefix and date. `now` is for `ap`.
pub fn comparison(parameter: &str, value: &str, local: i32, now: Timestamp) -> Result<Comparison> {
    let (prefix, text) = Prefix::split(value);
    // A `+` of a zone that was not encoded has become a blank.
    let text = text.replace(' ', "+");
    let date = DateTime::parse(&text, Form::Search).ok_or_else(|| bad_value(parameter, "a date (yyyy, yyyy-mm, yyyy-mm-dd, yyyy-mm-ddThh:mm[:ss[.fff]][zone]), perhaps with a prefix (eq ne gt lt ge le sa eb ap)"))?;
    let mut range = date.range(local);
    if prefix == Prefix::Ap {
        // R4: 10 % of the gap between now and the date.
        let gap = (now.as_microsecond() - range.lo).abs() / 10;
        range = Range { lo: range.lo - gap, hi: range.hi + gap };
    }
    let (lo, hi) = timestamps(range);
    Ok(Comparison { prefix, lo, hi })
}

/// As rows of `search_range` hold it.
pub fn interval(one: &Comparison) -> Interval {
    let (lo, hi) = seconds(one.lo, one.hi);
    Interval { prefix: one.prefix, lo, hi }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_prefix() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let check = |value: &str, expected: &str| {
            let shown = match comparison("date", value, -5 * 3600, now) {
                Ok(c) => format!("{:?} {} {}", c.prefix, c.lo, c.hi),
                Err(e) => e.to_string(),
            };
            assert!(shown.starts_with(expected), "{value}: {shown}");
        };
        check("2015-02", "Eq 2015-02-01T05:00:00Z 2015-03-01T04:59:59.999999Z");
        check("ge2015-02-03T10:00Z", "Ge 2015-02-03T10:00:00Z 2015-02-03T10:00:59.999999Z");
        check("lt2015-02-03T10:00:00 02:00", "Lt 2015-02-03T08:00:00Z 2015-02-03T08:00:00.999999Z");
        check("ap2025-01-01T00:00:00Z", "Ap 2024-11-25T12:00:00Z 2025-02-06T12:00:00.999999Z");
        check("ne9999-12-31", "Ne 9999-12-30T22:00:00.999999Z");
        for bad in ["", "ge", "xx2015", "2015-13", "2015-02-30", "ñ2015", "today", "2015-02-03T10"] {
            check(bad, "date: the value is not a date");
        }
    }

    #[test]
    fn open_ends_are_finite_in_columns_and_infinite_in_ranges() {
        let open = Range { lo: Range::OPEN_LO, hi: Range::OPEN_HI };
        assert_eq!(timestamps(open), (BEGINNING, END));
        assert_eq!(seconds(BEGINNING, END), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(sort_date(open), None);
        assert_eq!(sort_date(Range { lo: Range::OPEN_LO, hi: 5_000_000 }), Some(Timestamp::constant(5, 0)));
        assert_eq!(sort_date(Range { lo: 7_000_000, hi: Range::OPEN_HI }), Some(Timestamp::constant(7, 0)));
    }

    #[test]
    fn a_day_never_reaches_into_the_next() {
        for text in ["1999-12-31", "2300-05-05", "2600-05-05", "9000-01-01"] {
            let (lo, hi) = timestamps(DateTime::parse(text, Form::Date).unwrap().range(0));
            let (lo, hi) = seconds(lo, hi);
            assert!(hi < lo + 86_400.0 && hi > lo + 86_399.9, "{text}");
        }
    }
}
