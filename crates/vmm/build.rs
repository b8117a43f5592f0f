//! Builds the guest agent, which the initramfs carries as `/init`, and the library that is preloaded into QEMU.

fn main() {
    let agent = embed::guest_binary("agent", &["crates/agent", "crates/sys"]);
    println!("cargo::rustc-env=VHIVE_AGENT={}", agent.display());
    let shim = embed::preload_library("uffd-shim", &["crates/uffd-shim"]);
    println!("cargo::rustc-env=VHIVE_UFFD_SHIM={}", shim.display());
}
