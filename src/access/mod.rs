//! Who may do and see what. Pure: what it needs is handed in.
//!
//! [`authorize`] is the only maker of an [`Access`], and every function of `store` that touches resources takes one:
//! forgetting to authorize does not compile. An access is compiled into the SQL of every query ([`Access::guard`])
//! and judged once more on each row on its way out ([`Access::sees`]).
//!
//! Access rests on `owner` and `labels` of a row, never on the key that places it, never on a hash.

pub mod compartment;
pub mod role;

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::i18n::Language;
use crate::search::sql::{Guard, LabelRule};
pub use role::{Column, Reach, Role};

/// Who asks: made by the entrances (token, cookie, MLLP sender, command line), trusted below them.
#[derive(Clone, Debug)]
pub struct Caller {
    pub role: Role,
    /// `usuario/<uuid>`, `client/<id>`, `mllp/<sender>` or `system/<what>`.
    pub actor: String,
    /// Where audit records of no patient lie.
    pub documento_id: String,
    /// The one Patient a paciente account is bound to.
    pub patient: Option<String>,
    /// In which problems are told to it.
    pub language: Language,
    pub request_id: String,
}

impl Caller {
    /// Work that the server does by itself or that the operator starts at the command line.
    pub fn system(what: &str, request_id: String) -> Caller {
        Caller {
            role: Role::Integracion,
            actor: format!("system/{what}"),
            documento_id: "-".to_owned(),
            patient: None,
            language: Language::En,
            request_id,
        }
    }
}

/// What an interaction does to a type, as far as rights are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Read,
    Search,
    Create,
    Update,
    Delete,
}

impl Action {
    pub fn writes(self) -> bool {
        matches!(self, Action::Create | Action::Update | Action::Delete)
    }
}

/// The proof that a caller may do something to a type, and how far.
#[derive(Clone, Debug)]
pub struct Access {
    resource_type: ResourceType,
    /// Only rows owned by this Patient.
    owner: Option<String>,
    /// Results are seen only in these states.
    results_only_released: bool,
    /// Observations are written only as results.
    writes_results_only: bool,
    /// Sees no row at all, whatever a statement answers.
    blind: bool,
}

/// Label of what belongs to the results column: DiagnosticReport, laboratory and imaging Observation.
pub const RESULTS: &str = "results";
/// Labels of the states in which a patient sees results.
pub const RELEASED: [&str; 4] = ["status:final", "status:amended", "status:corrected", "status:appended"];

/// Judges role and type. Denial says nothing about any instance: 403.
pub fn authorize(caller: &Caller, action: Action, resource_type: ResourceType) -> Result<Access> {
    let column = role::column(resource_type);
    if column == Column::Audit && matches!(action, Action::Update | Action::Delete) {
        return Err(Error::new(Kind::MethodNotAllowed, "an AuditEvent is created, and never changed or deleted"));
    }
    let rule = role::rule(caller.role, resource_type);
    let reach = match action {
        Action::Read | Action::Search => rule.read,
        Action::Create => rule.create,
        Action::Update | Action::Delete => rule.change,
    };
    let denied = || Error::new(Kind::Forbidden, format!("the role may not do this to {resource_type}"));
    let owner = match (reach, &caller.patient) {
        (Reach::None, _) => return Err(denied()),
        // A patient-bound caller without its Patient sees nothing, whatever the table says.
        (Reach::Own, None) => return Err(denied()),
        (Reach::Own, Some(patient)) => Some(patient.clone()),
        (Reach::All, _) => None,
    };
    Ok(Access {
        resource_type,
        owner,
        results_only_released: caller.role == Role::Paciente && matches!(column, Column::Clinical | Column::Results),
        writes_results_only: caller.role == Role::Resultados && column == Column::Clinical,
        blind: false,
    })
}

/// Whether the caller may ask how searches are carried out.
pub fn may_explain(caller: &Caller) -> Result<()> {
    match caller.role {
        Role::Admin => Ok(()),
        _ => Err(Error::new(Kind::Forbidden, "the role may not ask how searches are carried out")),
    }
}

/// Whether the caller may have stored resources read again for searches, of which nothing is shown.
pub fn may_reindex(caller: &Caller) -> Result<()> {
    match caller.role {
        Role::Admin => Ok(()),
        _ => Err(Error::new(Kind::Forbidden, "the role may not have resources read again")),
    }
}

/// For statements that are looked at from outside: they are those of a caller without bounds, and no row goes out.
pub fn explain(caller: &Caller, resource_type: ResourceType) -> Result<Access> {
    may_explain(caller)?;
    Ok(Access { resource_type, owner: None, results_only_released: false, writes_results_only: false, blind: true })
}

/// Whether the caller may read at least something of this type: decides which reference targets it may learn of.
pub fn may_read(caller: &Caller, resource_type: ResourceType) -> bool {
    authorize(caller, Action::Read, resource_type).is_ok()
}

impl Access {
    pub fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// The Patient whose rows alone are seen.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The predicate for SQL; `documents` are the keys under which the owner's rows lie.
    pub fn guard(&self, documents: Option<Vec<String>>) -> Guard {
        let label_rule = self.results_only_released.then(|| LabelRule {
            if_any: vec![RESULTS.to_owned()],
            then_any: RELEASED.iter().map(|label| (*label).to_owned()).collect(),
        });
        Guard { owner: self.owner.clone(), documents, label_rule }
    }

    /// The second wall: the same predicate on a row in hand.
    pub fn sees(&self, owner: &[String], labels: &[String]) -> bool {
        if self.blind {
            return false;
        }
        let owned = self.owner.as_ref().is_none_or(|patient| owner.contains(patient));
        let has = |wanted: &str| labels.iter().any(|label| label == wanted);
        owned && (!self.results_only_released || !has(RESULTS) || RELEASED.iter().any(|label| has(label)))
    }

    /// What decides by content, judged on the stored and on the new version of a write.
    pub fn may_write(&self, labels: &[String]) -> Result<()> {
        if self.blind {
            return Err(Error::new(Kind::Forbidden, "who may not read may not write"));
        }
        if self.writes_results_only && !labels.iter().any(|label| label == RESULTS) {
            let text = format!("the role may write {} only with category laboratory or imaging", self.resource_type);
            return Err(Error::new(Kind::Forbidden, text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: Role, patient: Option<&str>) -> Caller {
        Caller {
            role,
            actor: "usuario/x".into(),
            documento_id: "-".into(),
            patient: patient.map(Into::into),
            language: Language::En,
            request_id: "r".into(),
        }
    }

    fn ty(name: &str) -> ResourceType {
        ResourceType::parse(name).unwrap()
    }

    #[test]
    fn f001_no_rule_no_access() {
        for role in Role::ALL {
            let allowed = authorize(&caller(role, Some("p")), Action::Read, ty("Group")).is_ok();
            assert_eq!(allowed, role == Role::Integracion, "{role:?}");
        }
    }

    #[test]
    fn f002_a_patient_role_without_a_patient_sees_nothing() {
        assert!(authorize(&caller(Role::Paciente, None), Action::Read, ty("Patient")).is_err());
        let access = authorize(&caller(Role::Paciente, Some("p")), Action::Search, ty("Observation")).unwrap();
        assert_eq!(access.guard(None).owner.as_deref(), Some("p"));
        assert!(!access.sees(&[], &[]));
        assert!(access.sees(&["p".into()], &[]));
        assert!(!access.sees(&["p".into()], &[RESULTS.into(), "status:preliminary".into()]));
        assert!(access.sees(&["p".into()], &[RESULTS.into(), "status:final".into()]));
    }

    #[test]
    fn who_explains_sees_no_row() {
        for role in Role::ALL {
            let access = explain(&caller(role, Some("p")), ty("Observation"));
            assert_eq!(access.is_ok(), role == Role::Admin, "{role:?}");
            assert!(access.is_err() || access.is_ok_and(|access| !access.sees(&["p".into()], &[])));
        }
    }

    #[test]
    fn results_role_writes_results_only() {
        let access = authorize(&caller(Role::Resultados, None), Action::Create, ty("Observation")).unwrap();
        assert!(access.may_write(&["status:final".into()]).is_err());
        assert!(access.may_write(&[RESULTS.into()]).is_ok());
        assert!(authorize(&caller(Role::Resultados, None), Action::Create, ty("Condition")).is_err());
        assert!(
            authorize(&caller(Role::Resultados, None), Action::Create, ty("DiagnosticReport"))
                .unwrap()
                .may_write(&[])
                .is_ok()
        );
    }

    #[test]
    fn audit_events_are_create_only() {
        for role in Role::ALL {
            assert!(authorize(&caller(role, Some("p")), Action::Update, ty("AuditEvent")).is_err());
            assert!(authorize(&caller(role, Some("p")), Action::Delete, ty("AuditEvent")).is_err());
        }
        assert!(authorize(&caller(Role::Admin, None), Action::Read, ty("AuditEvent")).is_ok());
        assert!(authorize(&caller(Role::Integracion, None), Action::Create, ty("AuditEvent")).is_ok());
    }
}
