//! Builds the helloworld function, whose image `quickstart` makes from it, and embeds what the other sample functions are made of.

fn main() {
    let helloworld = embed::guest_binary("helloworld", &["functions/helloworld"]);
    println!("cargo::rustc-env=VHIVE_HELLOWORLD={}", helloworld.display());
    // Of helloworld there is the program itself.
    let functions = embed::files("functions", "functions", |path| {
        !path.starts_with("helloworld/") && path != "README.md"
    });
    println!("cargo::rustc-env=VHIVE_FUNCTIONS={}", functions.display());
    let workloads = embed::files("workloads", "configs/knative_workloads", |_| true);
    println!("cargo::rustc-env=VHIVE_WORKLOADS={}", workloads.display());
}
