//! What commands print: tables on stdout, for people; JSON and YAML for programs.

mod columns;

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use anyhow::Context;
use comfy_table::Table;
use comfy_table::presets;
use serde_json::Value;

pub(crate) use columns::{condition, printed, rows, text};

/// A line, or several, on standard output. A reader that has seen enough, as in `vhive get | head -1`, is no error.
pub(crate) fn say(text: impl Display) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// A table as kubectl prints it: no frame, columns apart.
pub(crate) fn table<H, R, C>(header: H, rows: R) -> String
where
    H: IntoIterator,
    H::Item: Into<String>,
    R: IntoIterator<Item = C>,
    C: IntoIterator,
    C::Item: Into<String>,
{
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.into_iter().map(Into::into).collect::<Vec<String>>());
    for row in rows {
        table.add_row(row.into_iter().map(Into::into).collect::<Vec<String>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// `1.234 s`, `12.3 ms` or `45 µs`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 1.0 {
        format!("{seconds:.3} s")
    } else if seconds >= 0.001 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{:.0} µs", seconds * 1e6)
    }
}

/// `512 B`, `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while value >= 1024.0 {
        match units.next() {
            Some(next) => unit = Some(next),
            None => break,
        }
        value /= 1024.0;
    }
    let unit = unit.unwrap_or(&"B");
    if *unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Objects as JSON (a `List` if there are several) or YAML. Who set which field is left out, as kubectl does.
pub(crate) fn objects(mut items: Vec<Value>, single: bool, yaml: bool) -> anyhow::Result<String> {
    for item in &mut items {
        if let Some(metadata) = item.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    }
    let document = match (single, items.len()) {
        (true, 1) => items.into_iter().next().unwrap_or_default(),
        _ => serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items}),
    };
    Ok(if yaml {
        serde_yaml_ng::to_string(&document)?.trim_end().to_owned()
    } else {
        serde_json::to_string_pretty(&document)?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_carry_their_unit() {
        assert_eq!(size(512), "512 B");
        assert_eq!(size(1_572_864), "1.5 MiB");
        assert_eq!(duration(Duration::from_micros(45)), "45 µs");
        assert_eq!(duration(Duration::from_micros(12_345)), "12.3 ms");
        assert_eq!(duration(Duration::from_millis(1_234)), "1.234 s");
    }

    #[test]
    fn a_table_has_no_trailing_blanks() {
        assert_eq!(
            table(["NAME", "READY"], [["hello", "True"]]),
            "NAME    READY\nhello   True"
        );
    }
}
