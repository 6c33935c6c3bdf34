//! Operations (<https://hl7.org/fhir/R4/operations.html>), one file per `$operation`.

mod everything;
mod identify;

pub(super) use everything::run as everything;
pub use identify::identify;
