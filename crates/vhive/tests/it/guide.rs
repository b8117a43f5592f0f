//! `docs/your-first-function.md`: its commands are typed as they are written, and must print what it says.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::machine::Machine;

const GUIDE: &str = include_str!("../../../../docs/your-first-function.md");
/// Where the guide's node listens for requests.
const INGRESS: &str = "127.0.0.1:8080";

/// Commands to type one after another, and what they print together, if the page says so.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    line: usize,
    commands: String,
    prints: Option<String>,
}

/// The blocks of `sh`, each with the block of `text` that comes before the next.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = (1..).zip(page.lines());
    while let Some((line, fence)) = lines.next() {
        let Some(language) = fence.strip_prefix("```") else {
            continue;
        };
        let block = lines.by_ref().map(|(_, text)| text);
        let block: Vec<&str> = block.take_while(|text| *text != "```").collect();
        let block = block.join("\n");
        match language {
            "sh" => steps.push(Step {
                line,
                commands: block,
                prints: None,
            }),
            "text" => {
                let step = steps.last_mut().expect("commands before what they print");
                assert_eq!(step.prints.replace(block), None, "line {line}");
            }
            other => panic!("line {line}: a block of {other:?}"),
        }
    }
    steps
}

/// A shell's standard output, which is also told to whoever looks at a test that fails.
fn typed(machine: &Machine, folder: &Path, step: &Step) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_vhive"));
    let mut path = vec![binary.parent().expect("a folder").to_owned()];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let commands = step.commands.replace(INGRESS, machine.ingress());
    let output = Command::new("sh")
        .args(["-euc", &commands])
        .current_dir(folder)
        .env("PATH", std::env::join_paths(path).expect("a search path"))
        .env("VHIVE_DATA_DIR", machine.data_dir())
        .env("VHIVE_SERVER", machine.api_url())
        .env("NO_PROXY", "*")
        // What the function in Rust depends on is compiled once for all runs.
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide"),
        )
        .stderr(Stdio::inherit())
        .output()
        .expect("a shell");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "line {}: {}\nprinted: {printed}",
        step.line,
        step.commands
    );
    printed
}

#[test]
fn the_commands_of_the_guide_print_what_it_says() {
    let mut machine = Machine::new();
    machine.up();
    let folder = machine.folder().join("guide");
    std::fs::create_dir(&folder).expect("a folder");
    let steps = steps(GUIDE);
    for language in ["python", "rust", "node", "binary"] {
        let begun = format!("--language {language}");
        assert!(
            steps.iter().any(|step| step.commands.contains(&begun)),
            "{language}"
        );
    }
    let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
    for step in &steps {
        let printed = typed(&machine, &folder, step);
        if let Some(prints) = &step.prints {
            let wanted = prints.replace(
                &format!(":{}", port(INGRESS)),
                &format!(":{}", port(machine.ingress())),
            );
            assert_eq!(printed.trim_end(), wanted, "line {}", step.line);
        }
    }
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[test]
fn steps_are_commands_with_what_they_print() {
    let page = "a\n```sh\nx\ny\n```\nb\n```text\nz\n```\n```sh\nw\n```\n";
    let step = |line, commands: &str, prints: Option<&str>| Step {
        line,
        commands: commands.to_owned(),
        prints: prints.map(str::to_owned),
    };
    assert_eq!(
        steps(page),
        [step(2, "x\ny", Some("z")), step(10, "w", None)]
    );
}
