//! What was acknowledged survives a kill, and a full disk loses nothing.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use apiserver::{Store, store::Error};

use crate::store::{key, thing};

const CHILD: &str = "APISERVER_TEST_STORE";

/// Not a test of its own: the process that the test below starts and kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(path) = env::var_os(CHILD) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let store = Store::open(Path::new(&path)).unwrap();
    runtime.block_on(async {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for round in 0_u64.. {
                        let name = format!("w{writer}-{round}");
                        let object = store
                            .create(&key(&name), thing(&name, round))
                            .await
                            .unwrap();
                        let version = object.resource_version();
                        // Raw, because the test harness captures what is printed.
                        let line = format!("ack {name} {version}\n");
                        std::io::stderr().write_all(line.as_bytes()).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut acknowledged = Vec::new();
    for kill_after in [1, 40, 300] {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "durability::child_that_writes_until_it_is_killed",
                "--nocapture",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stderr.take().unwrap());
        let mut read = |acknowledged: &mut Vec<(String, u64)>| {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            // Without its end it was cut off by the kill, and says nothing.
            let line = line.strip_suffix('\n')?;
            if let Some((name, version)) = line
                .strip_prefix("ack ")
                .and_then(|line| line.split_once(' '))
            {
                acknowledged.push((name.to_owned(), version.parse().unwrap()));
            }
            Some(())
        };
        let enough = acknowledged.len() + kill_after;
        while acknowledged.len() < enough {
            read(&mut acknowledged).expect("the child died by itself");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        while read(&mut acknowledged).is_some() {}

        let store = Store::open(&path).unwrap();
        for (name, version) in &acknowledged {
            let object = store
                .get(&key(name))
                .unwrap_or_else(|| panic!("{name} is lost"));
            assert_eq!(object.resource_version(), *version);
        }
        // The next child writes other names.
        for object in store.list("things.example.com", None).objects {
            let delete = store.delete(object.key(), apiserver::store::Preconditions::default());
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
                .block_on(delete)
                .unwrap();
        }
        acknowledged.clear();
    }
}

/// A file system of a few megabytes, gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(
            mounted.success(),
            "this test mounts a small tmpfs: run it as root"
        );
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_keeps_reads_and_recovers() {
    let disk = SmallDisk::mount();
    let path = disk.0.path().join("store.redb");
    let store = Store::open(&path).unwrap();
    let ballast = disk.0.path().join("ballast");
    let mut large = thing("a", 0);
    large["spec"]["text"] = "x".repeat(100_000).into();
    let mut stored = 0;
    let error = loop {
        match store
            .create(&key(&format!("n{stored}")), large.clone())
            .await
        {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        if stored == 1 {
            // Little is left.
            let _ = std::fs::write(&ballast, vec![0; 3 << 20]);
        }
        assert!(stored < 100, "the disk never filled up");
    };
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert!(store.get(&key("n0")).is_some(), "reads go on");
    let version = store.resource_version();

    std::fs::remove_file(&ballast).unwrap();
    let next = store
        .create(&key("after"), thing("after", 1))
        .await
        .unwrap();
    assert_eq!(next.resource_version(), version + 1);
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(
        store.list("things.example.com", None).objects.len(),
        stored + 1
    );
}
