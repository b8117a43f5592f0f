//! What was typed, what came back, and how it ended.

use std::fmt::Write;
use std::process::Command;

use crate::cluster::Cluster;
use crate::same_every_time::same_every_time;

/// Commands with their output, as a terminal would show it; standard error behind `! `.
pub(crate) struct Transcript<'a> {
    cluster: &'a Cluster,
    text: String,
}

impl<'a> Transcript<'a> {
    pub(crate) fn of(cluster: &'a Cluster) -> Self {
        Self {
            cluster,
            text: String::new(),
        }
    }

    /// Runs `kn WORDS`. Words are separated by blanks; `'…'` is one word.
    pub(crate) fn kn(&mut self, words: &str) -> &mut Self {
        let split = split(words);
        let command = self
            .cluster
            .kn(&split.iter().map(String::as_str).collect::<Vec<_>>());
        self.run("kn", words, command)
    }

    /// Runs `kubectl WORDS`.
    pub(crate) fn kubectl(&mut self, words: &str) -> &mut Self {
        let split = split(words);
        let command = self
            .cluster
            .kubectl(&split.iter().map(String::as_str).collect::<Vec<_>>());
        self.run("kubectl", words, command)
    }

    /// Runs `command`, which is shown as `program words`.
    pub(crate) fn run(&mut self, program: &str, words: &str, mut command: Command) -> &mut Self {
        let output = command.output().expect("the tool starts");
        let port = self.cluster.machine.ingress().rsplit(':').next();
        let replaced = [
            (format!(":{}", port.unwrap_or_default()), ":PORT"),
            (
                self.cluster.machine.folder().to_string_lossy().into_owned(),
                "FOLDER",
            ),
        ];
        let settled = |text: &[u8]| same_every_time(&String::from_utf8_lossy(text), &replaced);
        let mut entry = format!("$ {program} {}", settled(words.as_bytes()));
        entry.push_str(&settled(&output.stdout));
        for line in settled(&output.stderr).lines() {
            let _ = writeln!(entry, "{}", format!("! {line}").trim_end());
        }
        if !output.status.success() {
            let code = output.status.code().expect("it was not killed");
            let _ = writeln!(entry, "[exit {code}]");
        }
        self.text.push_str(&entry);
        self.text.push('\n');
        self
    }

    /// All of it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

fn split(words: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (index, part) in words.split('\'').enumerate() {
        if index % 2 == 1 {
            out.push(part.to_owned());
        } else {
            out.extend(part.split_whitespace().map(ToOwned::to_owned));
        }
    }
    out
}
