//! The sample function in Python: its image made of Debian packages, and called in a microVM.

use std::process::Command;

use crate::machine::{Machine, said};
use crate::workloads::manifest;

/// AES-128 in counter mode with the function's key, counting from 1, as `openssl enc -aes-128-ctr` has it too.
const ENCRYPTED: &str = "pyaes 1b237ff9fa ";

#[test]
fn pyaes_is_built_of_packages_and_encrypts_over_grpc_and_http() {
    let mut machine = Machine::new();
    let built = Command::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../functions/pyaes/build"
    ))
    .env("VHIVE", env!("CARGO_BIN_EXE_vhive"))
    .env("VHIVE_DATA_DIR", machine.data_dir())
    .output()
    .expect("a shell");
    assert!(
        built.status.success(),
        "the image is made of packages that apt-get downloads (`apt-get update` helps if it does not know them):\n{}",
        said(&built)
    );
    machine.up();
    let applied = machine.run(&["apply", "-f", &manifest("pyaes.yaml")]);
    assert!(applied.status.success(), "{}", said(&applied));
    for transport in [&[][..], &["--http"]] {
        let call = [&["invoke", "pyaes", "--data", "hello"][..], transport].concat();
        let answer = machine.ok(&call);
        assert!(answer.starts_with(ENCRYPTED), "{transport:?}: {answer}");
    }
    assert!(
        machine
            .ok(&["logs", "pyaes"])
            .contains("pyaes listens on port 50051")
    );
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}
