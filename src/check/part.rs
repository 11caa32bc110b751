//! [`Part`]: a part of a document that may be wrong in places.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::inputs::nickel::{element_path, field_path};

/// A part of a document: where it is, and what it says. What is wrong with its contract already is `null` and says nothing,
/// so that no rule speaks about it again.
#[derive(Debug, Clone)]
pub(super) struct Part<'a> {
    path: String,
    value: Option<&'a Value>,
}

impl<'a> Part<'a> {
    /// The whole document.
    pub(super) fn whole(value: &'a Value) -> Self {
        Self { path: String::new(), value: Some(value) }
    }

    /// Its path in the document.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The field `name`.
    pub(super) fn field(&self, name: &str) -> Self {
        let value = match self.value {
            Some(Value::Object(fields)) => fields.get(name),
            // What is not known may have it.
            Some(null @ Value::Null) => Some(null),
            _ => None,
        };
        Self { path: field_path(&self.path, name), value }
    }

    /// The field that `path` leads to: `artifact.image`.
    pub(super) fn at(&self, path: &str) -> Self {
        path.split('.').fold(self.clone(), |part, name| part.field(name))
    }

    /// The elements of an array, those too that are wrong.
    pub(super) fn elements(&self) -> Vec<Self> {
        let elements = self.value.and_then(Value::as_array).into_iter().flatten().enumerate();
        elements.map(|(index, value)| Self { path: element_path(&self.path, index), value: Some(value) }).collect()
    }

    /// The fields of a record, with their names.
    pub(super) fn entries(&self) -> Vec<(&'a str, Self)> {
        let fields = self.value.and_then(Value::as_object).into_iter().flatten();
        fields.map(|(name, _)| (name.as_str(), self.field(name))).collect()
    }

    /// True for an array.
    pub(super) fn is_array(&self) -> bool {
        self.value.is_some_and(Value::is_array)
    }

    /// True when it is left out.
    pub(super) fn is_absent(&self) -> bool {
        self.value.is_none()
    }

    /// True when nothing of it is wrong, or it is left out.
    pub(super) fn is_sound(&self) -> bool {
        self.value.is_none_or(is_sound)
    }

    /// What it says; `None` when it is left out, or not sound.
    pub(super) fn said<T: DeserializeOwned>(&self) -> Option<T> {
        let value = self.value.filter(|value| is_sound(value))?;
        serde_json::from_value(value.clone()).ok()
    }
}

fn is_sound(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(elements) => elements.iter().all(is_sound),
        Value::Object(fields) => fields.values().all(is_sound),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_says_nothing_and_what_is_beside_it_does() {
        let value = json!({ "a": { "b": ["x", null], "c": 2.5 }, "d": null });
        let part = Part::whole(&value);
        assert_eq!(part.at("a.c").said::<f64>(), Some(2.5));
        assert_eq!(part.at("a.b").said::<Vec<String>>(), None);
        let elements = part.at("a.b").elements();
        let said: Vec<_> = elements.iter().map(|part| (part.path(), part.said::<String>())).collect();
        assert_eq!(said, [("a.b[0]", Some("x".to_owned())), ("a.b[1]", None)]);
        let states =
            ["a", "a.c", "d", "d.e", "f", "f.g"].map(|path| (part.at(path).is_sound(), part.at(path).is_absent()));
        let [wrong, sound, absent] = [(false, false), (true, false), (true, true)];
        assert_eq!(states, [wrong, sound, wrong, wrong, absent, absent]);
    }
}
