//! Builds the guest agent, which the initramfs carries as `/init`.

fn main() {
    let agent = embed::guest_binary("agent", &["crates/agent"]);
    println!("cargo::rustc-env=VHIVE_AGENT={}", agent.display());
}
