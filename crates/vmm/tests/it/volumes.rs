//! What a process sees of its volumes.

use vmm::agent::Event;
use vmm::agent::protocol::{Contents, GuestFile, Mount, Process, Resume, Volume};

use crate::guest::{PATIENCE, Running, boot, script};

fn file(path: &str, mode: u32, contents: impl Into<Vec<u8>>) -> GuestFile {
    GuestFile {
        path: path.into(),
        mode,
        contents: contents.into(),
    }
}

fn mount(path: &str, sub_path: &str) -> Mount {
    Mount {
        path: path.into(),
        sub_path: sub_path.into(),
        read_only: true,
    }
}

/// A volume of the host's, seen at these places.
fn written(name: &str, files: Vec<GuestFile>, mounts: Vec<Mount>) -> Volume {
    Volume {
        name: name.into(),
        size_limit: 0,
        files: Some(files),
        mounts,
    }
}

/// A volume of the process's own, at `/scratch` and, its folder `sub`, at `/other` and, only to be read, at `/ro`.
fn scratch() -> Volume {
    let mount = |path, sub_path| Mount {
        read_only: false,
        ..mount(path, sub_path)
    };
    Volume {
        name: "scratch".into(),
        size_limit: 1 << 20,
        files: None,
        mounts: vec![
            mount("/scratch", ""),
            mount("/other", "sub"),
            Mount {
                read_only: true,
                ..mount("/ro", "sub")
            },
        ],
    }
}

#[tokio::test]
async fn a_process_reads_what_it_was_given_and_writes_where_it_may() {
    const FACTS: &str = r"
        echo greeting $(cat /config/greeting) $(stat -L -c '%a %u:%g' /config/greeting)
        echo deep $(cat /config/deep/er/file)
        echo alone $(cat /etc/app/alone.conf)
        echo secret $(cat /secret/key) $(stat -L -c '%a %u:%g' /secret/key)
        echo nested $(cat /scratch/nested/greeting)
        echo large $(wc -c < /large/blob)
        echo data > /scratch/a && echo scratch $(cat /scratch/a) $(stat -c %a /scratch)
        echo sub > /other/b && echo sub $(cat /scratch/sub/b)
        dd if=/dev/zero of=/scratch/big bs=64k count=100 2>/dev/null || echo full $(($(stat -c %s /scratch/big) <= 1048576))
        echo shell $(cat /bin/plain) hosts $(cat /etc/hosts)
        for path in /config/new /secret/key /etc/app/alone.conf; do (echo x >$path) 2>&1; done
        touch /ro/new 2>&1
        ls -d /.volumes 2>&1
    ";
    let greeting = || file("greeting", 0o644, "hello");
    let process = Process {
        user: "app".into(),
        volumes: vec![
            // What is mounted inside another may be named before it.
            written(
                "nested",
                vec![greeting()],
                vec![mount("/scratch/nested", "")],
            ),
            scratch(),
            written(
                "config",
                vec![greeting(), file("deep/er/file", 0o600, "far down")],
                vec![
                    // Whatever is asked for, nobody but the host writes here.
                    Mount {
                        read_only: false,
                        ..mount("/config", "")
                    },
                    mount("/etc/app/alone.conf", "greeting"),
                    // The image has another file there.
                    mount("/bin/plain", "greeting"),
                    // The agent has something to write there.
                    mount("/etc/hosts", "greeting"),
                ],
            ),
            written(
                "secret",
                vec![file("key", 0o400, "s3cret")],
                vec![mount("/secret", "")],
            ),
            written(
                "large",
                vec![file("blob", 0o644, vec![7; 1 << 20])],
                vec![mount("/large", "")],
            ),
        ],
        ..script(FACTS)
    };
    let outcome = boot().await.run(process).await;
    assert_eq!(outcome.stderr, "");
    let expected = [
        "greeting hello 644 1000:1001",
        "deep far down",
        "alone hello",
        "secret s3cret 400 1000:1001",
        "nested hello",
        "large 1048576",
        "scratch data 777",
        "sub sub",
        "full 1",
        "shell hello hosts hello",
        "sh: can't create /config/new: Read-only file system",
        "sh: can't create /secret/key: Read-only file system",
        "sh: can't create /etc/app/alone.conf: Read-only file system",
        "touch: /ro/new: Read-only file system",
        "ls: /.volumes: No such file or directory",
    ];
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), expected);
}

/// Tells whenever the file has another word in it, and what mounts of the file and of a folder alone have.
const WATCH: &str = "last=; while :; do word=$(cat /config/word)
    if [ \"$word\" != \"$last\" ]; then
        last=$word; echo $word, alone $(cat /alone) $(cat /part/word), all $(ls /config)
    fi; sleep 0.05; done";

fn words(words: &[(&str, &str)]) -> Vec<GuestFile> {
    let words = words.iter();
    words.map(|(name, word)| file(name, 0o644, *word)).collect()
}

fn contents(files: &[(&str, &str)]) -> Vec<Contents> {
    vec![Contents {
        name: "config".into(),
        files: words(files),
    }]
}

async fn watching() -> Running {
    let process = Process {
        volumes: vec![written(
            "config",
            words(&[("word", "one"), ("deep/word", "one")]),
            vec![
                mount("/config", ""),
                mount("/alone", "word"),
                mount("/part", "deep"),
            ],
        )],
        ..script(WATCH)
    };
    let mut guest = boot().await.start(process).await.unwrap();
    guest.wait_for("one, alone one one, all deep word\n").await;
    guest
}

#[tokio::test]
async fn what_is_mounted_as_a_whole_changes_while_the_process_runs_and_a_part_does_not() {
    let mut guest = watching().await;
    let update = contents(&[("word", "two"), ("new", "")]);
    guest.commands.update(update).await.unwrap();
    guest.wait_for("two, alone one one, all new word\n").await;
    // What cannot be done is no reason to end.
    let unknown = Contents {
        name: "none".into(),
        files: Vec::new(),
    };
    guest.commands.update(vec![unknown]).await.unwrap();
    guest
        .commands
        .update(contents(&[("word", "three")]))
        .await
        .unwrap();
    guest.wait_for("three, alone one one, all word\n").await;
}

#[tokio::test]
async fn a_guest_that_comes_back_finds_what_its_volumes_hold_now() {
    let Running {
        machine,
        mut commands,
        mut events,
        place,
    } = watching().await;
    commands.quiesce().await.unwrap();
    let left = async { while !matches!(events.next().await.unwrap(), Event::Quiesced) {} };
    tokio::time::timeout(PATIENCE, left).await.unwrap();
    drop((commands, events));
    let mut session = place.listen().accept_resumed(PATIENCE).await.unwrap();
    let resume = Resume {
        volumes: contents(&[("word", "two")]),
        ..Resume::default()
    };
    session.resume(resume, PATIENCE).await.unwrap();
    let (commands, events) = session.split();
    let mut guest = Running {
        machine,
        commands,
        events,
        place,
    };
    guest.wait_for("two, alone one one, all word\n").await;
}

#[tokio::test]
async fn what_cannot_be_mounted_is_told_by_name() {
    for (mount, expected) in [
        (
            mount("/alone", "wrod"),
            r#"volumes: volume "config" has no "wrod""#,
        ),
        (
            mount("/bin/plain", ""),
            r#"volumes: cannot mount volume "config" on "/bin/plain": Not a directory"#,
        ),
        (
            mount("/etc/../proc", ""),
            r#"volumes: cannot mount volume "config" on "/etc/../proc", which is inside /proc"#,
        ),
    ] {
        let process = Process {
            volumes: vec![written("config", words(&[("word", "")]), vec![mount])],
            ..script("true")
        };
        let Err(error) = boot().await.start(process).await else {
            panic!("it was started");
        };
        assert_eq!(error.to_string(), expected);
    }
}
