//! `config-autoscaler` (knative.dev/serving `pkg/autoscaler/config/config.go`).

use jiff::SignedDuration;

use super::Error;
use super::entries::Entries;
use crate::duration;
use crate::meta::StringMap;

/// Name of the `ConfigMap`.
pub const NAME: &str = "config-autoscaler";

/// The least that one instance can be meant to get.
pub const LEAST_TARGET: f64 = 0.01;
const SHORTEST_WINDOW: SignedDuration = SignedDuration::from_secs(6);
const LONGEST_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// How revisions are scaled that do not say otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Autoscaler {
    /// `pod-autoscaler-class`.
    pub class: String,
    /// `enable-scale-to-zero`.
    pub scale_to_zero: bool,
    /// `allow-zero-initial-scale`.
    pub allow_zero_initial_scale: bool,
    /// `container-concurrency-target-percentage`, as a fraction.
    pub concurrency_utilisation: f64,
    /// Share of the target that is aimed at for any other metric; no key sets it.
    pub utilisation: f64,
    /// `container-concurrency-target-default`: requests at once.
    pub concurrency_target: f64,
    /// `requests-per-second-target-default`.
    pub rps_target: f64,
    /// `target-burst-capacity`: requests; −1 is without a limit.
    pub target_burst_capacity: f64,
    /// `activator-capacity`: requests at once.
    pub activator_capacity: f64,
    /// `stable-window`.
    pub stable_window: SignedDuration,
    /// `panic-window-percentage`, of the stable window.
    pub panic_window_percentage: f64,
    /// `panic-threshold-percentage`, of what the instances that are ready can take.
    pub panic_threshold_percentage: f64,
    /// `max-scale-up-rate`: by how much the number may be multiplied in one step.
    pub max_scale_up_rate: f64,
    /// `max-scale-down-rate`: by how much it may be divided.
    pub max_scale_down_rate: f64,
    /// `scale-to-zero-grace-period`.
    pub scale_to_zero_grace_period: SignedDuration,
    /// `scale-to-zero-pod-retention-period`.
    pub scale_to_zero_pod_retention_period: SignedDuration,
    /// `scale-down-delay`.
    pub scale_down_delay: SignedDuration,
    /// `initial-scale`.
    pub initial_scale: i32,
    /// `min-scale`.
    pub min_scale: i32,
    /// `max-scale`; 0 is no limit.
    pub max_scale: i32,
    /// `max-scale-limit`: the most that `max-scale` may be; 0 is no limit.
    pub max_scale_limit: i32,
}

impl Default for Autoscaler {
    fn default() -> Self {
        Self {
            class: "kpa.autoscaling.knative.dev".to_owned(),
            scale_to_zero: true,
            allow_zero_initial_scale: false,
            concurrency_utilisation: 0.7,
            utilisation: 0.7,
            concurrency_target: 100.0,
            rps_target: 200.0,
            target_burst_capacity: 211.0,
            activator_capacity: 100.0,
            stable_window: SignedDuration::from_secs(60),
            panic_window_percentage: 10.0,
            panic_threshold_percentage: 200.0,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
            scale_to_zero_grace_period: SignedDuration::from_secs(30),
            scale_to_zero_pod_retention_period: SignedDuration::ZERO,
            scale_down_delay: SignedDuration::ZERO,
            initial_scale: 1,
            min_scale: 0,
            max_scale: 0,
            max_scale_limit: 0,
        }
    }
}

impl Autoscaler {
    /// What holds where nothing is set: as upstream has it, but that a revision may ask for no instance to start with, since
    /// functions are made ready before anybody calls them.
    pub fn unset() -> Self {
        Self {
            allow_zero_initial_scale: true,
            ..Self::default()
        }
    }

    /// Reads the data of the `ConfigMap`; what is not there has its default, and keys that are not known are passed over.
    pub fn read(data: &StringMap) -> Result<Self, Error> {
        Self::default().with(data)
    }

    /// As [`Self::read`], with other defaults.
    pub fn with(mut self, data: &StringMap) -> Result<Self, Error> {
        self.parse(Entries(data))
            .map_err(|Error(why)| Error(format!("failed to parse data: {why}")))?;
        self.check()?;
        Ok(self)
    }

    fn parse(&mut self, entries: Entries<'_>) -> Result<(), Error> {
        if let Some(class) = entries.text("pod-autoscaler-class") {
            class.clone_into(&mut self.class);
        }
        entries.truth("enable-scale-to-zero", &mut self.scale_to_zero)?;
        entries.truth(
            "allow-zero-initial-scale",
            &mut self.allow_zero_initial_scale,
        )?;
        let percentage = "container-concurrency-target-percentage";
        for (key, target) in [
            ("max-scale-up-rate", &mut self.max_scale_up_rate),
            ("max-scale-down-rate", &mut self.max_scale_down_rate),
            (percentage, &mut self.concurrency_utilisation),
            (
                "container-concurrency-target-default",
                &mut self.concurrency_target,
            ),
            ("requests-per-second-target-default", &mut self.rps_target),
            ("target-burst-capacity", &mut self.target_burst_capacity),
            ("panic-window-percentage", &mut self.panic_window_percentage),
            ("activator-capacity", &mut self.activator_capacity),
            (
                "panic-threshold-percentage",
                &mut self.panic_threshold_percentage,
            ),
        ] {
            entries.number(key, target)?;
        }
        for (key, target) in [
            ("initial-scale", &mut self.initial_scale),
            ("min-scale", &mut self.min_scale),
            ("max-scale", &mut self.max_scale),
            ("max-scale-limit", &mut self.max_scale_limit),
        ] {
            entries.whole(key, target)?;
        }
        for (key, target) in [
            ("stable-window", &mut self.stable_window),
            ("scale-down-delay", &mut self.scale_down_delay),
            (
                "scale-to-zero-grace-period",
                &mut self.scale_to_zero_grace_period,
            ),
            (
                "scale-to-zero-pod-retention-period",
                &mut self.scale_to_zero_pod_retention_period,
            ),
        ] {
            entries.duration(key, target)?;
        }
        // What is at most 1 is a fraction already, and always has been.
        if self.concurrency_utilisation > 1.0 {
            self.concurrency_utilisation /= 100.0;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        self.check_durations()?;
        self.check_numbers()?;
        self.check_scales()
    }

    fn check_durations(&self) -> Result<(), Error> {
        let (grace, retention) = (
            self.scale_to_zero_grace_period,
            self.scale_to_zero_pod_retention_period,
        );
        let (delay, window) = (self.scale_down_delay, self.stable_window);
        let text = duration::format;
        let precise = "must be specified with at most second precision";
        require(grace.is_positive(), || {
            format!(
                "scale-to-zero-grace-period must be positive, was: {}",
                text(grace)
            )
        })?;
        require(!delay.is_negative(), || {
            format!("scale-down-delay cannot be negative, was: {}", text(delay))
        })?;
        require(delay.subsec_nanos() == 0, || {
            format!("scale-down-delay = {}, {precise}", text(delay))
        })?;
        require(!retention.is_negative(), || {
            let was = text(retention);
            format!("scale-to-zero-pod-retention-period cannot be negative, was: {was}")
        })?;
        require((SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&window), || {
            format!(
                "stable-window = {}, must be in [{}; {}] range",
                text(window),
                text(SHORTEST_WINDOW),
                text(LONGEST_WINDOW)
            )
        })?;
        require(window.subsec_nanos() == 0, || {
            format!("stable-window = {}, {precise}", text(window))
        })
    }

    fn check_numbers(&self) -> Result<(), Error> {
        let burst = self.target_burst_capacity;
        // Minus one is without a limit, however it is written.
        require(burst >= 0.0 || (burst + 1.0).abs() <= 0.0, || {
            format!(
                "target-burst-capacity must be either non-negative or -1 (for unlimited), was: {burst:.6}"
            )
        })?;
        let share = self.concurrency_utilisation;
        require(share > 0.0 && share <= 1.0, || {
            format!(
                "container-concurrency-target-percentage = {share:.6} is outside of valid range of (0, 100]"
            )
        })?;
        let target = share * self.concurrency_target;
        require(target >= LEAST_TARGET, || {
            format!(
                "container-concurrency-target-percentage and container-concurrency-target-default yield target concurrency of \
                 {target}, can't be less than {LEAST_TARGET}"
            )
        })?;
        require(self.rps_target >= LEAST_TARGET, || {
            let was = self.rps_target;
            format!(
                "requests-per-second-target-default must be at least {LEAST_TARGET}, was: {was}"
            )
        })?;
        require(self.activator_capacity >= 1.0, || {
            let was = self.activator_capacity;
            format!("activator-capacity = {was}, must be at least 1")
        })?;
        for (key, rate) in [
            ("max-scale-up-rate", self.max_scale_up_rate),
            ("max-scale-down-rate", self.max_scale_down_rate),
        ] {
            require(rate > 1.0, || {
                format!("{key} = {rate}, must be greater than 1.0")
            })?;
        }
        let percentage = self.panic_window_percentage;
        require((1.0..=100.0).contains(&percentage), || {
            format!("panic-window-percentage = {percentage}, must be in [1, 100] interval")
        })?;
        // Upstream takes any: at zero or below, everything is a panic.
        let threshold = self.panic_threshold_percentage;
        require(threshold > 0.0, || {
            format!("panic-threshold-percentage = {threshold}, must be greater than 0")
        })
    }

    fn check_scales(&self) -> Result<(), Error> {
        let (initial, min, max, limit) = (
            self.initial_scale,
            self.min_scale,
            self.max_scale,
            self.max_scale_limit,
        );
        require(
            initial > 0 || (initial == 0 && self.allow_zero_initial_scale),
            || {
                format!(
                    "initial-scale = {initial}, must be at least 0 (or at least 1 when allow-zero-initial-scale is false)"
                )
            },
        )?;
        require(min >= 0, || {
            format!("min-scale = {min}, must be at least 0")
        })?;
        // Where there is a limit, none is more than it.
        let least = i32::from(limit > 0);
        require(max >= least && (limit <= 0 || max <= limit), || {
            format!("max-scale = {max}, must be in [{least}, max-scale-limit({limit})] range")
        })?;
        require(limit >= 0, || {
            format!("max-scale-limit = {limit}, must be at least 0")
        })?;
        require(max == 0 || min <= max, || {
            format!("min-scale ({min}) must be less than max-scale ({max})")
        })
    }
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Error> {
    if holds {
        Ok(())
    } else {
        Err(Error(otherwise()))
    }
}
