//! FHIR R4 itself, pure: no IO, no clock, no async.

pub mod bundle;
pub mod datetime;
pub mod definitions;
pub mod documento;
pub mod format;
pub mod narrative;
pub mod outcome;
pub mod patch;
pub mod path;
pub mod primitive;
pub mod reference;
pub mod resource;
pub mod rule;
pub mod subset;
pub mod validate;
