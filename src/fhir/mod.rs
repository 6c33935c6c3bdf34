//! FHIR R4 itself, pure: no IO, no clock, no async.

pub mod definitions;
pub mod path;
