//! Work outside a request, one file per job.

pub mod reindex;
pub mod upkeep;
