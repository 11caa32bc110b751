//! The one encoder for buildctl's comma-separated arguments (`--output`, `--export-cache`, `--import-cache`, `--secret`),
//! and the decoder that reads what a user wrote in the same syntax.
//!
//! `--opt key=value` is **not** comma-separated: buildctl cuts it at the first `=` and takes the rest as it stands, so it
//! must not be encoded.

use crate::error::{Error, Result};

/// Encodes fields as one record that buildctl's reader (Go's `encoding/csv` rules) reads back unchanged.
///
/// # Errors
/// [`crate::error::ErrorKind::Usage`] for what cannot be carried: no field at all, a NUL byte (which no argument can
/// hold), and a carriage return before a line feed (which some of Go's readers turn into a line feed alone).
pub fn encode<S: AsRef<str>>(fields: &[S]) -> Result<String> {
    if fields.is_empty() {
        return Err(Error::usage("an argument for buildctl without any field"));
    }
    let mut record = String::new();
    for (index, field) in fields.iter().enumerate() {
        let field = field.as_ref();
        if field.contains('\0') || field.contains("\r\n") {
            return Err(Error::usage(format!("`{field}` cannot be handed to buildctl: it holds a NUL or a CR LF")));
        }
        if index > 0 {
            record.push(',');
        }
        if needs_quotes(field) {
            record.push('"');
            record.push_str(&field.replace('"', "\"\""));
            record.push('"');
        } else {
            record.push_str(field);
        }
    }
    Ok(record)
}

/// Encodes `key=value` pairs as one record. A key must not hold `=`, where buildctl cuts.
///
/// # Errors
/// As [`encode`], and for a key that is empty or holds `=`.
pub fn encode_pairs<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> Result<String> {
    let fields = pairs
        .iter()
        .map(|(key, value)| {
            let (key, value) = (key.as_ref(), value.as_ref());
            if key.is_empty() || key.contains('=') {
                return Err(Error::usage(format!("`{key}` cannot be a key of a buildctl argument")));
            }
            Ok(format!("{key}={value}"))
        })
        .collect::<Result<Vec<String>>>()?;
    encode(&fields)
}

/// Reads one record by the rules of buildctl's reader: a quote is only allowed around a whole field and is doubled
/// within, a trailing line break is dropped.
///
/// # Errors
/// [`crate::error::ErrorKind::Usage`] for an empty record and for misplaced quotes.
pub fn decode(record: &str) -> Result<Vec<String>> {
    let line = record.strip_suffix('\n').map_or(record, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        return Err(Error::usage("an empty value where `key=value,…` is needed"));
    }
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => take_quoted(record, quoted)?,
            None => take_bare(record, rest)?,
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

/// Reads one record of `key=value` fields; keys in lower case, as buildctl takes them.
///
/// # Errors
/// As [`decode`], and for a field without `=`.
pub fn decode_pairs(record: &str) -> Result<Vec<(String, String)>> {
    decode(record)?
        .into_iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => Ok((key.to_lowercase(), value.to_owned())),
            None => Err(Error::usage(format!("`{field}` in `{record}` is not `key=value`"))
                .hint("quote a field that holds a comma: `\"name=a,b\"`")),
        })
        .collect()
}

/// A field that begins with white space is quoted too: some readers trim it.
fn needs_quotes(field: &str) -> bool {
    field.is_empty() || field.contains(['"', ',', '\n', '\r']) || field.starts_with(char::is_whitespace)
}

/// The field up to the next comma, and what follows the comma.
fn take_bare<'a>(record: &str, rest: &'a str) -> Result<(String, Option<&'a str>)> {
    let (field, after) = match rest.split_once(',') {
        Some((field, after)) => (field, Some(after)),
        None => (rest, None),
    };
    if field.contains('"') {
        return Err(Error::usage(format!("a quote within the field `{field}` of `{record}`"))
            .hint("put quotes around the whole field, and double a quote within: `\"name=a,b\"`"));
    }
    Ok((field.to_owned(), after))
}

/// The field up to its closing quote, and what follows the comma behind it.
fn take_quoted<'a>(record: &str, mut rest: &'a str) -> Result<(String, Option<&'a str>)> {
    let mut field = String::new();
    loop {
        let Some((part, after)) = rest.split_once('"') else {
            return Err(Error::usage(format!("a quote in `{record}` is not closed")));
        };
        field.push_str(part);
        if let Some(after) = after.strip_prefix('"') {
            field.push('"');
            rest = after;
        } else if let Some(after) = after.strip_prefix(',') {
            return Ok((field, Some(after)));
        } else if after.is_empty() {
            return Ok((field, None));
        } else {
            return Err(Error::usage(format!("a closing quote in `{record}` is not followed by a comma")));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_needs_quotes_gets_them() {
        assert_eq!(encode(&["type=image", "name=a,b", "push=true"]).unwrap(), r#"type=image,"name=a,b",push=true"#);
        assert_eq!(encode(&["a\"b", "", " c"]).unwrap(), r#""a""b",""," c""#);
    }

    #[test]
    fn a_value_cannot_become_an_attribute() {
        let pairs = [("type", "oci"), ("dest", "/tmp/a,push=true,name=evil\"\n")];
        let read = decode_pairs(&encode_pairs(&pairs).unwrap()).unwrap();
        assert_eq!(read, pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        assert!(encode::<&str>(&[]).is_err());
        assert!(encode(&["a\0b"]).is_err());
        assert!(encode(&["a\r\nb"]).is_err());
        assert!(encode_pairs(&[("", "v")]).is_err());
        assert!(encode_pairs(&[("a=b", "v")]).is_err());
    }

    #[test]
    fn the_decoder_is_as_strict_as_buildctls() {
        assert_eq!(decode("a,b,").unwrap(), ["a", "b", ""]);
        assert_eq!(decode("\"a\"\"b\",c\r\n").unwrap(), ["a\"b", "c"]);
        assert_eq!(decode(" a").unwrap(), [" a"]);
        for bad in ["", "\n", "a\"b", "\"a", "\"a\"b", "a,\"b\"c"] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
        assert!(decode_pairs("type=oci,dest").is_err());
    }

    /// Another reader of the same format, for records that no reader of Go's would change.
    fn other_reader(record: &str) -> Vec<String> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(record.as_bytes());
        reader.records().next().unwrap().unwrap().iter().map(str::to_owned).collect()
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(fields in prop::collection::vec("[a-z=,\"' \t\n\r\\\\\u{e9}]{0,8}", 1..5)) {
            match encode(&fields) {
                Ok(record) => {
                    prop_assert_eq!(decode(&record).unwrap(), fields.clone());
                    prop_assert_eq!(other_reader(&record), fields);
                }
                Err(_) => prop_assert!(fields.iter().any(|field| field.contains("\r\n"))),
            }
        }

        #[test]
        fn any_text_is_survived(fields in prop::collection::vec(any::<String>(), 1..4), record: String) {
            if let Ok(record) = encode(&fields) {
                prop_assert_eq!(decode(&record).unwrap(), fields);
            }
            let _ = decode(&record);
        }
    }
}
