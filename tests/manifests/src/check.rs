//! What must fit together in one rendered set of manifests.

use crate::{read, typed};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is wrong with a stream of manifests.
pub fn problems(yaml: &str) -> Vec<String> {
    let documents = match typed::documents(yaml) {
        Ok(documents) => documents,
        Err(error) => return vec![error],
    };
    let set = Set { documents };
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for document in &set.documents {
        let about = title(document);
        if !seen.insert(about.clone()) {
            problems.push(format!("{about}: stands twice"));
        }
        let mut found = typed::problems(document);
        name(document, &mut found);
        match text(&document["kind"]) {
            "Service" => set.service(document, &mut found),
            "Deployment" | "StatefulSet" | "Job" => set.workload(document, &mut found),
            "HorizontalPodAutoscaler" => set.autoscaler(document, &mut found),
            "Ingress" => set.ingress(document, &mut found),
            "NetworkPolicy" => set.policy(document, &mut found),
            "PodDisruptionBudget" => set.budget(document, &mut found),
            "Secret" => found.push("a Secret in the repository".to_owned()),
            _ => {}
        }
        problems.extend(found.into_iter().map(|text| format!("{about}: {text}")));
    }
    set.namespaces(&mut problems);
    set.cluster(&mut problems);
    problems
}

struct Set {
    documents: Vec<Value>,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn title(document: &Value) -> String {
    format!("{} {}", text(&document["kind"]), text(&document["metadata"]["name"]))
}

/// RFC 1123, one label.
fn is_label(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len()) && name.chars().all(inside) && !name.starts_with('-') && !name.ends_with('-')
}

fn name(document: &Value, found: &mut Vec<String>) {
    let name = text(&document["metadata"]["name"]);
    if !is_label(name) {
        found.push(format!("{name:?} is no name"));
    }
}

/// A quantity in bytes or thousandths, enough to compare two.
fn quantity(value: &Value) -> Option<f64> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        value => text(value).to_owned(),
    };
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let factor = match &text[digits..] {
        "" => 1.0,
        "m" => 0.001,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        _ => return None,
    };
    text[..digits].parse::<f64>().ok().map(|number| number * factor)
}

/// Whether `labels` has everything that a selector asks for; an empty selector is nobody's wish.
fn matches(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.get("matchLabels").unwrap_or(selector).as_object();
    wanted.is_some_and(|wanted| !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// Keys of the Secrets that k8s/secretos.sh makes, from its own lines `secret NAME "KEY=..." ...`.
fn made_secrets() -> BTreeMap<String, Vec<String>> {
    let script = read("k8s/secretos.sh");
    let lines = script.lines().filter_map(|line| line.trim().strip_prefix("secret "));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(name, keys)| {
            let keys = keys.split('"').filter_map(|one| one.split_once('=')).map(|(key, _)| key.to_owned());
            (name.to_owned(), keys.collect())
        })
        .collect()
}

impl Set {
    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.documents.iter().filter(move |document| document["kind"] == kind)
    }

    fn workloads(&self) -> impl Iterator<Item = &Value> {
        let kinds = ["Deployment", "StatefulSet", "Job"];
        self.documents.iter().filter(move |document| kinds.contains(&text(&document["kind"])))
    }

    /// Pods that a selector finds.
    fn pods(&self, selector: &Value) -> Vec<&Value> {
        let templates = self.workloads().map(|workload| &workload["spec"]["template"]);
        templates.filter(|pod| matches(selector, &pod["metadata"]["labels"])).collect()
    }

    fn service(&self, service: &Value, found: &mut Vec<String>) {
        let spec = &service["spec"];
        let pods = self.pods(&spec["selector"]);
        if pods.is_empty() {
            found.push("selects no pod".to_owned());
        }
        for port in list(&spec["ports"]) {
            if pods.iter().any(|pod| !has_port(pod, &port["targetPort"])) {
                found.push(format!("targetPort {} is no port of the pods", port["targetPort"]));
            }
            match port["nodePort"].as_i64() {
                Some(node) if !(30_000..=32_767).contains(&node) => {
                    found.push(format!("nodePort {node} is out of range"))
                }
                Some(_) if spec["type"] != "NodePort" => found.push("nodePort without the type NodePort".to_owned()),
                _ => {}
            }
        }
    }

    fn workload(&self, workload: &Value, found: &mut Vec<String>) {
        let spec = &workload["spec"];
        let pod = &spec["template"];
        match text(&workload["kind"]) {
            "Job" => {
                if !["Never", "OnFailure"].contains(&text(&pod["spec"]["restartPolicy"])) {
                    found.push("restartPolicy of a Job".to_owned());
                }
            }
            kind => {
                if !matches(&spec["selector"], &pod["metadata"]["labels"]) {
                    found.push("the selector does not find its own pods".to_owned());
                }
                if kind == "StatefulSet" {
                    self.governed(spec, found);
                }
                for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                    if list(&pod["spec"]["containers"]).iter().any(|container| container[probe].is_null()) {
                        found.push(format!("{probe} is missing"));
                    }
                }
            }
        }
        let own = &pod["spec"];
        if own["securityContext"]["runAsNonRoot"] != true || own["automountServiceAccountToken"] != false {
            found.push("runAsNonRoot and automountServiceAccountToken: false are missing".to_owned());
        }
        let mut volumes: BTreeSet<&str> = list(&own["volumes"]).iter().map(|volume| text(&volume["name"])).collect();
        volumes.extend(list(&spec["volumeClaimTemplates"]).iter().map(|claim| text(&claim["metadata"]["name"])));
        for container in list(&own["containers"]).iter().chain(list(&own["initContainers"])) {
            container_of(pod, container, &volumes, found);
        }
        for volume in list(&own["volumes"]) {
            self.volume(volume, found);
        }
        for claim in list(&spec["volumeClaimTemplates"]) {
            sizes(&claim["spec"]["resources"]["requests"], found);
        }
    }

    fn governed(&self, spec: &Value, found: &mut Vec<String>) {
        let service = self.of_kind("Service").find(|service| service["metadata"]["name"] == spec["serviceName"]);
        match service.map(|service| &service["spec"]) {
            Some(service) if service["clusterIP"] == "None" && service["publishNotReadyAddresses"] == true => {}
            _ => found
                .push("serviceName names no headless Service that publishes nodes before they are ready".to_owned()),
        }
    }

    fn volume(&self, volume: &Value, found: &mut Vec<String>) {
        if let Some(secret) = volume["secret"].as_object() {
            self.secret(text(&secret["secretName"]), &volume["secret"], found);
        }
        if let Some(map) = volume["configMap"].as_object() {
            let named = self.of_kind("ConfigMap").find(|one| one["metadata"]["name"] == map["name"]);
            let data = named.and_then(|one| one["data"].as_object());
            match data {
                None => found.push(format!("there is no ConfigMap {}", map["name"])),
                Some(data) => keys(&volume["configMap"]["items"], |key| data.contains_key(key), found),
            }
        }
        if let Some(limit) = volume["emptyDir"].get("sizeLimit")
            && quantity(limit).is_none()
        {
            found.push(format!("{limit} is no quantity"));
        }
    }

    /// Secrets come from the command, or from cert-manager.
    fn secret(&self, name: &str, volume: &Value, found: &mut Vec<String>) {
        let issued = self.of_kind("Certificate").any(|one| one["spec"]["secretName"] == *name);
        let made = made_secrets();
        match (made.get(name), issued) {
            (_, true) => keys(&volume["items"], |key| ["tls.crt", "tls.key", "ca.crt"].contains(&key), found),
            (Some(made), _) => keys(&volume["items"], |key| made.iter().any(|one| one == key), found),
            (None, false) => found.push(format!("nobody makes the Secret {name}")),
        }
    }

    fn autoscaler(&self, autoscaler: &Value, found: &mut Vec<String>) {
        let spec = &autoscaler["spec"];
        let (least, most) = (spec["minReplicas"].as_i64().unwrap_or(1), spec["maxReplicas"].as_i64().unwrap_or(0));
        if least < 1 || least > most {
            found.push(format!("from {least} to {most}"));
        }
        let target = &spec["scaleTargetRef"];
        match self.of_kind(text(&target["kind"])).find(|one| one["metadata"]["name"] == target["name"]) {
            None => found.push("scales nothing".to_owned()),
            Some(one) if !one["spec"]["replicas"].is_null() => {
                found.push("its target has replicas of its own".to_owned());
            }
            Some(_) => {}
        }
    }

    fn ingress(&self, ingress: &Value, found: &mut Vec<String>) {
        let hosts: Vec<&Value> = list(&ingress["spec"]["tls"]).iter().flat_map(|tls| list(&tls["hosts"])).collect();
        for rule in list(&ingress["spec"]["rules"]) {
            if !hosts.contains(&&rule["host"]) {
                found.push(format!("{} has no TLS", rule["host"]));
            }
            for path in list(&rule["http"]["paths"]) {
                if !["Prefix", "Exact"].contains(&text(&path["pathType"])) {
                    found.push(format!("pathType {}", path["pathType"]));
                }
                let backend = &path["backend"]["service"];
                let service = self.of_kind("Service").find(|one| one["metadata"]["name"] == backend["name"]);
                let ports = service.map_or(&[][..], |one| list(&one["spec"]["ports"]));
                let port = &backend["port"];
                if !ports.iter().any(|one| one["name"] == port["name"] || one["port"] == port["number"]) {
                    found.push(format!("there is no Service {backend}"));
                }
            }
        }
    }

    fn policy(&self, policy: &Value, found: &mut Vec<String>) {
        let spec = &policy["spec"];
        let pods = self.pods(&spec["podSelector"]);
        if pods.is_empty() {
            found.push("selects no pod".to_owned());
        }
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            for rule in list(&spec[direction]) {
                let others: Vec<&Value> = list(&rule[peers]).iter().map(|peer| &peer["podSelector"]).collect();
                if others.iter().any(|peer| self.pods(peer).is_empty()) {
                    found.push(format!("{direction}: a peer that is no pod"));
                }
                // A name is looked up in the pods that are reached.
                for port in list(&rule["ports"]).iter().filter(|port| port["port"].is_string()) {
                    let reached: Vec<&Value> = match direction {
                        "ingress" => pods.clone(),
                        _ => others.iter().flat_map(|peer| self.pods(peer)).collect(),
                    };
                    if reached.iter().any(|pod| !has_port(pod, &port["port"])) {
                        found.push(format!("{direction}: {} is no port of the pods", port["port"]));
                    }
                }
            }
        }
    }

    /// A budget must leave something to disrupt: else the machine of the last pod can never be emptied.
    fn budget(&self, budget: &Value, found: &mut Vec<String>) {
        let spec = &budget["spec"];
        if self.pods(&spec["selector"]).is_empty() {
            found.push("selects no pod".to_owned());
        }
        let selected =
            self.workloads().filter(|one| matches(&spec["selector"], &one["spec"]["template"]["metadata"]["labels"]));
        let least: i64 = selected.map(|one| self.replicas(one)).sum();
        if spec["maxUnavailable"] == 0 || spec["minAvailable"].as_i64().is_some_and(|needed| needed >= least) {
            found.push(format!("blocks every drain: {least} pods"));
        }
    }

    /// At the least.
    fn replicas(&self, workload: &Value) -> i64 {
        let scaled = self.of_kind("HorizontalPodAutoscaler").find(|one| {
            let target = &one["spec"]["scaleTargetRef"];
            target["kind"] == workload["kind"] && target["name"] == workload["metadata"]["name"]
        });
        let fixed = workload["spec"]["replicas"].as_i64();
        scaled.and_then(|one| one["spec"]["minReplicas"].as_i64()).or(fixed).unwrap_or(1)
    }

    /// All in one namespace, or none anywhere.
    fn namespaces(&self, problems: &mut Vec<String>) {
        let inside = self.documents.iter().filter(|document| document["kind"] != "Namespace");
        let names: BTreeSet<&str> = inside.map(|document| text(&document["metadata"]["namespace"])).collect();
        if names.len() > 1 {
            problems.push(format!("several namespaces: {names:?}"));
        }
    }

    /// The nodes have the same names in the Job, in the StatefulSets, in their certificate and in the server's configuration.
    fn cluster(&self, problems: &mut Vec<String>) {
        let script = read("k8s/secretos.sh");
        let mut nodes = Vec::new();
        for set in self.of_kind("StatefulSet") {
            let (name, service) = (text(&set["metadata"]["name"]), text(&set["spec"]["serviceName"]));
            let replicas = set["spec"]["replicas"].as_i64().unwrap_or(1);
            nodes.extend((0..replicas).map(|n| format!("{name}-{n}.{service}")));
        }
        let (coordinators, workers): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node.starts_with("coordinator"));
        for coordinator in coordinators {
            if !script.contains(&format!("@{coordinator}:5432/")) {
                problems.push(format!("k8s/secretos.sh: the server does not know {coordinator}"));
            }
        }
        for job in self.of_kind("Job") {
            let container = &job["spec"]["template"]["spec"]["containers"][0];
            let arguments: Vec<&str> = list(&container["args"]).iter().map(text).collect();
            let mut wanted = vec!["cluster".to_owned(), "init".to_owned()];
            wanted.extend(workers.iter().flat_map(|node| ["--worker".to_owned(), format!("{node}:5432")]));
            if arguments != wanted {
                problems.push(format!("{}: its workers are not those of the StatefulSet", title(job)));
            }
            let tag = text(&container["image"]).rsplit(':').next().unwrap_or_default().replace('.', "-");
            if text(&job["metadata"]["name"]) != format!("init-{tag}") {
                problems.push(format!("{}: its name does not carry the version {tag}", title(job)));
            }
        }
        let issued = self.of_kind("Certificate").find(|one| one["spec"]["secretName"] == "citus-tls");
        let certified = |node: &str| match issued {
            Some(certificate) => list(&certificate["spec"]["dnsNames"]).iter().any(|one| *one == *node),
            None => {
                script.contains(&format!("DNS:{node}"))
                    || (node.starts_with("worker-") && script.contains("DNS:worker-$n.worker"))
            }
        };
        problems
            .extend(nodes.iter().filter(|node| !certified(node)).map(|node| format!("no certificate names {node}")));
    }
}

/// Whether a pod has a container port of this name or number.
fn has_port(pod: &Value, port: &Value) -> bool {
    let ports = list(&pod["spec"]["containers"]).iter().flat_map(|container| list(&container["ports"]));
    ports.into_iter().any(|one| match port {
        Value::String(name) => one["name"] == *name,
        number => one["containerPort"] == *number,
    })
}

fn keys(items: &Value, there: impl Fn(&str) -> bool, found: &mut Vec<String>) {
    let missing = list(items).iter().map(|item| text(&item["key"])).filter(|key| !there(key));
    found.extend(missing.map(|key| format!("there is no key {key}")));
}

fn sizes(values: &Value, found: &mut Vec<String>) {
    let empty = Map::new();
    for (name, value) in values.as_object().unwrap_or(&empty) {
        if quantity(value).is_none() {
            found.push(format!("{name}: {value} is no quantity"));
        }
    }
}

fn container_of(pod: &Value, container: &Value, volumes: &BTreeSet<&str>, found: &mut Vec<String>) {
    let image = text(&container["image"]);
    match image.rsplit('/').next().and_then(|last| last.split_once(':')) {
        Some((_, tag)) if !tag.is_empty() && tag != "latest" => {}
        _ => found.push(format!("the image {image} has no fixed version")),
    }
    for mount in list(&container["volumeMounts"]) {
        if !volumes.contains(text(&mount["name"])) {
            found.push(format!("there is no volume {}", mount["name"]));
        }
    }
    let resources = &container["resources"];
    sizes(&resources["requests"], found);
    sizes(&resources["limits"], found);
    if quantity(&resources["limits"]["memory"]).is_none()
        || resources["limits"]["memory"] != resources["requests"]["memory"]
        || resources["requests"]["cpu"].is_null()
    {
        found.push("memory must be limited to what is requested, and CPU requested".to_owned());
    }
    let security = &container["securityContext"];
    if security["readOnlyRootFilesystem"] != true
        || security["allowPrivilegeEscalation"] != false
        || security["capabilities"]["drop"] != serde_json::json!(["ALL"])
    {
        found.push("the container is not closed: read-only root, no capabilities, no escalation".to_owned());
    }
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let Some(probe) = container.get(probe) else { continue };
        let way = ["httpGet", "tcpSocket"].iter().find_map(|way| probe.get(way));
        if way.is_some_and(|way| !has_port(pod, &way["port"])) {
            found.push("a probe asks a port that is not there".to_owned());
        }
        if probe.get("httpGet").is_some_and(|get| !["/livez", "/readyz"].contains(&text(&get["path"]))) {
            found.push("a probe asks for something else than /livez and /readyz".to_owned());
        }
    }
    if container["livenessProbe"]["httpGet"]["path"] == "/readyz" {
        found.push("the liveness probe asks the database".to_owned());
    }
}
