//! docs/cluster.md: every command of set-up on the page is taken from it, and run dry.

use std::fs;

use clap::Parser as _;
use setup::cli::SetupTool;

use crate::engine::world;
use crate::world::DEBIAN;

const PAGE: &str = include_str!("../../../../docs/cluster.md");

/// The lines of the page's blocks of commands.
fn commands() -> Vec<&'static str> {
    let blocks = PAGE
        .split("```sh\n")
        .skip(1)
        .filter_map(|block| block.split("```").next());
    blocks.flat_map(str::lines).collect()
}

/// The words of set-up after the program, if a line is one.
fn words(line: &str) -> Option<&str> {
    let (_, line) = line
        .split_once("./setup_tool ")
        .or_else(|| line.split_once("vhive setup "))?;
    Some(line)
}

#[test]
fn every_command_of_the_guide_is_one_and_can_be_run_dry() {
    let world = world(DEBIAN);
    fs::copy(world.path("/key.yaml"), world.path("/node/masterKey.yaml")).expect("copied");
    fs::write(world.path("/node/vhive-bundle.tar"), "").expect("written");
    let lines: Vec<&str> = commands().into_iter().filter_map(words).collect();
    assert!(lines.len() > 15, "the guide has {} commands", lines.len());
    for line in lines {
        let line = line.trim_end_matches(" --dry-run");
        let parsed = SetupTool::try_parse_from(format!("setup_tool {line}").split_whitespace());
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
        // There is nothing to compare with before anything was set up.
        if line.starts_with("check") && !line.contains("--nodes") {
            continue;
        }
        let output = world.setup(&format!("{line} --dry-run"));
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn the_other_lines_of_the_guide_are_lines_of_the_shell() {
    let world = world(DEBIAN);
    for line in commands() {
        fs::write(world.path("/node/line"), line).expect("written");
        assert!(world.shell("sh -n /node/line").status.success(), "{line}");
    }
}

#[test]
fn the_guide_says_the_same_as_the_seed_in_half_the_words() {
    let words = PAGE.split_whitespace().count();
    // Those of the guide that it replaces.
    assert!(words < 2288 / 2, "{words} words");
}

#[test]
fn the_script_that_cleans_undoes_the_cluster_and_leaves_the_node() {
    let world = world(DEBIAN);
    let script = world.path("/node/clean_cri_runner.sh");
    fs::write(
        &script,
        include_str!("../../../../scripts/github_runner/clean_cri_runner.sh"),
    )
    .expect("written");
    fs::copy(
        env!("CARGO_BIN_EXE_setup_tool"),
        world.path("/node/setup_tool"),
    )
    .expect("copied");
    world.set_up("setup_node stock-only");
    let node = world.changes();
    world.set_up("prepare_one_node_cluster stock-only");
    world.set_up("setup_master_node stock-only");
    let output = world.shell("cd /node && sh clean_cri_runner.sh stock-only");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!world.path("/etc/kubernetes").exists() && !world.path("/root/.kube").exists());
    // What was set up for nodes is as it was, and a cluster can be created again.
    let after = world.changes();
    for (path, found) in node
        .iter()
        .filter(|(path, _)| !path.ends_with("state.json") && !path.ends_with("lock.json"))
    {
        assert_eq!(after.get(path), Some(found), "{}", path.display());
    }
    world.set_up("create_one_node_cluster stock-only");
    let output = world.shell("cd /node && sh clean_cri_runner.sh nothing");
    assert_eq!(output.status.code(), Some(2));
}
