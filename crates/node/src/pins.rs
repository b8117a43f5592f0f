//! Which images revisions need, written down for many revisions at once: each write replaces the whole list, and is on the disk
//! before it counts.

use std::sync::{Arc, Mutex, PoisonError};

use image::{Digest, Error, Pin, Store};
use tokio::sync::{Mutex as Turn, oneshot};

/// Says whether a wish came true. Nobody may listen any more.
type Answer = oneshot::Sender<Result<(), Error>>;

/// The pins of an image store. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Pins(Arc<Inner>);

struct Inner {
    store: Store,
    waiting: Mutex<Vec<(Pin, Answer)>>,
    /// Whoever has it writes what has come to wait meanwhile.
    turn: Turn<()>,
}

/// The task that was to write was stopped.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Pins {
    pub(crate) fn new(store: Store) -> Self {
        Self(Arc::new(Inner {
            store,
            waiting: Mutex::default(),
            turn: Turn::default(),
        }))
    }

    /// Keeps an image for a holder.
    pub(crate) async fn pin(
        &self,
        image: &Digest,
        holder: &str,
    ) -> Result<Result<(), Error>, Stopped> {
        let image = Some(image.clone());
        let holder = holder.to_owned();
        self.set(Pin { holder, image }).await
    }

    /// Keeps none for it any more.
    pub(crate) async fn let_go(&self, holder: String) -> Result<Result<(), Error>, Stopped> {
        let image = None;
        self.set(Pin { holder, image }).await
    }

    async fn set(&self, pin: Pin) -> Result<Result<(), Error>, Stopped> {
        let (answer, answered) = oneshot::channel();
        self.waiting().push((pin, answer));
        let turn = self.0.turn.lock().await;
        let batch = std::mem::take(&mut *self.waiting());
        if !batch.is_empty() {
            let store = self.0.store.clone();
            // Its end is told by the answers.
            let _ = tokio::task::spawn_blocking(move || write(&store, batch)).await;
        }
        drop(turn);
        answered.await.map_err(|_| Stopped)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<(Pin, Answer)>> {
        // Nothing done under the lock stops half way.
        let waiting = self.0.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }
}

/// All at once, or if one of them cannot be had, each by itself.
fn write(store: &Store, mut batch: Vec<(Pin, Answer)>) {
    // Who does not wait any more is gone, and would hold its image for ever.
    batch.retain(|(_, answer)| !answer.is_closed());
    if batch.len() > 1 {
        let pins: Vec<Pin> = batch.iter().map(|(pin, _)| pin.clone()).collect();
        if store.set_pins(&pins).is_ok() {
            for (_, answer) in batch {
                // It may have gone meanwhile.
                let _ = answer.send(Ok(()));
            }
            return;
        }
    }
    for (pin, answer) in batch {
        let _ = answer.send(store.set_pins(&[pin]));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::future::join_all;
    use image::{BuildSpec, Source};

    use super::*;

    #[tokio::test]
    async fn pins_that_are_set_at_once_are_all_set_but_for_those_of_no_image() {
        let folder = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "x").unwrap();
        let store = Store::open(folder.path()).unwrap();
        let built = store.build(BuildSpec {
            name: "dev.local/f:latest".parse().unwrap(),
            source: Source::Folder(root.path().to_owned()),
            entrypoint: vec!["/file".to_owned()],
            cmd: Vec::new(),
            env: Vec::new(),
            workdir: String::new(),
            user: String::new(),
            ports: Vec::new(),
            labels: BTreeMap::new(),
        });
        let image = built.unwrap().digest;
        let pins = Pins::new(store.clone());
        let absent = Digest::of(b"absent");
        let holders: Vec<String> = (0..40).map(|index| format!("holder-{index}")).collect();
        let set = |good: &[bool]| {
            let wishes: Vec<_> = holders.iter().zip(good.iter().cycle().copied()).collect();
            let (pins, image, absent) = (&pins, &image, &absent);
            join_all(wishes.into_iter().map(|(holder, good)| async move {
                let image = if good { image } else { absent };
                pins.pin(image, holder).await.unwrap().is_ok() == good
            }))
        };
        assert!(set(&[true]).await.into_iter().all(|it| it));
        let count = || {
            let index = std::fs::read_to_string(folder.path().join("index.json")).unwrap();
            index.matches("holder-").count()
        };
        assert_eq!(count(), 40);
        let gone = holders.iter().map(|it| pins.let_go(it.clone()));
        assert!(
            join_all(gone)
                .await
                .into_iter()
                .all(|it| it.unwrap().is_ok())
        );
        assert_eq!(count(), 0);
        assert!(set(&[true, false, true]).await.into_iter().all(|it| it));
        assert_eq!(count(), 27);
    }
}
