//! A plan, shown: every command that would run, and every file that would change, as a diff.

use std::fmt::Write as _;
use std::path::Path;

use crate::engine::file::commented_out;
use crate::plan::{Action, Fetch, Plan, Published, Step, Undo};

/// What a dry run looks at.
pub struct View<'a> {
    /// The text of a file, where there is one.
    pub file: &'a dyn Fn(&Path) -> Option<String>,
    /// Whether a step has nothing to do.
    pub holds: &'a dyn Fn(&Step) -> bool,
}

/// All of a plan.
pub fn plan(plan: &Plan, view: &View) -> String {
    let mut text = format!("# {}\n", plan.title);
    for note in &plan.notes {
        let _ = writeln!(text, "\n{note}");
    }
    for step in plan.steps() {
        let _ = write!(text, "\n{}", self::step(step, view));
    }
    text
}

/// One step.
pub fn step(step: &Step, view: &View) -> String {
    let mut text = format!("## {}: {}\n", step.name, step.why);
    if (view.holds)(step) {
        text.push_str("already so\n");
        return text;
    }
    text.push_str(&action(&step.action, view));
    text
}

fn action(action: &Action, view: &View) -> String {
    match action {
        Action::Write {
            path,
            content,
            mode,
        } => {
            let shown = path.display();
            format!(
                "write {shown}, mode {mode:04o}\n{}",
                diff((view.file)(path).as_deref(), content)
            )
        }
        Action::Copy {
            from,
            to,
            mode,
            owner,
        } => {
            let owner = owner.map_or_else(String::new, |(uid, gid)| format!(", owner {uid}:{gid}"));
            format!(
                "copy {} to {}, mode {mode:04o}{owner}\n",
                from.display(),
                to.display()
            )
        }
        Action::Join { folder, to } => format!(
            "write {} anew from the files of {}\n",
            to.display(),
            folder.display()
        ),
        Action::CommentOut { path, field } => {
            let before = (view.file)(path).unwrap_or_default();
            let after = commented_out(&before, field);
            format!(
                "comment out lines of {} with {field}\n{}",
                path.display(),
                diff(Some(&before), &after)
            )
        }
        Action::Fetch(fetch) => fetched(fetch),
        Action::Packages { names, hold } => {
            let hold = if *hold { ", and hold them" } else { "" };
            format!("install packages {}{hold}\n", names.join(" "))
        }
        Action::Unit { name, reads } => {
            let reads: Vec<_> = reads
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            format!(
                "enable and start {name}, again after a change of {}\n",
                reads.join(" ")
            )
        }
        Action::Run {
            command,
            undo,
            recover,
            ..
        } => {
            let mut text = format!("$ {command}\n");
            if let Undo::By(command) = undo {
                let _ = writeln!(text, "undone by: {command}");
            }
            if let Some(command) = recover {
                let _ = writeln!(text, "after a failure first: {command}");
            }
            text
        }
        Action::Apply { folder, .. } => {
            format!("$ kubectl apply --server-side -k {}\n", folder.display())
        }
        Action::Wait { what, timeout, .. } => {
            format!("wait for {what}, {} s at most\n", timeout.as_secs())
        }
        Action::MasterKey { path, .. } => {
            format!(
                "$ kubeadm token create --print-join-command\nwrite {}, and print the command\n",
                path.display()
            )
        }
        Action::Ask { question } => format!("ask \"{question}\"\n"),
    }
}

fn fetched(fetch: &Fetch) -> String {
    let checksum = match &fetch.published {
        Published::At(list) => format!("checksum {list}"),
        Published::Nowhere => "no checksum is published: pinned at first use".to_owned(),
    };
    let mut text = format!("download {}\n  {checksum}\n", fetch.url);
    for file in &fetch.files {
        let member = file
            .member
            .as_ref()
            .map_or_else(String::new, |member| format!("{member} as "));
        let _ = writeln!(
            text,
            "  {member}{}, mode {:04o}",
            file.to.display(),
            file.mode
        );
    }
    text
}

/// Lines that go and come. What is the same at the beginning and at the end is left out.
fn diff(before: Option<&str>, after: &str) -> String {
    let old: Vec<&str> = before.unwrap_or_default().lines().collect();
    let new: Vec<&str> = after.lines().collect();
    let same =
        |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let head = same(&mut old.iter().zip(&new));
    let tail = same(&mut old[head..].iter().rev().zip(new[head..].iter().rev()));
    let mut text = String::new();
    for (mark, lines) in [('-', &old), ('+', &new)] {
        for line in &lines[head..lines.len() - tail] {
            let _ = writeln!(text, "{mark}{line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_has_only_what_differs() {
        assert_eq!(diff(Some("a\nb\nc\n"), "a\nx\ny\nc\n"), "-b\n+x\n+y\n");
        assert_eq!(diff(None, "a\n"), "+a\n");
        assert_eq!(diff(Some("a\n"), "a\n"), "");
    }
}
