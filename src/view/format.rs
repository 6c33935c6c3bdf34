//! How people read dates, numbers, ages and documents here: es-CO as the design language writes them, and English.
//!
//! Pure. The PDF uses the same functions, so screen and paper cannot differ. Names of months stand in the catalogue.

use crate::fhir::documento::DocumentoId;
use crate::i18n::{self, Language};
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use jiff::{Timestamp, Unit};

/// Longest number that is read; a measured value has a handful of digits.
const LONGEST_NUMBER: usize = 20;
/// Types of document whose number is written with points.
const POINTED: [&str; 6] = ["CC", "TI", "RC", "PPT", "PT", "NIT"];

const MONTHS: [&str; 12] = [
    "month.1", "month.2", "month.3", "month.4", "month.5", "month.6", "month.7", "month.8", "month.9", "month.10",
    "month.11", "month.12",
];
const DAYS: [&str; 7] = ["day.1", "day.2", "day.3", "day.4", "day.5", "day.6", "day.7"];

/// For whom something is written, where and when.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    pub language: Language,
    pub offset: Offset,
    pub now: Timestamp,
}

impl Reader {
    pub fn text(&self, key: &str) -> &'static str {
        i18n::text(self.language, key)
    }

    /// A text with its `{name}` places filled.
    pub fn fill(&self, key: &str, places: &[(&str, &str)]) -> String {
        i18n::fill(self.language, key, places)
    }

    /// `key.one` or `key.many`, with `{n}`.
    pub fn count(&self, key: &str, n: i64) -> String {
        let form = if n == 1 { "one" } else { "many" };
        self.fill(&format!("{key}.{form}"), &[("n", &self.whole(n))])
    }

    pub fn local(&self, at: Timestamp) -> DateTime {
        self.offset.to_datetime(at)
    }

    pub fn today(&self) -> Date {
        self.local(self.now).date()
    }

    /// `23 nov 2026`.
    pub fn date(&self, date: Date) -> String {
        format!("{:02} {} {}", date.day(), self.month_name(date.month()), date.year())
    }

    /// `23 nov`; with the year when it is not this one.
    pub fn short_date(&self, date: Date) -> String {
        if date.year() != self.today().year() {
            return self.date(date);
        }
        format!("{:02} {}", date.day(), self.month_name(date.month()))
    }

    /// `ago 2024`.
    pub fn month(&self, date: Date) -> String {
        format!("{} {}", self.month_name(date.month()), date.year())
    }

    /// `lunes 23 nov 2026`.
    pub fn weekday(&self, date: Date) -> String {
        let at = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
        format!("{} {}", self.text(DAYS.get(at).copied().unwrap_or("day.1")), self.date(date))
    }

    /// `14:05`.
    pub fn time(&self, at: Timestamp) -> String {
        let at = self.local(at);
        format!("{:02}:{:02}", at.hour(), at.minute())
    }

    /// `hoy 14:05`, else `23 nov 2026, 14:05`.
    pub fn moment(&self, at: Timestamp) -> String {
        let date = self.local(at).date();
        if date == self.today() {
            return self.fill("time.today", &[("time", &self.time(at))]);
        }
        format!("{}, {}", self.date(date), self.time(at))
    }

    /// `14:05` today, else `23 nov, 12:48`, with the year when it is not this one.
    pub fn short_moment(&self, at: Timestamp) -> String {
        let date = self.local(at).date();
        if date == self.today() {
            return self.time(at);
        }
        format!("{}, {}", self.short_date(date), self.time(at))
    }

    /// A date or instant of FHIR (<https://hl7.org/fhir/R4/datatypes.html#dateTime>) as precise as it is; as it stands
    /// when it is none.
    pub fn fhir(&self, text: &str) -> String {
        let day = |text: &str| text.parse::<Date>().ok();
        match text.len() {
            4 => text.to_owned(),
            7 => day(&format!("{text}-01")).map_or_else(|| text.to_owned(), |date| self.month(date)),
            10 => day(text).map_or_else(|| text.to_owned(), |date| self.date(date)),
            _ => text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), |at| self.moment(at)),
        }
    }

    /// The day on which a FHIR date or instant falls here; of an incomplete one the first.
    pub fn day_of(&self, text: &str) -> Option<Date> {
        match text.len() {
            4 => format!("{text}-01-01").parse().ok(),
            7 => format!("{text}-01").parse().ok(),
            10 => text.parse().ok(),
            _ => text.parse::<Timestamp>().ok().map(|at| self.local(at).date()),
        }
    }

    /// Days under one month, months under two years, then years. None when the date is in the future.
    pub fn age(&self, birth: Date) -> Option<String> {
        self.age_on(birth, self.today())
    }

    pub fn age_on(&self, birth: Date, day: Date) -> Option<String> {
        if birth > day {
            return None;
        }
        let part = |unit| birth.until((unit, day)).ok();
        let months = part(Unit::Month).map(|span| i64::from(span.get_months()))?;
        Some(match months {
            0 => self.count("age.days", part(Unit::Day).map(|span| i64::from(span.get_days()))?),
            1..=23 => self.count("age.months", months),
            _ => self.count("age.years", months / 12),
        })
    }

    /// A number as it was reported (`1234.50`): its digits stay. `1.234,50`, and four digits alone without a point.
    pub fn number(&self, text: &str) -> String {
        let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
        let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || fraction.is_some_and(|fraction| !plain(fraction)) {
            return text.to_owned();
        }
        let (point, comma) = match self.language {
            Language::Es => ('.', ','),
            Language::En => (',', '.'),
        };
        let least = if fraction.is_some() { 4 } else { 5 };
        let whole = if whole.len() >= least { grouped(whole, point) } else { whole.to_owned() };
        fraction.map_or_else(|| format!("{sign}{whole}"), |fraction| format!("{sign}{whole}{comma}{fraction}"))
    }

    /// A number as it stands in a field that is sent back: with the decimal mark of the language, never in groups.
    pub fn field(&self, text: &str) -> String {
        let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'));
        match self.language {
            Language::Es if plain => text.replace('.', ","),
            _ => text.to_owned(),
        }
    }

    pub fn whole(&self, n: i64) -> String {
        self.number(&n.to_string())
    }

    /// `CC 51.999.208`; what is no document (`REG-...`, `-`) is nobody's business: none.
    pub fn document(&self, documento_id: &str) -> Option<String> {
        let documento = DocumentoId::parse(documento_id)?;
        let (kind, number) = documento.parts()?;
        let digits = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
        let number = if digits && POINTED.contains(&kind) { grouped(number, '.') } else { number.to_owned() };
        Some(format!("{kind} {number}"))
    }

    fn month_name(&self, month: i8) -> &'static str {
        let at = usize::try_from(month - 1).unwrap_or(0);
        self.text(MONTHS.get(at).copied().unwrap_or("month.1"))
    }
}

fn grouped(digits: &str, point: char) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(point);
        }
        out.push(digit);
    }
    out
}

/// What is wrong with a typed number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberProblem {
    NotANumber,
    /// `12.345`, in English `12,345`: thousands, or decimals? A dose must not be guessed.
    Ambiguous,
}

/// A number typed in a language, with comma or point, as decimal text with a point (`1.234,5` -> `1234.5`).
pub fn typed_number(text: &str, language: Language) -> Result<String, NumberProblem> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix(['-', '−']) {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let clean = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b','));
    if digits.is_empty() || digits.len() > LONGEST_NUMBER || !clean {
        return Err(NumberProblem::NotANumber);
    }
    let last = digits.rfind(['.', ',']);
    let Some(last) = last else { return Ok(format!("{sign}{digits}")) };
    let mark = digits.get(last..=last).unwrap_or("");
    let (whole, fraction) = (digits.get(..last).unwrap_or(""), digits.get(last + 1..).unwrap_or(""));
    let other = if mark == "." { ',' } else { '.' };
    let groups: Vec<&str> = whole.split(other).collect();
    let is_grouped = groups.len() > 1 && groups.iter().skip(1).all(|group| group.len() == 3);
    if fraction.is_empty() || whole.is_empty() || whole.contains(mark) || (groups.len() > 1 && !is_grouped) {
        return Err(NumberProblem::NotANumber);
    }
    // The mark of thousands with exactly three digits behind it may be just that.
    let thousands = if language == Language::Es { "." } else { "," };
    if groups.len() == 1 && mark == thousands && fraction.len() == 3 && whole.len() <= 3 && whole != "0" {
        return Err(NumberProblem::Ambiguous);
    }
    Ok(format!("{sign}{}.{fraction}", groups.concat()))
}

/// A typed date: `dd/mm/aaaa`, also with `-` or `.`, or as the browser's own field sends it (`aaaa-mm-dd`).
pub fn typed_date(text: &str) -> Option<Date> {
    let text = text.trim();
    if let Ok(date) = text.parse::<Date>() {
        return (text.len() == 10).then_some(date);
    }
    // A keypad of digits has no stroke.
    if text.len() == 8
        && text.bytes().all(|b| b.is_ascii_digit())
        && let (Some(day), Some(month), Some(year)) = (text.get(..2), text.get(2..4), text.get(4..))
    {
        return typed_date(&format!("{day}/{month}/{year}"));
    }
    let parts: Vec<&str> = text.split(['/', '-', '.']).collect();
    let [day, month, year] = parts.as_slice() else { return None };
    if year.len() != 4 || day.len() > 2 || month.len() > 2 {
        return None;
    }
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// `23/11/2026`, for a field.
pub fn date_field(date: Date) -> String {
    format!("{:02}/{:02}/{:04}", date.day(), date.month(), date.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(language: Language) -> Reader {
        let offset = Offset::from_seconds(-5 * 3600).unwrap();
        Reader { language, offset, now: "2026-11-23T19:05:00Z".parse().unwrap() }
    }

    #[test]
    fn dates_and_times_are_written_as_in_colombia() {
        let (es, en) = (reader(Language::Es), reader(Language::En));
        let check = |input: &str, expected: &str| assert_eq!(es.fhir(input), expected, "{input}");
        check("2026-11-23", "23 nov 2026");
        check("2026-03-02", "02 mar 2026");
        check("2011-03", "mar 2011");
        check("2011", "2011");
        check("2026-11-23T12:48:00-05:00", "hoy 12:48");
        // 03:00 in UTC is still the evening before.
        check("2026-11-23T03:00:00Z", "22 nov 2026, 22:00");
        check("2026-13-45", "2026-13-45");
        check("nunca", "nunca");
        assert_eq!(en.fhir("2026-11-23T14:05:00-05:00"), "today 14:05");
        assert_eq!(en.fhir("2026-01-23"), "23 Jan 2026");
        assert_eq!(es.weekday(es.today()), "lunes 23 nov 2026");
        assert_eq!(es.short_moment("2026-11-20T12:00:00Z".parse().unwrap()), "20 nov, 07:00");
        assert_eq!(es.short_moment("2025-11-20T12:00:00Z".parse().unwrap()), "20 nov 2025, 07:00");
    }

    #[test]
    fn numbers_keep_their_digits() {
        let (es, en) = (reader(Language::Es), reader(Language::En));
        let check = |input: &str, spanish: &str, english: &str| {
            assert_eq!((es.number(input).as_str(), en.number(input).as_str()), (spanish, english), "{input}");
        };
        check("6.3", "6,3", "6.3");
        check("1.920", "1,920", "1.920");
        check("1234.5", "1.234,5", "1,234.5");
        check("1234", "1234", "1234");
        check("12345", "12.345", "12,345");
        check("-0.5", "−0,5", "−0.5");
        check("1e3", "1e3", "1e3");
        check("<5", "<5", "<5");
    }

    #[test]
    fn typed_numbers_are_read_or_refused() {
        let check = |input: &str, expected: Result<&str, NumberProblem>| {
            assert_eq!(typed_number(input, Language::Es).as_deref().map_err(|e| *e), expected, "{input}");
        };
        let english = |input: &str| typed_number(input, Language::En);
        assert_eq!(english("1.920"), Ok("1.920".to_owned()));
        assert_eq!(english("1,234.5"), Ok("1234.5".to_owned()));
        assert_eq!(english("36,8"), Ok("36.8".to_owned()));
        assert_eq!(english("12,500"), Err(NumberProblem::Ambiguous));
        assert_eq!(english("5,000"), Err(NumberProblem::Ambiguous));
        // What a form shows it takes back, whatever the language.
        for language in [Language::Es, Language::En] {
            for stored in ["12500", "1250.5", "1.005", "0.123", "-2.125", "36.80", "25000", "100000000"] {
                assert_eq!(typed_number(&reader(language).field(stored), language).as_deref(), Ok(stored));
            }
        }
        check("36,8", Ok("36.8"));
        check(" 36.8 ", Ok("36.8"));
        check("1.234,5", Ok("1234.5"));
        check("1,234.5", Ok("1234.5"));
        check("0.123", Ok("0.123"));
        check("1,920", Ok("1.920"));
        check("-2", Ok("-2"));
        check("12.345", Err(NumberProblem::Ambiguous));
        for bad in ["", "-", "1.2.3", "1,2,3", "3 6", "36,", ",5", "1e3", "12.34,5", "abc", "123456789012345678901"] {
            check(bad, Err(NumberProblem::NotANumber));
        }
    }

    #[test]
    fn ages_change_their_unit() {
        let es = reader(Language::Es);
        let check = |birth: &str, expected: Option<&str>| {
            assert_eq!(es.age(birth.parse().unwrap()).as_deref(), expected, "{birth}");
        };
        check("2026-11-23", Some("0 días"));
        check("2026-11-22", Some("1 día"));
        check("2026-10-24", Some("30 días"));
        check("2026-10-23", Some("1 mes"));
        check("2024-11-24", Some("23 meses"));
        check("2024-11-23", Some("2 años"));
        check("1968-03-14", Some("58 años"));
        check("2026-11-24", None);
    }

    #[test]
    fn documents_are_shown_with_points() {
        let es = reader(Language::Es);
        let check =
            |input: &str, expected: Option<&str>| assert_eq!(es.document(input).as_deref(), expected, "{input}");
        check("CC-51999208", Some("CC 51.999.208"));
        check("RC-1199999086", Some("RC 1.199.999.086"));
        check("CE-999417", Some("CE 999417"));
        check("AS-000318", Some("AS 000318"));
        check("PA-AB123", Some("PA AB123"));
        check("REG-0123456789", None);
        check("-", None);
    }

    #[test]
    fn typed_dates() {
        let check = |input: &str, expected: Option<&str>| {
            assert_eq!(typed_date(input).map(|date| date.to_string()).as_deref(), expected, "{input}");
        };
        check("02/02/2008", Some("2008-02-02"));
        check("2-2-2008", Some("2008-02-02"));
        check("02022008", Some("2008-02-02"));
        check("20080202", None);
        check("2008-02-29", Some("2008-02-29"));
        check("30/02/2008", None);
        check("02/02/08", None);
        check("2008", None);
        check("", None);
        assert_eq!(date_field("2008-02-09".parse().unwrap()), "09/02/2008");
    }
}
