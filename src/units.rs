//! Sizes and durations as people read them.

use std::time::Duration;

/// Bytes with at most one decimal: `999 B`, `1.5 KB`, `12 MB`, `7.5 GB`. A KB has 2^10 bytes, a GB 2^30, as in tiers.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KB", "MB", "GB", "TB", "PB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        // 1023.7 KB would read as 1024 KB.
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let number = if value < 99.95 { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{} {unit}", number.strip_suffix(".0").unwrap_or(&number))
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
            (1023, "1023 B"),
            (1024, "1 KB"),
            (1_540, "1.5 KB"),
            ((1 << 20) - 1, "1 MB"),
            (1000 << 10, "1000 KB"),
            (200 << 20, "200 MB"),
            (12_345_678, "11.8 MB"),
            (7_680 << 20, "7.5 GB"),
            (16 << 30, "16 GB"),
            (u64::MAX, "16384 PB"),
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
