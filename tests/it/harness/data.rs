//! Data: people that a test makes for itself, and the real data of the data folder.

use crate::harness::unique;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// A Patient with a citizenship number of its own.
pub fn patient() -> Value {
    patient_with(&unique())
}

pub fn patient_with(number: &str) -> Value {
    json!({
        "resourceType": "Patient",
        "identifier": [{
            "use": "official",
            "type": {"coding": [{"system": "https://fhir.minsalud.gov.co/rda/CodeSystem/ColombianPersonIdentifier", "code": "CC"}]},
            "system": "https://www.registraduria.gov.co",
            "value": number
        }],
        "active": true,
        "name": [{"use": "official", "family": "Peña Ruiz", "given": ["Ana", "María"]}],
        "gender": "female",
        "birthDate": "1984-02-29"
    })
}

/// A weight of a patient, `subject` = `Patient/id`.
pub fn weight(subject: &str, when: &str) -> Value {
    json!({
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7", "display": "Peso"}]},
        "subject": {"reference": subject},
        "effectiveDateTime": when,
        "valueQuantity": {"value": 72.5, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"}
    })
}

/// A laboratory result in this state.
pub fn result(subject: &str, status: &str) -> Value {
    let mut result = weight(subject, "2024-05-06T07:08:09-05:00");
    result["status"] = status.into();
    result["category"][0]["coding"][0]["code"] = "laboratory".into();
    result["code"]["coding"][0]["code"] = "2345-7".into();
    result
}

pub fn encounter(subject: &str) -> Value {
    json!({
        "resourceType": "Encounter",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": subject},
        "period": {"start": "2024-05-06T07:00:00-05:00"}
    })
}

/// One entry of a transaction.
pub fn entry(method: &str, url: &str, full_url: Option<&str>, resource: Option<Value>) -> Value {
    let mut entry = json!({"request": {"method": method, "url": url}});
    if let Some(full_url) = full_url {
        entry["fullUrl"] = full_url.into();
    }
    if let Some(resource) = resource {
        entry["resource"] = resource;
    }
    entry
}

pub fn bundle(kind: &str, entries: Vec<Value>) -> Value {
    json!({"resourceType": "Bundle", "type": kind, "entry": entries})
}

/// What a resource says, without what the server owns.
pub fn content(resource: &Value) -> Value {
    let mut resource = resource.clone();
    let members = resource.as_object_mut().expect("a resource");
    members.remove("id");
    if let Some(Value::Object(meta)) = members.get_mut("meta") {
        meta.remove("versionId");
        meta.remove("lastUpdated");
        if meta.is_empty() {
            members.remove("meta");
        }
    }
    resource
}

/// An archive of the data folder, unpacked once in the build folder; none when it is not there.
pub fn unpacked(name: &str) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let shared = std::env::var_os("HISTORIA_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let archive = shared.join("data").join(format!("{name}.tar.zst"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("data").join(name);
    if target.is_dir() {
        return Some(target);
    }
    if !archive.is_file() {
        return None;
    }
    let partial = target.with_extension(format!("partial-{}", std::process::id()));
    std::fs::create_dir_all(&partial).ok()?;
    let status = Command::new("tar").arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(&partial).status().ok()?;
    if !status.success() {
        let _ = std::fs::remove_dir_all(&partial);
        return None;
    }
    std::fs::rename(&partial, &target).ok()?;
    Some(target)
}

/// The JSON files under a folder, in order of their names.
pub fn json_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

pub fn json_of(file: &Path) -> Value {
    let text = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}
