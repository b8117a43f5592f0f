//! Links, addresses and neighbours, set through netlink in the caller's network namespace.
//!
//! Every call is one request and its acknowledgement on a socket of its own, so a call works in
//! whichever namespace the calling thread is in (see [`crate::netns::NetNs::enter`]). The messages are
//! those of rtnetlink(7).

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteType;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// What was asked of the kernel, for which link, and how it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No link of this name exists in the caller's namespace.
    #[error("no network link named {link:?}")]
    NoSuchLink {
        /// The link's name.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused the request, or the netlink socket failed.
    #[error("cannot {request} on the network link {link:?}")]
    Request {
        /// What was asked for.
        request: &'static str,
        /// The link's name.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The result of a change to a link.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Brings the link up.
pub fn set_up(name: &str) -> Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index(name)?;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    request(
        name,
        "bring the interface up",
        RouteNetlinkMessage::SetLink(link),
        0,
    )
}

/// Gives the link the hardware address `mac`.
pub fn set_mac(name: &str, mac: [u8; 6]) -> Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index(name)?;
    link.attributes.push(LinkAttribute::Address(mac.to_vec()));
    request(
        name,
        "set the hardware address",
        RouteNetlinkMessage::SetLink(link),
        0,
    )
}

/// Gives the link an IPv4 address, and with it the route to its network (`prefix_len` in bits).
/// The address may be there already.
pub fn add_address(name: &str, address: Ipv4Addr, prefix_len: u8) -> Result<()> {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix_len;
    message.header.index = index(name)?;
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address)),
        AddressAttribute::Address(IpAddr::V4(address)),
    ];
    request(
        name,
        "add an address",
        RouteNetlinkMessage::NewAddress(message),
        NLM_F_CREATE | NLM_F_REPLACE,
    )
}

/// Tells the kernel for good that `address` has the hardware address `mac` on this link, so that it
/// never has to ask by ARP. An entry for the same address is replaced.
pub fn add_neighbour(name: &str, address: Ipv4Addr, mac: [u8; 6]) -> Result<()> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = index(name)?;
    message.header.state = NeighbourState::Permanent;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)),
        NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
    ];
    request(
        name,
        "add a neighbour",
        RouteNetlinkMessage::NewNeighbour(message),
        NLM_F_CREATE | NLM_F_REPLACE,
    )
}

fn index(name: &str) -> Result<u32> {
    nix::net::if_::if_nametoindex(name).map_err(|errno| Error::NoSuchLink {
        link: name.to_owned(),
        source: errno.into(),
    })
}

fn request(
    link: &str,
    request: &'static str,
    message: RouteNetlinkMessage,
    flags: u16,
) -> Result<()> {
    exchange(message, flags).map_err(|source| Error::Request {
        request,
        link: link.to_owned(),
        source,
    })
}

/// Sends one request and reads its acknowledgement.
fn exchange(message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;

    let mut packet = NetlinkMessage::from(message);
    packet.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    match answer.payload {
        // An error message of code 0 is the acknowledgement, by RFC 3549 section 2.3.2.2.
        NetlinkPayload::Error(error) if error.code.is_none() => Ok(()),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("expected an acknowledgement, got {other:?}"),
        )),
    }
}
