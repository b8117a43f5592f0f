//! The image `dev.local/site`: a web server that is a shell as well, for functions that misbehave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::machine::Machine;

/// Ends a function that waits for a word in `/tmp/end`.
const END: &str = "#!/bin/busybox sh
printf 'Content-Type: text/plain\\r\\n\\r\\nfarewell'
echo now >/tmp/end
";

/// Tells a clone from the others: what only the kernel knows, the time, the name.
const WHO: &str = "#!/bin/busybox sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
echo random $(busybox head -c 32 /dev/urandom | busybox sha256sum)
echo time $(busybox date +%s)
echo name $(busybox hostname)
";

/// As [`WHO`], and then works on the request until its body has come.
const HOLD: &str = "#!/bin/busybox sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
echo random $(busybox head -c 32 /dev/urandom | busybox sha256sum)
echo time $(busybox date +%s)
echo name $(busybox hostname)
busybox head -c 1
";

/// What the function was given: variables WORD and TOKEN, and files at /config, /secret and /scratch.
const GIVEN: &str = "#!/bin/busybox sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
echo variables $WORD $TOKEN
echo config $(busybox cat /config/word) $(busybox stat -L -c %a /config/word)
echo secret $(busybox cat /secret/deep/token) $(busybox stat -L -c %a /secret/deep/token)
echo written >/scratch/note
echo scratch $(busybox cat /scratch/note)
echo user $(busybox id -u)
(echo x >/config/word) 2>/dev/null || echo config closed
";

/// The host's static shell of many tools.
pub(crate) fn busybox() -> &'static str {
    ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("there is no busybox: apt-get install busybox-static")
}

/// Makes the image. Its pages are `/`, `/cgi-bin/who`, `/cgi-bin/hold`, `/cgi-bin/given` and, to end a function, `/cgi-bin/end`.
pub(crate) fn build(machine: &Machine) {
    let root = machine.folder().join("site");
    for folder in ["bin", "tmp", "www/cgi-bin"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    fs::copy(busybox(), root.join("bin/busybox")).expect("busybox");
    fs::write(root.join("www/index.html"), "I am here").expect("a page");
    for (name, script) in [("end", END), ("who", WHO), ("hold", HOLD), ("given", GIVEN)] {
        let path = root.join("www/cgi-bin").join(name);
        fs::write(&path, script).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    }
    machine.ok(&[
        "image",
        "build",
        "dev.local/site",
        "--folder",
        &root.to_string_lossy(),
        "--entrypoint",
        "/bin/busybox",
    ]);
}

/// A container of the image that runs this in a shell.
pub(crate) fn container(script: &str) -> String {
    format!(
        "image: dev.local/site, args: [sh, -c, '{script}'], resources: {{limits: {{memory: 128Mi}}}}"
    )
}
