//! The six roles and the one table of types x columns (docs/contract.md, "Roles").
//!
//! Every type of R4 is in exactly one [`Column`]; what is in none of the named ones is integracion's alone, so a new
//! type starts denied.

use crate::fhir::definitions::{self, ResourceType};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Paciente,
    Admisionista,
    Medico,
    Resultados,
    Admin,
    Integracion,
}

impl Role {
    pub const ALL: [Role; 6] =
        [Role::Paciente, Role::Admisionista, Role::Medico, Role::Resultados, Role::Admin, Role::Integracion];

    pub fn code(self) -> &'static str {
        match self {
            Role::Paciente => "paciente",
            Role::Admisionista => "admisionista",
            Role::Medico => "medico",
            Role::Resultados => "resultados",
            Role::Admin => "admin",
            Role::Integracion => "integracion",
        }
    }

    pub fn parse(code: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.code() == code)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The columns of the contract's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Patient,
    Admission,
    Clinical,
    Results,
    Directory,
    Audit,
    /// In none of the others: integracion alone.
    Other,
}

/// How far a right goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    None,
    Own,
    All,
}

/// What a role may do with the types of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub read: Reach,
    pub create: Reach,
    pub change: Reach,
}

const NONE: Rule = Rule { read: Reach::None, create: Reach::None, change: Reach::None };
const READ: Rule = Rule { read: Reach::All, ..NONE };
const READ_OWN: Rule = Rule { read: Reach::Own, ..NONE };
const WRITE: Rule = Rule { read: Reach::All, create: Reach::All, change: Reach::All };
const CREATE: Rule = Rule { create: Reach::All, ..NONE };

const ADMISSION: [&str; 5] = ["Encounter", "Account", "Coverage", "RelatedPerson", "Appointment"];
const RESULTS: [&str; 3] = ["DiagnosticReport", "ServiceRequest", "Specimen"];
/// In the Patient compartment by mention only, or of people who are no patients: no rule is written yet.
const WITHOUT_RULE: [&str; 2] = ["Group", "Person"];
/// Organisations, people who work there, and what is defined rather than recorded.
const DIRECTORY: [&str; 44] = [
    "ActivityDefinition",
    "CapabilityStatement",
    "CatalogEntry",
    "ChargeItemDefinition",
    "CodeSystem",
    "CompartmentDefinition",
    "ConceptMap",
    "DeviceDefinition",
    "EffectEvidenceSynthesis",
    "Endpoint",
    "EventDefinition",
    "Evidence",
    "EvidenceVariable",
    "ExampleScenario",
    "GraphDefinition",
    "HealthcareService",
    "ImplementationGuide",
    "InsurancePlan",
    "Library",
    "Location",
    "Measure",
    "Medication",
    "MedicationKnowledge",
    "MessageDefinition",
    "NamingSystem",
    "ObservationDefinition",
    "OperationDefinition",
    "Organization",
    "OrganizationAffiliation",
    "PlanDefinition",
    "Practitioner",
    "PractitionerRole",
    "Questionnaire",
    "ResearchDefinition",
    "ResearchElementDefinition",
    "RiskEvidenceSynthesis",
    "SearchParameter",
    "SpecimenDefinition",
    "StructureDefinition",
    "StructureMap",
    "Substance",
    "TerminologyCapabilities",
    "TestScript",
    "ValueSet",
];

/// The column of a type.
pub fn column(resource_type: ResourceType) -> Column {
    let name = resource_type.name();
    match name {
        "Patient" => Column::Patient,
        "AuditEvent" => Column::Audit,
        _ if ADMISSION.contains(&name) => Column::Admission,
        _ if RESULTS.contains(&name) => Column::Results,
        _ if DIRECTORY.contains(&name) => Column::Directory,
        _ if WITHOUT_RULE.contains(&name) => Column::Other,
        _ if !definitions::r4().compartment("Patient", resource_type).is_empty() => Column::Clinical,
        _ => Column::Other,
    }
}

/// The table. An Observation is clinical here; whether it is a result is judged by its content (`Access::may_write`).
pub fn rule(role: Role, resource_type: ResourceType) -> Rule {
    let column = column(resource_type);
    let observation = resource_type.name() == "Observation";
    match (role, column) {
        (Role::Integracion, Column::Audit) => CREATE,
        (Role::Integracion, _) => WRITE,
        (Role::Admin, Column::Directory) => WRITE,
        (Role::Admin, Column::Audit) => READ,
        (_, Column::Directory) => READ,
        (Role::Paciente, Column::Patient | Column::Admission | Column::Clinical | Column::Results) => READ_OWN,
        (Role::Admisionista, Column::Patient | Column::Admission) => WRITE,
        (Role::Medico, Column::Patient | Column::Admission | Column::Clinical | Column::Results) => WRITE,
        (Role::Resultados, Column::Results) => WRITE,
        (Role::Resultados, Column::Clinical) if observation => WRITE,
        (Role::Resultados, Column::Patient | Column::Admission | Column::Clinical) => READ,
        _ => NONE,
    }
}

/// Whether a role may take a record out as PDF (column "PDF"): a patient its own, as the guard of access sees to.
pub fn exports(role: Role) -> bool {
    matches!(role, Role::Paciente | Role::Medico | Role::Resultados)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_type_exists_and_stands_once() {
        let listed: Vec<&str> = [&ADMISSION[..], &RESULTS[..], &WITHOUT_RULE[..], &DIRECTORY[..]].concat();
        for name in &listed {
            assert!(ResourceType::parse(name).is_some(), "{name}");
            assert_eq!(listed.iter().filter(|other| other == &name).count(), 1, "{name}");
        }
    }

    #[test]
    fn roles_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.code()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }

    #[test]
    fn f091_admin_sees_no_record() {
        for ty in ResourceType::all() {
            let clinical = matches!(
                column(ty),
                Column::Patient | Column::Admission | Column::Clinical | Column::Results | Column::Other
            );
            if clinical {
                assert_eq!(rule(Role::Admin, ty), NONE, "{ty}");
            }
        }
    }

    /// The types of each column and what the roles may do with them, as docs/contract.md prints them.
    fn printed() -> String {
        let columns = [
            (Column::Patient, "Patient"),
            (Column::Admission, "admission"),
            (Column::Clinical, "clinical"),
            (Column::Results, "results"),
            (Column::Directory, "directory"),
            (Column::Audit, "audit"),
            (Column::Other, "none"),
        ];
        let mut text = String::from(
            "| column | paciente | admisionista | medico | resultados | admin | integracion | types |\n|---|---|---|---|---|---|---|---|\n",
        );
        for (column, name) in columns {
            // Observation has a row of its own: what resultados may do with it depends on its content.
            let of_column = |wanted: bool| {
                ResourceType::all()
                    .filter(move |ty| super::column(*ty) == column && (ty.name() == "Observation") == wanted)
            };
            for (types, name) in
                [(of_column(false), name.to_owned()), (of_column(true), format!("{name}: Observation"))]
            {
                let types: Vec<ResourceType> = types.collect();
                let Some(first) = types.first() else { continue };
                let rights: Vec<&str> = Role::ALL.iter().map(|role| right(rule(*role, *first))).collect();
                assert!(
                    types.iter().all(|ty| Role::ALL.iter().all(|role| rule(*role, *ty) == rule(*role, *first))),
                    "{name} has several rules"
                );
                let names: Vec<&str> = types.iter().map(|ty| ty.name()).collect();
                text.push_str(&format!(
                    "| {name} ({}) | {} | {} |\n",
                    types.len(),
                    rights.join(" | "),
                    names.join(" ")
                ));
            }
        }
        text
    }

    fn right(rule: Rule) -> &'static str {
        match rule {
            NONE => "–",
            READ => "read",
            READ_OWN => "read own",
            WRITE => "read, write",
            CREATE => "create",
            _ => panic!("a rule without words"),
        }
    }

    #[test]
    fn the_contract_prints_this_table() {
        let contract = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/contract.md")).unwrap();
        let (_, rest) = contract.split_once("<!-- types: begin -->\n").expect("docs/contract.md has no table of types");
        let (shown, _) = rest.split_once("<!-- types: end -->").unwrap();
        assert_eq!(shown, printed(), "docs/contract.md and access::role differ; the right side is what it must print");
        assert_eq!(ResourceType::all().count(), 146);
    }
}
