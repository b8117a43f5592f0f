//! Fields of a pod that Knative lets nobody set (knative.dev/serving `pkg/apis/serving/fieldmask.go`, features at their
//! defaults). They are looked for in what the client sent, since the types here do not have them.
//!
//! `runtimeClassName` is not among them: it chooses the sandbox.

use serde_json::Value;

use crate::field_error::FieldErrors;
use crate::resource::{self, Resource};

/// What is forbidden in an object, and what is to be looked into.
struct Rule {
    fields: &'static [&'static str],
    inside: &'static [(&'static str, &'static Rule)],
    /// Whether the refusal says which of several it is.
    indexed: bool,
}

static POD: Rule = Rule {
    fields: &[
        "activeDeadlineSeconds",
        "affinity",
        "dnsConfig",
        "dnsPolicy",
        "ephemeralContainers",
        "hostAliases",
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "hostUsers",
        "hostname",
        "hostnameOverride",
        "initContainers",
        "nodeName",
        "nodeSelector",
        "os",
        "overhead",
        "preemptionPolicy",
        "priority",
        "priorityClassName",
        "readinessGates",
        "resourceClaims",
        "resources",
        "restartPolicy",
        "schedulerName",
        "schedulingGates",
        "securityContext",
        "serviceAccount",
        "setHostnameAsFQDN",
        "shareProcessNamespace",
        "subdomain",
        "terminationGracePeriodSeconds",
        "tolerations",
        "topologySpreadConstraints",
    ],
    inside: &[("containers", &CONTAINER), ("volumes", &VOLUME)],
    indexed: true,
};

static CONTAINER: Rule = Rule {
    fields: &[
        "lifecycle",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "stdin",
        "stdinOnce",
        "tty",
        "volumeDevices",
    ],
    inside: &[
        ("env", &ENV),
        ("ports", &PORT),
        ("resources", &RESOURCES),
        ("securityContext", &SECURITY_CONTEXT),
        ("volumeMounts", &VOLUME_MOUNT),
    ],
    indexed: true,
};

static ENV: Rule = Rule {
    fields: &[],
    inside: &[("valueFrom", &VALUE_FROM)],
    indexed: true,
};

static VALUE_FROM: Rule = Rule {
    fields: &["fieldRef", "fileKeyRef", "resourceFieldRef"],
    inside: &[],
    indexed: true,
};

static PORT: Rule = Rule {
    fields: &["hostIP", "hostPort"],
    inside: &[],
    // Upstream looks at the first port alone.
    indexed: false,
};

static RESOURCES: Rule = Rule {
    fields: &["claims"],
    inside: &[],
    indexed: true,
};

static SECURITY_CONTEXT: Rule = Rule {
    fields: &[
        "appArmorProfile",
        // False is not set, so this refuses only what grants something.
        "privileged",
        "procMount",
        "seLinuxOptions",
        "windowsOptions",
    ],
    inside: &[("capabilities", &CAPABILITIES)],
    indexed: true,
};

static CAPABILITIES: Rule = Rule {
    fields: &["add"],
    inside: &[],
    indexed: true,
};

static VOLUME_MOUNT: Rule = Rule {
    fields: &["mountPropagation", "recursiveReadOnly", "subPathExpr"],
    inside: &[],
    indexed: true,
};

static VOLUME: Rule = Rule {
    fields: &[
        "awsElasticBlockStore",
        "azureDisk",
        "azureFile",
        "cephfs",
        "cinder",
        "csi",
        "downwardAPI",
        "ephemeral",
        "fc",
        "flexVolume",
        "flocker",
        "gcePersistentDisk",
        "gitRepo",
        "glusterfs",
        "hostPath",
        "image",
        "iscsi",
        "nfs",
        "persistentVolumeClaim",
        "photonPersistentDisk",
        "portworxVolume",
        "quobyte",
        "rbd",
        "scaleIO",
        "storageos",
        "vsphereVolume",
    ],
    inside: &[("projected", &PROJECTED)],
    indexed: true,
};

static PROJECTED: Rule = Rule {
    fields: &[],
    inside: &[("sources", &PROJECTION)],
    indexed: true,
};

static PROJECTION: Rule = Rule {
    // Upstream allows the first two; there is no account here whose token it could be, and no pod to tell of.
    fields: &[
        "serviceAccountToken",
        "downwardAPI",
        "clusterTrustBundle",
        "podCertificate",
    ],
    inside: &[],
    indexed: true,
};

/// Notes the forbidden fields that `object` sets.
pub(crate) fn check(resource: &Resource, object: &Value, errors: &mut FieldErrors) {
    for found in find(resource, object) {
        if found.set {
            errors.disallowed(found.told);
        }
    }
}

/// Paths of all forbidden fields in `object`, also of those that are there but empty: nobody may call them unknown.
pub(crate) fn paths(resource: &Resource, object: &Value) -> Vec<String> {
    find(resource, object)
        .into_iter()
        .map(|found| found.at)
        .collect()
}

struct Found {
    /// Where it is.
    at: String,
    /// Where a refusal says that it is.
    told: String,
    set: bool,
}

fn find(resource: &Resource, object: &Value) -> Vec<Found> {
    let path = match *resource {
        resource::SERVICES | resource::CONFIGURATIONS => "spec.template.spec",
        resource::REVISIONS => "spec",
        _ => return Vec::new(),
    };
    let pod = path
        .split('.')
        .try_fold(object, |value, field| value.get(field));
    let mut found = Vec::new();
    if let Some(pod) = pod {
        apply(&POD, pod, path, path, &mut found);
    }
    found
}

fn apply(rule: &Rule, value: &Value, at: &str, told: &str, found: &mut Vec<Found>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let at = format!("{at}[{index}]");
                if rule.indexed {
                    apply(rule, item, &at, &format!("{told}[{index}]"), found);
                } else {
                    apply(rule, item, &at, told, found);
                }
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let [at, told] = [at, told].map(|path| format!("{path}.{name}"));
                if rule.fields.contains(&name.as_str()) {
                    let set = is_set(value);
                    found.push(Found { at, told, set });
                } else if let Some((_, rule)) =
                    rule.inside.iter().find(|(inside, _)| inside == name)
                {
                    apply(rule, value, &at, &told, found);
                }
            }
        }
        _ => {}
    }
}

/// Whether a value says anything: what Go's zero values say is what saying nothing says.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}
