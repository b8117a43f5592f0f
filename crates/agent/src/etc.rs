//! The files under `/etc` that belong to the machine rather than to the image.

use std::path::Path;

use agent::protocol::{GUEST, GuestFile};

/// `/etc/hosts`, `/etc/hostname` if there is a name, `/etc/resolv.conf` if there are name servers.
pub(crate) fn files(hostname: &str, dns: &[String]) -> Vec<GuestFile> {
    let mut files = Vec::new();
    let mut hosts = vec![
        "127.0.0.1\tlocalhost".to_owned(),
        "::1\tlocalhost ip6-localhost ip6-loopback".to_owned(),
    ];
    if !hostname.is_empty() {
        hosts.push(format!("{GUEST}\t{hostname}"));
        files.push(file("/etc/hostname", &[hostname.to_owned()]));
    }
    files.push(file("/etc/hosts", &hosts));
    if !dns.is_empty() {
        let servers: Vec<String> = dns
            .iter()
            .map(|server| format!("nameserver {server}"))
            .collect();
        files.push(file("/etc/resolv.conf", &servers));
    }
    files
}

/// An `/etc/resolv.conf` that names nobody, if there is none. Images mostly have none: whoever runs them gives it to them.
pub(crate) fn unless_there() -> Option<GuestFile> {
    const PATH: &str = "/etc/resolv.conf";
    let nobody = ["# This machine knows no name server.".to_owned()];
    (!Path::new(PATH).exists()).then(|| file(PATH, &nobody))
}

fn file(path: &str, lines: &[String]) -> GuestFile {
    let contents = lines.join("\n") + "\n";
    GuestFile {
        path: path.to_owned(),
        mode: 0o644,
        contents: contents.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'a>(files: &'a [GuestFile], path: &str) -> Option<&'a str> {
        let file = files.iter().find(|file| file.path == path)?;
        std::str::from_utf8(&file.contents).ok()
    }

    #[test]
    fn the_host_name_resolves_to_the_guests_address() {
        let files = files("hello-1", &[]);
        assert!(
            named(&files, "/etc/hosts")
                .unwrap()
                .ends_with("172.16.0.2\thello-1\n")
        );
        assert_eq!(named(&files, "/etc/hostname"), Some("hello-1\n"));
    }

    #[test]
    fn the_images_resolver_stays_when_no_name_server_is_given() {
        assert_eq!(named(&files("", &[]), "/etc/resolv.conf"), None);
        let dns = ["10.0.0.1".to_owned(), "10.0.0.2".to_owned()];
        let expected = "nameserver 10.0.0.1\nnameserver 10.0.0.2\n";
        assert_eq!(named(&files("", &dns), "/etc/resolv.conf"), Some(expected));
    }

    #[test]
    fn localhost_is_known_without_a_host_name() {
        let files = files("", &[]);
        assert!(
            named(&files, "/etc/hosts")
                .unwrap()
                .starts_with("127.0.0.1\tlocalhost\n")
        );
        assert_eq!(named(&files, "/etc/hostname"), None);
    }
}
