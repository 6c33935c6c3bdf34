//! FHIR R4 itself, pure: no IO, no clock, no async.

pub mod datetime;
pub mod definitions;
pub mod path;
pub mod format;
pub mod narrative;
pub mod outcome;
pub mod primitive;
pub mod reference;
pub mod resource;
pub mod documento;
pub mod validate;
