//! Faults put into sound manifests one at a time: the check must name each.

use crate::check::problems;
use crate::{ALL_IN_ONE, read, rendered};

/// What is replaced (once) by what, and a word of the sentence that must follow.
const FAULTS: &[(&str, &str, &str)] = &[
    // The selector of the Service, then that of the Deployment.
    (
        "  selector:\n    app.kubernetes.io/name: middleware",
        "  selector:\n    app.kubernetes.io/name: middlewar",
        "selects no pod",
    ),
    (
        "    matchLabels:\n      app.kubernetes.io/name: middleware",
        "    matchLabels:\n      app.kubernetes.io/name: other",
        "does not find its own",
    ),
    ("apiVersion: autoscaling/v2", "apiVersion: autoscaling/v2beta2", "is not served"),
    ("apiVersion: batch/v1", "apiVersion: batch/v1beta1", "is not served"),
    ("targetPort: https", "targetPort: http", "targetPort"),
    ("nodePort: 30443", "nodePort: 8443", "out of range"),
    ("memory: 512Mi", "memory: 512MiB", "no quantity"),
    ("storage: 5Gi", "storage: five", "no quantity"),
    ("middleware-citus:1.0", "middleware-citus:latest", "fixed version"),
    ("docker.io/citusdata/citus:13.2.0-pg15", "docker.io/citusdata/citus", "fixed version"),
    ("readinessProbe:", "readynessProbe:", "unknown"),
    (
        "        - mountPath: /run/tls\n          name: tls",
        "        - mountPath: /run/tls\n          name: tsl",
        "no volume",
    ),
    ("secretName: middleware-tls", "secretName: middleware-cert", "nobody makes"),
    ("configMap:\n          name: citus-", "configMap:\n          name: other-", "no ConfigMap"),
    ("restartPolicy: Never", "restartPolicy: Always", "restartPolicy"),
    ("minReplicas: 1", "minReplicas: 9", "from 9 to 3"),
    (
        "  name: middleware\nspec:\n  selector:\n    matchLabels",
        "  name: middleware\nspec:\n  replicas: 1\n  selector:\n    matchLabels",
        "replicas of its own",
    ),
    ("name: init-1-0", "name: init_1.0", "no name"),
    ("name: init-1-0", "name: init-0-9", "does not carry the version"),
    ("- worker-1.worker:5432", "- worker-2.worker:5432", "not those of the StatefulSet"),
    ("  replicas: 2\n", "  replicas: 3\n", "not those of the StatefulSet"),
    ("serviceName: worker", "serviceName: workers", "headless"),
    ("clusterIP: None\n  ", "", "headless"),
    ("publishNotReadyAddresses: true", "publishNotReadyAddresses: false", "headless"),
    ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "not closed"),
    ("runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"),
    (
        "        livenessProbe:\n          failureThreshold: 6\n          httpGet:\n            path: /livez",
        "        livenessProbe:\n          failureThreshold: 6\n          httpGet:\n            path: /readyz",
        "asks the database",
    ),
    ("    - port: https\n      protocol: TCP", "    - port: web\n      protocol: TCP", "no port of the pods"),
    (
        "  podSelector:\n    matchLabels:\n      app.kubernetes.io/name: citus",
        "  podSelector:\n    matchLabels:\n      app.kubernetes.io/name: postgres",
        "selects no pod",
    ),
    ("          limits:\n            memory: 1Gi\n", "", "memory must be limited"),
    ("kind: Service\n", "kind: Service\nkind: Service\n", "uplicate"),
    ("      containers:\n", "     containers:\n", ""),
];

/// The same for what only production has.
const FAULTS_OF_PRODUCTION: &[(&str, &str, &str)] = &[
    ("pathType: Prefix", "pathType: prefix", "pathType"),
    (
        "            name: middleware\n            port:\n              name: https",
        "            name: middleware\n            port:\n              name: http",
        "no Service",
    ),
    ("  maxUnavailable: 1\n", "  maxUnavailable: 0\n", "blocks every drain"),
    ("  maxUnavailable: 1\n", "  minAvailable: 2\n", "blocks every drain"),
    ("  - worker-1.worker\n", "", "no certificate names worker-1.worker"),
    ("  secretName: citus-tls\n", "  secretName: citus-cert\n", "nobody makes"),
    ("  namespace: historia\n", "  namespace: other\n", "several namespaces"),
    ("  issuerRef:\n    kind: Issuer\n    name: nodos\n", "", "issuerRef"),
];

fn seed(yaml: &str, faults: &[(&str, &str, &str)]) -> usize {
    for (from, to, expected) in faults {
        let at = yaml.find(from).unwrap_or_else(|| panic!("nothing to replace: {from:?}"));
        let seeded = format!("{}{to}{}", &yaml[..at], &yaml[at + from.len()..]);
        let found = problems(&seeded);
        assert!(!found.is_empty(), "not caught: {from:?} -> {to:?}");
        assert!(found.iter().any(|text| text.contains(expected)), "{from:?} -> {to:?}: {found:?}");
    }
    faults.len()
}

#[test]
fn every_seeded_fault_is_named() {
    let mut caught = seed(&read(ALL_IN_ONE), FAULTS);
    if let Some(production) = rendered("production") {
        caught += seed(&production, FAULTS_OF_PRODUCTION);
    }
    println!("{caught} faults, each caught");
    assert!(caught >= 16);
}
