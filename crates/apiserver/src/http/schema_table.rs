//! The fields of the kinds that the API serves, for `kubectl explain`: type, description, fields of each.
//!
//! The types of a field: `string`, `integer`, `boolean`, `date-time`, `map` (of texts), `port` (number or name), `any`, another
//! type of the table, and any of them as a list with `[]` before it.

/// Name, description, and for each field its name, type and description.
pub(super) type Type = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str, &'static str)],
);

/// Fields of kinds that have neither a spec nor a status.
pub(super) const BARE: &[Type] = &[
    (
        "ConfigMap",
        "Values and files for functions, which may be known.",
        &[
            ("data", "map", "Texts by key."),
            ("binaryData", "map", "Bytes by key, in base64."),
            (
                "immutable",
                "boolean",
                "Whether all this never changes again.",
            ),
        ],
    ),
    (
        "Secret",
        "Values and files for functions, which may not be known.",
        &[
            ("data", "map", "Bytes by key, in base64."),
            (
                "stringData",
                "map",
                "Texts by key, put into data when written. Never read back.",
            ),
            ("type", "string", "What it is for. Defaulted to Opaque."),
            (
                "immutable",
                "boolean",
                "Whether all this never changes again.",
            ),
        ],
    ),
];

/// All types but the kinds themselves.
pub(super) const TYPES: &[Type] = &[
    (
        "ServiceSpec",
        "Spec of a Service.",
        &[
            ("template", "RevisionTemplate", "What to run."),
            ("traffic", "[]TrafficTarget", "How to split the traffic."),
        ],
    ),
    (
        "ConfigurationSpec",
        "Spec of a Configuration.",
        &[("template", "RevisionTemplate", "What to run.")],
    ),
    (
        "RevisionTemplate",
        "Template of a Revision.",
        &[
            (
                "metadata",
                "ObjectMeta",
                "Name, labels and annotations of the Revision.",
            ),
            ("spec", "RevisionSpec", "Its spec."),
        ],
    ),
    (
        "RevisionSpec",
        "Spec of a Revision.",
        &[
            (
                "containerConcurrency",
                "integer",
                "Most requests at once in one instance; 0 is no limit. Defaulted to 0.",
            ),
            (
                "timeoutSeconds",
                "integer",
                "Longest time of a request, seconds. Defaulted to 300.",
            ),
            (
                "responseStartTimeoutSeconds",
                "integer",
                "Longest time to the head of the response, seconds.",
            ),
            (
                "idleTimeoutSeconds",
                "integer",
                "Longest silence in a response, seconds.",
            ),
            ("containers", "[]Container", "What runs."),
            ("volumes", "[]Volume", "Volumes for the containers."),
            (
                "enableServiceLinks",
                "boolean",
                "Whether service addresses are put into the environment. Defaulted to false.",
            ),
            (
                "serviceAccountName",
                "string",
                "Account that the pod runs as.",
            ),
            (
                "automountServiceAccountToken",
                "boolean",
                "Whether credentials of the account are put into the instance; only false is allowed.",
            ),
            ("runtimeClassName", "string", "Which sandbox runs it."),
            (
                "imagePullSecrets",
                "[]any",
                "Secrets with credentials of registries.",
            ),
        ],
    ),
    (
        "RouteSpec",
        "Spec of a Route.",
        &[("traffic", "[]TrafficTarget", "How to split the traffic.")],
    ),
    (
        "TrafficTarget",
        "One share of the traffic.",
        &[
            ("tag", "string", "A host name of its own: {tag}-{name}."),
            ("revisionName", "string", "A fixed Revision."),
            (
                "configurationName",
                "string",
                "The latest ready Revision of this Configuration.",
            ),
            (
                "latestRevision",
                "boolean",
                "Whether it follows the latest ready Revision.",
            ),
            ("percent", "integer", "Share, 0 to 100."),
            ("url", "string", "Where the tag answers; in status only."),
        ],
    ),
    (
        "Condition",
        "Something that is so, or not, or not known.",
        &[
            ("type", "string", "What is spoken of, such as Ready."),
            ("status", "string", "True, False or Unknown."),
            (
                "severity",
                "string",
                "Empty, or Info for one that does not stand in the way of Ready.",
            ),
            ("reason", "string", "One word on why."),
            ("message", "string", "A sentence on why."),
            (
                "lastTransitionTime",
                "date-time",
                "When the status last changed.",
            ),
        ],
    ),
    (
        "Addressable",
        "Where something answers.",
        &[("url", "string", "Its URL.")],
    ),
    (
        "ServiceStatus",
        "Status of a Service.",
        &[
            (
                "observedGeneration",
                "integer",
                "Generation that this status speaks of.",
            ),
            ("conditions", "[]Condition", "Sorted by type."),
            ("latestCreatedRevisionName", "string", "Newest Revision."),
            (
                "latestReadyRevisionName",
                "string",
                "Newest Revision that became ready.",
            ),
            ("url", "string", "Where it answers."),
            ("address", "Addressable", "Where it answers inside."),
            ("traffic", "[]TrafficTarget", "How traffic is split now."),
        ],
    ),
    (
        "ConfigurationStatus",
        "Status of a Configuration.",
        &[
            (
                "observedGeneration",
                "integer",
                "Generation that this status speaks of.",
            ),
            ("conditions", "[]Condition", "Sorted by type."),
            ("latestCreatedRevisionName", "string", "Newest Revision."),
            (
                "latestReadyRevisionName",
                "string",
                "Newest Revision that became ready.",
            ),
        ],
    ),
    (
        "RevisionStatus",
        "Status of a Revision.",
        &[
            (
                "observedGeneration",
                "integer",
                "Generation that this status speaks of.",
            ),
            ("conditions", "[]Condition", "Sorted by type."),
            (
                "containerStatuses",
                "[]ContainerStatus",
                "What each container's image resolved to.",
            ),
            ("actualReplicas", "integer", "Ready instances."),
            (
                "desiredReplicas",
                "integer",
                "Instances that there should be.",
            ),
        ],
    ),
    (
        "ContainerStatus",
        "What a container's image resolved to.",
        &[
            ("name", "string", "Of the container."),
            ("imageDigest", "string", "repository@sha256:…."),
        ],
    ),
    (
        "RouteStatus",
        "Status of a Route.",
        &[
            (
                "observedGeneration",
                "integer",
                "Generation that this status speaks of.",
            ),
            ("conditions", "[]Condition", "Sorted by type."),
            ("url", "string", "Where it answers."),
            ("address", "Addressable", "Where it answers inside."),
            ("traffic", "[]TrafficTarget", "How traffic is split now."),
        ],
    ),
    (
        "NamespaceSpec",
        "Spec of a Namespace.",
        &[(
            "finalizers",
            "[]string",
            "Who must let go before the namespace is removed, beside those of the metadata.",
        )],
    ),
    (
        "NamespaceStatus",
        "Status of a Namespace.",
        &[("phase", "string", "Active, or Terminating.")],
    ),
    (
        "Container",
        "One container.",
        &[
            ("name", "string", "Name, unique in its pod; defaulted."),
            ("image", "string", "Image reference."),
            ("command", "[]string", "Overrides the image's entrypoint."),
            ("args", "[]string", "Overrides the image's command."),
            (
                "workingDir",
                "string",
                "Overrides the image's working directory.",
            ),
            ("ports", "[]ContainerPort", "At most one port."),
            ("env", "[]EnvVar", "Environment."),
            (
                "envFrom",
                "[]EnvFromSource",
                "Environment from whole ConfigMaps and Secrets.",
            ),
            ("resources", "ResourceRequirements", "CPU and memory."),
            (
                "readinessProbe",
                "Probe",
                "When the container counts as ready.",
            ),
            ("livenessProbe", "Probe", "When it must be restarted."),
            ("startupProbe", "Probe", "When it has started."),
            (
                "imagePullPolicy",
                "string",
                "Always, IfNotPresent or Never.",
            ),
            ("securityContext", "any", "User and privileges."),
            (
                "volumeMounts",
                "[]VolumeMount",
                "Mounts of the pod's volumes.",
            ),
            (
                "terminationMessagePath",
                "string",
                "Where the last words are read from.",
            ),
            ("terminationMessagePolicy", "string", "How they are read."),
        ],
    ),
    (
        "ContainerPort",
        "A port that a container listens on.",
        &[
            ("name", "string", "Empty, http1 or h2c: the protocol."),
            ("containerPort", "integer", "TCP port."),
            ("protocol", "string", "TCP."),
        ],
    ),
    (
        "EnvVar",
        "One environment variable.",
        &[
            ("name", "string", "Its name."),
            ("value", "string", "Its value, if written out."),
            (
                "valueFrom",
                "EnvVarSource",
                "Where its value comes from, if not.",
            ),
        ],
    ),
    (
        "EnvVarSource",
        "Where a variable's value comes from: one of the two.",
        &[
            ("configMapKeyRef", "KeySelector", "A key of a ConfigMap."),
            ("secretKeyRef", "KeySelector", "A key of a Secret."),
        ],
    ),
    (
        "KeySelector",
        "One key of an object in the same namespace.",
        &[
            ("name", "string", "Name of the object."),
            ("key", "string", "The key."),
            ("optional", "boolean", "Whether it may be missing."),
        ],
    ),
    (
        "EnvFromSource",
        "An object all of whose keys become variables.",
        &[
            ("prefix", "string", "Put before each key."),
            ("configMapRef", "EnvSourceReference", "A ConfigMap."),
            ("secretRef", "EnvSourceReference", "A Secret."),
        ],
    ),
    (
        "EnvSourceReference",
        "An object in the same namespace.",
        &[
            ("name", "string", "Its name."),
            ("optional", "boolean", "Whether it may be missing."),
        ],
    ),
    (
        "Volume",
        "A folder that containers can mount. It has one of the sources.",
        &[
            ("name", "string", "Its name, unique in its pod."),
            (
                "configMap",
                "ConfigMapVolumeSource",
                "Keys of a ConfigMap as files.",
            ),
            ("secret", "SecretVolumeSource", "Keys of a Secret as files."),
            (
                "projected",
                "ProjectedVolumeSource",
                "Several of these in one folder.",
            ),
            (
                "emptyDir",
                "EmptyDirVolumeSource",
                "Nothing: a folder to write to.",
            ),
        ],
    ),
    (
        "ConfigMapVolumeSource",
        "Keys of a ConfigMap as files.",
        &[
            ("name", "string", "Its name."),
            ("items", "[]KeyToPath", "Which keys; none is all."),
            ("defaultMode", "integer", "Permission bits; 0644 without."),
            ("optional", "boolean", "Whether it may be missing."),
        ],
    ),
    (
        "SecretVolumeSource",
        "Keys of a Secret as files.",
        &[
            ("secretName", "string", "Its name."),
            ("items", "[]KeyToPath", "Which keys; none is all."),
            ("defaultMode", "integer", "Permission bits; 0644 without."),
            ("optional", "boolean", "Whether it may be missing."),
        ],
    ),
    (
        "KeyToPath",
        "One key as a file.",
        &[
            ("key", "string", "The key."),
            ("path", "string", "The file, relative to the volume."),
            ("mode", "integer", "Its permission bits."),
        ],
    ),
    (
        "ProjectedVolumeSource",
        "Several sources in one folder; of two that have the same file, the later wins.",
        &[
            ("sources", "[]VolumeProjection", "The sources."),
            ("defaultMode", "integer", "Permission bits; 0644 without."),
        ],
    ),
    (
        "VolumeProjection",
        "One source of several: one of the two.",
        &[
            ("configMap", "Projection", "A ConfigMap."),
            ("secret", "Projection", "A Secret."),
        ],
    ),
    (
        "Projection",
        "Keys of an object as files.",
        &[
            ("name", "string", "Its name."),
            ("items", "[]KeyToPath", "Which keys; none is all."),
            ("optional", "boolean", "Whether it may be missing."),
        ],
    ),
    (
        "EmptyDirVolumeSource",
        "A folder to write to, in the memory of the instance.",
        &[
            ("medium", "string", "Empty or Memory."),
            ("sizeLimit", "string", "Most that it may hold."),
        ],
    ),
    (
        "VolumeMount",
        "Where a container sees a volume.",
        &[
            ("name", "string", "Name of the volume."),
            ("mountPath", "string", "Absolute path in the container."),
            (
                "subPath",
                "string",
                "What of the volume; empty is all. It stays as it is when the volume changes.",
            ),
            ("readOnly", "boolean", "Whether it cannot be written to."),
        ],
    ),
    (
        "ResourceRequirements",
        "CPU and memory, as quantities.",
        &[("limits", "map", ""), ("requests", "map", "")],
    ),
    (
        "Probe",
        "How to find out whether a container is well.",
        &[
            ("httpGet", "HttpGet", "An HTTP GET."),
            ("tcpSocket", "TcpSocket", "A TCP connection."),
            ("grpc", "any", "A gRPC health check."),
            ("exec", "any", "A command in the container."),
            (
                "initialDelaySeconds",
                "integer",
                "Seconds before the first try.",
            ),
            ("timeoutSeconds", "integer", "Seconds one try may take."),
            ("periodSeconds", "integer", "Seconds between tries."),
            (
                "successThreshold",
                "integer",
                "Successes in a row to count as well.",
            ),
            (
                "failureThreshold",
                "integer",
                "Failures in a row to count as unwell.",
            ),
            (
                "terminationGracePeriodSeconds",
                "integer",
                "Seconds to stop in after a failure.",
            ),
        ],
    ),
    (
        "HttpGet",
        "An HTTP GET of a path.",
        &[
            ("path", "string", "Path; empty is /."),
            ("port", "port", "Port; 0 is the container's."),
            ("host", "string", "Host header."),
            ("scheme", "string", "HTTP or HTTPS."),
            ("httpHeaders", "[]any", "Headers to send."),
        ],
    ),
    (
        "TcpSocket",
        "A TCP connection.",
        &[
            ("port", "port", "Port; 0 is the container's."),
            ("host", "string", "Host."),
        ],
    ),
    (
        "ObjectMeta",
        "What every object carries.",
        &[
            (
                "name",
                "string",
                "Unique among the objects of its kind and namespace.",
            ),
            (
                "generateName",
                "string",
                "Prefix of a name that the server completes.",
            ),
            (
                "namespace",
                "string",
                "Namespace; empty for kinds that have none.",
            ),
            (
                "uid",
                "string",
                "Unique in all of time; given by the server.",
            ),
            (
                "resourceVersion",
                "string",
                "Version of the whole store at the last change of this object; opaque to clients.",
            ),
            (
                "generation",
                "integer",
                "Counts changes of the spec, from 1.",
            ),
            (
                "creationTimestamp",
                "date-time",
                "When the object was made.",
            ),
            (
                "deletionTimestamp",
                "date-time",
                "When its deletion was asked for, if finalizers still hold it.",
            ),
            (
                "deletionGracePeriodSeconds",
                "integer",
                "Seconds that were given for the deletion.",
            ),
            ("labels", "map", "For selecting."),
            ("annotations", "map", "For everything else."),
            (
                "finalizers",
                "[]string",
                "Who must let go before the object is removed.",
            ),
            (
                "ownerReferences",
                "[]OwnerReference",
                "Objects whose deletion deletes this one.",
            ),
            (
                "managedFields",
                "any",
                "Who set which field; kept, not used.",
            ),
        ],
    ),
    (
        "OwnerReference",
        "Names an owner of an object in the same namespace.",
        &[
            ("apiVersion", "string", "group/version of the owner."),
            ("kind", "string", "Kind of the owner."),
            ("name", "string", "Name of the owner."),
            (
                "uid",
                "string",
                "Identity of the owner: one of the same name made later is another.",
            ),
            (
                "controller",
                "boolean",
                "Whether the owner manages this object.",
            ),
            (
                "blockOwnerDeletion",
                "boolean",
                "Whether the owner waits for this object in a foreground deletion.",
            ),
        ],
    ),
];
