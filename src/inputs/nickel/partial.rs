//! [`Partial`]: what could be evaluated of a document that is not valid.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::place::Places;

/// What could be evaluated of a document that is not valid, so that more can be said of it than what is wrong with its
/// contract.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// The value, with the defaults of its contract. `null` stands for each part that is wrong or could not be seen.
    pub value: Value,
    /// Where each part of it stands.
    pub places: Places,
}

impl Partial {
    /// Adds what another evaluation has seen: it may have got further.
    pub(super) fn add(&mut self, value: Value, places: Places) {
        let before = std::mem::take(&mut self.value);
        self.value = united(before, value);
        self.places.add(places);
    }
}

/// What either has seen. Both are of the same document, so where both have seen something it is the same.
fn united(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            for (name, value) in other {
                let before = one.remove(&name).unwrap_or_default();
                one.insert(name, united(before, value));
            }
            Value::Object(one)
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            Value::Array(one.into_iter().zip(other).map(|(one, other)| united(one, other)).collect())
        }
        (Value::Null, other) => other,
        (one, _) => one,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_was_seen_is_lost() {
        let mut partial = Partial::default();
        for value in [
            json!(null),
            json!({ "a": null, "b": [1, null], "c": { "d": 1 } }),
            json!({ "a": { "x": 1 }, "b": [null, 2], "c": null }),
            json!(null),
        ] {
            partial.add(value, Places::default());
        }
        assert_eq!(partial.value, json!({ "a": { "x": 1 }, "b": [1, 2], "c": { "d": 1 } }));
    }
}
