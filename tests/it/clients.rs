//! Client libraries that others made, unmodified, against the server under test (issue 7, Must show 6): the scripts of
//! `tests/clients`, with what `.ci/install test` has put into `target/clients`.

use crate::harness::{server, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs one script and looks for its last line.
fn runs(name: &str, library: &str, script: &str, installed: &str, program: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/clients");
    if !target.join(installed).exists() {
        return skip(name, &format!("{library} is not installed (.ci/install test)"));
    }
    // Node looks for packages beside the script.
    let scripts = target.join("scripts");
    std::fs::create_dir_all(&scripts).unwrap();
    for file in std::fs::read_dir(root.join("tests/clients")).unwrap().flatten() {
        std::fs::copy(file.path(), scripts.join(file.file_name())).unwrap();
    }
    let server = server();
    let (id, secret) = server.client();
    let output = Command::new(program)
        .arg(scripts.join(script))
        .env("HISTORIA_ROOT", server.http())
        .env("HISTORIA_CLIENT_ID", id)
        .env("HISTORIA_CLIENT_SECRET", secret)
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return skip(name, &format!("{} cannot be run: {error}", program.display())),
    };
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    assert!(output.status.success() && told.contains(&format!("DONE {library} ")), "{told}");
}

fn python(name: &str, library: &str, script: &str) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/python/bin/python");
    runs(name, library, script, &format!("python/{library}"), &python);
}

fn node(name: &str, library: &str, script: &str) {
    let version = Command::new("node")
        .arg("--version")
        .output()
        .ok()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let major =
        version.as_deref().and_then(|version| version.trim_start_matches('v').split('.').next()?.parse::<u32>().ok());
    if major.is_none_or(|major| major < 20) {
        return skip(
            name,
            &format!("{library} needs Node 20, and here is {}", version.as_deref().unwrap_or("none").trim()),
        );
    }
    runs(name, library, script, &format!("node_modules/{library}"), &PathBuf::from("node"));
}

#[test]
fn fhirpy_works_unmodified() {
    python("fhirpy_works_unmodified", "fhirpy", "with_fhirpy.py");
}

#[test]
fn fhirclient_works_unmodified() {
    python("fhirclient_works_unmodified", "fhirclient", "with_fhirclient.py");
}

#[test]
fn fhir_kit_client_works_unmodified() {
    node("fhir_kit_client_works_unmodified", "fhir-kit-client", "with_fhir_kit.mjs");
}

#[test]
fn medplum_core_works_unmodified() {
    node("medplum_core_works_unmodified", "@medplum/core", "with_medplum.mjs");
}
