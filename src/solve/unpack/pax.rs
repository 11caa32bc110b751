//! [`Extensions`]: what extended headers say about the next entry (POSIX pax records, GNU long names).

use crate::error::Result;
use crate::solve::unpack::refused;

/// The values that matter here. Owners, extended attributes (file capabilities among them) and times of access are
/// dropped.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
}

impl Extensions {
    /// Takes over the records of a pax header: `LENGTH KEY=VALUE\n`, where the length counts itself.
    ///
    /// # Errors
    /// For records that are none, and for sparse files, whose content is not what it seems.
    pub(super) fn read_pax(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let Some((key, value, rest)) = split_record(data) else {
                return Err(refused("the result holds an extended header that is not well formed"));
            };
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number(value)?),
                b"mtime" => self.mtime = time(value),
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(refused("the result holds a sparse file, which is not taken"));
                }
                _ => {}
            }
            data = rest;
        }
        Ok(())
    }
}

fn split_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(data.get(..space)?).ok()?.parse().ok()?;
    let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?, data.get(length..)?))
}

fn number(value: &[u8]) -> Result<u64> {
    std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| refused("the result holds an extended header with a size that is none"))
}

/// Seconds with a fraction; what is none is no time.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    match (whole.starts_with('-'), nanoseconds) {
        (false, _) | (_, 0) => Some((seconds, nanoseconds)),
        (true, _) => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[u8]) -> Result<Extensions> {
        let mut extensions = Extensions::default();
        extensions.read_pax(data).map(|()| extensions)
    }

    #[test]
    fn records_with_any_bytes_are_read() {
        let read = read(b"14 path=a\nb=c\n19 comment=ignored\n11 size=42\n15 mtime=-1.25\n").unwrap();
        assert_eq!((read.path.as_deref(), read.size, read.link), (Some(&b"a\nb=c"[..]), Some(42), None));
        assert_eq!(read.mtime, Some((-2, 750_000_000)));
    }

    #[test]
    fn times_have_fractions_and_signs() {
        assert_eq!(time(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"7"), Some((7, 0)));
        assert_eq!(time(b"soon"), None);
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for data in [
            "x",
            "5 a=b",
            "99 path=a\n",
            "0 a=b\n",
            "8 path\n",
            "10 size=x1\n",
            "11 size=-1\n",
            "99999999999999999999999 a=b\n",
        ] {
            assert!(read(data.as_bytes()).is_err(), "{data:?}");
        }
        assert!(read(b"22 GNU.sparse.major=1\n").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(data: Vec<u8>) {
            let _ = read(&data);
        }
    }
}
