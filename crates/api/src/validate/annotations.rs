//! Annotations with a meaning (knative.dev/serving `pkg/apis/autoscaling/annotation_validation.go`,
//! `pkg/apis/serving/metadata_validation.go` and `v1/revision_validation.go`).

use jiff::SignedDuration;

use crate::autoscaling::{self, PREFIX};
use crate::duration;
use crate::field_error::FieldErrors;
use crate::meta::StringMap;
use crate::quantity;
use crate::serving::annotation;
use crate::settings::Autoscaler as Config;

/// Those of the network that a template may have; `networking.knative.dev/`.
const NETWORKING: &str = "networking.knative.dev";
const NETWORKING_KNOWN: [&str; 9] = [
    "certificate-class",
    "certificate.class",
    "disable-auto-tls",
    "disable-external-domain-tls",
    "disableAutoTLS",
    "http-protocol",
    "httpOption",
    "ingress-class",
    "ingress.class",
];
/// What Knative's queue-proxy may use. There is none here, but what would be refused on a cluster is refused.
const QUEUE_PROXY: &str = "queue.sidecar.serving.knative.dev/";
const QUEUE_PROXY_AMOUNTS: [&str; 6] = [
    "cpu-resource-limit",
    "cpu-resource-request",
    "ephemeral-storage-resource-limit",
    "ephemeral-storage-resource-request",
    "memory-resource-limit",
    "memory-resource-request",
];
const KPA: &str = "kpa.autoscaling.knative.dev";
const LONGEST_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// Annotations of the autoscaler that stand where it does not look.
pub(super) fn misplaced(annotations: &StringMap, errors: &mut FieldErrors) {
    let group = PREFIX.trim_end_matches('/');
    for key in annotations.keys().filter(|key| key.starts_with(group)) {
        errors.add_with_details(
            format!("invalid key name {key:?}"),
            "metadata.annotations",
            r#"autoscaling annotations must be put under "spec.template.metadata.annotations" to work"#,
        );
    }
}

/// How long a new Revision may take to get all traffic.
pub(super) fn rollout(annotations: &StringMap, errors: &mut FieldErrors) {
    if let Some((key, text)) = annotation::rollout_duration(annotations) {
        whole_seconds(
            "rollout-duration",
            key,
            text,
            "metadata.annotations",
            errors,
        );
    }
}

/// Who made an object is never changed, and who changed it last only by a change of the spec (knative.dev/pkg
/// `apis/metadata_validation.go`).
pub(super) fn signatures(
    new: &StringMap,
    old: &StringMap,
    same_spec: bool,
    errors: &mut FieldErrors,
) {
    let differs = |key: &str| new.get(key) != old.get(key);
    let at = |key: &str| format!("metadata.annotations.{key}");
    if differs(annotation::CREATOR) {
        errors.add("annotation value is immutable", at(annotation::CREATOR));
    }
    if same_spec && differs(annotation::LAST_MODIFIER) {
        let value = new
            .get(annotation::LAST_MODIFIER)
            .map_or("", String::as_str);
        errors.invalid_value(value, at(annotation::LAST_MODIFIER));
    }
}

/// Annotations of a template.
pub(super) fn template(
    annotations: &StringMap,
    path: &str,
    config: &Config,
    errors: &mut FieldErrors,
) {
    autoscaler(annotations, path, config, errors);
    let key = annotation::PROGRESS_DEADLINE;
    if let Some(text) = annotations.get(key).filter(|text| !text.is_empty()) {
        whole_seconds("progress-deadline", key, text, path, errors);
    }
    let unknown = annotations.keys().filter(|key| {
        key.strip_prefix(NETWORKING).is_some_and(|name| {
            let name = name.strip_prefix('/').unwrap_or_default();
            !NETWORKING_KNOWN.contains(&name)
        })
    });
    for key in unknown {
        errors.add(format!("invalid key name {key:?}"), path);
    }
    queue_proxy(annotations, path, errors);
}

/// Annotations of the autoscaler, in a template or a Revision.
pub(super) fn autoscaler(
    annotations: &StringMap,
    path: &str,
    config: &Config,
    errors: &mut FieldErrors,
) {
    let mut it = Autoscaling {
        annotations,
        path,
        config,
        errors,
    };
    it.class_and_metric();
    it.scales();
    it.numbers();
    it.durations();
}

fn queue_proxy(annotations: &StringMap, path: &str, errors: &mut FieldErrors) {
    // Upstream adds the key of a map in brackets, and so with a dot in front.
    let at = |key: &str| format!("{path}.[{key}]");
    for name in ["resource-percentage", "resourcePercentage"] {
        let key = format!("{QUEUE_PROXY}{name}");
        let Some(text) = annotations.get(&key) else {
            continue;
        };
        match text.parse::<f64>() {
            Err(_) => errors.invalid_value(text, at(&key)),
            Ok(value) if !(0.1..=100.0).contains(&value) => {
                errors.out_of_bounds(value, 0.1, 100, at(&key));
            }
            Ok(_) => {}
        }
        break;
    }
    for name in QUEUE_PROXY_AMOUNTS {
        let key = format!("{QUEUE_PROXY}{name}");
        if let Some(text) = annotations.get(&key)
            && quantity::bytes(text).is_none()
        {
            errors.invalid_value(text, at(&key));
        }
    }
}

/// A time that is not negative, in whole seconds.
fn whole_seconds(name: &str, key: &str, text: &str, path: &str, errors: &mut FieldErrors) {
    let path = format!("{path}.{key}");
    match duration::parse_signed(text) {
        None => errors.invalid_value(text, path),
        Some(time) if time.subsec_nanos() != 0 => {
            errors.add(format!("{name}={text} is not at second precision"), path);
        }
        Some(time) if time.is_negative() => {
            errors.add(format!("{name}={text} must be positive"), path);
        }
        Some(_) => {}
    }
}

struct Autoscaling<'a> {
    annotations: &'a StringMap,
    path: &'a str,
    config: &'a Config,
    errors: &'a mut FieldErrors,
}

impl<'a> Autoscaling<'a> {
    /// Path and value of an annotation.
    fn get(&self, name: &str) -> Option<(String, &'a str)> {
        let (key, value) = autoscaling::find(self.annotations, name)?;
        Some((format!("{}.{key}", self.path), value))
    }

    fn one_of(&mut self, name: &str, values: &[&str]) {
        if let Some((path, text)) = self.get(name)
            && !values.contains(&text)
        {
            self.errors.invalid_value(text, path);
        }
    }

    fn class_and_metric(&mut self) {
        // The one autoscaler here is Knative's own. Upstream lets another class be, and nobody would scale the function.
        self.one_of("class", &[KPA]);
        self.one_of("metric", &["concurrency", "rps"]);
        // Upstream looks at this only where the class is written out.
        if self.get("class").is_some_and(|(_, class)| class == KPA) {
            self.one_of(
                "metric-aggregation-algorithm",
                &["", "linear", "weighted-exponential", "weightedExponential"],
            );
        }
    }

    fn scale(&mut self, name: &str) -> Option<i64> {
        let (path, text) = self.get(name)?;
        match whole_number(text) {
            Number::Fits(value @ 0..) => return Some(i64::from(value)),
            Number::Fits(_) | Number::Beyond => {
                self.errors.out_of_bounds(text, 0, i32::MAX, path);
            }
            Number::None => self.errors.invalid_value(text, path),
        }
        None
    }

    fn scales(&mut self) {
        let min = self.scale("min-scale").unwrap_or(0);
        let max = self.scale("max-scale").unwrap_or(0);
        self.max_scale_limit(max);
        if max != 0 && max < min {
            let paths =
                ["max-scale", "min-scale"].map(|name| format!("{}.{PREFIX}{name}", self.path));
            self.errors.add_all(
                format!("max-scale={max} is less than min-scale={min}"),
                paths,
            );
        }
        self.activation_scale(min, max);
        if let Some((path, text)) = self.get("initial-scale") {
            match whole_number(text) {
                Number::Fits(0) if !self.config.allow_zero_initial_scale => self
                    .errors
                    .invalid_value(text, format!("{path}=0 not allowed by cluster")),
                Number::Fits(0..) => {}
                Number::Fits(_) => self
                    .errors
                    .invalid_value(text, format!("{path} must be greater than 0")),
                Number::Beyond | Number::None => self.errors.invalid_value(text, path),
            }
        }
    }

    fn max_scale_limit(&mut self, max: i64) {
        let limit = i64::from(self.config.max_scale_limit);
        let Some((path, _)) = self.get("max-scale").filter(|_| limit > 0) else {
            return;
        };
        if max == 0 {
            self.errors.add(
                format!("max-scale=0 (unlimited), must be less than {limit}"),
                path,
            );
        } else if max > limit {
            self.errors.out_of_bounds(max, 1, limit, path);
        }
    }

    fn activation_scale(&mut self, min: i64, max: i64) {
        let Some((path, text)) = self.get("activation-scale") else {
            return;
        };
        let Number::Fits(activation) = whole_number(text) else {
            self.errors.invalid_value(text, path);
            return;
        };
        let activation = i64::from(activation);
        let problem = if min > activation {
            format!("min-scale={min} is greater than activation-scale={activation}")
        } else if max != 0 && max < activation {
            format!("max-scale={max} is less than activation-scale={activation}")
        } else if activation < 2 {
            format!("activation-scale={activation} must be greater than 1")
        } else {
            return;
        };
        self.errors.add(problem, path);
    }

    fn number(&mut self, name: &str) -> Option<(String, &'a str, f64)> {
        let (path, text) = self.get(name)?;
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Some((path, text, value)),
            _ => {
                self.errors.invalid_value(text, path);
                None
            }
        }
    }

    fn numbers(&mut self) {
        for (name, low, high) in [
            ("panic-window-percentage", 1.0, 100.0),
            ("panic-threshold-percentage", 110.0, 1000.0),
            ("target-utilization-percentage", 1.0, 100.0),
        ] {
            if let Some((path, text, value)) = self.number(name)
                && !(low..=high).contains(&value)
            {
                self.errors.out_of_bounds(text, low, high, path);
            }
        }
        if let Some((path, text, value)) = self.number("target")
            && value < 0.01
        {
            self.errors
                .add(format!("target {text} should be at least 0.01"), path);
        }
        // Minus one is without a limit, however it is written.
        if let Some((path, text, value)) = self.number("target-burst-capacity")
            && value < 0.0
            && (value + 1.0).abs() > 0.0
        {
            self.errors.invalid_value(text, path);
        }
    }

    fn durations(&mut self) {
        self.duration("window", 6, true);
        self.duration("scale-down-delay", 0, true);
        self.duration("scale-to-zero-pod-retention-period", 0, false);
    }

    fn duration(&mut self, name: &str, least: i64, whole: bool) {
        let Some((path, text)) = self.get(name) else {
            return;
        };
        let bounds = SignedDuration::from_secs(least)..=LONGEST_WINDOW;
        match duration::parse_signed(text) {
            None => self.errors.invalid_value(text, path),
            Some(time) if !bounds.contains(&time) => {
                self.errors
                    .out_of_bounds(text, format!("{least}s"), "1h0m0s", path);
            }
            Some(time) if whole && time.subsec_nanos() != 0 => {
                self.errors
                    .add("must be specified with at most second precision", path);
            }
            Some(_) => {}
        }
    }
}

/// A text read as Go reads a number of 32 bits.
enum Number {
    Fits(i32),
    /// A number, but not of 32 bits.
    Beyond,
    None,
}

fn whole_number(text: &str) -> Number {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Number::None;
    }
    text.parse().map_or(Number::Beyond, Number::Fits)
}
