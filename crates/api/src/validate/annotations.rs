//! Annotations with a meaning (knative.dev/serving `pkg/apis/autoscaling/annotation_validation.go`).

use std::fmt::Display;
use std::time::Duration;

use crate::autoscaling::{self, PREFIX};
use crate::duration;
use crate::field_error::FieldErrors;
use crate::meta::StringMap;

const PROGRESS_DEADLINE: &str = "serving.knative.dev/progress-deadline";
const ROLLOUT_DURATION: &str = "serving.knative.dev/rollout-duration";
const LONGEST_WINDOW: u64 = 3600;

/// Annotations of the autoscaler that stand where it does not look.
pub(super) fn misplaced(annotations: &StringMap, errors: &mut FieldErrors) {
    for key in annotations.keys().filter(|key| key.starts_with(PREFIX)) {
        errors.add_with_details(
            format!("invalid key name {key:?}"),
            "metadata.annotations",
            r#"autoscaling annotations must be put under "spec.template.metadata.annotations" to work"#,
        );
    }
}

/// How long a new Revision may take to get all traffic.
pub(super) fn rollout(annotations: &StringMap, errors: &mut FieldErrors) {
    whole_seconds(
        annotations,
        ROLLOUT_DURATION,
        "metadata.annotations",
        errors,
    );
}

/// Annotations of a template or a Revision.
pub(super) fn template(annotations: &StringMap, path: &str, errors: &mut FieldErrors) {
    whole_seconds(annotations, PROGRESS_DEADLINE, path, errors);
    let mut it = Autoscaling {
        annotations,
        path,
        errors,
    };
    it.class_and_metric();
    it.scales();
    it.numbers();
    it.durations();
}

/// An annotation of `serving.knative.dev` that is a duration.
fn whole_seconds(annotations: &StringMap, key: &str, path: &str, errors: &mut FieldErrors) {
    let Some(text) = annotations.get(key).filter(|text| !text.is_empty()) else {
        return;
    };
    let path = format!("{path}.{key}");
    match duration::parse(text) {
        None => errors.invalid_value(text, path),
        Some(time) if time.subsec_nanos() != 0 => {
            let name = key.rsplit('/').next().unwrap_or_default();
            errors.add(format!("{name}={text} is not at second precision"), path);
        }
        Some(_) => {}
    }
}

struct Autoscaling<'a> {
    annotations: &'a StringMap,
    path: &'a str,
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
        // The one autoscaler here is Knative's own.
        self.one_of("class", &["kpa.autoscaling.knative.dev"]);
        self.one_of("metric", &["concurrency", "rps"]);
        self.one_of(
            "metric-aggregation-algorithm",
            &["", "linear", "weighted-exponential", "weightedExponential"],
        );
    }

    fn scale(&mut self, name: &str) -> Option<i64> {
        let (path, text) = self.get(name)?;
        match text.parse::<i128>() {
            Ok(value @ 0..=0x7fff_ffff) => return Some(value as i64),
            Ok(_) => self.errors.out_of_bounds(text, 0, i32::MAX, path),
            Err(_) => self.errors.invalid_value(text, path),
        }
        None
    }

    fn scales(&mut self) {
        let min = self.scale("min-scale").unwrap_or(0);
        let max = self.scale("max-scale").unwrap_or(0);
        self.scale("initial-scale");
        if max != 0 && max < min {
            let paths =
                ["max-scale", "min-scale"].map(|name| format!("{}.{PREFIX}{name}", self.path));
            self.errors.add_all(
                format!("max-scale={max} is less than min-scale={min}"),
                paths,
            );
        }
        if let Some(activation) = self.scale("activation-scale") {
            let path = format!("{}.{PREFIX}activation-scale", self.path);
            if min > activation {
                self.errors.add(
                    format!("min-scale={min} is greater than activation-scale={activation}"),
                    path,
                );
            } else if max != 0 && max < activation {
                self.errors.add(
                    format!("max-scale={max} is less than activation-scale={activation}"),
                    path,
                );
            } else if activation < 2 {
                self.errors.add(
                    format!("activation-scale={activation} must be greater than 1"),
                    path,
                );
            }
        }
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
        if let Some((path, text, value)) = self.number("target-burst-capacity")
            && value < 0.0
            && text != "-1"
        {
            self.errors.invalid_value(text, path);
        }
    }

    fn durations(&mut self) {
        self.duration("window", 6, "6s", true);
        self.duration("scale-down-delay", 0, "0s", true);
        self.duration("scale-to-zero-pod-retention-period", 0, "0s", false);
    }

    fn duration(&mut self, name: &str, least: u64, written: impl Display, whole: bool) {
        let Some((path, text)) = self.get(name) else {
            return;
        };
        let bounds = Duration::from_secs(least)..=Duration::from_secs(LONGEST_WINDOW);
        match duration::parse(text) {
            None => self.errors.invalid_value(text, path),
            Some(time) if !bounds.contains(&time) => {
                self.errors.out_of_bounds(text, written, "1h0m0s", path);
            }
            Some(time) if whole && time.subsec_nanos() != 0 => {
                self.errors
                    .add("must be specified with at most second precision", path);
            }
            Some(_) => {}
        }
    }
}
