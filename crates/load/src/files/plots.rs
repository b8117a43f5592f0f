//! The plots of a run.

use crate::Summary;
use crate::svg::{self, Chart, Scale, Series};

/// How latency is distributed, of one run or of several: linear up to the whole, and by the nines where it ends.
pub(crate) fn distribution(runs: &[(&str, &Summary)]) -> String {
    let series = |points: fn(&(f64, f64)) -> (f64, f64)| -> Vec<Series> {
        runs.iter()
            .map(|(name, summary)| Series::line(*name, summary.cdf.iter().map(points).collect()))
            .collect()
    };
    let body = Chart {
        title: "answers that took at most so long".to_owned(),
        x: ("latency, ms", Scale::Log),
        y: ("share of answers", Scale::Linear),
        series: series(|(latency, fraction)| (latency / 1e3, *fraction)),
    };
    let tail = Chart {
        title: "latency by percentile".to_owned(),
        x: ("percentile", Scale::Nines),
        y: ("ms", Scale::Log),
        series: series(|(latency, fraction)| (*fraction, latency / 1e3)),
    };
    svg::document("Latency", &[body, tail])
}

pub(super) fn latency(summary: &Summary) -> String {
    svg::document("Latency over time", &[latency_chart(summary)])
}

pub(super) fn rate(summary: &Summary) -> String {
    svg::document("Rate", &[rate_chart(summary)])
}

pub(super) fn instances(summary: &Summary) -> String {
    svg::document("Instances", &[instances_chart(summary)])
}

/// All three below each other.
pub(crate) fn over_time(summary: &Summary) -> String {
    let charts = [
        latency_chart(summary),
        rate_chart(summary),
        instances_chart(summary),
    ];
    svg::document("Latency, rate and instances", &charts)
}

fn latency_chart(summary: &Summary) -> Chart {
    let points = |value: fn(&crate::Second) -> f64| {
        let seconds = summary.seconds.iter().filter(|it| it.max > 0.0);
        seconds
            .map(|it| (it.second as f64, value(it) / 1e3))
            .collect()
    };
    Chart {
        title: "of the requests due in each second".to_owned(),
        x: ("s", Scale::Linear),
        y: ("ms", Scale::Log),
        series: vec![
            Series::line("p50", points(|it| it.p50)),
            Series::line("p99", points(|it| it.p99)),
            Series::line("max", points(|it| it.max)),
        ],
    }
}

fn rate_chart(summary: &Summary) -> Chart {
    let points = |value: fn(&crate::Second) -> u64| {
        let seconds = summary.seconds.iter();
        seconds
            .map(|it| (it.second as f64, value(it) as f64))
            .collect()
    };
    Chart {
        title: "in each second".to_owned(),
        x: ("s", Scale::Linear),
        y: ("requests", Scale::Linear),
        series: vec![
            Series::steps("due", points(|it| it.issued)),
            Series::steps("answered", points(|it| it.completed)),
            Series::steps("failed", points(|it| it.failed)),
        ],
    }
}

fn instances_chart(summary: &Summary) -> Chart {
    let seconds = || summary.seconds.iter();
    let known = seconds().filter_map(|it| Some((it.second as f64, it.instances? as f64)));
    let known: Vec<_> = known.collect();
    let title = if known.is_empty() {
        "no API was asked for instances: requests that waited for one to start, in each second"
    } else {
        "ready at the end of each second, and requests that waited for one to start"
    };
    Chart {
        title: title.to_owned(),
        x: ("s", Scale::Linear),
        y: ("", Scale::Linear),
        series: vec![
            Series::steps("instances", known),
            Series::steps(
                "cold",
                seconds()
                    .map(|it| (it.second as f64, it.cold as f64))
                    .collect(),
            ),
        ],
    }
}
