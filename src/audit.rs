//! What happened -> audit record. Every interaction, login and message leaves one; never search values, never names.

use crate::access::{Access, Caller};
use crate::clock;
use crate::fhir::definitions::ResourceType;
pub use crate::store::audit::{Event, Outcome};

impl Event {
    /// A record under the actor's own documento_id, to be filled in.
    pub fn new(caller: &Caller, action: &'static str) -> Event {
        Event {
            documento_id: caller.documento_id.clone(),
            recorded: clock::now(),
            id: clock::uuid(),
            action,
            outcome: Outcome::Success,
            actor: caller.actor.clone(),
            role: caller.role.code(),
            patient_id: None,
            resource_type: None,
            resource_id: None,
            version: None,
            request_id: caller.request_id.clone(),
            detail: None,
        }
    }

    #[must_use]
    pub fn of(mut self, resource_type: ResourceType) -> Event {
        self.resource_type = Some(resource_type.name());
        self
    }

    #[must_use]
    pub fn on(self, access: &Access) -> Event {
        self.of(access.resource_type())
    }

    #[must_use]
    pub fn instance(mut self, id: &str, version: Option<i64>) -> Event {
        self.resource_id = Some(id.to_owned());
        self.version = version;
        self
    }

    /// Whose record it shows, and where that lies. Records of no patient stay under the actor.
    #[must_use]
    pub fn record(mut self, documento_id: &str, patient: Option<&str>) -> Event {
        if let Some(patient) = patient {
            self.patient_id = Some(patient.to_owned());
            self.documento_id = documento_id.to_owned();
        }
        self
    }

    #[must_use]
    pub fn ended(mut self, outcome: Outcome, detail: impl Into<String>) -> Event {
        self.outcome = outcome;
        self.detail = Some(detail.into());
        self
    }
}
