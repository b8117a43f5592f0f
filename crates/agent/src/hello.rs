//! How the guest presents itself.

use agent::protocol::{Hello, VERSION};

use crate::clock::uptime_us;

/// The first message on every connection. `resumed` if the process runs already.
pub(crate) fn hello(resumed: bool) -> Hello {
    Hello {
        version: VERSION,
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: nix::sys::utsname::uname()
            .map(|name| name.release().to_string_lossy().into_owned())
            .unwrap_or_default(),
        uptime_us: uptime_us(),
        resumed,
    }
}
