//! A line on a terminal that tells what happens now.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use load::{Live, Plan};
use tokio::task::JoinHandle;

use crate::output;

const PERIOD: Duration = Duration::from_millis(500);

/// Shows it until the task is aborted.
pub(super) fn show(live: &Arc<Live>, plan: &Plan) -> JoinHandle<()> {
    let live = Arc::clone(live);
    let whole = plan.warm_up + plan.length;
    tokio::spawn(async move {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::new(whole.as_millis() as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
            bar.set_style(style);
        }
        // Aborted at the end, wherever it waits.
        let bar = Cleared(bar);
        let start = Instant::now();
        let mut before = 0;
        let mut ticks = tokio::time::interval(PERIOD);
        loop {
            ticks.tick().await;
            let elapsed = start.elapsed();
            bar.0.set_position(elapsed.min(whole).as_millis() as u64);
            let ended = live.ended.load(Ordering::Relaxed);
            let recent = live.recent();
            let p99 = recent
                .filter(|it| !it.is_empty())
                .map(|it| output::duration(Duration::from_nanos(it.value_at_quantile(0.99))));
            bar.0.set_message(format!(
                "{:.0} of {:.0} s: {:.0} a second, p99 {}, {} outstanding, {} failed",
                elapsed.as_secs_f64(),
                whole.as_secs_f64(),
                (ended - before) as f64 / PERIOD.as_secs_f64(),
                p99.as_deref().unwrap_or("-"),
                live.issued.load(Ordering::Relaxed).saturating_sub(ended),
                live.failed.load(Ordering::Relaxed)
            ));
            before = ended;
        }
    })
}

struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
