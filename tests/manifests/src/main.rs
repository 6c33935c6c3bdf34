//! The manifests of `k8s/`, as far as a machine without Kubernetes can judge them: each is read into the types of the API,
//! what they do not know is a fault, and what must fit together is compared ([`check`]). [`faults`] shows that it sees.
//!
//! An API server is not asked: admission, enforcement and scheduling are unproved here (docs/operations/image.md).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod check;
mod compose;
mod faults;
mod typed;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// An overlay as `kubectl apply -k` sends it; none on a machine without kubectl.
fn rendered(overlay: &str) -> Option<String> {
    let folder = root().join("k8s/overlays").join(overlay);
    let output = match Command::new("kubectl").arg("kustomize").arg(&folder).output() {
        Ok(output) => output,
        Err(_) => {
            println!("SKIP manifests_{overlay}: no kubectl");
            return None;
        }
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{overlay}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn assert_sound(name: &str, yaml: &str) {
    let problems = check::problems(yaml);
    assert!(problems.is_empty(), "{name}:\n  {}", problems.join("\n  "));
}

const ALL_IN_ONE: &str = "k8s/todo-en-uno.yaml";

#[test]
fn all_in_one_is_sound() {
    assert_sound(ALL_IN_ONE, &read(ALL_IN_ONE));
}

#[test]
fn all_in_one_is_the_minikube_overlay() {
    let Some(minikube) = rendered("minikube") else { return };
    let written = read(ALL_IN_ONE);
    let written = written.split_once("\n---\n").map_or("", |(_, rest)| rest);
    assert!(written == minikube, "{ALL_IN_ONE} is not the overlay: make manifests");
}

#[test]
fn every_overlay_is_sound() {
    let overlays = fs::read_dir(root().join("k8s/overlays")).unwrap();
    let folders: Vec<PathBuf> = overlays.map(|entry| entry.unwrap().path()).collect();
    assert!(folders.len() >= 2);
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        if let Some(yaml) = rendered(name) {
            assert_sound(name, &yaml);
        }
    }
}

/// What `kubectl get pods` and the walk of k8s/README.md promise.
#[test]
fn what_a_person_finds_is_there() {
    let documents = typed::documents(&read(ALL_IN_ONE)).unwrap();
    let named = |kind: &str, name: &str| {
        documents.iter().any(|document| document["kind"] == kind && document["metadata"]["name"] == name)
    };
    for (kind, name) in [("StatefulSet", "coordinator"), ("StatefulSet", "worker"), ("Deployment", "middleware")] {
        assert!(named(kind, name), "{kind} {name}");
    }
    assert!(!documents.iter().any(|document| document["kind"] == "Secret"), "a Secret in the repository");
    let text = read(ALL_IN_ONE);
    assert!(text.contains("nodePort: 30443") && text.contains("middleware-citus:1.0"));
}
