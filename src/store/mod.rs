//! PostgreSQL and Citus: the only module that names tokio-postgres and bb8.
//!
//! Every function that touches resources takes `&Access`, the proof that the caller may, and builds its SQL from it.
//! Static SQL stands as a named constant beside the one function that uses it; [`STATEMENTS`] lists them for the
//! test that prepares each on the migrated schema.

pub mod account;
pub mod attempt;
pub mod audit;
pub mod cluster;
pub mod code;
pub mod copy;
pub mod embedded;
pub mod everything;
pub mod explain;
pub mod extraction;
pub mod form;
pub mod group;
pub mod history;
pub mod horizon;
pub mod include;
pub mod installation;
pub mod link;
pub mod message;
pub mod migrate;
pub mod placement;
pub mod pool;
pub mod reindex;
pub mod resource;
pub mod search;
pub mod session;
pub mod statistics;
pub mod trail;
pub mod write;

pub use pool::{Conn, Pool, Tx};

use crate::error::{Error, Kind};

/// Every static statement of the store, by module: what the PREPARE and EXPLAIN tests walk.
pub const STATEMENTS: &[(&str, &[&str])] = &[
    ("account", account::STATEMENTS),
    ("attempt", attempt::STATEMENTS),
    ("audit", audit::STATEMENTS),
    ("code", code::STATEMENTS),
    ("copy", copy::STATEMENTS),
    ("form", form::STATEMENTS),
    ("everything", everything::STATEMENTS),
    ("extraction", extraction::STATEMENTS),
    ("horizon", horizon::STATEMENTS),
    ("installation", installation::STATEMENTS),
    ("link", link::STATEMENTS),
    ("message", message::STATEMENTS),
    ("placement", placement::STATEMENTS),
    ("reindex", reindex::STATEMENTS),
    ("resource", resource::STATEMENTS),
    ("search", search::STATEMENTS),
    ("session", session::STATEMENTS),
    ("statistics", statistics::STATEMENTS),
    ("trail", trail::STATEMENTS),
    ("write", write::STATEMENTS),
    ("write::again", write::again::STATEMENTS),
    ("write::rows", write::rows::STATEMENTS),
];

/// SQLSTATE -> kind, in this one place. Only the code and the primary message go on: DETAIL and CONTEXT carry values.
pub(crate) fn fault(error: tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        let text =
            if error.is_closed() { "the database connection was lost" } else { "the database cannot be reached" };
        return Error::new(Kind::Transient, text).caused_by(Plain(error.to_string()));
    };
    let code = db.code();
    let source = Plain(format!("SQLSTATE {}: {}", code.code(), db.message()));
    let kind = match code.code() {
        // connection, resources, operator intervention (shutdown, crash, cannot connect now)
        c if c.starts_with("08") || c.starts_with("53") || c.starts_with("57P") => Kind::Transient,
        "57014" => Kind::Timeout,
        // Citus tells so of a node whose connection broke in the middle, and of its own server that was killed.
        "XX000" | "58000" if db.message().contains("connection") || db.message().contains("postmaster") => {
            Kind::Transient
        }
        // serialization, deadlock, lock not available, read only (a standby)
        "40001" | "40P01" | "55P03" | "25006" => Kind::Transient,
        _ => Kind::Exception,
    };
    let text = match kind {
        Kind::Transient => "the database is busy or unavailable",
        Kind::Timeout => "the statement took too long",
        _ => "internal error",
    };
    Error::new(kind, text).caused_by(source)
}

/// Somebody else was faster: the same error as the database's own serialization failure, so that one way leads back.
pub(crate) fn race() -> Error {
    Error::new(Kind::Transient, "others keep changing the same resources")
        .caused_by(Plain("SQLSTATE 40001: a version was taken".to_owned()))
}

/// A statement that is not for the shard of its connection: answered like a refusal of the database, so it is asked elsewhere.
pub(crate) fn refused() -> Error {
    Error::internal(Plain("SQLSTATE 0A000: a statement without a table of the shard".to_owned()))
}

/// Whether the same unit of work may succeed when it is done again at once.
pub(crate) fn is_race(error: &Error) -> bool {
    let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
    source.starts_with("SQLSTATE 40001") || source.starts_with("SQLSTATE 40P01")
}

/// invalid_catalog_name, insufficient_privilege
pub(crate) const NO_DATABASE: &str = "3D000";
pub(crate) const NO_RIGHT: &str = "42501";

/// Whether the database gave this SQLSTATE.
pub(crate) fn has_state(error: &Error, code: &str) -> bool {
    let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
    source.strip_prefix("SQLSTATE ").is_some_and(|rest| rest.starts_with(code))
}

/// Whether the database answered and did nothing: the connection lives, and a transaction is rolled back.
pub(crate) fn is_refusal(error: &Error) -> bool {
    let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
    source.strip_prefix("SQLSTATE ").is_some_and(|code| !code.starts_with("08") && !code.starts_with("57P"))
}

/// An error as text, for the log: keeps nothing of the row.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Plain(String);
