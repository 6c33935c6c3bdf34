//! Search, pure: query text -> [`query::Query`] -> SQL; resource -> [`index::Columns`]. <https://hl7.org/fhir/R4/search.html>
//!
//! * [`hash`]: the keyed 64-bit hashes that stand in `resource.keys`.
//! * [`index`]: what a resource is found by. [`main_date`]: which date parameter is the main one of a type.
//! * [`compartment`]: what belongs to one resource.
//! * [`query`]: what was asked, as values. [`parse`]: query text -> Query. [`page`]: page tokens.
//! * [`link`]: chains and `_has`. [`include`]: what comes beside the matches.
//! * [`param`]: one file per parameter type, index and query side by side so that they cannot differ.
//! * [`decimal`], [`ucum`]: exact numbers, and which units can be compared.
//! * [`plan`]: which statements to try, by what the statistics say.
//! * [`terminology`]: value sets -> codes.
//! * [`sql`]: Query + Guard -> statements; values are always bound.
//!
//! No IO, no clock, no async: what is needed is handed in as a [`Context`].

pub mod compartment;
pub mod decimal;
pub mod hash;
pub mod include;
pub mod index;
pub mod link;
pub mod main_date;
pub mod page;
pub mod param;
pub mod parse;
pub mod plan;
pub mod query;
pub mod sql;
pub mod terminology;
pub mod ucum;

use crate::fhir::definitions::Definitions;
use hash::Hasher;

/// What one generation of the registry says: what is written and asked by it holds it until that is over.
pub struct Extraction {
    pub generation: i64,
    /// How often this server was taken for gone: what began before such a time must not be stored after it.
    pub lapse: u64,
    pub definitions: &'static Definitions,
}

impl std::fmt::Debug for Extraction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Extraction({})", self.generation)
    }
}

/// What index and parse need to know of the installation; both must be given the same.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub hasher: &'a Hasher,
    pub definitions: &'static Definitions,
    /// Address of this server (`https://host/fhir`): references that begin with it are its own.
    pub base: &'a str,
    /// Seconds east of UTC, for dates without a zone.
    pub local: i32,
}
