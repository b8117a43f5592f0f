//! A QEMU that speaks from a script.

use super::*;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

const SOON: Duration = Duration::from_secs(10);
const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;

/// Greets, then answers each command with what `answer` makes of it; no lines end the connection.
fn qemu(answer: impl Fn(&str, u64) -> Vec<String> + Send + 'static) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    tokio::spawn(async move {
        let (read, mut write) = theirs.into_split();
        let mut lines = BufReader::new(read).lines();
        write
            .write_all(format!("{GREETING}\r\n").as_bytes())
            .await
            .unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            let command: Value = serde_json::from_str(&line).unwrap();
            let id = command["id"].as_u64().unwrap();
            let answers = match command["execute"].as_str().unwrap() {
                "qmp_capabilities" => vec![ok(id)],
                name => answer(name, id),
            };
            if answers.is_empty() {
                return;
            }
            for answer in answers {
                write
                    .write_all(format!("{answer}\r\n").as_bytes())
                    .await
                    .unwrap();
            }
        }
    });
    ours
}

fn ok(id: u64) -> String {
    json!({ "return": { "status": "running" }, "id": id }).to_string()
}

#[tokio::test]
async fn a_command_returns_its_own_answer_and_events_are_kept() {
    let stream = qemu(|_, id| {
        vec![
            ok(id - 1),
            json!({ "event": "STOP", "data": { "a": 1 } }).to_string(),
            ok(id),
        ]
    });
    let mut qmp = Qmp::connect(stream, SOON).await.unwrap();
    let value = qmp.execute("query-status", None, SOON).await.unwrap();
    assert_eq!(value, json!({ "status": "running" }));
    let event = qmp.next_event().await.unwrap();
    assert_eq!(
        event,
        Event {
            name: "STOP".into(),
            data: json!({ "a": 1 })
        }
    );
}

#[tokio::test]
async fn an_event_is_waited_for_by_its_name_and_others_are_kept() {
    let event = |name: &str, n: u32| json!({ "event": name, "data": { "n": n } }).to_string();
    let stream = qemu(move |command, id| match command {
        "migrate" => vec![
            event("STOP", 1),
            event("MIGRATION", 2),
            ok(id),
            event("RESUME", 3),
            event("MIGRATION", 4),
        ],
        _ => vec![ok(id)],
    });
    let mut qmp = Qmp::connect(stream, SOON).await.unwrap();
    qmp.execute("migrate", None, SOON).await.unwrap();
    for n in [2, 4] {
        let data = qmp.event("MIGRATION", "migrate", SOON).await.unwrap();
        assert_eq!(data, json!({ "n": n }));
    }
    assert_eq!(qmp.next_event().await.unwrap().name, "STOP");
    assert_eq!(qmp.next_event().await.unwrap().name, "RESUME");
}

#[tokio::test]
async fn a_refusal_carries_the_command() {
    let stream = qemu(|_, id| {
        vec![
            json!({ "id": id, "error": { "class": "GenericError", "desc": "not now" } })
                .to_string(),
        ]
    });
    let mut qmp = Qmp::connect(stream, SOON).await.unwrap();
    let error = qmp.execute("cont", None, SOON).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"QEMU refused "cont": GenericError: not now"#
    );
}

#[tokio::test]
async fn a_qemu_that_dies_says_at_which_command() {
    let stream = qemu(|_, _| Vec::new());
    let mut qmp = Qmp::connect(stream, SOON).await.unwrap();
    let error = qmp.execute("stop", None, SOON).await.unwrap_err();
    assert!(
        matches!(error, Error::Closed { command: "stop" }),
        "{error}"
    );
    assert!(qmp.next_event().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn silence_ends_with_the_deadline_and_a_late_answer_is_not_taken_for_the_next() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs
        .write_all(format!("{GREETING}\n{}\n", ok(1)).as_bytes())
        .await
        .unwrap();
    let mut qmp = Qmp::connect(ours, SOON).await.unwrap();
    let error = qmp.execute("stop", None, SOON).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::TimedOut {
                command: "stop",
                ..
            }
        ),
        "{error}"
    );
    let late = json!({ "return": "late", "id": 2 });
    let own = json!({ "return": "own", "id": 3 });
    theirs
        .write_all(format!("{late}\n{own}\n").as_bytes())
        .await
        .unwrap();
    assert_eq!(qmp.execute("cont", None, SOON).await.unwrap(), json!("own"));
}

#[tokio::test]
async fn a_line_without_end_is_refused() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    tokio::spawn(async move {
        let flood = vec![b' '; 64 * 1024];
        while theirs.write_all(&flood).await.is_ok() {}
    });
    let error = Qmp::connect(ours, SOON).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error}");
}
