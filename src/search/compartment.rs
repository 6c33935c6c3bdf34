//! Compartments (<https://hl7.org/fhir/R4/compartmentdefinition.html>): a search of what belongs to one resource, by the
//! parameters that the definition names.
//!
//! The compartment of a Patient stands in the column `patient` of each row, and its rows lie under that Patient's keys;
//! every other one, and a Patient's of types that lie elsewhere, is asked for by the keys of those parameters.

use crate::fhir::definitions::{Definitions, ResourceType, SearchKind};
use crate::search::Context;
use crate::search::hash::Form;
use crate::search::query::{Clause, Query};

/// What a compartment may be named after.
pub const KINDS: [&str; 5] = ["Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"];

/// The compartment of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compartment {
    kind: ResourceType,
    id: String,
}

impl Compartment {
    /// None when there is no compartment of this type. The id is checked already.
    pub fn new(kind: ResourceType, id: String) -> Option<Compartment> {
        KINDS.contains(&kind.name()).then_some(Compartment { kind, id })
    }

    /// `Patient/1`
    pub fn address(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }

    /// Whether resources of a type may be in it.
    pub fn holds(&self, definitions: &Definitions, t: ResourceType) -> bool {
        t == self.kind || !definitions.compartment(self.kind.name(), t).is_empty()
    }

    /// The keys by which resources of a type belong to it.
    fn keys_of(&self, context: &Context<'_>, t: ResourceType) -> Vec<i64> {
        let codes = context.definitions.compartment(self.kind.name(), t).iter();
        let parameters = codes.filter_map(|code| context.definitions.search_parameter(t, code));
        let references = parameters.filter(|parameter| parameter.kind == SearchKind::Reference);
        let key = |code| context.hasher.key(t.name(), code, Form::Typed, &[self.kind.name(), &self.id]);
        references.map(|parameter| key(parameter.code)).collect()
    }

    /// The keys by which resources of any type belong to it.
    pub fn keys(&self, context: &Context<'_>) -> Vec<i64> {
        ResourceType::all().flat_map(|t| self.keys_of(context, t)).collect()
    }

    /// Restricts a query to it.
    pub fn restrict(&self, context: &Context<'_>, t: ResourceType, query: &mut Query) {
        query.selective = true;
        // A Patient that links to this one, and a Group, lie under other keys.
        if self.kind.name() == "Patient" && !matches!(t.name(), "Patient" | "Group") {
            query.patient = Some(vec![self.id.clone()]);
            return;
        }
        let keys = self.keys_of(context, t);
        let itself = Clause::Ids(vec![self.id.clone()]);
        query.clauses.push(match (t == self.kind, keys.is_empty()) {
            (true, true) => itself,
            (true, false) => Clause::Either(vec![itself, Clause::Any(keys)]),
            (false, _) => Clause::Any(keys),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::definitions::r4;

    #[test]
    fn members_by_the_definitions() {
        let t = |name: &str| ResourceType::parse(name).unwrap();
        let of = |kind: &str| Compartment::new(t(kind), "1".into()).unwrap();
        for (kind, member, expected) in [
            ("Patient", "Observation", true),
            ("Patient", "Patient", true),
            ("Patient", "Location", false),
            ("Encounter", "Encounter", true),
            ("Encounter", "Observation", true),
            ("Encounter", "Patient", false),
            ("Practitioner", "Schedule", true),
            ("RelatedPerson", "Provenance", true),
            ("Device", "DeviceUseStatement", true),
        ] {
            assert_eq!(of(kind).holds(r4(), t(member)), expected, "{kind} {member}");
        }
        assert_eq!(Compartment::new(t("Organization"), "1".into()), None);
        // Every parameter that a definition names exists and is a reference, so none is passed over.
        for kind in KINDS {
            for member in ResourceType::all() {
                for code in r4().compartment(kind, member) {
                    let parameter = r4().search_parameter(member, code);
                    let parameter = parameter.unwrap_or_else(|| panic!("{kind} {member} {code}"));
                    assert_eq!(parameter.kind, SearchKind::Reference, "{kind} {member} {code}");
                }
            }
        }
    }
}
