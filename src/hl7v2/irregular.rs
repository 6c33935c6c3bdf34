//! Everything that can be wrong with a message: its code of HL7 table 0357, what it does to the answer, where it is.
//!
//! Codes: <https://terminology.hl7.org/CodeSystem-v2-0357.html>; answers AE and AR: HL7 v2 chapter 2, message acknowledgment.
//! An irregularity names segments and fields by number, never what stands in them.

use crate::error::Error;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No MSH: there is nobody to answer.
    NoHeader,
    /// MSH-1 and MSH-2 are not five different punctuation characters.
    Delimiters,
    /// MSH-18 names a character set that is not read here.
    Charset,
    /// Bytes outside the character set.
    Encoding,
    /// Control characters, which neither MLLP nor FHIR strings may hold.
    ControlCharacter,
    /// A line that is not a segment.
    Structure,
    SecondHeader,
    /// Over a limit of size, segments, fields or elements.
    TooLarge,
    /// A required field of MSH is missing.
    HeaderField,
    HeaderLength,
    MessageType,
    Event,
    Processing,
    Version,
    /// A required segment is missing.
    Segment,
    /// A required field is missing.
    Field,
    Date,
    /// The discharge is earlier than the admission.
    Period,
    /// A birth that is still to come.
    BirthFuture,
    /// A part of a name is longer than any name.
    NameLength,
    /// PID-3 holds nothing that tells the patient apart.
    Identity,
    /// Two numbers of one type of document that both hold: nobody can tell which is the patient's.
    Documents,
    /// A further document is the official one of another patient.
    DocumentOfAnother,
    /// A code outside its table; kept as it came.
    UnknownCode,
    /// Admission to a visit that is finished or cancelled.
    VisitClosed,
    /// The visit belongs to another patient.
    VisitOfAnother,
    /// Several active patients have the identifier: held.
    SeveralPatients,
    /// Birth date, name and sex all differ from the stored ones: held.
    OtherPerson,
    /// The same MSH-10 with other bytes.
    ControlIdReused,
    /// The sender is not configured for this listener.
    Sender,
    Locked,
    /// The resources that the message makes are refused by the rules of the record.
    Refused,
    Internal,
    /// Older than what was last applied.
    OlderEvent,
    /// A discharge before its admission.
    DischargeFirst,
    /// The same admission once more, after the discharge.
    RepeatedAdmission,
    /// An update of a visit that is not there.
    UnknownVisit,
    /// PV1-45 outside a discharge.
    DischargeIgnored,
    NoDischargeTime,
    /// A visit that begins more than a day after the message.
    VisitFuture,
}

/// What an irregularity does to the message, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Applied all the same (AA, severity W).
    Warning,
    /// Not applied (AE).
    Error,
    /// Not even looked into (AR).
    Reject,
}

/// Every kind, for tables and tests.
pub const KINDS: [Kind; 40] = [
    Kind::NoHeader,
    Kind::Delimiters,
    Kind::Charset,
    Kind::Encoding,
    Kind::ControlCharacter,
    Kind::Structure,
    Kind::SecondHeader,
    Kind::TooLarge,
    Kind::HeaderField,
    Kind::HeaderLength,
    Kind::MessageType,
    Kind::Event,
    Kind::Processing,
    Kind::Version,
    Kind::Segment,
    Kind::Field,
    Kind::Date,
    Kind::Period,
    Kind::BirthFuture,
    Kind::NameLength,
    Kind::Identity,
    Kind::Documents,
    Kind::DocumentOfAnother,
    Kind::UnknownCode,
    Kind::VisitClosed,
    Kind::VisitOfAnother,
    Kind::SeveralPatients,
    Kind::OtherPerson,
    Kind::ControlIdReused,
    Kind::Sender,
    Kind::Locked,
    Kind::Refused,
    Kind::Internal,
    Kind::OlderEvent,
    Kind::DischargeFirst,
    Kind::RepeatedAdmission,
    Kind::UnknownVisit,
    Kind::DischargeIgnored,
    Kind::NoDischargeTime,
    Kind::VisitFuture,
];

impl Kind {
    /// Its name in tables, logs and ERR-7; the code of table 0357; its effect.
    fn facts(self) -> (&'static str, u16, Effect) {
        use Effect::{Error, Reject, Warning};
        match self {
            Kind::NoHeader => ("no-header", 100, Reject),
            Kind::Delimiters => ("delimiters", 102, Reject),
            Kind::Charset => ("charset", 103, Reject),
            Kind::Encoding => ("encoding", 102, Error),
            Kind::ControlCharacter => ("control-character", 102, Error),
            Kind::Structure => ("structure", 100, Error),
            Kind::SecondHeader => ("second-header", 100, Error),
            Kind::TooLarge => ("too-large", 104, Reject),
            Kind::HeaderField => ("header-field", 101, Reject),
            Kind::HeaderLength => ("header-length", 104, Reject),
            Kind::MessageType => ("message-type", 200, Reject),
            Kind::Event => ("event", 201, Reject),
            Kind::Processing => ("processing", 202, Reject),
            Kind::Version => ("version", 203, Reject),
            Kind::Segment => ("segment", 100, Error),
            Kind::Field => ("field", 101, Error),
            Kind::Date => ("date", 102, Error),
            Kind::Period => ("period", 102, Error),
            Kind::BirthFuture => ("birth-future", 102, Error),
            Kind::NameLength => ("name-length", 104, Error),
            Kind::Identity => ("identity", 101, Error),
            Kind::Documents => ("documents", 205, Error),
            Kind::DocumentOfAnother => ("document-of-another", 205, Error),
            Kind::UnknownCode => ("unknown-code", 103, Warning),
            Kind::VisitClosed => ("visit-closed", 205, Error),
            Kind::VisitOfAnother => ("visit-of-another", 205, Error),
            Kind::SeveralPatients => ("several-patients", 205, Error),
            Kind::OtherPerson => ("other-person", 204, Error),
            Kind::ControlIdReused => ("control-id-reused", 205, Error),
            Kind::Sender => ("sender", 207, Reject),
            Kind::Locked => ("locked", 206, Error),
            Kind::Refused => ("refused", 102, Error),
            Kind::Internal => ("internal", 207, Error),
            Kind::OlderEvent => ("older-event", 0, Warning),
            Kind::DischargeFirst => ("discharge-first", 0, Warning),
            Kind::RepeatedAdmission => ("repeated-admission", 0, Warning),
            Kind::UnknownVisit => ("unknown-visit", 0, Warning),
            Kind::DischargeIgnored => ("discharge-ignored", 0, Warning),
            Kind::NoDischargeTime => ("no-discharge-time", 0, Warning),
            Kind::VisitFuture => ("visit-future", 0, Warning),
        }
    }

    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// The code of HL7 table 0357 (ERR-3); 0 for a warning that no other code describes.
    pub fn code(self) -> u16 {
        self.facts().1
    }

    pub fn effect(self) -> Effect {
        self.facts().2
    }

    /// The standard's own text for [`Kind::code`].
    pub fn code_text(self) -> &'static str {
        match self.code() {
            100 => "Segment sequence error",
            101 => "Required field missing",
            102 => "Data type error",
            103 => "Table value not found",
            104 => "Value too long",
            200 => "Unsupported message type",
            201 => "Unsupported event code",
            202 => "Unsupported processing id",
            203 => "Unsupported version id",
            204 => "Unknown key identifier",
            205 => "Duplicate key identifier",
            206 => "Application record locked",
            207 => "Application internal error",
            _ => "Message accepted",
        }
    }

    /// The text for people (ERR-8), in Spanish.
    pub fn text(self) -> &'static str {
        static TEXTS: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
            let file = include_str!("../../fhir-profiles/v2-to-fhir/errores.csv");
            file.lines().skip(1).filter_map(|line| line.split_once(',')).collect()
        });
        TEXTS.get(self.name()).copied().unwrap_or_default()
    }
}

/// A place in a message, counted from 1 as HL7 does; 0 leaves a part out. Written as ERL (`PID^1^5^1^2`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// Empty when the segment has no name worth repeating.
    pub segment: &'static str,
    /// Which of the segments with this name; without a name, which segment of the message.
    pub sequence: usize,
    pub field: usize,
    pub repetition: usize,
    pub component: usize,
}

impl Location {
    pub const fn segment(segment: &'static str) -> Self {
        Location { segment, sequence: 1, field: 0, repetition: 0, component: 0 }
    }

    pub const fn field(segment: &'static str, field: usize) -> Self {
        Location { segment, sequence: 1, field, repetition: 0, component: 0 }
    }

    /// The n-th segment of the message, whatever it calls itself.
    pub const fn line(sequence: usize) -> Self {
        Location { segment: "", sequence, field: 0, repetition: 0, component: 0 }
    }

    #[must_use]
    pub const fn component(mut self, repetition: usize, component: usize) -> Self {
        self.repetition = repetition;
        self.component = component;
        self
    }
}

/// One irregularity of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Irregularity {
    pub kind: Kind,
    pub at: Option<Location>,
}

impl Irregularity {
    pub const fn new(kind: Kind) -> Self {
        Irregularity { kind, at: None }
    }

    pub const fn at(kind: Kind, at: Location) -> Self {
        Irregularity { kind, at: Some(at) }
    }

    /// What becomes of an error of the house that stands between a plan and its commit. Transient ones are not
    /// answered from here: they leave no stored ACK.
    pub fn of(error: &Error) -> Self {
        use crate::error::Kind as Of;
        Self::new(match error.kind {
            Of::Structure
            | Of::Required
            | Of::Value
            | Of::Invalid
            | Of::CodeInvalid
            | Of::BusinessRule
            | Of::Invariant
            | Of::TooLong => Kind::Refused,
            Of::Conflict | Of::StaleVersion => Kind::Locked,
            Of::MultipleMatches => Kind::SeveralPatients,
            Of::Forbidden | Of::Login => Kind::Sender,
            _ => Kind::Internal,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_a_text() {
        let mut names = HashSet::new();
        for kind in KINDS {
            assert!(names.insert(kind.name()), "{kind:?}");
            assert!(!kind.text().is_empty(), "no text in errores.csv for {}", kind.name());
            assert_eq!(kind.code_text() == "Message accepted", kind.code() == 0, "{kind:?}");
            assert!(kind.code() != 0 || kind.effect() == Effect::Warning);
        }
        let rows = include_str!("../../fhir-profiles/v2-to-fhir/errores.csv").lines().skip(1);
        assert!(rows.clone().all(|row| names.contains(row.split(',').next().unwrap())));
        assert_eq!(rows.count(), KINDS.len());
    }

    #[test]
    fn every_code_of_table_0357_that_we_owe_is_produced() {
        let produced: HashSet<u16> = KINDS.iter().map(|kind| kind.code()).collect();
        for code in [100, 101, 102, 103, 104, 200, 201, 202, 203, 204, 205, 206, 207] {
            assert!(produced.contains(&code), "{code}");
        }
    }
}
