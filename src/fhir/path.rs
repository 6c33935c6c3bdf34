//! FHIRPath of search parameters (<https://hl7.org/fhir/R4/search.html>): in work.

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::Definitions;
use serde_json::Value;

/// One item of a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node<'a> {
    pub value: &'a Value,
    /// `CodeableConcept`, `Reference`, `dateTime`, `HumanName`, a resource type, a backbone element by its path.
    pub fhir_type: &'static str,
}

#[derive(Debug)]
pub struct Expression {
    results: Vec<&'static str>,
}

impl Expression {
    pub fn compile(_definitions: &Definitions, _text: &str, _contexts: &[&'static str]) -> Result<Self> {
        Err(Error::new(Kind::NotSupported, "expressions are not compiled yet"))
    }

    pub fn result_types(&self) -> &[&'static str] {
        &self.results
    }

    pub fn evaluate<'a>(&self, _resource: &'a Value, _out: &mut Vec<Node<'a>>) {}
}
