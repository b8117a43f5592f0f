//! Whether KVM works here: measured, not assumed.
//!
//! Some hosts offer `/dev/kvm` and then emulate every instruction of the guest, thousands of times slower
//! than a processor. So a guest of a few bytes counts in 64-bit long mode, with paging on, and the probe
//! looks at how fast:
//!
//! ```text
//! open /dev/kvm ─ VM ─ memory ─ vCPU ─ 1 000 iterations ─ 2 000 ─ 4 000 ─ … ─ 512 000 ─ Works
//!      │            │                          └─ out of time ─ too slow ─────────────── Emulated
//!  Absent, Denied   └─ refused, or the guest stops on something else ─────────────────── Broken
//! ```
//!
//! It runs in a thread of its own. Each stretch is twice as long as the one before and ends with an exit to
//! the host, so a slow host shows itself before it costs much. A vCPU that does not come back is
//! interrupted; a thread that cannot be is left behind: the caller never waits past the deadline.

mod guest;
mod interrupt;

use std::fmt;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Iterations per microsecond below which the guest is not running on the processor. Hardware does
/// thousands, also one level down in a nested guest; emulation about one.
const HARDWARE: f64 = 50.0;

/// A host this slow is told apart long before; more would only make the caller wait.
const MEASURE_AT_MOST: Duration = Duration::from_millis(60);

/// What became of the attempt to run a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The guest ran on the processor.
    Works,
    /// There is no `/dev/kvm`, or nothing behind it.
    Absent {
        /// What was missing.
        reason: String,
    },
    /// This user may not open `/dev/kvm`.
    Denied {
        /// What was refused.
        reason: String,
    },
    /// The guest ran, but so slowly that the host must be emulating it.
    Emulated,
    /// KVM is there and failed to run the guest.
    Broken {
        /// What failed.
        reason: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works => f.write_str("KVM works"),
            Self::Absent { reason } => write!(f, "there is no KVM: {reason}"),
            Self::Denied { reason } => write!(f, "KVM may not be used: {reason}"),
            Self::Emulated => {
                f.write_str("KVM is there, but the host emulates every instruction of its guests")
            }
            Self::Broken { reason } => write!(f, "KVM is there and does not work: {reason}"),
        }
    }
}

/// What [`probe`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// What to make of it.
    pub verdict: Verdict,
    /// How long the probe took.
    pub elapsed: Duration,
    /// How fast the guest counted, if it came that far.
    pub iterations_per_us: Option<f64>,
}

/// How a guest's counting ended, without a judgement.
#[derive(Debug)]
enum Outcome {
    Absent(String),
    Denied(String),
    Broken(String),
    /// Iterations of the last stretch that ended, and the time it took; none ended if zero.
    Counted {
        iterations: u64,
        took: Duration,
    },
}

/// Runs a guest and returns within `deadline`, whatever the host does. A second is plenty; a host with
/// working KVM needs some milliseconds.
pub fn probe(deadline: Duration) -> Probe {
    let started = Instant::now();
    let (verdict, iterations_per_us) = judge(&run(deadline));
    Probe {
        verdict,
        elapsed: started.elapsed(),
        iterations_per_us,
    }
}

fn run(deadline: Duration) -> Outcome {
    let started = Instant::now();
    let (sender, receiver) = mpsc::sync_channel(1);
    let budget = MEASURE_AT_MOST.min(deadline / 4);
    let thread = std::thread::Builder::new()
        .name("kvm-probe".to_owned())
        .spawn(move || {
            interrupt::prepare_thread();
            // The caller may have given up: then nobody wants to know.
            let _ = sender.send(guest::count(&guest::COUNTING, budget));
        });
    let thread = match thread {
        Ok(thread) => thread,
        Err(error) => return Outcome::Broken(format!("cannot start a thread: {error}")),
    };

    if let Ok(outcome) = receiver.recv_timeout(deadline / 4 * 3) {
        return outcome;
    }
    interrupt::kick(&thread);
    let left = deadline.saturating_sub(started.elapsed());
    match receiver.recv_timeout(left) {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Broken(format!(
            "the guest did not stop within {} ms",
            deadline.as_millis()
        )),
    }
}

fn judge(outcome: &Outcome) -> (Verdict, Option<f64>) {
    match outcome {
        Outcome::Absent(reason) => (
            Verdict::Absent {
                reason: reason.clone(),
            },
            None,
        ),
        Outcome::Denied(reason) => (
            Verdict::Denied {
                reason: reason.clone(),
            },
            None,
        ),
        Outcome::Broken(reason) => (
            Verdict::Broken {
                reason: reason.clone(),
            },
            None,
        ),
        // Not one stretch: it ran, for all its time, and came nowhere.
        Outcome::Counted { iterations: 0, .. } => (Verdict::Emulated, None),
        Outcome::Counted { iterations, took } => {
            let rate = *iterations as f64 / (took.as_secs_f64() * 1e6).max(0.001);
            let verdict = if rate < HARDWARE {
                Verdict::Emulated
            } else {
                Verdict::Works
            };
            (verdict, Some(rate))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(iterations: u64, took: Duration) -> (Verdict, Option<f64>) {
        judge(&Outcome::Counted { iterations, took })
    }

    #[test]
    fn a_guest_on_the_processor_works() {
        let (verdict, rate) = counted(512_000, Duration::from_micros(170));
        assert_eq!(verdict, Verdict::Works);
        assert!(rate.unwrap() > 3000.0);
    }

    #[test]
    fn an_instruction_per_microsecond_is_emulation() {
        let (verdict, rate) = counted(16_000, Duration::from_millis(32));
        assert_eq!((verdict, rate), (Verdict::Emulated, Some(0.5)));
    }

    #[test]
    fn a_guest_that_never_ends_its_first_stretch_is_emulated() {
        assert_eq!(counted(0, Duration::ZERO), (Verdict::Emulated, None));
    }

    #[test]
    fn a_stretch_too_short_to_measure_is_the_processor() {
        assert_eq!(counted(512_000, Duration::ZERO).0, Verdict::Works);
    }

    #[test]
    fn a_guest_that_never_exits_is_interrupted() {
        const JUMP_TO_ITSELF: [u8; 2] = [0xeb, 0xfe];
        let (sender, receiver) = mpsc::sync_channel(0);
        let thread = std::thread::spawn(move || {
            interrupt::prepare_thread();
            sender.send(None).unwrap();
            let outcome = guest::count(&JUMP_TO_ITSELF, Duration::MAX);
            sender.send(Some(outcome)).unwrap();
        });
        assert!(receiver.recv().unwrap().is_none());
        interrupt::kick(&thread);
        match receiver.recv_timeout(Duration::from_secs(20)).unwrap() {
            // Where there is no KVM there is nothing to interrupt.
            Some(Outcome::Counted { iterations: 0, .. } | Outcome::Absent(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}
