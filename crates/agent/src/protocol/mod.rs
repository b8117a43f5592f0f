//! What host and guest say to each other, over a TCP connection which the guest opens.
//!
//! ```text
//! guest  ── Hello ──────────────▶  host     as soon as the NIC is up
//!        ◀────────────── Start ──
//!        ── Started or Failed ──▶
//!        ── stdout, stderr ─────▶           while the function runs
//!        ◀── Signal, Update, … ──
//!        ◀──────────── Exec, n ──           any number at once
//!        ── Executed, n ────────▶
//!        ◀──────────── Shutdown ─
//!        ── Exited ─────────────▶           the last message; the guest then powers off
//! ```
//!
//! If the connection ends early, the guest powers off: nobody is left to hear from it.
//!
//! A guest that is to be saved leaves by agreement, and dials until somebody answers: the same host after it was saved,
//! or the host of one of its clones. No connection is part of a snapshot.
//!
//! ```text
//! guest  ◀──────────── Quiesce ──  host
//!        ── Quiesced ───────────▶           the last message; the guest closes, and dials anew
//!
//!        ── Hello, resumed ─────▶           on a new connection
//!        ◀───────────── Resume ──
//!        ── Resumed or Failed ──▶
//!        ── stdout, stderr ─────▶           and so on, as above
//! ```

mod frame;
mod message;

pub use frame::{Decoder, Error, Frame, MAX_FRAME, MAX_MESSAGE, Stream, decode, encode, output};
pub use message::{
    Contents, Exec, ExecEnd, Executed, Exited, Failed, GuestFile, Hello, Limits, Mount, Process,
    Resume, Shutdown, Signal, Started, Step, ToGuest, ToHost, Update, Volume,
};

use std::net::Ipv4Addr;

/// Version of the protocol. Host and guest must agree: both come out of one build.
pub const VERSION: u32 = 4;

/// Most bytes of each output of a command that is kept: both pass in one message, in base64.
pub const MAX_EXEC_OUTPUT: usize = 2 * 1024 * 1024;

/// Most commands that run at once beside the process.
pub const MAX_EXECS: usize = 64;

/// Most bytes that all files of a process's volumes may have together: they pass in one message, in base64.
pub const MAX_VOLUME_BYTES: usize = 4 * 1024 * 1024;

/// Most bytes that one volume takes of the guest's memory whose files come from the host, the old beside the new while they are replaced:
/// each set may have half of it, by [`Volume::footprint`].
pub const HOST_VOLUME_SIZE: u64 = 64 << 20;

/// Address of the host on the tap. The same in every instance: each has its own network namespace.
pub const HOST: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 1);

/// Address of the guest.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 2);

/// Length, in bits, of the network part of [`HOST`] and [`GUEST`].
pub const PREFIX: u8 = 24;

/// TCP port on [`HOST`] where the host waits for the agent, inside the instance's namespace.
pub const HOST_PORT: u16 = 1024;

/// MAC address of the tap (locally administered). Both sides know the other's, so no ARP is needed.
pub const HOST_MAC: [u8; 6] = [0x02, 0x76, 0x68, 0x00, 0x00, 0x01];

/// MAC address of the guest's NIC (locally administered).
pub const GUEST_MAC: [u8; 6] = [0x02, 0x76, 0x68, 0x00, 0x00, 0x02];
