//! FHIR date, dateTime, instant and time (<https://hl7.org/fhir/R4/datatypes.html#dateTime>), and the interval of
//! instants each of them stands for (<https://hl7.org/fhir/R4/search.html#date>).
//!
//! Parsed by hand on bytes, because every date of every resource passes here twice (validation, index). A value
//! stands for the whole of its precision: `2015-02` is all of February. The text itself is never changed.

use jiff::Timestamp;
use serde_json::Value;

/// Which of the forms a text must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Year, year-month or date.
    Date,
    /// As `Date`, or with time to the second and zone.
    DateTime,
    /// With time to the second and zone.
    Instant,
    /// A search value: as `DateTime`, but seconds and zone may be absent.
    Search,
}

/// What was written: the smallest unit that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    Year,
    Month,
    Day,
    Minute,
    Second,
    /// Digits of a second (1 to 6; further ones are below the resolution kept here).
    Fraction(u8),
}

/// A closed interval of instants in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub lo: i64,
    pub hi: i64,
}

/// A parsed date or dateTime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    year: i64,
    month: i64,
    day: i64,
    /// Microseconds since midnight.
    micros: i64,
    /// Seconds east of UTC, when the text has a zone.
    pub offset: Option<i32>,
    pub precision: Precision,
}

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

impl Range {
    /// Lower end of what has no beginning.
    pub const OPEN_LO: i64 = i64::MIN;
    /// Upper end of what has no end.
    pub const OPEN_HI: i64 = i64::MAX;

    /// The smallest interval that holds both.
    #[must_use]
    pub fn enclosing(self, other: Range) -> Range {
        Range { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }

    /// The lower end; none when open. What jiff cannot hold (9999-12-31) is its nearest instant.
    pub fn lo_timestamp(self) -> Option<Timestamp> {
        (self.lo != Self::OPEN_LO).then(|| clamp(self.lo))
    }

    /// The upper end; none when open.
    pub fn hi_timestamp(self) -> Option<Timestamp> {
        (self.hi != Self::OPEN_HI).then(|| clamp(self.hi))
    }

    /// The lower end in seconds since 1970; -infinity when open.
    pub fn lo_seconds(self) -> f64 {
        if self.lo == Self::OPEN_LO { f64::NEG_INFINITY } else { self.lo as f64 / SECOND as f64 }
    }

    /// The upper end in seconds since 1970; infinity when open.
    pub fn hi_seconds(self) -> f64 {
        if self.hi == Self::OPEN_HI { f64::INFINITY } else { self.hi as f64 / SECOND as f64 }
    }

    /// The interval of a value of type date, dateTime, instant, Period or Timing, or of a string that is a dateTime; none for another type, a value that
    /// is not well-formed, or one without any date. `local`: seconds east of UTC for what has no zone.
    pub fn of(fhir_type: &str, value: &Value, local: i32) -> Option<Range> {
        match fhir_type {
            "date" => text(value, Form::Date, local),
            // Some date parameters also point at strings (CarePlan.activity.detail.scheduledString): those that are dates count.
            "dateTime" | "string" => text(value, Form::DateTime, local),
            "instant" => text(value, Form::Instant, local),
            "Period" => Self::of_period(value, local),
            "Timing" => Self::of_timing(value, local),
            _ => None,
        }
    }

    /// A Period (<https://hl7.org/fhir/R4/datatypes.html#Period>): an absent end is open, and the last day counts whole.
    pub fn of_period(period: &Value, local: i32) -> Option<Range> {
        let end = |name| period.get(name).and_then(|value| text(value, Form::DateTime, local));
        match (end("start"), end("end")) {
            (None, None) => None,
            (start, end) => {
                let lo = start.map_or(Self::OPEN_LO, |range| range.lo);
                let hi = end.map_or(Self::OPEN_HI, |range| range.hi);
                Some(Range { lo, hi: hi.max(lo) })
            }
        }
    }

    /// A Timing (<https://hl7.org/fhir/R4/datatypes.html#Timing>): only its outer limits matter to a search.
    pub fn of_timing(timing: &Value, local: i32) -> Option<Range> {
        let events = timing.get("event").and_then(Value::as_array).into_iter().flatten();
        let events = events.filter_map(|event| text(event, Form::DateTime, local));
        let bounds = timing.get("repeat").and_then(|repeat| repeat.get("boundsPeriod"));
        let bounds = bounds.and_then(|period| Self::of_period(period, local));
        events.chain(bounds).reduce(Range::enclosing)
    }
}

fn text(value: &Value, form: Form, local: i32) -> Option<Range> {
    Some(DateTime::parse(value.as_str()?, form)?.range(local))
}

fn clamp(micros: i64) -> Timestamp {
    let end = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(micros).unwrap_or(end)
}

impl DateTime {
    /// Reads a text; none when it does not have the form exactly, or is no date of the calendar.
    pub fn parse(text: &str, form: Form) -> Option<DateTime> {
        let mut bytes = Bytes(text.as_bytes());
        let mut out =
            DateTime { year: bytes.number(4)?, month: 1, day: 1, micros: 0, offset: None, precision: Precision::Year };
        if out.year == 0 {
            return None;
        }
        if bytes.eat(b'-') {
            out.month = bytes.number(2)?;
            out.precision = Precision::Month;
            if bytes.eat(b'-') {
                out.day = bytes.number(2)?;
                out.precision = Precision::Day;
            }
        }
        if !(1..=12).contains(&out.month) || !(1..=days_in_month(out.year, out.month)).contains(&out.day) {
            return None;
        }
        if bytes.0.is_empty() {
            return (form != Form::Instant).then_some(out);
        }
        if form == Form::Date || out.precision != Precision::Day || !bytes.eat(b'T') {
            return None;
        }
        (out.micros, out.precision) = bytes.time(form == Form::Search)?;
        out.offset = bytes.zone()?;
        if out.offset.is_none() && form != Form::Search {
            return None;
        }
        bytes.0.is_empty().then_some(out)
    }

    /// The instants it stands for. `local`: seconds east of UTC, for a text without a zone.
    pub fn range(&self, local: i32) -> Range {
        let offset = i64::from(self.offset.unwrap_or(local)) * SECOND;
        let lo = days_since_1970(self.year, self.month, self.day) * DAY + self.micros - offset;
        let length = match self.precision {
            Precision::Year => DAY * if is_leap(self.year) { 366 } else { 365 },
            Precision::Month => DAY * days_in_month(self.year, self.month),
            Precision::Day => DAY,
            Precision::Minute => MINUTE,
            Precision::Second => SECOND,
            Precision::Fraction(digits) => 10_i64.pow(6_u32.saturating_sub(u32::from(digits))),
        };
        Range { lo, hi: lo + length - 1 }
    }

    /// The calendar date as written: year, month, day (1 where not written).
    pub fn date(&self) -> (i64, i64, i64) {
        (self.year, self.month, self.day)
    }
}

/// Whether a text is a FHIR time (<https://hl7.org/fhir/R4/datatypes.html#time>): `hh:mm:ss[.fraction]`, no zone.
pub fn is_time(text: &str) -> bool {
    let mut bytes = Bytes(text.as_bytes());
    bytes.time(false).is_some() && bytes.0.is_empty()
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn digit(&mut self) -> Option<i64> {
        match self.0.split_first() {
            Some((first, rest)) if first.is_ascii_digit() => {
                self.0 = rest;
                Some(i64::from(first - b'0'))
            }
            _ => None,
        }
    }

    /// Exactly `length` digits.
    fn number(&mut self, length: usize) -> Option<i64> {
        (0..length).try_fold(0, |sum, _| Some(sum * 10 + self.digit()?))
    }

    /// `hh:mm[:ss[.fraction]]` as microseconds since midnight. 24:00 is not allowed, second 60 is.
    fn time(&mut self, seconds_optional: bool) -> Option<(i64, Precision)> {
        let hour = self.number(2).filter(|hour| *hour <= 23)?;
        let minute = if self.eat(b':') { self.number(2).filter(|minute| *minute <= 59)? } else { return None };
        let mut micros = (hour * 60 + minute) * MINUTE;
        if !self.eat(b':') {
            return seconds_optional.then_some((micros, Precision::Minute));
        }
        micros += self.number(2).filter(|second| *second <= 60)? * SECOND;
        if !self.eat(b'.') {
            return Some((micros, Precision::Second));
        }
        let (mut digits, mut unit) = (0_u8, SECOND);
        while let Some(digit) = self.digit() {
            unit /= 10;
            micros += digit * unit;
            digits = digits.saturating_add(1);
        }
        (digits > 0).then_some((micros, Precision::Fraction(digits.min(6))))
    }

    /// `Z`, `+hh:mm`, `-hh:mm` (up to 14:00) in seconds east of UTC, or nothing.
    fn zone(&mut self) -> Option<Option<i32>> {
        if self.0.is_empty() {
            return Some(None);
        }
        if self.eat(b'Z') {
            return Some(Some(0));
        }
        let sign = if self.eat(b'+') { 1 } else { -1 };
        if sign < 0 && !self.eat(b'-') {
            return None;
        }
        let hours = self.number(2)?;
        let minutes = if self.eat(b':') { self.number(2).filter(|minutes| *minutes <= 59)? } else { return None };
        let seconds = i32::try_from((hours * 60 + minutes) * 60).ok()?;
        (seconds <= 14 * 3600).then_some(Some(sign * seconds))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar. The year is counted from March, so that the leap day is
/// the last of it: then the days before a month follow from (153 m + 2) / 5.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BOGOTA: i32 = -5 * 3600;

    fn shown(range: Range) -> String {
        let end = |t: Option<Timestamp>| t.map_or("-".to_owned(), |t| t.to_string());
        format!("{} {}", end(range.lo_timestamp()), end(range.hi_timestamp()))
    }

    #[test]
    fn a_value_stands_for_the_whole_of_its_precision() {
        let check = |text: &str, expected: &str| {
            let parsed = DateTime::parse(text, Form::Search).expect(text);
            assert_eq!(shown(parsed.range(BOGOTA)), expected, "{text}");
        };
        check("2015", "2015-01-01T05:00:00Z 2016-01-01T04:59:59.999999Z");
        check("2015-02", "2015-02-01T05:00:00Z 2015-03-01T04:59:59.999999Z");
        check("2016-02-29", "2016-02-29T05:00:00Z 2016-03-01T04:59:59.999999Z");
        check("2000-12", "2000-12-01T05:00:00Z 2001-01-01T04:59:59.999999Z");
        check("1900-03-01", "1900-03-01T05:00:00Z 1900-03-02T04:59:59.999999Z");
        check("2015-02-07T13:28", "2015-02-07T18:28:00Z 2015-02-07T18:28:59.999999Z");
        check("2015-02-07T13:28:17-05:00", "2015-02-07T18:28:17Z 2015-02-07T18:28:17.999999Z");
        check("2015-02-07T13:28:17.239+02:00", "2015-02-07T11:28:17.239Z 2015-02-07T11:28:17.239999Z");
        check("2015-02-07T13:28:17.1234567Z", "2015-02-07T13:28:17.123456Z 2015-02-07T13:28:17.123456Z");
        check("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z 2017-01-01T00:00:00.999999Z");
        check("0001-01-01", "0001-01-01T05:00:00Z 0001-01-02T04:59:59.999999Z");
        check("9999-12-31", "9999-12-30T22:00:00.999999999Z 9999-12-30T22:00:00.999999999Z");
    }

    #[test]
    fn days_agree_with_jiff() {
        let epoch = jiff::civil::date(1970, 1, 1);
        let mut date = jiff::civil::date(1, 1, 1);
        for _ in 0..6_000 {
            let expected = i64::from(epoch.until(date).unwrap().get_days());
            let days = days_since_1970(date.year().into(), date.month().into(), date.day().into());
            assert_eq!(days, expected, "{date}");
            date = date.checked_add(jiff::Span::new().days(599)).unwrap();
        }
    }

    #[test]
    fn forms_are_strict() {
        let check = |text: &str, expected: [bool; 4]| {
            let forms = [Form::Date, Form::DateTime, Form::Instant, Form::Search];
            assert_eq!(forms.map(|form| DateTime::parse(text, form).is_some()), expected, "{text}");
        };
        check("2015", [true, true, false, true]);
        check("2015-02", [true, true, false, true]);
        check("2015-02-28", [true, true, false, true]);
        check("2015-02-28T00:00:00Z", [false, true, true, true]);
        check("2015-02-28T23:59:60.000000000+14:00", [false, true, true, true]);
        check("2015-02-28T00:00:00", [false, false, false, true]);
        check("2015-02-28T00:00Z", [false, false, false, true]);
        for bad in [
            "",
            "15",
            "0000",
            "02015",
            "2015-",
            "2015-00",
            "2015-13",
            "2015-2",
            "2015-02-29",
            "2015-02-00",
            "2015-04-31",
            "1900-02-29",
            "2015-02-28T",
            "2015-02-28 00:00:00Z",
            "2015-02-28t00:00:00Z",
            "2015-02-28T24:00:00Z",
            "2015-02-28T00:60:00Z",
            "2015-02-28T00:00:61Z",
            "2015-02-28T00:00:00.Z",
            "2015-02-28T00:00:00z",
            "2015-02-28T00:00:00+14:01",
            "2015-02-28T00:00:00+15:00",
            "2015-02-28T00:00:00+0500",
            "2015-02-28T00Z",
            "2015-02-28T00:00:00Z ",
            " 2015",
            "2015-02T00:00:00Z",
            "2015-02-28T00:00:00+05:60",
            "２０１５",
            "-2015",
            "2015Z",
        ] {
            check(bad, [false; 4]);
        }
    }

    #[test]
    fn times() {
        let check = |text: &str, expected: bool| assert_eq!(is_time(text), expected, "{text}");
        for good in ["00:00:00", "23:59:60", "12:00:00.5"] {
            check(good, true);
        }
        for bad in ["24:00:00", "12:05", "12:00:00Z", "1:00:00", "12:00:00.", "text", ""] {
            check(bad, false);
        }
    }

    #[test]
    fn periods_and_timings_by_their_outer_limits() {
        let check = |fhir_type: &str, value: Value, expected: Option<&str>| {
            assert_eq!(Range::of(fhir_type, &value, 0).map(shown).as_deref(), expected, "{fhir_type} {value}");
        };
        check("date", json!("2015"), Some("2015-01-01T00:00:00Z 2015-12-31T23:59:59.999999Z"));
        check("instant", json!("2015"), None);
        check("string", json!("2015-02"), Some("2015-02-01T00:00:00Z 2015-02-28T23:59:59.999999Z"));
        check("string", json!("en ayunas"), None);
        check(
            "Period",
            json!({"start": "2015", "end": "2016-02"}),
            Some("2015-01-01T00:00:00Z 2016-02-29T23:59:59.999999Z"),
        );
        check("Period", json!({"start": "2015"}), Some("2015-01-01T00:00:00Z -"));
        check("Period", json!({"end": "2015"}), Some("- 2015-12-31T23:59:59.999999Z"));
        check("Period", json!({}), None);
        let timing = json!({"event": ["2015-03-01", "2015-01-01"], "repeat": {"boundsPeriod": {"start": "2014", "end": "2014"}}});
        check("Timing", timing, Some("2014-01-01T00:00:00Z 2015-03-01T23:59:59.999999Z"));
        check("Timing", json!({"repeat": {"frequency": 1}}), None);
        let open = Range::of_period(&json!({"start": "1970"}), 0).unwrap();
        assert_eq!((open.lo_seconds(), open.hi_seconds()), (0.0, f64::INFINITY));
    }
}
