//! How a process is started in the guest, and what it finds there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vmm::agent::Error;
use vmm::agent::protocol::{GuestFile, Limits, Process};

use crate::guest::{boot, code, command, script};

#[tokio::test]
async fn output_and_exit_code_come_back() {
    let guest = boot().await;
    assert!(guest.session.hello.uptime_us > 0);
    let outcome = guest.run(script("echo out; echo err >&2; exit 7")).await;
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(outcome.exited, code(7));
}

#[tokio::test]
async fn the_process_gets_what_it_was_given() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let process = Process {
        env: vec![("GREETING".into(), "hello world".into())],
        cwd: "/made/for/it".into(),
        user: "app".into(),
        hostname: "hello-1".into(),
        time_unix_us: now.as_micros() as u64,
        files: vec![GuestFile {
            path: "/etc/secret/key".into(),
            mode: 0o400,
            contents: b"s3cret".to_vec(),
        }],
        dns: vec!["192.0.2.53".into()],
        rlimit_nofile: 4321,
        ..command(&["busybox", "sh", "-c", FACTS])
    };
    let outcome = boot().await.run(process).await;
    assert_eq!(outcome.stderr, "");
    let (facts, time) = outcome.stdout.rsplit_once("time ").unwrap();
    let expected = [
        "greeting hello world",
        "path /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "home /home/app",
        "cwd /made/for/it",
        "user 1000 1001 1001 50",
        "hostname hello-1",
        "nofile 4321 4321",
        "hosts 172.16.0.2 hello-1",
        "dns nameserver 192.0.2.53",
        "secret -r-------- 6",
        "session leader",
        "signals 0",
        "stdin empty",
        "",
    ];
    assert_eq!(
        facts.lines().collect::<Vec<_>>(),
        expected[..expected.len() - 1]
    );
    let time = Duration::from_secs(time.trim().parse().unwrap());
    assert!(
        time + Duration::from_secs(1) >= now,
        "the guest's clock says {time:?}, the host's {now:?}"
    );
}

const FACTS: &str = r"
    echo greeting $GREETING
    echo path $PATH
    echo home $HOME
    echo cwd $(pwd)
    echo user $(id -u) $(id -g) $(id -G)
    echo hostname $(hostname)
    echo nofile $(ulimit -Sn) $(ulimit -Hn)
    echo hosts $(grep hello /etc/hosts)
    echo dns $(cat /etc/resolv.conf)
    echo secret $(stat -c '%A %s' /etc/secret/key)
    read -r pid name state parent group session rest < /proc/$$/stat
    [ $session = $$ ] && echo session leader
    mask() { echo 0x$(grep $1 /proc/$$/status | cut -f2); }
    # SIGPIPE is 13, SIGCHLD 17.
    echo signals $(( ($(mask SigBlk) | $(mask SigIgn)) & 0x11000 ))
    echo stdin $(read -r line || echo empty)
    echo time $(date +%s)
";

#[tokio::test]
async fn the_guest_is_furnished_like_a_container() {
    let outcome = boot().await.run(script(FURNITURE)).await;
    assert_eq!(outcome.stderr, "");
    let expected = [
        "writable",
        "/ overlay",
        "/dev devtmpfs",
        "/proc proc",
        "/sys sysfs",
        "/dev/pts devpts",
        "/dev/shm tmpfs",
        "/dev/mqueue mqueue",
        "/proc/sys proc",
        "/sys/fs/cgroup cgroup2",
        "no console",
        "tmp drwxrwxrwt",
        "to stdout",
        "lo 127.0.0.1/8",
        "eth0 172.16.0.2/24",
        "default via 172.16.0.1 dev eth0 ",
        "nameserver 192.0.2.1",
        "no zombies",
    ];
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), expected);
}

const FURNITURE: &str = r"
    echo writable > /etc/new && cat /etc/new
    cut -d' ' -f2,3 /proc/mounts | grep -v '^/ rootfs' | grep -v ^/sys/fs/cgroup
    cut -d' ' -f2,3 /proc/mounts | grep ^/sys/fs/cgroup
    [ -e /dev/console ] || echo no console
    echo tmp $(stat -c %A /tmp)
    echo to stdout > /dev/stdout
    ip -o -4 addr | while read -r number name family address rest; do echo $name $address; done
    ip route | grep default
    cat /etc/resolv.conf
    # Orphans: their parent is gone before they are.
    for i in 1 2 3; do (sh -c 'sleep 0.05' &) ; done
    until ! ps -o stat,comm | grep -q sleep; do sleep 0.05; done
    ps -o stat | grep -q Z || echo no zombies
";

#[tokio::test]
async fn the_process_reads_its_limits_where_programs_look_and_can_change_neither_them_nor_the_kernels()
 {
    let process = Process {
        limits: Limits {
            memory_bytes: 128 << 20,
            cpu_milli: 1000,
            cpu_request_milli: 125,
        },
        ..script(LIMITS)
    };
    let outcome = boot().await.run(process).await;
    assert_eq!(outcome.stderr, "");
    let expected = [
        "group 0::/",
        "memory.max 134217728",
        "cpu.max 100000 100000",
        "cpu.weight 5",
        "closed memory.max",
        "closed cgroup.procs",
        "closed /proc/sys/kernel/hostname",
        "counted",
    ];
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), expected);
}

const LIMITS: &str = r"
    echo group $(cat /proc/self/cgroup)
    cd /sys/fs/cgroup
    for name in memory.max cpu.max cpu.weight; do echo $name $(cat $name); done
    for name in memory.max cgroup.procs /proc/sys/kernel/hostname; do
        (echo 0 > $name) 2>/dev/null || echo closed $name
    done
    [ $(cat memory.current) -gt 0 ] && echo counted
";

#[tokio::test]
async fn more_output_than_any_buffer_holds_arrives_whole() {
    let outcome = boot()
        .await
        .run(script("yes 0123456 | head -c 8000000; echo end >&2"))
        .await;
    assert_eq!(outcome.stdout.len(), 8_000_000);
    assert!(outcome.stdout.lines().all(|line| line == "0123456"));
    assert_eq!(
        (outcome.stderr.as_str(), outcome.exited),
        ("end\n", code(0))
    );
}

#[tokio::test]
async fn a_process_that_cannot_be_started_is_reported_with_stage_and_object() {
    let user = |user: &str| Process {
        user: user.into(),
        ..script("true")
    };
    let cwd = |cwd: &str| Process {
        cwd: cwd.into(),
        ..script("true")
    };
    for (process, stage, message) in [
        (
            command(&["/app/server"]),
            "exec",
            r#""/app/server": No such file or directory"#,
        ),
        (
            command(&["/bin/plain"]),
            "exec",
            r#""/bin/plain": Permission denied"#,
        ),
        (
            user("nobody"),
            "user",
            r#"there is no user "nobody" in the image's /etc/passwd"#,
        ),
        (
            cwd("/etc/passwd"),
            "workdir",
            r#""/etc/passwd": Not a directory"#,
        ),
    ] {
        let Err(error) = boot().await.start(process).await else {
            panic!("{stage}: it was started")
        };
        let Error::Failed {
            stage: failed,
            message: said,
        } = &error
        else {
            panic!("{stage}: {error}")
        };
        assert_eq!((failed.as_str(), said.as_str()), (stage, message));
    }
}
