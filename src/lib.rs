//! historia: FHIR R4, HL7 v2 and SMART in one process over PostgreSQL + Citus.
//!
//! The modules in reading order; each may use the ones above it only (checked by `tests/tidy.rs`):
//!
//! * [`error`], [`clock`]: the one error; time and randomness.
//! * [`config`], [`i18n`], [`telemetry`]: configuration keys; texts for people; logs and metrics.
//! * [`fhir`]: FHIR itself, pure: definitions, validation, FHIRPath of search parameters, Bundles, outcomes.
//! * [`search`]: query text -> query -> SQL; resource -> search columns. Pure.
//! * [`access`]: who may do and see what. Pure; only it can make an `Access`.
//! * [`store`]: PostgreSQL and Citus.
//! * [`app`]: what every entrance needs. [`audit`]: what happened -> audit record.
//! * [`interaction`]: everything that touches a resource.
//! * [`oauth`], [`hl7v2`]: accounts and tokens; HL7 v2 messages.
//! * [`view`], [`job`]: pages; work outside a request.
//! * [`http`]: bytes <-> values. [`cli`]: one file per subcommand.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod error;

pub mod clock;

pub mod lan;

pub mod config;
pub mod i18n;
pub mod telemetry;

pub mod fhir;

pub mod search;

pub mod access;

pub mod store;

pub mod app;

pub mod audit;

pub mod interaction;

pub mod hl7v2;
pub mod oauth;

pub mod view;

pub mod job;

pub mod http;

pub mod cli;
