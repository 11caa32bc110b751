//! [`VmConfig`]: a machine's configuration, and whose the machine is by it.

use serde_json::{Map, Value};

use super::description;
use crate::ids::LeaseId;
use crate::lease::Labels;

/// What every machine of ours is tagged with, once it is configured.
pub(super) const TAG: &str = "lian-build";

/// A machine's configuration, as the API tells it.
#[derive(Debug, Clone, Default)]
pub(super) struct VmConfig(Map<String, Value>);

impl VmConfig {
    /// From an answer's data.
    pub(super) fn of(data: Value) -> Self {
        Self(if let Value::Object(map) = data { map } else { Map::new() })
    }

    /// One of its values: numbers come as such, or as text.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.0.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, key: &str) -> bool {
        matches!(self.text(key).as_deref(), Some("1" | "true"))
    }

    /// Its keys and values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.keys().filter_map(|key| Some((key.as_str(), self.text(key)?)))
    }

    /// Its tags.
    pub(super) fn tags(&self) -> Vec<String> {
        let tags = self.text("tags").unwrap_or_default();
        tags.split([';', ',', ' ']).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
    }

    /// What it says of itself; `None` when it says nothing of us.
    ///
    /// # Errors
    /// With what cannot be read, or does not fit together.
    pub(super) fn labels(&self) -> Option<Result<Labels, String>> {
        let labels = match description::read(&self.text("description")?)? {
            Ok(labels) => labels,
            Err(why) => return Some(Err(why)),
        };
        let name = self.text("name").unwrap_or_default();
        if name != labels.lease_id.as_str() {
            return Some(Err(format!("its name is not the lease `{}` of its labels", labels.lease_id)));
        }
        let is_others = |tag: &String| tag.parse::<LeaseId>().is_ok_and(|lease| lease != labels.lease_id);
        if let Some(tag) = self.tags().into_iter().find(is_others) {
            return Some(Err(format!("its tag `{tag}` is another lease than the one of its labels")));
        }
        Some(Ok(labels))
    }

    /// Whether the machine is the one of this lease, by its name, description and tags; else why not.
    pub(super) fn is_of(&self, lease: &LeaseId) -> Result<Labels, String> {
        match self.labels() {
            None => Err("its description says nothing of lian-build".to_owned()),
            Some(Err(why)) => Err(why),
            Some(Ok(labels)) if labels.lease_id == *lease => Ok(labels),
            Some(Ok(labels)) => Err(format!("its labels name the lease `{}`", labels.lease_id)),
        }
    }

    /// True once it has the tags that the configuration of ours gives it: before, it has the template's.
    pub(super) fn is_tagged(&self) -> bool {
        self.tags().iter().any(|tag| tag == TAG)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::test_labels::labels;
    use super::*;

    #[test]
    fn name_description_and_tags_have_to_agree() {
        let (lease, other) = (LeaseId::new(), LeaseId::new());
        let line = description::write(&labels(&lease));
        let config = |name: &str, description: &str, tags: &str| {
            VmConfig::of(json!({ "name": name, "description": format!("{description}\n"), "tags": tags }))
        };
        let ours = config(lease.as_str(), &line, &format!("{TAG};{lease}"));
        assert!(ours.is_of(&lease).is_ok() && ours.is_tagged());
        // Just cloned: the template's tags are on it.
        let young = config(lease.as_str(), &line, "debian");
        assert!(young.is_of(&lease).is_ok() && !young.is_tagged());
        for not_ours in [
            config("web", &line, ""),
            config(lease.as_str(), "", ""),
            config(lease.as_str(), "{\"lian-managed\":\"1\"}", ""),
            config(lease.as_str(), &line, &format!("{TAG};{other}")),
            config(other.as_str(), &description::write(&labels(&other)), ""),
            VmConfig::of(Value::Null),
        ] {
            assert!(not_ours.is_of(&lease).is_err(), "{not_ours:?}");
        }
    }

    #[test]
    fn values_are_read_as_numbers_and_as_text() {
        let config = VmConfig::of(json!({ "cores": 2, "template": 1, "protection": "1", "onboot": 0 }));
        assert_eq!(config.text("cores").as_deref(), Some("2"));
        assert!(
            config.is_on("template") && config.is_on("protection") && !config.is_on("onboot") && !config.is_on("x")
        );
    }
}
