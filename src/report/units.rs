//! Sizes and durations as people read them.

use std::time::Duration;

/// Bytes with three digits or so: `0 B`, `999 B`, `1.5 KB`, `12 MB`, `3.2 GB`. Decimal, as BuildKit counts transfers.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        // 999.95 KB would read as 1000.0 KB.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// A duration: `0.4s`, `12.3s`, `1m 05s`, `2h 03m`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 3600 {
        format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60)
    } else if time >= Duration::from_millis(59_950) {
        format!("{}m {:02}s", seconds.max(60) / 60, seconds.max(60) % 60)
    } else {
        format!("{:.1}s", time.as_secs_f64())
    }
}

/// A whole number with its noun: `1 file`, `2 files`.
pub fn count(number: u64, noun: &str) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KB"),
            (1_540, "1.5 KB"),
            (9_960, "10 KB"),
            (999_499, "999 KB"),
            (999_950, "1.0 MB"),
            (12_345_678, "12 MB"),
            (3_210_000_000, "3.2 GB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn durations_read_well() {
        for (milliseconds, text) in [
            (0, "0.0s"),
            (440, "0.4s"),
            (59_900, "59.9s"),
            (59_960, "1m 00s"),
            (65_000, "1m 05s"),
            (3_599_999, "59m 59s"),
            (7_380_000, "2h 03m"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn counts_read_well() {
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(20_000, "file"), "20,000 files");
        assert_eq!(count(1_234_567, "file"), "1,234,567 files");
    }
}
