//! What HL7 v2 (and other plans made above) writes: resources whose ids the caller has derived. They pass the same
//! validation, authorization and audit as any other write.

use crate::access::Access;
use crate::audit::Event;
use crate::error::{Error, Kind, Result};
use crate::fhir::resource;
use crate::interaction::unit::{Place, Unit};
use crate::interaction::{Answer, Content, search};
use crate::store::placement::Record;
use crate::store::resource::{Found, Stored};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::sync::Arc;

impl Unit<'_> {
    /// An audit record of something that is no interaction, in this unit's commit.
    pub fn note(&mut self, event: Event) {
        self.audit(event);
    }

    /// The current version, tombstones included, locked when this unit locks what it reads.
    pub async fn current(&mut self, access: &Access, id: &str) -> Result<Option<Stored>> {
        match self.find_to_write(access, id).await? {
            Found::Here(stored) => Ok(Some(*stored)),
            Found::Nothing | Found::Hidden => Ok(None),
        }
    }

    /// Current Patients with one of these identifiers, up to `most`; whatever its system when that is none. `place`: only those whose
    /// record was opened under this document.
    pub async fn patients_by_identifier(
        &mut self,
        access: &Access,
        system: Option<&str>,
        values: &[String],
        most: u32,
        place: Option<&str>,
    ) -> Result<Vec<Stored>> {
        let escaped = |text: &str| -> String {
            let plain: String = text
                .chars()
                .flat_map(|c| if matches!(c, ',' | '|' | '$' | '\\') { vec!['\\', c] } else { vec![c] })
                .collect();
            utf8_percent_encode(&plain, NON_ALPHANUMERIC).to_string()
        };
        let system = system.map(|system| format!("{}|", escaped(system))).unwrap_or_default();
        let all: Vec<String> = values.iter().map(|value| format!("{system}{}", escaped(value))).collect();
        let raw = format!("identifier={}", all.join(","));
        search::matches_at(self, access, &raw, most, place).await
    }

    /// Whether a part of the cluster cannot be asked now.
    pub fn is_degraded(&self) -> bool {
        self.app.pool.nodes().is_degraded()
    }

    /// Looks for the records of patients.
    pub async fn know(&mut self, patients: &[&str]) -> Result<()> {
        self.know_records(patients).await
    }

    pub fn known_record(&self, patient: &str) -> Option<Arc<Record>> {
        self.record(patient)
    }

    /// Creates a resource that carries its id; `buried`: over the tombstone of the one that had it.
    pub async fn make(
        &mut self,
        access: &Access,
        value: Value,
        documento_id: &str,
        buried: Option<&Stored>,
    ) -> Result<Answer> {
        let id = resource::id(&value)
            .ok_or_else(|| Error::at(Kind::Required, "id", "the planned resource has no id"))?
            .to_owned();
        let mut content = Content::new(value);
        content.check(self.app, access.resource_type())?;
        let place = Place { id, documento_id: buried.map_or(documento_id, |b| &b.documento_id).to_owned() };
        self.keep(access, "POST", place, content, buried).await
    }

    /// Replaces the current version of a resource.
    pub async fn replace(&mut self, access: &Access, value: Value) -> Result<Answer> {
        let id = resource::id(&value)
            .ok_or_else(|| Error::at(Kind::Required, "id", "the planned resource has no id"))?
            .to_owned();
        let mut content = Content::new(value);
        content.check(self.app, access.resource_type())?;
        let current = self.current(access, &id).await?.ok_or_else(crate::store::race)?;
        let place = Place { id, documento_id: current.documento_id.clone() };
        self.keep(access, "PUT", place, content, Some(&current)).await
    }
}
