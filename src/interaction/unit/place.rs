//! Where what a unit writes will lie: records that are opened, ids and places of new resources.

use super::{Place, Unit};
use crate::access;
use crate::clock;
use crate::config::References;
use crate::error::Result;
use crate::fhir::definitions::ResourceType;
use crate::fhir::documento::DocumentoId;
use crate::store;
use crate::store::placement::{NOBODY, Record};
use crate::store::write::NewRecord;
use serde_json::Value;
use std::sync::Arc;

impl Unit<'_> {
    /// The record of a patient, when this unit knows it.
    pub(in crate::interaction) fn record(&self, patient: &str) -> Option<Arc<Record>> {
        self.records.get(patient).cloned()
    }

    /// The documento_ids under which data of these patients may lie.
    pub(in crate::interaction) async fn documents_of(&mut self, patients: &[&str]) -> Result<Vec<String>> {
        let placement = &self.app.placement;
        self.with(async |conn| {
            let records = placement.records_of(conn, patients).await?;
            let known: Vec<&str> = records.keys().map(String::as_str).collect();
            let further = match known.is_empty() {
                true => Vec::new(),
                false => store::placement::further_keys_of(conn, &known).await?,
            };
            let mut documents: Vec<String> = further.into_iter().map(|(_, documento_id)| documento_id).collect();
            documents.extend(records.values().map(|record| record.documento_id.clone()));
            documents.sort();
            documents.dedup();
            Ok(documents)
        })
        .await
    }

    /// The records of patients into `self.records`, one query for all that are not known.
    pub(in crate::interaction) async fn know_records(&mut self, patients: &[&str]) -> Result<()> {
        let unknown: Vec<&str> = patients.iter().copied().filter(|p| !self.records.contains_key(*p)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let placement = &self.app.placement;
        let found = self.with(async |conn| placement.records_of(conn, &unknown).await).await?;
        self.records.extend(found);
        Ok(())
    }

    /// Opens the record of a Patient: under its document, else under a key of its own.
    pub(in crate::interaction) fn open_record(
        &mut self,
        patient: &Value,
        patient_id: Option<&str>,
    ) -> Result<Arc<Record>> {
        let record_id = clock::record_id()?;
        let documento_id =
            DocumentoId::of_patient(patient, &self.app.systems).unwrap_or_else(|| DocumentoId::of_record(&record_id));
        let patient_id = patient_id.unwrap_or(&record_id).to_owned();
        self.open(NewRecord { record_id, documento_id: documento_id.as_str().to_owned(), patient_id, identity: None })
    }

    /// Opens a record whose ids are known: HL7 v2 derives them from the identity.
    pub fn open(&mut self, record: NewRecord) -> Result<Arc<Record>> {
        let opened = Arc::new(Record {
            record_id: record.record_id.clone(),
            documento_id: record.documento_id.clone(),
            patient_id: record.patient_id.clone(),
        });
        self.records.insert(record.patient_id.clone(), opened.clone());
        self.set.records.push(record);
        Ok(opened)
    }

    /// Makes id and place of a new resource of `owner`, the Patient whose record it is.
    pub(in crate::interaction) async fn place(
        &mut self,
        resource_type: ResourceType,
        resource: &Value,
    ) -> Result<Place> {
        if resource_type.name() == "Patient" {
            let record = self.open_record(resource, None)?;
            return Ok(Place { id: record.patient_id.clone(), documento_id: record.documento_id.clone() });
        }
        match self.record_of_owner(resource_type, resource).await? {
            Some(record) => Ok(Place {
                id: format!("{}.{}", record.record_id, clock::tail()),
                documento_id: record.documento_id.clone(),
            }),
            None => Ok(Place { id: clock::uuid().to_string(), documento_id: NOBODY.to_owned() }),
        }
    }

    /// The record of the first owner of a resource.
    pub(in crate::interaction) async fn record_of_owner(
        &mut self,
        resource_type: ResourceType,
        resource: &Value,
    ) -> Result<Option<Arc<Record>>> {
        let owners = access::compartment::owner(resource_type, resource, &self.app.base);
        match owners.first() {
            Some(owner) => self.record_of(owner).await,
            None => Ok(None),
        }
    }

    /// The record of a patient. With `fhir.references = off` the first mention of an absent one opens it.
    pub(in crate::interaction) async fn record_of(&mut self, patient: &str) -> Result<Option<Arc<Record>>> {
        self.know_records(&[patient]).await?;
        if let Some(record) = self.records.get(patient) {
            return Ok(Some(record.clone()));
        }
        match self.app.config.fhir.references {
            References::Enforce => Ok(None),
            References::Off => self.open_record(&Value::Null, Some(patient)).map(Some),
        }
    }
}
