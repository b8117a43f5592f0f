//! The names of the original's programs, under which this one is called too: by a link or a copy of that name, wherever it is.

use std::ffi::OsString;
use std::path::Path;

/// Program of the original, and the command that does the same.
const PROGRAMS: &[(&str, &str)] = &[("deployer", "deploy"), ("invoker", "load")];

/// The command line with the command that the program's name stands for.
pub(crate) fn with_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    let program = PROGRAMS
        .iter()
        .find(|(program, _)| name.is_some_and(|name| name == *program));
    if let Some((_, command)) = program {
        arguments.insert(1, (*command).into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_the_original_is_a_command_wherever_it_is() {
        let words = |words: &[&str]| -> Vec<String> {
            let words = with_command(words.iter().map(OsString::from)).into_iter();
            words.map(|it| it.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(
            words(&["./tools/deployer/deployer", "-conc", "3"]),
            ["./tools/deployer/deployer", "deploy", "-conc", "3"]
        );
        assert_eq!(words(&["invoker"]), ["invoker", "load"]);
        assert_eq!(words(&["/bin/vhive", "up"]), ["/bin/vhive", "up"]);
        assert_eq!(words(&[]), Vec::<String>::new());
    }
}
