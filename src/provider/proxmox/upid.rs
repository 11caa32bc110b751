//! [`Upid`]: the name of a task, which says where it runs.

use serde_json::Value;

use super::failure::Failure;

/// The name of a task: `UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upid {
    text: String,
    node: String,
}

impl Upid {
    /// What an answer's data is. `None` when nothing had to be done.
    pub(super) fn of(data: &Value) -> Result<Option<Self>, Failure> {
        match data {
            Value::Null => Ok(None),
            Value::String(text) => Self::parse(text).map(Some).ok_or_else(|| {
                Failure::Unknown(format!("`{}` is not the name of a task", crate::sanitise::short(text, 100)))
            }),
            other => Err(Failure::Unknown(format!(
                "`{}` is not the name of a task",
                crate::sanitise::short(&other.to_string(), 100)
            ))),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(':').collect();
        let [tag, node, pid, pstart, start, kind, _id, user, end] = fields.as_slice() else { return None };
        let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        let fits = *tag == "UPID" && end.is_empty() && [pid, pstart, start].iter().all(|field| is_hex(field));
        (fits && is_word(node) && !kind.is_empty() && !user.is_empty())
            .then(|| Self { text: text.to_owned(), node: (*node).to_owned() })
    }

    /// Where it runs.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// The whole name.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_nine_fields_and_runs_on_a_node() {
        let text = "UPID:pve-1:0000AF3C:00B71B00:6630F1A2:qmclone:9000:build@pve!ci:";
        let upid = Upid::of(&Value::from(text)).unwrap().unwrap();
        assert_eq!((upid.node(), upid.as_str()), ("pve-1", text));
        assert_eq!(Upid::of(&Value::Null).unwrap(), None);
        for bad in [
            "",
            "UPID:a:b",
            &text.replace("pve-1", "a/b"),
            &text[..text.len() - 1],
            &text.replace("UPID", "X"),
            &format!("{text}:"),
        ] {
            assert!(Upid::of(&Value::from(bad)).unwrap_err().is_unknown(), "{bad}");
        }
    }
}
