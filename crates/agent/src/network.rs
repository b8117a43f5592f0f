//! The guest's network: loopback and one NIC with a fixed address, set in one netlink request.
//!
//! The host's hardware address is known beforehand, so there is no ARP between the guest's first packet and
//! the host's answer.

use std::io;
use std::net::IpAddr;

use agent::protocol::{GUEST, HOST, HOST_MAC, PREFIX};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

const NIC: &str = "eth0";
const LOOPBACK: &str = "lo";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no network interface {name:?}")]
    NoInterface { name: &'static str, source: Errno },
    #[error("the netlink socket failed")]
    Socket(#[source] io::Error),
    #[error("cannot {what}")]
    Refused {
        what: &'static str,
        source: io::Error,
    },
    #[error("the kernel's answer on the netlink socket cannot be read: {0}")]
    Answer(String),
}

/// Brings loopback and NIC up, with address, route and neighbour.
pub(crate) fn up() -> Result<(), Error> {
    let index = |name| if_nametoindex(name).map_err(|source| Error::NoInterface { name, source });
    let (lo, nic) = (index(LOOPBACK)?, index(NIC)?);
    let requests = [
        ("bring eth0 up", RouteNetlinkMessage::SetLink(link_up(nic))),
        (
            "set the address of eth0",
            RouteNetlinkMessage::NewAddress(address(nic)),
        ),
        (
            "add the host as a neighbour",
            RouteNetlinkMessage::NewNeighbour(neighbour(nic)),
        ),
        (
            "add the default route",
            RouteNetlinkMessage::NewRoute(default_route(nic)),
        ),
        ("bring lo up", RouteNetlinkMessage::SetLink(link_up(lo))),
    ];

    let mut packets = Vec::new();
    for (sequence, (_, request)) in (0u32..).zip(&requests) {
        let mut packet = NetlinkMessage::from(request.clone());
        packet.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        packet.header.sequence_number = sequence;
        packet.finalize();
        let start = packets.len();
        packets.resize(start + packet.buffer_len(), 0);
        packet.serialize(&mut packets[start..]);
    }
    let socket = Socket::new(NETLINK_ROUTE).map_err(Error::Socket)?;
    socket
        .connect(&SocketAddr::new(0, 0))
        .map_err(Error::Socket)?;
    socket.send(&packets, 0).map_err(Error::Socket)?;

    let mut answered = 0;
    while answered < requests.len() {
        let (answers, _) = socket.recv_from_full().map_err(Error::Socket)?;
        let mut rest = answers.as_slice();
        while !rest.is_empty() {
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| Error::Answer(error.to_string()))?;
            rest = rest
                .get(answer.header.length as usize..)
                .unwrap_or_default();
            let NetlinkPayload::Error(error) = answer.payload else {
                continue;
            };
            answered += 1;
            if error.code.is_some() {
                let at = answer.header.sequence_number as usize;
                let what = requests
                    .get(at)
                    .map_or("set up the network", |(what, _)| what);
                return Err(Error::Refused {
                    what,
                    source: error.to_io(),
                });
            }
        }
    }
    Ok(())
}

fn link_up(index: u32) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    link
}

fn address(index: u32) -> AddressMessage {
    let mut address = AddressMessage::default();
    address.header.family = AddressFamily::Inet;
    address.header.prefix_len = PREFIX;
    address.header.index = index;
    address.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(GUEST)),
        AddressAttribute::Address(IpAddr::V4(GUEST)),
    ];
    address
}

fn neighbour(index: u32) -> NeighbourMessage {
    let mut neighbour = NeighbourMessage::default();
    neighbour.header.family = AddressFamily::Inet;
    neighbour.header.ifindex = index;
    neighbour.header.state = NeighbourState::Permanent;
    neighbour.header.kind = RouteType::Unicast;
    neighbour.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(HOST)),
        NeighbourAttribute::LinkLayerAddress(HOST_MAC.to_vec()),
    ];
    neighbour
}

/// The route to everywhere, through the host.
fn default_route(index: u32) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Boot;
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    route.attributes = vec![
        RouteAttribute::Gateway(RouteAddress::Inet(HOST)),
        RouteAttribute::Oif(index),
    ];
    route
}
