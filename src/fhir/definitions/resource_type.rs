//! The name of a resource type, parsed once (<https://hl7.org/fhir/R4/resourcelist.html>).

use super::r4;
use std::fmt;

/// A resource type known to R4: an index into the registry; cheap to copy. Ordered as its name is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceType(pub(super) u16);

impl ResourceType {
    /// The type of this exact name; none for abstract types (`Resource`, `DomainResource`) and anything else.
    pub fn parse(name: &str) -> Option<Self> {
        r4().resource_type(name)
    }

    pub fn name(self) -> &'static str {
        r4().resource(self).name
    }

    /// All 146, in the order of their names.
    pub fn all() -> impl Iterator<Item = Self> {
        r4().resource_types()
    }

    /// 0, 1, ... in the order of names: for tables with a row per type.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl serde::Serialize for ResourceType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
