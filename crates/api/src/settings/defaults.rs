//! `config-defaults` (knative.dev/serving `pkg/apis/config/defaults.go`).

use super::Error;
use super::entries::Entries;
use crate::meta::StringMap;

/// Name of the `ConfigMap`.
pub const NAME: &str = "config-defaults";

/// What revisions have that do not say otherwise, and what they may say at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// `revision-timeout-seconds`.
    pub timeout_seconds: i64,
    /// `max-revision-timeout-seconds`.
    pub max_timeout_seconds: i64,
    /// `revision-response-start-timeout-seconds`; by default as `revision-timeout-seconds`.
    pub response_start_timeout_seconds: i64,
    /// `revision-idle-timeout-seconds`; 0 is no limit.
    pub idle_timeout_seconds: i64,
    /// `container-name-template`, if it is a plain name.
    pub container_name: String,
    /// `init-container-name-template`, if it is a plain name.
    pub init_container_name: String,
    /// `container-concurrency`; 0 is no limit.
    pub container_concurrency: i64,
    /// `container-concurrency-max-limit`.
    pub container_concurrency_max_limit: i64,
    /// `allow-container-concurrency-zero`.
    pub allow_container_concurrency_zero: bool,
    /// `enable-service-links`; `None` leaves it to Kubernetes.
    pub enable_service_links: Option<bool>,
    /// `revision-…-request` of CPU, memory and ephemeral storage.
    pub requests: Amounts,
    /// `revision-…-limit` of CPU, memory and ephemeral storage.
    pub limits: Amounts,
}

/// Amounts of resources, as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts {
    /// CPUs.
    pub cpu: Option<String>,
    /// Memory.
    pub memory: Option<String>,
    /// Ephemeral storage.
    pub ephemeral_storage: Option<String>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            timeout_seconds: 300,
            max_timeout_seconds: 600,
            response_start_timeout_seconds: 300,
            idle_timeout_seconds: 0,
            container_name: "user-container".to_owned(),
            init_container_name: "init-container".to_owned(),
            container_concurrency: 0,
            container_concurrency_max_limit: 1000,
            allow_container_concurrency_zero: true,
            enable_service_links: Some(false),
            requests: Amounts::default(),
            limits: Amounts::default(),
        }
    }
}

impl Defaults {
    /// Reads the data of the `ConfigMap`; what is not there has its default, and keys that are not known are passed over.
    pub fn read(data: &StringMap) -> Result<Self, Error> {
        let mut defaults = Self::default();
        defaults.parse(Entries(data))?;
        defaults.check()?;
        Ok(defaults)
    }

    fn parse(&mut self, entries: Entries<'_>) -> Result<(), Error> {
        name(
            entries,
            "init-container-name-template",
            &mut self.init_container_name,
        )?;
        name(entries, "container-name-template", &mut self.container_name)?;
        entries.truth(
            "allow-container-concurrency-zero",
            &mut self.allow_container_concurrency_zero,
        )?;
        if let Some(text) = entries.text("enable-service-links") {
            // Any third word leaves it to Kubernetes.
            let is = |word: &str| text.eq_ignore_ascii_case(word);
            self.enable_service_links = (is("true") || is("false")).then(|| is("true"));
        }
        for (key, target) in [
            ("revision-timeout-seconds", &mut self.timeout_seconds),
            (
                "max-revision-timeout-seconds",
                &mut self.max_timeout_seconds,
            ),
            (
                "revision-idle-timeout-seconds",
                &mut self.idle_timeout_seconds,
            ),
            ("container-concurrency", &mut self.container_concurrency),
            (
                "container-concurrency-max-limit",
                &mut self.container_concurrency_max_limit,
            ),
        ] {
            entries.whole(key, target)?;
        }
        for (what, amounts) in [("request", &mut self.requests), ("limit", &mut self.limits)] {
            let key = |resource: &str| format!("revision-{resource}-{what}");
            entries.quantity(&key("cpu"), &mut amounts.cpu)?;
            entries.quantity(&key("memory"), &mut amounts.memory)?;
            entries.quantity(&key("ephemeral-storage"), &mut amounts.ephemeral_storage)?;
        }
        self.response_start_timeout_seconds = self.timeout_seconds;
        entries.whole(
            "revision-response-start-timeout-seconds",
            &mut self.response_start_timeout_seconds,
        )
    }

    fn check(&self) -> Result<(), Error> {
        let (timeout, most) = (self.timeout_seconds, self.max_timeout_seconds);
        if timeout > most {
            return Err(Error(format!(
                "revision-timeout-seconds ({timeout}) cannot be greater than max-revision-timeout-seconds ({most})"
            )));
        }
        for (key, value) in [
            (
                "revision-response-start-timeout-seconds",
                self.response_start_timeout_seconds,
            ),
            ("revision-idle-timeout-seconds", self.idle_timeout_seconds),
        ] {
            if value > 0 && value > timeout {
                return Err(Error(format!(
                    "{key} ({value}) cannot be greater than revision-timeout-seconds ({timeout})"
                )));
            }
        }
        let limit = self.container_concurrency_max_limit;
        if limit < 1 {
            return Err(Error(format!(
                "expected 1 <= {limit} <= {}: container-concurrency-max-limit",
                i32::MAX
            )));
        }
        let concurrency = self.container_concurrency;
        if !(0..=limit).contains(&concurrency) {
            return Err(Error(format!(
                "expected 0 <= {concurrency} <= {limit}: container-concurrency"
            )));
        }
        Ok(())
    }
}

/// Upstream runs Go templates over the metadata of what the container is for; here it is a name for all.
fn name(entries: Entries<'_>, key: &str, target: &mut String) -> Result<(), Error> {
    let Some(text) = entries.text(key) else {
        return Ok(());
    };
    if text.contains("{{") {
        return Err(Error(format!(
            "{key} = {text:?} is a template, which is not supported: write a name"
        )));
    }
    text.clone_into(target);
    Ok(())
}
