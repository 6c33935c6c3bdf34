//! HL7 dates and times (DTM, TS, DT: `YYYY[MM[DD[HH[MM[SS[.S…]]]]]][±ZZZZ]`) as FHIR date, dateTime and instant.
//!
//! No precision is invented: an hour without minutes stays a date, since FHIR has no such time
//! (<https://hl7.org/fhir/R4/datatypes.html#dateTime>). A time without a zone is in the zone of the site.

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// A moment as precise as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dtm {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    time: Option<Time>,
    offset: Option<Offset>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Time {
    hour: i8,
    minute: i8,
    /// Zero when it was not sent; FHIR allows that filling.
    second: i8,
    /// The digits after the point, at most four in HL7.
    fraction: String,
}

impl Dtm {
    /// Reads a moment; `None` when it is not one that the calendar has.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let split = text.find(['+', '-']).unwrap_or(text.len());
        let (moment, zone) = text.split_at_checked(split)?;
        let offset = if zone.is_empty() { None } else { Some(offset(zone)?) };
        let (digits, fraction) = moment.split_once('.').unwrap_or((moment, ""));
        let whole = matches!(digits.len(), 4 | 6 | 8 | 10 | 12 | 14);
        let point = fraction.is_empty() != moment.contains('.') && fraction.len() <= 9;
        let all_digits = digits.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
        if !whole || !point || !all_digits || (!fraction.is_empty() && digits.len() != 14) {
            return None;
        }
        let number = |from: usize, to: usize| digits.get(from..to).and_then(|part| part.parse::<i8>().ok());
        let year = digits.get(..4)?.parse().ok().filter(|year| *year > 0)?;
        let (month, day) = (number(4, 6), number(6, 8));
        Date::new(year, month.unwrap_or(1), day.unwrap_or(1)).ok()?;
        let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14).unwrap_or(0));
        if hour.is_some_and(|hour| hour > 23) || minute.is_some_and(|minute| minute > 59) || second > 59 {
            return None;
        }
        let time = hour.zip(minute).map(|(hour, minute)| Time { hour, minute, second, fraction: fraction.to_owned() });
        Some(Dtm { year, month, day, time, offset })
    }

    /// As FHIR `date`.
    pub fn date(&self) -> String {
        let mut text = format!("{:04}", self.year);
        for part in [self.month, self.day].into_iter().flatten() {
            text.push_str(&format!("-{part:02}"));
        }
        text
    }

    /// As FHIR `dateTime`.
    pub fn date_time(&self, site: Offset) -> String {
        let mut text = self.date();
        if let Some(time) = &self.time {
            text.push_str(&format!("T{:02}:{:02}:{:02}", time.hour, time.minute, time.second));
            if !time.fraction.is_empty() {
                text.push('.');
                text.push_str(&time.fraction);
            }
            text.push_str(&zone(self.offset.unwrap_or(site)));
        }
        text
    }

    /// Whether it has hours and minutes.
    pub fn has_time(&self) -> bool {
        self.time.is_some()
    }

    /// The first instant of what it covers.
    pub fn instant(&self, site: Offset) -> Option<Timestamp> {
        let date = Date::new(self.year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok()?;
        let (hour, minute, second, nanos) = self.time.as_ref().map_or((0, 0, 0, 0), |time| {
            let digits = format!("{:0<9}", time.fraction);
            (time.hour, time.minute, time.second, digits.parse().unwrap_or(0))
        });
        self.offset.unwrap_or(site).to_timestamp(date.at(hour, minute, second, nanos)).ok()
    }
}

/// The first instant of a FHIR date or dateTime that this server wrote or took.
pub fn instant_of(text: &str, site: Offset) -> Option<Timestamp> {
    if text.contains('T') {
        return text.parse().ok();
    }
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    Dtm::parse(&digits)?.instant(site)
}

/// An instant as HL7 writes it, to the second, with the zone of the site.
pub fn stamp(moment: Timestamp, site: Offset) -> String {
    let local = site.to_datetime(moment);
    let zone: String = zone(site).chars().filter(|c| *c != ':').collect();
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}{zone}",
        local.year(),
        local.month(),
        local.day(),
        local.hour(),
        local.minute(),
        local.second()
    )
}

fn zone(offset: Offset) -> String {
    let sign = if offset.is_negative() { '-' } else { '+' };
    let minutes = offset.seconds().abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = text.split_at_checked(1)?;
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..)?.parse().ok()?;
    if hours * 60 + minutes > 14 * 60 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 60 + minutes) * 60;
    let signed = if sign == "-" { -seconds } else { seconds };
    Offset::UTC.checked_add(SignedDuration::from_secs(signed.into())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_keep_their_precision() {
        let site = Offset::constant(-5);
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let found =
                Dtm::parse(text).map(|moment| (moment.date_time(site), moment.instant(site).unwrap().to_string()));
            assert_eq!(found.as_ref().map(|(text, at)| (text.as_str(), at.as_str())), expected, "{text}");
        };
        check("2024", Some(("2024", "2024-01-01T05:00:00Z")));
        check("202402", Some(("2024-02", "2024-02-01T05:00:00Z")));
        check("20240229", Some(("2024-02-29", "2024-02-29T05:00:00Z")));
        check("2024022913", Some(("2024-02-29", "2024-02-29T05:00:00Z")));
        check("202402291305", Some(("2024-02-29T13:05:00-05:00", "2024-02-29T18:05:00Z")));
        check("20240229130559.1250+0215", Some(("2024-02-29T13:05:59.1250+02:15", "2024-02-29T10:50:59.125Z")));
        check("20240229130559-0330", Some(("2024-02-29T13:05:59-03:30", "2024-02-29T16:35:59Z")));
        for bad in [
            "",
            "20230229",
            "202413",
            "2024022924",
            "202402291360",
            "20240229130560",
            "20240229130559.",
            "2024-02-29",
            "20240229T1305",
            "0000",
            "20240229.5",
            "202402291305+5",
            "20240229130559+1500",
            "20240229130559+1430",
            "9999x",
            "ñ",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn instants_of_fhir_texts_and_stamps() {
        let site = Offset::constant(-5);
        let check = |text: &str, expected: &str| assert_eq!(instant_of(text, site).unwrap().to_string(), expected);
        check("2024-02-29", "2024-02-29T05:00:00Z");
        check("2024-02", "2024-02-01T05:00:00Z");
        check("2024-02-29T13:05:59.125+02:15", "2024-02-29T10:50:59.125Z");
        assert_eq!(instant_of("x", site), None);
        assert_eq!(stamp("2024-03-01T03:04:05Z".parse().unwrap(), site), "20240229220405-0500");
    }
}
