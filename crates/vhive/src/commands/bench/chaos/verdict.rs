//! Whether each request was treated as it may be.

use std::time::Duration;

use http::StatusCode;

use super::Kill;
use super::load::{End, Request};
use crate::output;

/// What is to be said of all requests.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    kills: usize,
    answered: usize,
    /// In flight on an instance when it was killed, and told so.
    lost: usize,
    /// Sent to an instance that was dead, before anybody could know.
    unnoticed: usize,
    /// From a kill until the last request was sent there.
    noticed: Duration,
    /// Kills of instances that had a request in flight.
    felt: usize,
    pub(super) violations: Vec<String>,
}

impl Verdict {
    pub(super) fn of(requests: &[Request], kills: &[Kill]) -> Self {
        let mut verdict = Self {
            kills: kills.len(),
            ..Self::default()
        };
        let mut felt = vec![false; kills.len()];
        for request in requests {
            if request.is_well() {
                verdict.answered += 1;
            } else if let Some(kill) = killed(request, kills) {
                let late = request.started.saturating_duration_since(kills[kill].at);
                if late.is_zero() {
                    verdict.lost += 1;
                } else {
                    verdict.unnoticed += 1;
                    verdict.noticed = verdict.noticed.max(late);
                }
                felt[kill] = true;
            } else {
                verdict.violations.push(words(request));
            }
        }
        verdict.felt = felt.into_iter().filter(|it| *it).count();
        verdict
    }

    /// Whether it is as it must be, and anything was tried.
    pub(super) fn holds(&self) -> bool {
        self.violations.is_empty() && self.answered > 0 && self.kills > 0
    }

    pub(super) fn table(&self) -> String {
        let requests = self.answered + self.lost + self.unnoticed + self.violations.len();
        let share =
            |count: usize| format!("{:.2} %", count as f64 * 100.0 / requests.max(1) as f64);
        let row = |name: &str, count: usize| vec![name.to_owned(), count.to_string(), share(count)];
        let alone =
            |name: &str, count: usize| vec![name.to_owned(), count.to_string(), String::new()];
        output::table(
            ["", "COUNT", "OF REQUESTS"],
            [
                row("requests", requests),
                row("answered by the function", self.answered),
                row(
                    "in flight on an instance when it was killed: 502 or 503",
                    self.lost,
                ),
                row(
                    "sent to it before its end was noticed: the same",
                    self.unnoticed,
                ),
                row("violations", self.violations.len()),
                alone("instances killed", self.kills),
                alone("of them felt by a request", self.felt),
            ],
        )
    }

    /// How long after a kill a request was still sent to the instance.
    pub(super) fn noticed(&self) -> Duration {
        self.noticed
    }
}

/// How long after a kill a request may still be sent to the instance: the node hears of the end of a process when that is scheduled.
const NOTICED: Duration = Duration::from_millis(500);

/// The kill that is the reason for the end of a request, if it says so: it names the instance, and was in flight at that time, or sent
/// there right after.
fn killed(request: &Request, kills: &[Kill]) -> Option<usize> {
    let End::Response { status, body } = &request.end else {
        return None;
    };
    if !matches!(
        *status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE
    ) {
        return None;
    }
    kills.iter().position(|kill| {
        request.started <= kill.at + NOTICED
            && kill.at <= request.ended
            && body.contains(&format!("instance {} ", kill.instance))
    })
}

fn words(request: &Request) -> String {
    let took = output::duration(request.ended - request.started);
    let number = request.number;
    match &request.end {
        End::Response { status, body } => {
            format!("request {number}: {status} after {took}: {}", body.trim())
        }
        End::None(why) => format!("request {number}: no response, after {took}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    struct Times(Instant);

    impl Times {
        fn request(&self, from: u64, to: u64, status: u16, body: &str) -> Request {
            Request {
                number: 7,
                started: self.0 + Duration::from_secs(from),
                ended: self.0 + Duration::from_secs(to),
                end: End::Response {
                    status: StatusCode::from_u16(status).unwrap(),
                    body: body.to_owned(),
                },
            }
        }

        fn kill(&self, at: u64, instance: &str) -> Kill {
            Kill {
                instance: instance.to_owned(),
                at: self.0 + Duration::from_secs(at),
            }
        }
    }

    const LOST: &str = "instance f-1 of revision default/f broke off before it answered";

    #[test]
    fn a_request_may_be_lost_with_the_instance_that_it_names_at_the_time_of_its_kill() {
        let times = Times(Instant::now());
        let well = times.request(0, 9, 200, "Hello, 7!\n");
        let kills = [times.kill(2, "f-1"), times.kill(5, "f-2")];
        let fine = [well.clone(), times.request(1, 3, 502, LOST)];
        let verdict = Verdict::of(&fine, &kills);
        assert!(verdict.holds(), "{:?}", verdict.violations);
        assert_eq!((verdict.answered, verdict.lost, verdict.felt), (1, 1, 1));
        let mut late = times.request(2, 3, 502, LOST);
        late.started += NOTICED / 2;
        let verdict = Verdict::of(&[well.clone(), late], &kills);
        assert!(verdict.holds(), "{:?}", verdict.violations);
        assert_eq!((verdict.lost, verdict.unnoticed), (0, 1));
        assert_eq!(verdict.noticed(), NOTICED / 2);
        for bad in [
            times.request(3, 4, 502, LOST),
            times.request(4, 6, 502, LOST),
            times.request(1, 3, 500, LOST),
            times.request(1, 3, 502, "Bad Gateway"),
            times.request(1, 3, 503, "revision default/f has no instance"),
            times.request(1, 3, 200, "Hello, 8!\n"),
            Request {
                end: End::None("connection reset".to_owned()),
                ..times.request(1, 3, 502, "")
            },
        ] {
            let verdict = Verdict::of(&[well.clone(), bad.clone()], &kills);
            assert!(!verdict.holds(), "{bad:?}");
            assert_eq!(verdict.violations.len(), 1);
        }
    }

    #[test]
    fn a_run_in_which_nothing_was_killed_or_answered_shows_nothing() {
        let times = Times(Instant::now());
        let kills = [times.kill(2, "f-1")];
        let well = [times.request(0, 9, 200, "Hello, 7!\n")];
        assert!(!Verdict::of(&well, &[]).holds());
        assert!(!Verdict::of(&[], &kills).holds());
        assert!(Verdict::of(&well, &kills).holds());
    }
}
