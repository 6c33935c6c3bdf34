//! What a search means (<https://hl7.org/fhir/R4/search.html>): the cases of `search_cases.tsv`, each with the words of R4
//! that say what is found.

use crate::harness::data::patient;
use crate::harness::{Fhir, fhir, run, server, unique};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/search_cases.tsv");
const TAG: &str = "urn:historia:test";

/// `a=b&c=d` with its values encoded.
pub fn encoded(query: &str) -> String {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let pairs = pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Stores resources, each under a tag; answers their references.
pub async fn stored(integracion: &Fhir, resources: Vec<(String, Value)>) -> Vec<String> {
    let mut references = Vec::new();
    for (tag, mut resource) in resources {
        resource["meta"] = json!({"tag": [{"system": TAG, "code": tag}]});
        let made = integracion.create(resource).await;
        references.push(format!("{}/{}", made["resourceType"].as_str().unwrap(), made["id"].as_str().unwrap()));
    }
    references
}

#[test]
fn every_case_finds_what_the_standard_says() {
    run(async {
        let integracion = fhir("integracion").await;
        let mut known = BTreeMap::from([("@root@".to_owned(), format!("{}/fhir", server().http()))]);
        for name in ["patient", "other"] {
            let id = integracion.create(patient()).await["id"].as_str().unwrap().to_owned();
            known.insert(format!("@{name}#@"), id.clone());
            known.insert(format!("@{name}@"), format!("Patient/{id}"));
        }
        let filled = |text: &str| known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        let run = unique();
        let text = std::fs::read_to_string(CASES).unwrap();
        let lines: Vec<Vec<String>> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| filled(line).split('\t').map(str::to_owned).collect())
            .collect();

        let resources: Vec<&Vec<String>> = lines.iter().filter(|line| line[0] == "resource").collect();
        let tagged = resources.iter().map(|line| {
            (
                format!("{run}-{}", line[1]),
                serde_json::from_str(&line[3]).unwrap_or_else(|e| panic!("{}: {e}", line[3])),
            )
        });
        let references = stored(&integracion, tagged.collect()).await;
        let mut names: BTreeMap<String, (String, String)> = BTreeMap::new();
        let mut types: BTreeMap<&str, String> = BTreeMap::new();
        for (line, reference) in resources.iter().zip(references) {
            let (resource_type, id) = reference.split_once('/').unwrap();
            types.insert(&line[1], resource_type.to_owned());
            names.insert(id.to_owned(), (line[1].clone(), line[2].clone()));
        }

        let mut wrong = Vec::new();
        let mut count = 0;
        for line in lines.iter().filter(|line| line[0] == "case") {
            let (group, query, expected, why) = (&line[1], &line[2], &line[3], &line[4]);
            let path = format!("{}?{}&_tag={TAG}%7C{run}-{group}&_count=1000", types[group.as_str()], encoded(query));
            let reply = integracion.get(&path).await;
            let expected: BTreeSet<&str> = expected.split(' ').filter(|name| *name != "-").collect();
            let found = match reply.status {
                200 => reply.ids(),
                _ => vec![reply.diagnostics()],
            };
            let found: BTreeSet<&str> =
                found.iter().map(|id| names.get(id).map_or("?", |(_, name)| name.as_str())).collect();
            if found != expected || reply.status != 200 {
                let told = if reply.status == 200 { String::new() } else { reply.diagnostics() };
                wrong.push(format!("{group}: {query}\n  expected {expected:?}\n  found    {found:?} {told}\n  {why}"));
            }
            count += 1;
        }
        assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
        assert!(count >= 400, "{count}");
    });
}
