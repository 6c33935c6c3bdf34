//! `compose.yaml`: closed like the pods, with the versions and the names of the manifests.

use crate::{read, root};
use serde_json::{Value, json};

fn problems(yaml: &str) -> Vec<String> {
    let file: Value = match serde_saphyr::from_str(yaml) {
        Ok(file) => file,
        Err(error) => return vec![error.to_string()],
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kubernetes = read("k8s/todo-en-uno.yaml");
    let services = file["services"].as_object().unwrap();
    let mut found = Vec::new();
    for (name, service) in services {
        let mut wrong = |text: String| found.push(format!("{name}: {text}"));
        let closed = service["cap_drop"] == json!(["ALL"])
            && service["security_opt"] == json!(["no-new-privileges:true"])
            && service["read_only"] == true;
        if !closed {
            wrong("is not closed".to_owned());
        }
        if !kubernetes.contains(&format!("image: {}\n", text(&service["image"]))) {
            wrong(format!("{} is not the image of the manifests", service["image"]));
        }
        for volume in service["volumes"].as_array().into_iter().flatten().map(text) {
            let source = volume.split(':').next().unwrap_or_default().to_owned();
            let there = match source.strip_prefix("./") {
                Some(path) => root().join(path).exists(),
                None => file["volumes"].get(&source).is_some(),
            };
            if !there {
                wrong(format!("there is no {source}"));
            }
        }
        let needs = service["depends_on"].as_object().into_iter().flatten().map(|(name, _)| name);
        for need in needs.filter(|need| !services.contains_key(*need)) {
            wrong(format!("waits for {need}, which is not there"));
        }
    }
    let aliases: Vec<String> = services
        .values()
        .map(|service| text(&service["networks"]["datos"]["aliases"][0]))
        .filter(|alias| !alias.is_empty())
        .collect();
    let workers = aliases.iter().filter(|alias| alias.starts_with("worker-"));
    let mut command = vec!["cluster".to_owned(), "init".to_owned()];
    command.extend(workers.flat_map(|worker| ["--worker".to_owned(), format!("{worker}:5432")]));
    if services["init"]["command"] != json!(command) {
        found.push("init: does not name the workers".to_owned());
    }
    if !aliases.contains(&"coordinator-0.coordinator".to_owned()) {
        found.push("coordinator: is not where the server looks for it".to_owned());
    }
    found
}

#[test]
fn compose_is_sound() {
    let problems = problems(&read("compose.yaml"));
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn faults_of_compose_are_named() {
    let sound = read("compose.yaml");
    let check = |from: &str, to: &str| {
        assert!(sound.contains(from), "{from}");
        assert!(!problems(&sound.replacen(from, to, 1)).is_empty(), "not caught: {from}");
    };
    check("cap_drop: [\"ALL\"]", "cap_drop: [\"CHOWN\"]");
    check("read_only: true", "read_only: false");
    check("13.2.0-pg15", "latest");
    check("worker-1.worker:5432", "worker-2.worker:5432");
    check("aliases: [\"coordinator-0.coordinator\"]", "aliases: [\"coordinator\"]");
    check("- worker-1:/var/lib/postgresql/data", "- worker-2:/var/lib/postgresql/data");
    check("./k8s/base/citus:", "./k8s/base/nodes:");
}
