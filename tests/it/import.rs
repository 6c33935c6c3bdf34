//! Synthea's patients (issue 3, Must show 2): by `historia import` and by plain HTTP, counted and read back.

use crate::harness::data::{content, json_of, unpacked};
use crate::harness::fhir::signed_in;
use crate::harness::instance::{Folder, Instance, Start, command};
use crate::harness::{Fhir, fhir, run, skip};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The smallest patients of an archive, and the Bundles that others refer to.
fn some(folder: &Path, patients: usize) -> Vec<PathBuf> {
    let mut files = crate::harness::data::json_files(folder);
    files.sort_by_key(|file| std::fs::metadata(file).map_or(0, |meta| meta.len()));
    let is_common = |file: &&PathBuf| file.file_name().unwrap().to_string_lossy().contains("Information");
    let common: Vec<PathBuf> = files.iter().filter(is_common).cloned().collect();
    let people = files.iter().filter(|file| !is_common(file)).take(patients).cloned();
    common.into_iter().chain(people).collect()
}

/// The entries of transaction Bundles that make a resource: conditional ones once.
fn entries(files: &[PathBuf]) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for file in files {
        for entry in json_of(file)["entry"].as_array().unwrap() {
            let condition = entry["request"]["ifNoneExist"].as_str();
            let url = entry["request"]["url"].as_str().unwrap().to_owned();
            if condition.is_none_or(|condition| seen.insert(format!("{url}?{condition}"))) {
                all.push(entry.clone());
            }
        }
    }
    all
}

/// Members sorted, and every link to another resource the same: what two copies under other ids have in common.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            let inner: Vec<String> = sorted
                .into_iter()
                .map(|(name, value)| match (name.as_str(), value) {
                    ("reference", Value::String(text)) if !text.starts_with('#') => "reference:@".to_owned(),
                    _ => format!("{name}:{}", canonical(value)),
                })
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// All resources of a type.
async fn all(caller: &Fhir, name: &str) -> Vec<Value> {
    caller.all(&format!("{name}?_count=1000")).await.into_iter().flatten().collect()
}

fn links(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| match value {
            Value::String(text) if name == "reference" => out.push(text.clone()),
            _ => links(value, out),
        }),
        Value::Array(items) => items.iter().for_each(|item| links(item, out)),
        _ => {}
    }
}

/// Imports the files of a folder by the command; what is referred to comes last there, so it is tried again.
fn imported(instance: &Instance, files: &[PathBuf]) -> Value {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.path).unwrap();
    for (n, file) in files.iter().rev().enumerate() {
        std::fs::copy(file, folder.path.join(format!("{n:03}.json"))).unwrap();
    }
    let data_dir = instance.data_dir.to_str().unwrap();
    let output = command(&["import", "--json", folder.path.to_str().unwrap()], &[("HISTORIA_DATA_DIR", data_dir)], "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text} {}", String::from_utf8_lossy(&output.stderr));
    println!("import: {text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["failed"], Value::Array(Vec::new()));
    assert_eq!(report["bundles"], files.len());
    report
}

#[test]
fn an_import_is_whole() {
    const NAME: &str = "an_import_is_whole";
    let (Some(smart), Some(hiv)) = (unpacked("synthea-smart-generated"), unpacked("synthea-hiv-79")) else {
        return skip(NAME, "no Synthea archives in HISTORIA_SHARED");
    };
    run(async {
        let instance = Start::dev().with("HISTORIA_TOKENS__CLIENT", "1 h").ready();
        let integracion = signed_in(&instance, "integracion").await;
        // Each archive by itself: both have the same hospitals, and those of the second have no conditions.
        let archives = [some(&hiv, 3), some(&smart, 3)];
        let expected = entries(&archives.concat());
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut before: BTreeSet<String> = BTreeSet::new();
        for entry in &expected {
            let name = entry["resource"]["resourceType"].as_str().unwrap();
            if !counts.contains_key(name) {
                before.extend(
                    all(&integracion, name).await.iter().map(|one| format!("{name}/{}", one["id"].as_str().unwrap())),
                );
            }
            *counts.entry(name.to_owned()).or_default() += 1;
        }
        let mut created: BTreeMap<String, u64> = BTreeMap::new();
        for files in &archives {
            let report = imported(&instance, files);
            for (name, count) in report["created"].as_object().unwrap() {
                *created.entry(name.clone()).or_default() += count.as_u64().unwrap();
            }
        }
        assert_eq!(created, counts);

        let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in &expected {
            let resource = &entry["resource"];
            sent.entry(resource["resourceType"].as_str().unwrap().to_owned())
                .or_default()
                .push(canonical(&content(resource)));
        }
        let mut ids: BTreeSet<String> = BTreeSet::new();
        let mut stored = Vec::new();
        for (name, mut sent) in sent {
            let all = all(&integracion, &name).await;
            ids.extend(all.iter().map(|one| format!("{name}/{}", one["id"].as_str().unwrap())));
            let new: Vec<Value> = all
                .into_iter()
                .filter(|one| !before.contains(&format!("{name}/{}", one["id"].as_str().unwrap())))
                .collect();
            let mut read: Vec<String> = new.iter().map(|one| canonical(&content(one))).collect();
            read.sort();
            sent.sort();
            assert_eq!(read.len(), sent.len(), "{name}");
            for (read, sent) in read.iter().zip(&sent) {
                assert_eq!(read, sent, "{name}");
            }
            stored.extend(new);
        }
        for one in &stored {
            let mut out = Vec::new();
            links(one, &mut out);
            for link in out.iter().filter(|link| !link.starts_with('#')) {
                assert!(ids.contains(link), "{link} points at nothing");
            }
        }
    });
}

/// Puts the places that the server gave where the Bundle had its own names.
fn placed(value: &Value, places: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => places.get(text).map_or_else(|| value.clone(), |place| place.as_str().into()),
        Value::Array(items) => items.iter().map(|item| placed(item, places)).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), placed(value, places))).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn a_posted_bundle_reads_back_entry_by_entry() {
    const NAME: &str = "a_posted_bundle_reads_back_entry_by_entry";
    let Some(smart) = unpacked("synthea-smart-generated") else {
        return skip(NAME, "no synthea-smart-generated in HISTORIA_SHARED");
    };
    run(async {
        let integracion = fhir("integracion").await;
        for file in some(&smart, 2).into_iter().rev().take(2) {
            let text = std::fs::read_to_string(&file).unwrap();
            let sent = json_of(&file);
            let reply = integracion.raw("POST", "", &[], &text).await.expect(200).json();
            let entries = sent["entry"].as_array().unwrap();
            let answers = reply["entry"].as_array().unwrap();
            assert_eq!(entries.len(), answers.len());
            let place = |answer: &Value| {
                answer["response"]["location"].as_str().unwrap().split("/_history").next().unwrap().to_owned()
            };
            let places: BTreeMap<String, String> = entries
                .iter()
                .zip(answers)
                .map(|(entry, answer)| (entry["fullUrl"].as_str().unwrap().to_owned(), place(answer)))
                .collect();
            for (entry, answer) in entries.iter().zip(answers) {
                assert!(answer["response"]["status"].as_str().unwrap().starts_with("201"));
                let read = integracion.get(&place(answer)).await.expect(200).json();
                assert_eq!(content(&read), placed(&content(&entry["resource"]), &places), "{}", place(answer));
            }
        }
    });
}
