//! Documents read into the types of the Kubernetes API (1.33).

use k8s_openapi::api::{apps, autoscaling, batch, core, networking, policy};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The documents of a stream; fails on what is not YAML, and on a key that stands twice.
pub fn documents(yaml: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple::<Value>(yaml).map_err(|e| e.to_string())
}

/// What its type says against a document.
pub fn problems(document: &Value) -> Vec<String> {
    let text = |key: &str| document[key].as_str().unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("v1", "ConfigMap") => read::<core::v1::ConfigMap>(document),
        ("v1", "Namespace") => read::<core::v1::Namespace>(document),
        ("v1", "Service") => read::<core::v1::Service>(document),
        ("apps/v1", "Deployment") => read::<apps::v1::Deployment>(document),
        ("apps/v1", "StatefulSet") => read::<apps::v1::StatefulSet>(document),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => read::<autoscaling::v2::HorizontalPodAutoscaler>(document),
        ("batch/v1", "Job") => read::<batch::v1::Job>(document),
        ("networking.k8s.io/v1", "Ingress") => read::<networking::v1::Ingress>(document),
        ("networking.k8s.io/v1", "NetworkPolicy") => read::<networking::v1::NetworkPolicy>(document),
        ("policy/v1", "PodDisruptionBudget") => read::<policy::v1::PodDisruptionBudget>(document),
        // cert-manager's own; its types are not in the API.
        ("cert-manager.io/v1", "Issuer") => known(document, &["selfSigned", "ca"], &[]),
        ("cert-manager.io/v1", "Certificate") => known(
            document,
            &["isCA", "commonName", "secretName", "duration", "renewBefore", "privateKey", "dnsNames", "issuerRef"],
            &["secretName", "issuerRef"],
        ),
        (version, kind) => vec![format!("{version} {kind} is not served")],
    }
}

fn read<T: DeserializeOwned>(document: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    let read: Result<T, _> = serde_ignored::deserialize(document, |path| unknown.push(format!("{path} is unknown")));
    unknown.extend(read.err().map(|e| e.to_string()));
    unknown
}

fn known(document: &Value, all: &[&str], needed: &[&str]) -> Vec<String> {
    let Some(spec) = document["spec"].as_object() else { return vec!["spec is missing".to_owned()] };
    let unknown = spec.keys().filter(|key| !all.contains(&key.as_str())).map(|key| format!("spec.{key} is unknown"));
    let missing = needed.iter().filter(|key| !spec.contains_key(**key)).map(|key| format!("spec.{key} is missing"));
    unknown.chain(missing).collect()
}
