//! Names that carry their own address, as the wildcard DNS services sslip.io and nip.io resolve them:
//! `anything.10.1.2.3.sslip.io` and `anything.10-1-2-3.nip.io` are both 10.1.2.3. They are resolved here, so that no
//! DNS server is needed to reach a function.

use std::net::Ipv4Addr;

const SERVICES: &[&str] = &[".sslip.io", ".nip.io"];

/// The address in `host` (no port), if it is such a name.
pub fn address(host: &str) -> Option<Ipv4Addr> {
    let name = SERVICES
        .iter()
        .find_map(|service| host.strip_suffix(service))?;
    let dashed = name.rsplit('.').next().and_then(|label| {
        let parts: Vec<&str> = label.rsplit('-').take(4).collect();
        from_reversed(&parts)
    });
    dashed.or_else(|| from_reversed(&name.rsplit('.').take(4).collect::<Vec<_>>()))
}

fn from_reversed(parts: &[&str]) -> Option<Ipv4Addr> {
    let &[d, c, b, a] = parts else { return None };
    Some(Ipv4Addr::new(
        a.parse().ok()?,
        b.parse().ok()?,
        c.parse().ok()?,
        d.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_and_dashed_addresses_are_read() {
        for (host, expected) in [
            ("f.default.127.0.0.1.sslip.io", Some(Ipv4Addr::LOCALHOST)),
            (
                "192.168.1.240.sslip.io",
                Some(Ipv4Addr::new(192, 168, 1, 240)),
            ),
            (
                "f.default.10-1-2-3.nip.io",
                Some(Ipv4Addr::new(10, 1, 2, 3)),
            ),
            ("my-app-10-1-2-3.nip.io", Some(Ipv4Addr::new(10, 1, 2, 3))),
            ("f.default.example.com", None),
            ("f.256.0.0.1.sslip.io", None),
            ("sslip.io", None),
        ] {
            assert_eq!(address(host), expected, "{host}");
        }
    }
}
