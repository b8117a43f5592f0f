//! A world of its own: this machine's files under an overlay, in a mount and a network namespace that end with the test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use setup::checksum::sha256;
use setup::plan::{Fetch, Published};

/// Programs that are stood in for.
pub(crate) const STAND_INS: [&str; 20] = [
    "add-apt-repository",
    "apt-cache",
    "apt-get",
    "apt-mark",
    "curl",
    "dpkg-query",
    "git",
    "istioctl",
    "kn",
    "kubeadm",
    "kubectl",
    "modprobe",
    "swapoff",
    "swapon",
    "sysctl",
    "systemctl",
    "vhive",
    "ip",
    "ctr",
    "udevadm",
];

/// The folder that set-up is run in.
pub(crate) const FOLDER: &str = "/node";

pub(crate) const DEBIAN: &str = "ID=debian\nVERSION_ID=\"12\"\n";
pub(crate) const UBUNTU: &str = "ID=ubuntu\nVERSION_ID=\"24.04\"\n";

const UP: &str = r#"
set -e
mount -t tmpfs -o mode=755 world "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount --rbind /proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs run "$1/root/run"
if [ "$2" = alone ]; then
    ip link set lo up
    ip address add 10.9.9.1/32 dev lo
    # A route to everywhere, by which nothing arrives: it is what an address is chosen by.
    ip route add default dev lo src 10.9.9.1
fi
echo up
exec cat
"#;

pub(crate) struct World {
    holder: Child,
    folder: tempfile::TempDir,
}

impl World {
    /// Without a network, and with stand-ins for everything.
    pub(crate) fn new(os_release: &str) -> Self {
        let world = Self::up("alone");
        fs::write(world.path("/etc/os-release"), os_release).expect("written");
        fs::write(
            world.path("/etc/fstab"),
            "/dev/vda / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n",
        )
        .expect("written");
        for name in STAND_INS {
            world.stand_in(name);
        }
        world
    }

    /// With this machine's network, and stand-ins for these alone.
    pub(crate) fn connected(stand_ins: &[&str]) -> Self {
        let world = Self::up("connected");
        for name in stand_ins {
            world.stand_in(name);
        }
        // dpkg rebuilds no index of manuals without this file: half the time that packages take.
        let _ = fs::remove_file(world.path("/var/lib/man-db/auto-update"));
        // Sources of others may be out of reach.
        for entry in fs::read_dir(world.path("/etc/apt/sources.list.d"))
            .expect("there")
            .flatten()
        {
            if entry.file_name() != "debian.sources" {
                fs::remove_file(entry.path()).expect("removed");
            }
        }
        world
    }

    fn up(network: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private"]);
        if network == "alone" {
            unshare.arg("--net");
        }
        let mut holder = unshare
            .args(["sh", "-c", UP, "world"])
            .arg(folder.path())
            .arg(network)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts: install util-linux");
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("read");
        assert_eq!(
            line, "up\n",
            "run the tests as root, with iproute2 installed"
        );
        let world = Self { holder, folder };
        for name in [
            "packages", "held", "enabled", "active", "sysctl", "cluster", "www",
        ] {
            fs::create_dir_all(world.path("/standin-state").join(name)).expect("created");
        }
        fs::write(world.path("/standin-state/swap"), "").expect("written");
        fs::create_dir_all(world.path("/standin")).expect("created");
        // What this machine may have of what is set up.
        for folder in [
            "/var/lib/vhive",
            "/var/lib/cni",
            "/etc/cni",
            "/etc/containerd",
            "/root/.kube",
        ] {
            match fs::remove_dir_all(world.path(folder)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other.expect("removed"),
            }
        }
        let script = world.path("/standin/standin.sh");
        fs::write(&script, include_str!("standin.sh")).expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("set");
        fs::create_dir(world.path(FOLDER)).expect("created");
        world
    }

    pub(crate) fn stand_in(&self, name: &str) {
        symlink("standin.sh", self.path("/standin").join(name)).expect("linked");
    }

    /// A path of the world, from here.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.inside(&format!("root{path}"))
    }

    fn inside(&self, path: &str) -> PathBuf {
        let folder = self.folder.path().to_string_lossy();
        PathBuf::from(format!("/proc/{}/root{folder}/{path}", self.holder.id()))
    }

    /// The words that run a line of the shell in it.
    pub(crate) fn words(&self, line: &str) -> Vec<String> {
        let root = self.folder.path().join("root");
        let pid = self.holder.id().to_string();
        let path = "PATH=/standin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let words = [
            "nsenter",
            "-t",
            &pid,
            "-m",
            "-n",
            "chroot",
            &root.to_string_lossy(),
            "env",
            "-i",
            path,
            "HOME=/root",
            "sh",
            "-c",
            line,
        ]
        .map(str::to_owned);
        words.into()
    }

    pub(crate) fn shell(&self, line: &str) -> Output {
        let words = self.words(line);
        Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .output()
            .expect("nsenter starts")
    }

    /// Runs `setup_tool`, with an answer to its questions.
    pub(crate) fn setup(&self, line: &str) -> Output {
        self.shell(&format!(
            "cd {FOLDER} && echo y | {} {line}",
            env!("CARGO_BIN_EXE_setup_tool")
        ))
    }

    /// The same, which has to succeed; what it said.
    pub(crate) fn set_up(&self, line: &str) -> String {
        let output = self.setup(line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let logs = self.shell(&format!("tail -n 30 {FOLDER}/*_common.log"));
        assert!(
            output.status.success(),
            "{line}: {said}\n{}",
            String::from_utf8_lossy(&logs.stdout)
        );
        said
    }

    /// What programs were called, and with what, since this was asked last.
    pub(crate) fn calls(&self) -> Vec<String> {
        let path = self.path("/standin-state/calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, "").expect("written");
        text.lines().map(str::to_owned).collect()
    }

    /// Has every call fail the first time that it is made.
    pub(crate) fn fail_once(&self) {
        fs::create_dir(self.path("/standin-state/failed")).expect("created");
    }

    /// Has calls succeed again.
    pub(crate) fn fail_no_more(&self) {
        fs::remove_dir_all(self.path("/standin-state/failed")).expect("removed");
    }

    /// Puts something at every address, and its checksum where it is published.
    pub(crate) fn publish<'a>(&self, fetches: impl Iterator<Item = &'a Fetch>) {
        let mut lists: BTreeMap<&str, String> = BTreeMap::new();
        for fetch in fetches {
            let content = blob(fetch);
            if let Published::At(list) = &fetch.published {
                let name = fetch.url.rsplit('/').next().unwrap_or_default();
                let text = lists.entry(list).or_default();
                let _ = writeln!(text, "{}  {name}", sha256(&content));
            }
            self.serve(&fetch.url, &content);
        }
        for (url, text) in lists {
            self.serve(url, text.as_bytes());
        }
    }

    pub(crate) fn serve(&self, url: &str, content: &[u8]) {
        let name: String = url
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        fs::write(self.path("/standin-state/www").join(name), content).expect("written");
    }

    /// Everything that is another than on this machine, but for logs: what it is, by path.
    pub(crate) fn changes(&self) -> BTreeMap<PathBuf, String> {
        let upper = self.inside("upper");
        let mut changes = BTreeMap::new();
        let mut folders = vec![upper.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("read").flatten() {
                let path = entry.path();
                let below = path.strip_prefix(&upper).expect("below").to_owned();
                let lower = Path::new("/").join(&below);
                let kind = entry.file_type().expect("it is there");
                let ignored = [
                    "standin-state/calls",
                    "standin-state/failed",
                    "standin",
                    "tmp",
                    "var/cache",
                    "var/log",
                ];
                let name = below.to_string_lossy();
                if ignored.contains(&&*name) || name.ends_with(".log") {
                    continue;
                }
                if kind.is_dir() {
                    folders.push(path);
                    if !lower.is_dir() {
                        changes.insert(below, "folder".to_owned());
                    }
                } else if kind.is_char_device() {
                    if lower.exists() {
                        changes.insert(below, "gone".to_owned());
                    }
                } else {
                    let found = describe(&path);
                    if found != describe(&lower) {
                        changes.insert(below, found);
                    }
                }
            }
        }
        changes
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It holds the namespaces for as long as it can read.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Mode, owner and content. What set-up knows is compared whatever the order it was learnt in.
fn describe(path: &Path) -> String {
    let Ok(found) = fs::symlink_metadata(path) else {
        return "nothing".to_owned();
    };
    if found.is_symlink() {
        return format!("link to {}", fs::read_link(path).expect("read").display());
    }
    let content = fs::read(path).expect("read");
    let content = if path.ends_with("setup/state.json") {
        let mut state: serde_json::Value = serde_json::from_slice(&content).expect("it is JSON");
        if let Some(restores) = state["restores"].as_array_mut() {
            restores.sort_by_key(ToString::to_string);
        }
        state.to_string().into_bytes()
    } else {
        content
    };
    format!(
        "{:o} {}:{} {}",
        found.mode(),
        found.uid(),
        found.gid(),
        sha256(&content)
    )
}

/// What is at an address: an archive of its files, or one file.
fn blob(fetch: &Fetch) -> Vec<u8> {
    let members: Vec<&String> = fetch
        .files
        .iter()
        .filter_map(|file| file.member.as_ref())
        .collect();
    if members.is_empty() {
        return format!("# from {}\n", fetch.url).into_bytes();
    }
    let files: Vec<(&str, Vec<u8>)> = members
        .iter()
        .map(|member| {
            (
                member.as_str(),
                format!("{member} from {}\n", fetch.url).into_bytes(),
            )
        })
        .collect();
    archive(&files)
}

/// A tar.gz of files.
pub(crate) fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive
            .append_data(&mut header, name, content.as_slice())
            .expect("appended");
    }
    archive
        .into_inner()
        .and_then(GzEncoder::finish)
        .expect("finished")
}

/// Writes into a file of the world.
pub(crate) fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .expect("opened");
    file.write_all(text.as_bytes()).expect("written");
}
