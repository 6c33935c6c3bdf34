//! The notice of a critical value: whom somebody told, when, and that the person read it back; or that nobody could be told,
//! and why. Pure.
//!
//! It is an `Observation.note` (<https://hl7.org/fhir/R4/observation-definitions.html#Observation.note>): every client that
//! shows notes shows it. `authorString` gave the notice, `text` says it in words, and an extension of the note holds the
//! same for programs (`docs/api/laboratory.md`).

use crate::view::format::Reader;
use crate::view::record::words::{list, text};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The extension of the note.
pub const URL: &str = "urn:historia:aviso-critico";
const WHOM: &str = "avisado-a";
const AT: &str = "hora";
const READ_BACK: &str = "repitio";
const WHY_NOT: &str = "sin-avisar";

/// What a note says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    Told { whom: String, at: String },
    NotTold { why: String },
}

impl Notice {
    /// `avisado 13:02`, or `sin avisar`.
    pub fn short(&self, reader: &Reader) -> String {
        match self {
            Notice::Told { at, .. } => match at.parse::<Timestamp>() {
                Ok(at) => reader.fill("lab.told_short", &[("time", &reader.short_moment(at))]),
                Err(_) => reader.fill("lab.told_short", &[("time", "")]).trim().to_owned(),
            },
            Notice::NotTold { .. } => reader.text("lab.untold").to_owned(),
        }
    }

    pub fn is_told(&self) -> bool {
        matches!(self, Notice::Told { .. })
    }

    /// The note that keeps it.
    pub fn note(&self, reader: &Reader, author: &str) -> Value {
        let (said, parts) = match self {
            Notice::Told { whom, at } => {
                let time = at.parse::<Timestamp>().map(|at| reader.time(at)).unwrap_or_default();
                let parts = json!([{"url": WHOM, "valueString": whom}, {"url": AT, "valueDateTime": at}, {"url": READ_BACK, "valueBoolean": true}]);
                (reader.fill("lab.notice_note", &[("who", whom), ("time", &time)]), parts)
            }
            Notice::NotTold { why } => {
                (reader.fill("lab.untold_note", &[("text", why)]), json!([{"url": WHY_NOT, "valueString": why}]))
            }
        };
        json!({"extension": [{"url": URL, "extension": parts}], "authorString": author, "time": reader.now.to_string(), "text": said})
    }
}

/// The last notice of an Observation. A chart says it beside the critical value.
pub fn of(observation: &Value) -> Option<Notice> {
    list(observation, "note")
        .filter_map(|note| list(note, "extension").find(|known| text(known, "url") == URL))
        .last()
        .and_then(|known| {
            let part = |name: &str| list(known, "extension").find(|part| text(part, "url") == name);
            let said = |name: &str, member: &str| part(name).map(|part| text(part, member).to_owned());
            match said(WHOM, "valueString") {
                Some(whom) => Some(Notice::Told { whom, at: said(AT, "valueDateTime").unwrap_or_default() }),
                None => said(WHY_NOT, "valueString").map(|why| Notice::NotTold { why }),
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Language;
    use jiff::tz::Offset;

    #[test]
    fn a_notice_is_read_as_it_was_written() {
        let offset = Offset::from_seconds(-5 * 3600).unwrap();
        let reader = Reader { language: Language::Es, offset, now: "2026-11-23T19:05:00Z".parse().unwrap() };
        let told = Notice::Told { whom: "Yolanda Cárdenas".to_owned(), at: "2026-11-23T13:02:00-05:00".to_owned() };
        let not = Notice::NotTold { why: "nadie contesta".to_owned() };
        assert_eq!(of(&json!({"note": [{"text": "x"}, told.note(&reader, "Ana")]})), Some(told.clone()));
        assert_eq!(of(&json!({"note": [told.note(&reader, "Ana"), not.note(&reader, "Ana")]})), Some(not.clone()));
        assert_eq!(of(&json!({"note": [{"text": "x"}]})), None);
        assert_eq!((told.short(&reader).as_str(), not.short(&reader).as_str()), ("avisado 13:02", "sin avisar"));
        let note = told.note(&reader, "Ana");
        assert_eq!(note["text"], "Valor crítico avisado a Yolanda Cárdenas, 13:02; repitió el valor y el nombre.");
        assert_eq!(note["authorString"], "Ana");
    }
}
