//! Operations (<https://hl7.org/fhir/R4/operations.html>), one file per `$operation`.

mod everything;
mod explain;
mod identify;
mod validate;

pub(super) use everything::run as everything;
pub(super) use explain::run as explain;
pub use identify::identify;
pub use validate::Validate;
pub(super) use validate::{parse as parse_validate, problems, run as validate};
