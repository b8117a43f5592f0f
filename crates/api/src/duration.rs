//! Durations as Go writes them (`time.ParseDuration`): `60s`, `1m30s`, `1.5h`, `-5s`.

use std::time::Duration;

use jiff::SignedDuration;

/// The duration, or `None` if the text is not one, or a negative one.
pub fn parse(text: &str) -> Option<Duration> {
    Duration::try_from(parse_signed(text)?).ok()
}

/// The duration, also a negative one, or `None` if the text is not one or is more than Go can hold: 2⁶³ nanoseconds.
pub fn parse_signed(text: &str) -> Option<SignedDuration> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (nanos, tail) = term(rest)?;
        total = total.checked_add(nanos)?;
        rest = tail;
    }
    let nanos = i64::try_from(total).ok()?;
    Some(SignedDuration::from_nanos(if negative {
        -nanos
    } else {
        nanos
    }))
}

/// The text that Go prints for a duration: `1h0m0s`, `1m30s`, `250ms`.
pub fn format(duration: SignedDuration) -> String {
    let nanos = duration.as_nanos();
    let size = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if size == 0 {
        return "0s".to_owned();
    }
    let small = [("ns", 1), ("µs", 1_000), ("ms", 1_000_000)];
    if size < NANOS_PER_SECOND
        && let Some((unit, nanos)) = small.iter().rev().find(|(_, nanos)| size >= *nanos)
    {
        return format!("{sign}{}{unit}", decimal(size, *nanos));
    }
    let (minutes, rest) = (
        size / (60 * NANOS_PER_SECOND),
        size % (60 * NANOS_PER_SECOND),
    );
    let seconds = decimal(rest, NANOS_PER_SECOND);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// `value / unit`, with as many digits as it takes; `unit` is a power of ten.
fn decimal(value: u128, unit: u128) -> String {
    let (whole, part) = (value / unit, value % unit);
    if part == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let part = format!("{part:0digits$}");
    format!("{whole}.{}", part.trim_end_matches('0'))
}

/// The nanoseconds of one number with its unit, and what follows.
fn term(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit: u64 = match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" | "μs" => 1_000,
        "ns" => 1,
        _ => return None,
    };
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    // What lies below a nanosecond is cut off; of an hour that is the thirteenth digit.
    let mut part: u128 = 0;
    let mut scale: u128 = 1;
    for digit in fraction.bytes().take(18) {
        part = part * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    let part = u64::try_from(part * u128::from(unit) / scale).ok()?;
    Some((whole.checked_mul(unit)?.checked_add(part)?, rest))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        for (text, millis) in [
            ("60s", 60_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("2.s", 2_000),
            ("+3s", 3_000),
            ("-1m", -60_000),
            ("100ms", 100),
            ("1h0m0.25s", 3_600_250),
            ("2000us", 2),
            ("0", 0),
            ("-0", 0),
            ("0h", 0),
        ] {
            assert_eq!(
                parse_signed(text).map(|it| it.as_millis()),
                Some(millis),
                "{text}"
            );
        }
        assert_eq!(parse("1.000000001s"), Some(Duration::new(1, 1)));
        assert_eq!(parse("-1s"), None, "a time to wait is not negative");
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (text, expected) in [
            ("0", "0s"),
            ("1h", "1h0m0s"),
            ("1h1s", "1h0m1s"),
            ("61984ms", "1m1.984s"),
            ("-83s", "-1m23s"),
            ("1500us", "1.5ms"),
            ("25ns", "25ns"),
            ("1.000000001s", "1.000000001s"),
        ] {
            assert_eq!(format(parse_signed(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_go_does_not_read_is_no_duration() {
        for text in [
            "", "60", "s", "1d", "-", "+-1s", "1s2", "1 s", ".s", "1.2.3s", "9999999h", "1S", "١s",
        ] {
            assert_eq!(parse_signed(text), None, "{text}");
        }
    }
}
