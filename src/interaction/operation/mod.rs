//! Operations (<https://hl7.org/fhir/R4/operations.html>), one file per `$operation`.

mod everything;
mod explain;
mod identify;
mod reindex;

pub(super) use everything::run as everything;
pub(super) use explain::run as explain;
pub use identify::identify;
pub use reindex::Ask as Reindex;
pub(super) use reindex::run as reindex;
