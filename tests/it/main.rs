//! The black-box suite: real HTTP and MLLP sockets against a real PostgreSQL, one file per theme.
//!
//! The server under test is started once per run, with everything of its own in a folder under the system's temporary one
//! (`harness::server`). `HISTORIA_TEST_DATABASE_URL` puts its database elsewhere, `HISTORIA_TEST_URL` tests a server that
//! runs already. Tests are isolated by data: each makes its own patients, and none counts what others may have written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod audit;
mod bundle;
mod bundle_large;
mod bundle_random;
mod certs;
mod clients;
mod cluster;
mod contract;
mod copy;
mod crud;
mod differential;
mod direct;
mod examples;
mod formats;
mod fuzz;
mod hardening;
mod harness;
mod history;
mod hl7;
mod import;
mod inert;
mod instances;
mod lifecycle;
mod nodes;
mod official;
mod official_patch;
mod pages;
mod pages_admission;
mod pages_medico;
mod pages_mensajes;
mod pages_paciente;
mod pages_resultados;
mod pages_safety;
mod patch;
mod pdf;
mod people;
mod plans;
mod primitives;
mod psql;
mod races;
mod reads;
mod record;
mod references;
mod reindex;
mod roles;
mod search;
mod search_cases;
mod search_links;
mod search_random;
mod search_random_filter;
mod search_random_links;
mod search_system;
mod search_terms;
mod security;
mod statements;
mod tokens;
mod validation;
