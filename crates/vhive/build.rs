//! Builds the helloworld function, whose image `quickstart` makes from it.

fn main() {
    let helloworld = embed::guest_binary("helloworld", &["functions/helloworld"]);
    println!("cargo::rustc-env=VHIVE_HELLOWORLD={}", helloworld.display());
}
