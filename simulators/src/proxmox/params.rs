//! [`Params`]: the parameters of a call, from its query and its body, and each of them asked for once: what nobody asked for is
//! refused, as the API's schemas do.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer::Refused;
use crate::call::Call;

/// The parameters of a call.
#[derive(Debug, Default, Clone)]
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    /// Of a call. Bodies are forms, or JSON.
    pub(super) fn of(call: &Call) -> Result<Self, Refused> {
        let mut all = decode(call.query());
        let kind = call.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") {
            if let Value::Object(map) = call.json() {
                all.extend(map.into_iter().filter_map(|(key, value)| Some((key, text(&value)?))));
            }
        } else if !call.body.is_empty() {
            if !kind.starts_with("application/x-www-form-urlencoded") {
                return Err(Refused {
                    status: 400,
                    words: format!("unexpected content type '{kind}'"),
                    ..Refused::default()
                });
            }
            all.extend(decode(&String::from_utf8_lossy(&call.body)));
        }
        Ok(Self(all))
    }

    /// Takes one.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Takes one that has to be there.
    pub(super) fn need(&mut self, name: &str) -> Result<String, Refused> {
        self.take(name).ok_or_else(|| Refused::parameter(name, "property is missing and it is not optional"))
    }

    /// Takes a number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, Refused> {
        let wrong = |value: &str| format!("type check ('integer') failed - got '{value}'");
        let parse = |value: String| value.parse().map_err(|_| Refused::parameter(name, wrong(&value)));
        self.take(name).map(parse).transpose()
    }

    /// Takes a switch.
    pub(super) fn switch(&mut self, name: &str) -> Result<Option<bool>, Refused> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("1" | "true" | "on" | "yes") => Ok(Some(true)),
            Some("0" | "false" | "off" | "no") => Ok(Some(false)),
            Some(value) => Err(Refused::parameter(name, format!("type check ('boolean') failed - got '{value}'"))),
        }
    }

    /// Takes all that are left.
    pub(super) fn rest(&mut self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.0)
    }

    /// That nothing is left.
    pub(super) fn end(self) -> Result<(), Refused> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(unknown(&name)),
        }
    }
}

/// A parameter that no schema has.
pub(super) fn unknown(name: &str) -> Refused {
    let why = "property is not defined in schema and the schema does not allow additional properties";
    Refused::parameter(name, why)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(on) => Some(u8::from(*on).to_string()),
        other => Some(other.to_string()),
    }
}

/// `a=b&c=d`, each percent-encoded, with `+` for a space.
fn decode(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let decoded = |text: &str| percent_decode(&text.replace('+', " ")).unwrap_or_default();
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect()
}

/// `None` for what is not percent-encoded text.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        if *byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after.get(2..)?;
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_once() {
        let all = decode("sshkeys=ssh-ed25519%2520AAAA%252B&name=a+b&flag");
        assert_eq!(all["sshkeys"], "ssh-ed25519%20AAAA%2B");
        assert_eq!((all["name"].as_str(), all["flag"].as_str()), ("a b", ""));
        assert_eq!(percent_decode("%zz"), None);
    }
}
