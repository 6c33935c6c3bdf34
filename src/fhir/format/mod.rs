//! The two texts of a resource, JSON (<https://hl7.org/fhir/R4/json.html>) and XML (<https://hl7.org/fhir/R4/xml.html>).
//!
//! JSON is the truth: it is what is stored and what everything else walks. XML is read into it and written from it, by
//! the compiled definitions, so that what one format says the other says too. What cannot be kept is refused.

pub mod json;
pub mod media;
mod pretty;
pub(in crate::fhir) mod token;
mod write;
pub mod xhtml;
mod xml;

pub use json::parse_json;
pub use media::Format;
pub use pretty::pretty_json;
pub use write::to_xml;
pub use xml::parse_xml;

/// What a text may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Objects and arrays inside each other. Everything that walks a resource recurses at most this deep.
    pub depth: usize,
    /// Characters of one number. R4 asks for 18 digits; 64 leaves room and keeps arithmetic on it cheap.
    pub number: usize,
    /// Values in one text: small ones take some thirty times their text in memory.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { depth: 64, number: 64, values: 4_000_000 }
    }
}

/// The namespace of all elements but those of a narrative.
pub const FHIR: &str = "http://hl7.org/fhir";
/// The namespace of narratives.
pub const XHTML: &str = "http://www.w3.org/1999/xhtml";

/// Line and column (in bytes), from one.
fn position(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = bytes.get(..at.min(bytes.len())).unwrap_or_default();
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    (line, column)
}
