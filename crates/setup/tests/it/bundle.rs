//! A bundle, made on one machine and used on another that has no network, by the real apt and dpkg.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::engine::world;
use crate::world::DEBIAN;

/// In the place of `apt-get install --download-only`: packages of those names with nothing in them, made by the real dpkg-deb.
const APT_GET: &str = r#"#!/bin/sh
echo "apt-get $*" >>/standin-state/calls
for word; do
    case $word in
    Dir::Cache::Archives=*) to=${word#*=} ;;
    update) exit 0 ;;
    install) install=1 ;;
    -*) ;;
    *)
        [ "$install" ] || continue
        name=${word%%=*}; version=99; [ "$name" = "$word" ] || version=${word#*=}
        mkdir -p /build/DEBIAN
        printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: nothing\n' "$name" "$version" >/build/DEBIAN/control
        if [ "$name" = kubeadm ]; then mkdir -p /build/usr/bin; cp /standin/kubeadm /build/usr/bin; fi
        dpkg-deb --build --root-owner-group /build "$to/${name}_$version.deb" >/dev/null
        rm -rf /build
        ;;
    esac
done
"#;

#[test]
fn a_node_without_a_network_is_set_up_from_a_bundle() {
    let connected = world(DEBIAN);
    let apt = connected.path("/standin/apt-get");
    fs::remove_file(&apt).expect("removed");
    fs::write(&apt, APT_GET).expect("written");
    fs::set_permissions(&apt, fs::Permissions::from_mode(0o755)).expect("set");
    // It pulls images: an export writes a file.
    let vhive = connected.path("/standin/vhive");
    fs::remove_file(&vhive).expect("removed");
    fs::write(&vhive, "#!/bin/sh\necho \"vhive $*\" >>/standin-state/calls\nif [ \"$4\" = export ]; then echo \"$5\" >\"$7\"; fi\n").expect("written");
    fs::set_permissions(&vhive, fs::Permissions::from_mode(0o755)).expect("set");
    let said = connected.set_up("bundle stock-only --file /node/bundle.tar");
    assert!(
        said.contains("/node/bundle.tar: ") && said.contains("use it with --bundle"),
        "{said}"
    );
    let calls = connected.calls();
    assert!(
        calls
            .iter()
            .any(|call| call.contains("image pull registry.k8s.io/kube-apiserver:v1")),
        "{calls:?}"
    );
    assert!(
        calls
            .iter()
            .any(|call| call.contains("image pull registry:2.8.3")),
        "{calls:?}"
    );

    let alone = world(DEBIAN);
    for name in ["apt-get", "apt-mark", "dpkg-query"] {
        fs::remove_file(alone.path("/standin").join(name)).expect("removed");
    }
    fs::remove_dir_all(alone.path("/standin-state/www")).expect("removed");
    fs::copy(
        connected.path("/node/bundle.tar"),
        alone.path("/node/bundle.tar"),
    )
    .expect("copied");
    // The images are in containerd once they were imported.
    let ctr = alone.path("/standin/ctr");
    fs::remove_file(&ctr).expect("removed");
    fs::write(&ctr, "#!/bin/sh\nif [ $3 = import ]; then test -s \"$5\" && echo \"${4#*=}\" >>/standin-state/images; else cat /standin-state/images; fi\n").expect("written");
    fs::set_permissions(&ctr, fs::Permissions::from_mode(0o755)).expect("set");
    let said = alone.set_up("setup_node stock-only --bundle bundle.tar");
    assert!(said.contains("images/registry:2.8.3: done"), "{said}");
    let version = alone.shell("dpkg-query -W -f '${db:Status-Abbrev}${Version}' kubeadm");
    assert_eq!(String::from_utf8_lossy(&version.stdout), "hi 1.35.3-1.1");
    assert!(alone.path("/usr/local/bin/containerd").exists());
    assert!(
        !alone.calls().iter().any(|call| call.starts_with("curl")),
        "nothing is fetched"
    );
    let said = alone.set_up("setup_node stock-only --bundle bundle.tar");
    assert!(said.contains("nothing had to be changed"), "{said}");

    // A bundle that was damaged on its way is refused.
    let mut bytes = fs::read(alone.path("/node/bundle.tar")).expect("read");
    let at = bytes
        .windows(9)
        .position(|window| window == b"# from ht")
        .expect("a download is in it");
    bytes[at] = b'!';
    fs::write(alone.path("/node/bundle.tar"), bytes).expect("written");
    let output = alone.setup("setup_node stock-only --bundle bundle.tar");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("of the bundle is not what was put in: copy the bundle again"),
        "{said}"
    );
}
