//! Namespaces, taps and links. Needs root and `/dev/net/tun`.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::netns::{DIRECTORY, Error, NetNs};
use sys::{link, tap};

const HOST: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 1);
const GUEST: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 2);
const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const GUEST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A namespace of a name of its own that is gone when the test ends, also when it fails.
struct Scratch(NetNs);

impl Scratch {
    fn new() -> Self {
        Self(NetNs::create(&path()).expect("making a network namespace needs root"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = NetNs::delete(self.0.path());
    }
}

fn path() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Path::new(DIRECTORY).join(format!("systest-{}-{number}", std::process::id()))
}

fn current_namespace() -> u64 {
    fs::metadata("/proc/thread-self/ns/net").unwrap().ino()
}

#[test]
fn a_created_namespace_is_another_than_ours_and_its_loopback_works() {
    let scratch = Scratch::new();
    let home = current_namespace();
    let inside = scratch.0.enter(current_namespace).unwrap();
    assert_ne!(home, inside);
    assert_eq!(inside, fs::metadata(scratch.0.path()).unwrap().ino());
    assert_eq!(home, current_namespace());

    let listener = scratch
        .0
        .tcp_listen(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7))
        .unwrap();
    let mut client = scratch
        .0
        .tcp_connect_nonblocking(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7))
        .unwrap();
    wait(&listener, PollFlags::POLLIN);
    let (mut server, _) = listener.accept().unwrap();
    wait(&client, PollFlags::POLLOUT);
    assert!(client.nodelay().unwrap());
    client.write_all(b"ping").unwrap();
    let mut word = [0; 4];
    server.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"ping");
}

#[test]
fn a_port_in_one_namespace_is_free_in_the_next() {
    let (one, two) = (Scratch::new(), Scratch::new());
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 8080);
    let _one = one.0.tcp_listen(address).unwrap();
    let _two = two.0.tcp_listen(address).unwrap();
    assert!(matches!(
        one.0.tcp_listen(address),
        Err(Error::Socket {
            step: "listen on",
            ..
        })
    ));
}

#[test]
fn a_thread_comes_back_from_a_namespace_also_when_its_work_panics() {
    let scratch = Scratch::new();
    let home = current_namespace();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        scratch.0.enter(|| panic!("on purpose"))
    }));
    assert!(result.is_err());
    assert_eq!(home, current_namespace());
}

#[test]
fn a_namespace_cannot_be_made_twice_and_can_be_deleted_twice() {
    let scratch = Scratch::new();
    let path = scratch.0.path().to_owned();
    assert!(matches!(NetNs::create(&path), Err(Error::Exists { .. })));
    assert_eq!(
        NetNs::open(&path)
            .unwrap()
            .enter(current_namespace)
            .unwrap(),
        scratch.0.enter(current_namespace).unwrap(),
        "the refused creation must leave the first namespace alone"
    );
    NetNs::delete(&path).unwrap();
    assert!(!path.exists());
    NetNs::delete(&path).unwrap();
}

#[test]
fn deleting_also_removes_a_name_that_never_got_its_namespace() {
    let path = path();
    fs::create_dir_all(DIRECTORY).unwrap();
    File::create(&path).unwrap();
    NetNs::delete(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn namespaces_are_listed_by_the_start_of_their_name() {
    let (one, two) = (Scratch::new(), Scratch::new());
    let prefix = format!("systest-{}-", std::process::id());
    let listed: HashSet<_> = NetNs::list(&prefix).unwrap().into_iter().collect();
    assert!(listed.contains(one.0.path()) && listed.contains(two.0.path()));
    assert_eq!(
        NetNs::list("systest-no-such-prefix").unwrap(),
        Vec::<PathBuf>::new()
    );
}

#[test]
fn the_first_packet_to_a_permanent_neighbour_leaves_the_tap_with_no_arp_before_it() {
    let scratch = Scratch::new();
    let tap = scratch
        .0
        .enter(|| {
            let tap = tap::create("tap0", false).expect("a tap needs /dev/net/tun");
            link::set_mac("tap0", HOST_MAC).unwrap();
            link::add_address("tap0", HOST, 24).unwrap();
            link::set_up("tap0").unwrap();
            link::add_neighbour("tap0", GUEST, GUEST_MAC).unwrap();
            // Doing it again changes nothing: the calls say what shall be, not what to add.
            link::add_address("tap0", HOST, 24).unwrap();
            link::add_neighbour("tap0", GUEST, GUEST_MAC).unwrap();
            tap
        })
        .unwrap();
    scratch
        .0
        .enter(|| {
            let socket = UdpSocket::bind((HOST, 0)).unwrap();
            socket.send_to(b"hello", (GUEST, 9)).unwrap();
        })
        .unwrap();

    let mut tap = File::from(tap.fd);
    let frame = loop {
        wait(&tap, PollFlags::POLLIN);
        let mut buffer = [0; 2048];
        let length = tap.read(&mut buffer).unwrap();
        let frame = buffer[10..length].to_vec(); // after the virtio_net_hdr
        assert_ne!(frame[12..14], [0x08, 0x06], "an ARP request went out");
        if frame[12..14] == [0x08, 0x00] {
            break frame; // IPv4; the kernel may have sent IPv6 multicast of its own before
        }
    };
    assert_eq!(frame[0..6], GUEST_MAC);
    assert_eq!(frame[6..12], HOST_MAC);
    assert!(frame.ends_with(b"hello"));
}

#[test]
fn a_tap_goes_away_with_its_descriptor() {
    let scratch = Scratch::new();
    scratch
        .0
        .enter(|| {
            let tap = tap::create("tap0", false).unwrap();
            link::set_up("tap0").unwrap();
            drop(tap);
            assert!(matches!(
                link::set_up("tap0"),
                Err(link::Error::NoSuchLink { .. })
            ));
            tap::create("tap0", true).unwrap();
        })
        .unwrap();
}

#[test]
fn refusals_name_the_link_and_the_request() {
    let scratch = Scratch::new();
    scratch
        .0
        .enter(|| {
            let error = link::add_address("lo", HOST, 99).unwrap_err();
            assert_eq!(
                error.to_string(),
                "cannot add an address on the network link \"lo\""
            );
            let error = tap::create("a-name-longer-than-the-kernel-takes", false).unwrap_err();
            assert!(matches!(error, tap::Error::Name(_)));
        })
        .unwrap();
}

#[test]
fn descriptors_are_not_inherited_by_programs_we_start() {
    let scratch = Scratch::new();
    let tap = scratch
        .0
        .enter(|| tap::create("tap0", false).unwrap())
        .unwrap();
    let stream: TcpListener = scratch
        .0
        .tcp_listen(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7))
        .unwrap();
    let namespace = File::open(scratch.0.path()).unwrap();
    for flags in [
        rustix::io::fcntl_getfd(&tap.fd).unwrap(),
        rustix::io::fcntl_getfd(&stream).unwrap(),
        rustix::io::fcntl_getfd(&namespace).unwrap(),
    ] {
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}

/// Waits until `events` happen on `fd`, and fails the test if they do not.
fn wait(fd: &impl std::os::fd::AsFd, events: PollFlags) {
    let mut fds = [PollFd::new(fd.as_fd(), events)];
    let ready = poll(&mut fds, PollTimeout::from(10_000u16)).unwrap();
    assert_eq!(ready, 1, "nothing happened on the descriptor");
}
