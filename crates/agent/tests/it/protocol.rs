use agent::protocol::{
    Contents, Decoder, Error, Exec, ExecEnd, Executed, Exited, Failed, Frame, GuestFile, Hello,
    Limits, MAX_EXEC_OUTPUT, MAX_FRAME, MAX_MESSAGE, MAX_VOLUME_BYTES, Mount, Process, Resume,
    Shutdown, Signal, Started, Step, Stream, ToGuest, ToHost, Update, VERSION, Volume, decode,
    encode, output,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn file() -> impl Strategy<Value = GuestFile> {
    (any::<String>(), any::<u32>(), vec(any::<u8>(), 0..300)).prop_map(|(path, mode, contents)| {
        GuestFile {
            path,
            mode,
            contents,
        }
    })
}

fn contents() -> impl Strategy<Value = Contents> {
    (any::<String>(), vec(file(), 0..3)).prop_map(|(name, files)| Contents { name, files })
}

fn volume() -> impl Strategy<Value = Volume> {
    let mount = any::<([String; 2], bool)>().prop_map(|([path, sub_path], read_only)| Mount {
        path,
        sub_path,
        read_only,
    });
    (
        any::<(String, u64)>(),
        option::of(vec(file(), 0..3)),
        vec(mount, 0..3),
    )
        .prop_map(|((name, size_limit), files, mounts)| Volume {
            name,
            size_limit,
            files,
            mounts,
        })
}

fn resume() -> impl Strategy<Value = Resume> {
    (
        any::<u64>(),
        vec(any::<u8>(), 0..100),
        any::<String>(),
        vec(file(), 0..3),
        vec(contents(), 0..3),
    )
        .prop_map(|(time_unix_us, entropy, hostname, files, volumes)| Resume {
            time_unix_us,
            entropy,
            hostname,
            files,
            volumes,
        })
}

fn process() -> impl Strategy<Value = Process> {
    (
        vec(any::<String>(), 0..4),
        vec(any::<(String, String)>(), 0..4),
        any::<[String; 3]>(),
        any::<[u64; 2]>(),
        vec(file(), 0..3),
        vec(any::<String>(), 0..3),
        vec(volume(), 0..3),
        any::<[u64; 3]>(),
    )
        .prop_map(
            |(
                argv,
                env,
                [cwd, user, hostname],
                [time_unix_us, rlimit_nofile],
                files,
                dns,
                volumes,
                [memory_bytes, cpu_milli, cpu_request_milli],
            )| {
                Process {
                    argv,
                    env,
                    cwd,
                    user,
                    hostname,
                    time_unix_us,
                    files,
                    dns,
                    rlimit_nofile,
                    volumes,
                    limits: Limits {
                        memory_bytes,
                        cpu_milli,
                        cpu_request_milli,
                    },
                }
            },
        )
}

fn exec() -> impl Strategy<Value = Exec> {
    (
        vec(any::<String>(), 0..4),
        vec(any::<(String, String)>(), 0..4),
        any::<[String; 2]>(),
        any::<[u64; 3]>(),
    )
        .prop_map(
            |(argv, env, [cwd, user], [id, timeout_ms, max_output])| Exec {
                id,
                argv,
                env,
                cwd,
                user,
                timeout_ms,
                max_output,
            },
        )
}

fn executed() -> impl Strategy<Value = Executed> {
    let end = prop_oneof![
        any::<i32>().prop_map(|code| ExecEnd::Exited { code }),
        any::<i32>().prop_map(|signal| ExecEnd::Signaled { signal }),
        Just(ExecEnd::TimedOut),
        any::<[String; 2]>()
            .prop_map(|[stage, message]| ExecEnd::NotStarted(Failed { stage, message })),
    ];
    (
        any::<(u64, bool)>(),
        end,
        vec(any::<u8>(), 0..300),
        vec(any::<u8>(), 0..300),
    )
        .prop_map(|((id, truncated), end, stdout, stderr)| Executed {
            id,
            end,
            stdout,
            stderr,
            truncated,
        })
}

fn to_guest() -> impl Strategy<Value = ToGuest> {
    prop_oneof![
        process().prop_map(ToGuest::Start),
        any::<i32>().prop_map(|signal| ToGuest::Signal(Signal { signal })),
        any::<u64>().prop_map(|grace_ms| ToGuest::Shutdown(Shutdown { grace_ms })),
        Just(ToGuest::Quiesce),
        resume().prop_map(ToGuest::Resume),
        vec(contents(), 0..3).prop_map(|volumes| ToGuest::Update(Update { volumes })),
        exec().prop_map(ToGuest::Exec),
    ]
}

fn to_host() -> impl Strategy<Value = ToHost> {
    let step = any::<(String, u64)>().prop_map(|(name, end_us)| Step { name, end_us });
    prop_oneof![
        (
            any::<u32>(),
            any::<[String; 2]>(),
            any::<u64>(),
            any::<bool>()
        )
            .prop_map(
                |(version, [agent, kernel], uptime_us, resumed)| ToHost::Hello(Hello {
                    version,
                    agent,
                    kernel,
                    uptime_us,
                    resumed,
                })
            ),
        (any::<u32>(), vec(step, 0..4))
            .prop_map(|(pid, steps)| ToHost::Started(Started { pid, steps })),
        (
            option::of(any::<i32>()),
            option::of(any::<i32>()),
            any::<bool>()
        )
            .prop_map(|(code, signal, oom)| ToHost::Exited(Exited { code, signal, oom })),
        any::<[String; 2]>().prop_map(|[stage, message]| ToHost::Failed(Failed { stage, message })),
        Just(ToHost::Quiesced),
        Just(ToHost::Resumed),
        executed().prop_map(ToHost::Executed),
    ]
}

/// Pushes `wire` in pieces of `piece` bytes and takes every frame.
fn frames(wire: &[u8], piece: usize) -> Result<Vec<Frame>, Error> {
    let mut decoder = Decoder::new();
    let mut frames = Vec::new();
    for bytes in wire.chunks(piece) {
        decoder.push(bytes);
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn messages_and_output_come_out_as_they_went_in_however_the_bytes_are_cut(
        commands in vec(to_guest(), 1..4),
        events in vec(to_host(), 1..4),
        written in vec(any::<u8>(), 1..2000),
        piece in 1usize..4000,
    ) {
        let mut wire = Vec::new();
        for command in &commands {
            encode(command, &mut wire).unwrap();
        }
        output(Stream::Stderr, &written, &mut wire);
        for event in &events {
            encode(event, &mut wire).unwrap();
        }
        let mut frames = frames(&wire, piece).unwrap().into_iter();
        for command in commands {
            let Some(Frame::Control(json)) = frames.next() else { panic!("a command is missing") };
            prop_assert_eq!(decode::<ToGuest>(&json).unwrap(), command);
        }
        prop_assert_eq!(frames.next(), Some(Frame::Output(Stream::Stderr, written)));
        for event in events {
            let Some(Frame::Control(json)) = frames.next() else { panic!("an event is missing") };
            prop_assert_eq!(decode::<ToHost>(&json).unwrap(), event);
        }
        prop_assert_eq!(frames.next(), None);
    }

    #[test]
    fn garbage_is_refused_or_waited_on_but_never_panics(wire in vec(any::<u8>(), 0..3000), piece in 1usize..500) {
        if let Ok(frames) = frames(&wire, piece) {
            for frame in frames {
                if let Frame::Control(json) = frame {
                    let _ = decode::<ToHost>(&json);
                    let _ = decode::<ToGuest>(&json);
                }
            }
        }
    }

    #[test]
    fn a_message_with_a_flipped_byte_never_panics(message in to_host(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut wire = Vec::new();
        encode(&message, &mut wire).unwrap();
        let at = at.index(wire.len());
        wire[at] = byte;
        for frame in frames(&wire, wire.len()).unwrap_or_default() {
            if let Frame::Control(json) = frame {
                let _ = decode::<ToHost>(&json);
            }
        }
    }
}

#[test]
fn a_message_longer_than_a_frame_is_sent_in_parts() {
    let start = ToGuest::Start(Process {
        files: vec![GuestFile {
            path: "/config".into(),
            mode: 0o600,
            contents: vec![7; 3 * MAX_FRAME],
        }],
        ..Process::default()
    });
    let mut wire = Vec::new();
    encode(&start, &mut wire).unwrap();
    let frames = frames(&wire, 1000).unwrap();
    let [Frame::Control(json)] = frames.as_slice() else {
        panic!("{} frames", frames.len())
    };
    assert_eq!(decode::<ToGuest>(json).unwrap(), start);
}

#[test]
fn volumes_as_large_as_they_may_be_fit_into_one_message() {
    let file = |number: usize| GuestFile {
        path: number.to_string(),
        mode: 0o644,
        contents: vec![7; MAX_VOLUME_BYTES / 4],
    };
    let update = ToGuest::Update(Update {
        volumes: vec![Contents {
            name: "all".into(),
            files: (0..4).map(file).collect(),
        }],
    });
    let mut wire = Vec::new();
    encode(&update, &mut wire).unwrap();
    let frames = frames(&wire, 1 << 20).unwrap();
    let [Frame::Control(json)] = frames.as_slice() else {
        panic!("{} frames", frames.len())
    };
    assert_eq!(decode::<ToGuest>(json).unwrap(), update);
}

#[test]
fn the_output_of_a_command_fits_into_one_message_when_it_is_as_long_as_it_may_be() {
    let executed = ToHost::Executed(Executed {
        id: u64::MAX,
        end: ExecEnd::Exited { code: -1 },
        stdout: vec![7; MAX_EXEC_OUTPUT],
        stderr: vec![7; MAX_EXEC_OUTPUT],
        truncated: true,
    });
    let mut wire = Vec::new();
    encode(&executed, &mut wire).unwrap();
    let frames = frames(&wire, 1 << 20).unwrap();
    let [Frame::Control(json)] = frames.as_slice() else {
        panic!("{} frames", frames.len())
    };
    assert_eq!(decode::<ToHost>(json).unwrap(), executed);
}

#[test]
fn printing_a_command_shows_neither_its_arguments_nor_what_it_said() {
    let exec = Exec {
        argv: vec!["/login".into(), "hunter2".into()],
        env: vec![("PASSWORD".into(), "hunter2".into())],
        ..Exec::default()
    };
    let executed = Executed {
        id: 1,
        end: ExecEnd::TimedOut,
        stdout: b"hunter2".to_vec(),
        stderr: Vec::new(),
        truncated: false,
    };
    let printed = format!("{:?} {:?}", ToGuest::Exec(exec), ToHost::Executed(executed));
    assert!(
        printed.contains("/login") && printed.contains("PASSWORD"),
        "{printed}"
    );
    let secret = format!("{:?}", b"hunter2");
    assert!(
        !printed.contains("hunter2") && !printed.contains(&secret),
        "{printed}"
    );
}

#[test]
fn printing_a_process_shows_no_secret() {
    let file = GuestFile {
        path: "token".into(),
        mode: 0o400,
        contents: b"hunter2".to_vec(),
    };
    let process = Process {
        env: vec![("PASSWORD".into(), "hunter2".into())],
        files: vec![file.clone()],
        volumes: vec![Volume {
            files: Some(vec![file]),
            ..Volume::default()
        }],
        ..Process::default()
    };
    let printed = format!("{:?}", ToGuest::Start(process));
    assert!(
        printed.contains("PASSWORD") && printed.contains("token"),
        "{printed}"
    );
    let secret = format!("{:?}", b"hunter2");
    assert!(
        !printed.contains("hunter2") && !printed.contains(&secret),
        "{printed}"
    );
}

#[test]
fn output_longer_than_a_frame_is_cut() {
    let written = vec![b'x'; 2 * MAX_FRAME];
    let mut wire = Vec::new();
    output(Stream::Stdout, &written, &mut wire);
    let mut together = Vec::new();
    for frame in frames(&wire, 777).unwrap() {
        let Frame::Output(Stream::Stdout, bytes) = frame else {
            panic!("not output")
        };
        together.extend(bytes);
    }
    assert_eq!(together, written);
}

#[test]
fn a_frame_over_the_limit_is_refused_before_its_payload_arrives() {
    let length = MAX_FRAME as u32 + 1;
    let error = frames(&length.to_le_bytes(), 4).unwrap_err();
    assert!(
        matches!(error, Error::FrameTooLong { length } if length == MAX_FRAME + 1),
        "{error}"
    );
}

#[test]
fn an_empty_frame_and_an_unknown_kind_are_refused() {
    assert!(matches!(frames(&[0, 0, 0, 0], 4), Err(Error::Empty)));
    // What a guest that speaks HTTP would send first, with a length that passes.
    assert!(matches!(
        frames(&[200, 0, 0, 0, b'H'], 5),
        Err(Error::UnknownKind { kind: b'H' })
    ));
}

#[test]
fn endless_parts_are_refused() {
    let mut wire = Vec::new();
    wire.extend_from_slice(&(MAX_FRAME as u32).to_le_bytes());
    wire.push(2);
    wire.resize(4 + MAX_FRAME, b' ');
    let mut decoder = Decoder::new();
    let error = (0..=MAX_MESSAGE / MAX_FRAME + 1).find_map(|_| {
        decoder.push(&wire);
        decoder.next_frame().err()
    });
    assert!(matches!(error, Some(Error::MessageTooLong)));
}

#[test]
fn the_decoder_knows_whether_a_message_is_half_read() {
    let mut wire = Vec::new();
    encode(&ToGuest::Signal(Signal { signal: 15 }), &mut wire).unwrap();
    let mut decoder = Decoder::new();
    assert!(decoder.is_empty());
    decoder.push(&wire[..wire.len() - 1]);
    assert!(decoder.next_frame().unwrap().is_none());
    assert!(!decoder.is_empty());
    decoder.push(&wire[wire.len() - 1..]);
    assert!(decoder.next_frame().unwrap().is_some());
    assert!(decoder.is_empty());
}

#[test]
fn messages_are_tagged_by_type() {
    let hello = ToHost::Hello(Hello {
        version: VERSION,
        agent: "0.1.0".into(),
        kernel: "6.1.0".into(),
        uptime_us: 5,
        resumed: false,
    });
    let json = serde_json::to_string(&hello).unwrap();
    assert!(
        json.starts_with(r#"{"type":"hello","version":4,"#),
        "{json}"
    );
}
