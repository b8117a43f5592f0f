//! What a Pod's function printed: `kubectl logs` and `vhive logs` (`pods/NAME/log`, as `k8s.io/kubernetes/pkg/kubelet` answers it).

use std::time::Duration;

use api::Status;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;
use sandbox::State as InstanceState;
use sandbox::logs::{self, From, Line};
use serde::Deserialize;
use serde_json::Value;

use super::container::instance_of;
use super::{PODS, Shown};
use crate::instances::{Instance, Instances};

/// Entries that are sent as one piece, if they are there: a log of many short lines would be as many frames.
const PIECE: usize = 256;

/// The route of logs, also of instances that have ended and are no Pods any more.
pub(crate) fn router(instances: Instances, shown: Shown) -> Router {
    Router::new()
        .route("/api/v1/namespaces/{namespace}/pods/{name}/log", get(log))
        .with_state(Known { instances, shown })
}

/// Where logs are looked for.
#[derive(Clone)]
struct Known {
    instances: Instances,
    shown: Shown,
}

/// `PodLogOptions`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    container: String,
    follow: bool,
    previous: bool,
    timestamps: bool,
    since_seconds: Option<i64>,
    since_time: Option<Timestamp>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
    stream: Option<String>,
}

impl Options {
    /// The first field that may not have its value, and why (`pkg/apis/core/validation`, `ValidatePodLogOptions`).
    fn error(&self) -> Option<(&'static str, String)> {
        let least = |field, value: Option<i64>, least: i64, text: &str| {
            let value = value.filter(|value| *value < least)?;
            Some((field, format!("Invalid value: {value}: must be {text}")))
        };
        if self.since_seconds.is_some() && self.since_time.is_some() {
            let text = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
            return Some(("", text.to_owned()));
        }
        if let Some(stream) = &self.stream
            && !["All", "Stdout", "Stderr"].contains(&stream.as_str())
        {
            let text = format!(
                "Unsupported value: {stream:?}: supported values: \"All\", \"Stdout\", \"Stderr\""
            );
            return Some(("stream", text));
        }
        least(
            "tailLines",
            self.tail_lines,
            0,
            "greater than or equal to 0",
        )
        .or_else(|| least("limitBytes", self.limit_bytes, 1, "greater than 0"))
        .or_else(|| least("sinceSeconds", self.since_seconds, 1, "greater than 0"))
    }

    /// The time before which nothing is wanted.
    fn since(&self, now: Timestamp) -> Option<Timestamp> {
        let seconds = self.since_seconds.and_then(|it| u64::try_from(it).ok());
        let from = seconds.and_then(|it| now.checked_sub(Duration::from_secs(it)).ok());
        self.since_time.or(from)
    }
}

async fn log(
    State(known): State<Known>,
    Path((namespace, name)): Path<(String, String)>,
    options: Result<Query<Options>, QueryRejection>,
) -> Response {
    match answer(&known, &namespace, &name, options).await {
        Ok(body) => plain(body),
        Err(status) => {
            let code =
                StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (code, Json(*status)).into_response()
        }
    }
}

type Refusal = Box<Status>;

fn refused(message: String) -> Refusal {
    Box::new(Status::bad_request(message))
}

impl Known {
    /// The instance whose log is asked for (`kubelet_pods.go`, `validateContainerLogStatus`). One that waits, and has not
    /// printed anything, has the log of its predecessor; one that was stopped is a Pod no more, and still has its own.
    async fn instance(
        &self,
        (namespace, name): (&str, &str),
        options: &Options,
    ) -> Result<Instance, Refusal> {
        let of_namespace = |id: &str| {
            let instance = self.instances.get(id)?;
            (*instance.revision.namespace == *namespace).then_some(instance)
        };
        let pod = self.shown.pod(namespace, name);
        let itself = of_namespace(name);
        let container = match (&pod, &itself) {
            (Some(pod), _) => text(pod, "/spec/containers/0/name").to_owned(),
            (None, Some(instance)) => instance.container.clone(),
            (None, None) => return Err(Box::new(Status::not_found(&PODS, name))),
        };
        let asked = &options.container;
        if !asked.is_empty() && *asked != container {
            return Err(refused(format!(
                "container {asked} is not valid for pod {name}"
            )));
        }
        let pod = pod.unwrap_or_default();
        let status = &pod["status"]["containerStatuses"][0];
        let before = text(status, "/lastState/terminated/containerID");
        let before = instance_of(before).and_then(of_namespace);
        let waits = text(status, "/state/waiting/reason");
        let chosen = match itself {
            _ if options.previous => {
                return before.ok_or_else(|| {
                    refused(format!(
                        "previous terminated container {container:?} in pod {name:?} not found"
                    ))
                });
            }
            // It prints before it answers, if it gets that far.
            Some(instance)
                if waits.is_empty()
                    || options.follow
                    || has_printed(instance.handle.log()).await =>
            {
                Some(instance)
            }
            itself => before.or(itself),
        };
        chosen.ok_or_else(|| {
            let waits = match waits {
                "ImagePullBackOff" => "trying and failing to pull image",
                "" => "it has not been scheduled",
                reason => reason,
            };
            refused(format!(
                "container {container:?} in pod {name:?} is waiting to start: {waits}"
            ))
        })
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

async fn answer(
    known: &Known,
    namespace: &str,
    name: &str,
    options: Result<Query<Options>, QueryRejection>,
) -> Result<Body, Refusal> {
    let Query(options) = options.map_err(|error| refused(error.body_text()))?;
    if let Some((field, message)) = options.error() {
        return Err(Box::new(invalid(name, field, &message)));
    }
    let instance = known.instance((namespace, name), &options).await?;
    let container = &instance.container;
    let from = options.tail_lines.map_or(From::Start, |lines| {
        From::Tail(usize::try_from(lines).unwrap_or(usize::MAX))
    });
    let ended = instance.handle.state().is_terminal();
    // Of one that failed before its function printed anything, the failure is what there is to say.
    if ended && !has_printed(instance.handle.log()).await {
        return Ok(last_words(&instance));
    }
    match logs::follow(instance.handle.log(), from, options.follow).await {
        Ok(entries) => {
            let printer = Printer::new(&options, Timestamp::now());
            let pieces = print(entries, printer);
            Ok(Body::from_stream(pieces))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !ended => {
            Err(refused(format!(
                "container {container:?} in pod {name:?} is waiting to start: ContainerCreating"
            )))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(last_words(&instance)),
        Err(error) => Err(Box::new(Status::failure(
            500,
            "InternalError",
            format!("Internal error occurred: the log cannot be read: {error}"),
        ))),
    }
}

fn invalid(name: &str, field: &str, message: &str) -> Status {
    let at = if field.is_empty() {
        String::new()
    } else {
        format!("{field}: ")
    };
    let text = format!("PodLogOptions {name:?} is invalid: {at}{message}");
    let mut status = Status::failure(422, "Invalid", text).of(&PODS, name);
    if let Some(details) = &mut status.details {
        "PodLogOptions".clone_into(&mut details.kind);
    }
    status
}

async fn has_printed(log: &logs::Log) -> bool {
    let file = tokio::fs::metadata(log.path()).await;
    file.is_ok_and(|file| file.len() > 0)
}

fn last_words(instance: &Instance) -> Body {
    match instance.handle.state() {
        InstanceState::Failed(failure) => Body::from(format!("{}\n", failure.message)),
        _ => Body::empty(),
    }
}

fn plain(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// The entries as clients want them, in pieces, until there are no more or enough.
fn print(
    entries: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    printer: Printer,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let chunks = Box::pin(entries.ready_chunks(PIECE));
    stream::unfold((chunks, printer), |(mut chunks, mut printer)| async move {
        while !printer.is_done() {
            let mut piece = BytesMut::new();
            for entry in chunks.next().await? {
                match entry {
                    Ok(entry) => printer.print(&entry, &mut piece),
                    Err(error) => {
                        printer.left = Some(0);
                        return Some((Err(error), (chunks, printer)));
                    }
                }
            }
            if !piece.is_empty() {
                return Some((Ok(piece.freeze()), (chunks, printer)));
            }
        }
        None
    })
}

/// How entries become text.
#[derive(Debug)]
struct Printer {
    timestamps: bool,
    since: Option<Timestamp>,
    only: Option<logs::Stream>,
    /// Bytes that may still be sent.
    left: Option<usize>,
    /// Whether what was printed last was the end of a line.
    at_line_start: bool,
}

impl Printer {
    fn new(options: &Options, now: Timestamp) -> Self {
        Self {
            timestamps: options.timestamps,
            since: options.since(now),
            only: match options.stream.as_deref() {
                Some("Stdout") => Some(logs::Stream::Stdout),
                Some("Stderr") => Some(logs::Stream::Stderr),
                _ => None,
            },
            left: options
                .limit_bytes
                .map(|it| usize::try_from(it).unwrap_or(usize::MAX)),
            at_line_start: true,
        }
    }

    /// Whether nothing more may be sent.
    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    fn print(&mut self, entry: &[u8], out: &mut BytesMut) {
        let Some(line) = Line::parse(entry) else {
            return;
        };
        let early = self.since.is_some_and(|since| line.time < since);
        if early || self.only.is_some_and(|only| line.stream != only) {
            return;
        }
        if self.timestamps && self.at_line_start {
            self.put(format!("{:.9} ", line.time).as_bytes(), out);
        }
        self.put(line.text, out);
        if !line.partial {
            self.put(b"\n", out);
        }
        self.at_line_start = !line.partial;
    }

    fn put(&mut self, bytes: &[u8], out: &mut BytesMut) {
        let length = self.left.map_or(bytes.len(), |left| left.min(bytes.len()));
        out.extend_from_slice(&bytes[..length]);
        self.left = self.left.map(|left| left - length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: [&str; 4] = [
        "2026-01-02T03:04:05.000000001Z stdout F one",
        "2026-01-02T03:04:06.000000000Z stderr P tw",
        "2026-01-02T03:04:07.000000000Z stderr F o",
        "2026-01-02T03:04:08.500000000Z stdout F three",
    ];

    fn printed(options: &Options) -> String {
        let mut printer = Printer::new(options, "2026-01-02T03:04:10Z".parse().unwrap());
        let mut out = BytesMut::new();
        for entry in LOG {
            printer.print(entry.as_bytes(), &mut out);
        }
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn lines_are_put_together_and_carry_their_time_if_asked() {
        assert_eq!(printed(&Options::default()), "one\ntwo\nthree\n");
        let times = Options {
            timestamps: true,
            ..Options::default()
        };
        assert_eq!(
            printed(&times),
            "2026-01-02T03:04:05.000000001Z one\n2026-01-02T03:04:06.000000000Z two\n\
             2026-01-02T03:04:08.500000000Z three\n"
        );
    }

    #[test]
    fn what_is_too_early_or_too_much_or_of_the_other_stream_is_left_out() {
        for (options, expected) in [
            (
                Options {
                    since_seconds: Some(2),
                    ..Options::default()
                },
                "three\n",
            ),
            (
                Options {
                    since_time: Some("2026-01-02T03:04:07Z".parse().unwrap()),
                    ..Options::default()
                },
                "o\nthree\n",
            ),
            (
                Options {
                    limit_bytes: Some(6),
                    ..Options::default()
                },
                "one\ntw",
            ),
            (
                Options {
                    stream: Some("Stderr".to_owned()),
                    ..Options::default()
                },
                "two\n",
            ),
        ] {
            assert_eq!(printed(&options), expected, "{options:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_ends_when_enough_was_sent_though_the_log_goes_on() {
        let entries = stream::iter(LOG.map(|it| Ok(Bytes::from_static(it.as_bytes()))))
            .chain(stream::pending());
        let options = Options {
            limit_bytes: Some(5),
            ..Options::default()
        };
        let pieces = print(entries, Printer::new(&options, Timestamp::UNIX_EPOCH));
        let text: Vec<u8> = pieces
            .map(|piece| piece.unwrap().to_vec())
            .collect::<Vec<_>>()
            .await
            .concat();
        assert_eq!(text, b"one\nt");
    }

    #[test]
    fn options_that_make_no_sense_are_named() {
        for (options, expected) in [
            (
                Options {
                    tail_lines: Some(-1),
                    ..Options::default()
                },
                "tailLines: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                Options {
                    limit_bytes: Some(0),
                    ..Options::default()
                },
                "limitBytes: Invalid value: 0: must be greater than 0",
            ),
            (
                Options {
                    stream: Some("Both".to_owned()),
                    ..Options::default()
                },
                "stream: Unsupported value: \"Both\": supported values: \"All\", \"Stdout\", \"Stderr\"",
            ),
        ] {
            let (field, message) = options.error().unwrap();
            assert_eq!(format!("{field}: {message}"), expected);
        }
    }
}
