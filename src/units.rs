//! Durations and byte sizes as people write them: `1h 30m`, `250ms`, `200MiB`, `5MB`.

use std::time::Duration;

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a duration; write a whole number with a unit of `ms`, `s`, `m`, `h`, `d` or `w`, such as `5m`, `1h 30m` or `250ms`"
)]
pub struct NotADuration(pub String);

/// The text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a size; write a whole number of bytes, or one with a unit of `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024) or `kB`, `MB`, `GB`, `TB` (powers of 1000), such as `200MiB`"
)]
pub struct NotASize(pub String);

/// Reads a duration: one or several whole numbers, each with a unit; `0` needs none.
///
/// Months and years are refused: their length is a matter of opinion, and `5M` is more often
/// meant as five minutes.
pub fn parse_duration(text: &str) -> Result<Duration, NotADuration> {
    let wrong = || NotADuration(text.to_owned());
    let mut units = text.split(|c: char| !c.is_alphabetic()).filter(|unit| !unit.is_empty());
    // No fractions, as for sizes: the smaller unit says the same, and exactly.
    if text.contains('.') || !units.all(|unit| DURATION_UNITS.contains(&unit)) {
        return Err(wrong());
    }
    humantime::parse_duration(text.trim()).map_err(|_| wrong())
}

/// Writes a duration so that [`parse_duration`] reads the same one: `1h 30m`, `0s`.
pub fn show_duration(duration: Duration) -> String {
    let total = duration.as_secs();
    let parts = [
        (total / 86_400, "d"),
        (total / 3600 % 24, "h"),
        (total / 60 % 60, "m"),
        (total % 60, "s"),
        (u64::from(duration.subsec_millis()), "ms"),
        (u64::from(duration.subsec_micros() % 1000), "us"),
        (u64::from(duration.subsec_nanos() % 1000), "ns"),
    ];
    let shown: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

/// Reads a size in bytes. Units are powers of 1024 (`MiB`) or of 1000 (`MB`); case is ignored.
pub fn parse_size(text: &str) -> Result<u64, NotASize> {
    let wrong = || NotASize(text.to_owned());
    let trimmed = text.trim();
    let digits = trimmed.len() - trimmed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim_start();
    let factor = if unit.is_empty() {
        1
    } else {
        SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?.1
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// Writes a size so that [`parse_size`] reads the same one, in the largest unit that divides it.
pub fn show_size(bytes: u64) -> String {
    let exact = |(_, factor): &&(&str, u64)| *factor > 1 && bytes >= *factor && bytes.is_multiple_of(*factor);
    match SIZE_UNITS.iter().filter(exact).max_by_key(|(_, factor)| *factor) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

const DURATION_UNITS: [&str; 28] = [
    "ns", "nsec", "us", "usec", "ms", "msec", "millis", "s", "sec", "secs", "second", "seconds", "m", "min", "mins",
    "minute", "minutes", "h", "hr", "hrs", "hour", "hours", "d", "day", "days", "w", "week", "weeks",
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_every_accepted_form() {
        for (text, millis) in [
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("0", 0),
            ("0s", 0),
            ("2d", 172_800_000),
            (" 10 s ", 10_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_the_accepted_forms() {
        for text in ["", "5", "m", "-5m", "1.5h", "5 lightyears", "5M", "1month", "1y", "99999999999999999999s"] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains("`5m`"), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_in_every_accepted_form() {
        for (text, bytes) in [
            ("1048576", 1 << 20),
            ("200MiB", 200 << 20),
            ("2 GiB", 2 << 30),
            ("5MB", 5_000_000),
            ("1kb", 1000),
            ("0", 0),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5GiB", "5 elephants", "99999999TiB", "18446744073709551616"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_reads_back(nanos in 0u64.., bytes in 0u64..) {
            let duration = Duration::from_nanos(nanos);
            proptest::prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            proptest::prop_assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
    }
}
