//! Durations as Go writes them: `60s`, `1m30s`, `1h`.

use std::time::Duration;

/// The duration, or `None` if the text is not one.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = tail;
    }
    (!text.is_empty())
        .then(|| Duration::try_from_secs_f64(total).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        for (text, seconds) in [
            ("60s", 60.0),
            ("1m30s", 90.0),
            ("1h", 3600.0),
            ("100ms", 0.1),
            ("0", 0.0),
        ] {
            assert_eq!(
                parse(text).map(|it| it.as_secs_f64()),
                Some(seconds),
                "{text}"
            );
        }
        for text in ["", "60", "s", "1d", "-1s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
