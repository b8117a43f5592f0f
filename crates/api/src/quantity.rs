//! Quantities of CPU and memory, as Kubernetes writes them.

/// Bytes of a memory quantity: `128Mi`, `1G`, `1000000`, `1e6`. `None` if it is not one.
pub fn bytes(text: &str) -> Option<u64> {
    parse(text).map(|value| value.ceil() as u64)
}

/// Thousandths of a CPU: `500m` is 500, `2` is 2000. `None` if it is not a quantity.
pub fn milli_cpus(text: &str) -> Option<u64> {
    parse(text).map(|value| (value * 1000.0).ceil() as u64)
}

fn parse(text: &str) -> Option<f64> {
    const SUFFIXES: &[(&str, f64)] = &[
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1.0));
    let value: f64 = number.parse().ok()?;
    (value.is_finite()
        && value >= 0.0
        && number.starts_with(|first: char| first.is_ascii_digit() || first == '.'))
    .then_some(value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_with_their_suffix() {
        for (text, expected) in [
            ("128Mi", Some(134_217_728)),
            ("1G", Some(1_000_000_000)),
            ("1.5Ki", Some(1536)),
            ("1e3", Some(1000)),
            ("1E3", Some(1000)),
            ("2E", Some(2_000_000_000_000_000_000)),
            ("1Pi", Some(1_125_899_906_842_624)),
            ("1500u", Some(1)),
            ("", None),
            ("-1", None),
            ("many", None),
            ("inf", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
        assert_eq!(milli_cpus("500m"), Some(500));
        assert_eq!(milli_cpus("2"), Some(2000));
        assert_eq!(milli_cpus("250000u"), Some(250));
    }
}
