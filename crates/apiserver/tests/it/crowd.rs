//! A thousand watchers: nobody waits for them, those that follow miss nothing, and those that do not are told so.

use apiserver::store::Options;
use serde_json::json;

use crate::inside::Inside;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const LOG: usize = 16;
const WRITES: usize = 2 * LOG;

#[tokio::test]
async fn nobody_waits_for_a_thousand_watchers_that_do_not_read() {
    let inside = Inside::new(Options {
        log_events: LOG,
        ..Options::default()
    })
    .await;
    let from = inside.store.resource_version();
    let query = format!("{MAPS}?watch=true&resourceVersion={from}");
    let (mut asleep, mut awake) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        asleep.push(inside.watch(&query).await);
        awake.push(inside.watch(&query).await);
    }
    // Of the thousand nobody reads anything meanwhile: the writes are answered all the same.
    for at in 0..LOG {
        let object = json!({"metadata": {"name": format!("n{at:03}")}});
        let (code, made) = inside
            .send("POST", MAPS, "application/json", object.to_string())
            .await;
        assert_eq!(code, 201, "{made}");
    }
    for events in &mut awake {
        for at in 0..LOG {
            let event = events.next().await.unwrap();
            assert_eq!(
                (&event["type"], &event["object"]["metadata"]["name"]),
                (&json!("ADDED"), &json!(format!("n{at:03}")))
            );
        }
    }
    for at in LOG..WRITES {
        let object = json!({"metadata": {"name": format!("n{at:03}")}});
        let (code, made) = inside
            .send("POST", MAPS, "application/json", object.to_string())
            .await;
        assert_eq!(code, 201, "{made}");
    }
    for events in &mut awake {
        for at in LOG..WRITES {
            let event = events.next().await.unwrap();
            assert_eq!(event["object"]["metadata"]["name"], format!("n{at:03}"));
        }
    }
    // Those that fell behind are told to list again, and their streams end.
    for events in &mut asleep {
        let event = events.next().await.unwrap();
        assert_eq!(
            (
                &event["type"],
                &event["object"]["code"],
                &event["object"]["reason"]
            ),
            (&json!("ERROR"), &json!(410), &json!("Expired"))
        );
        assert_eq!(events.next().await, None);
    }
}
