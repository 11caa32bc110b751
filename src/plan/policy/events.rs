//! `nats`: which servers events may go to.

use super::Finding;
use crate::events::NatsConfig;
use crate::inputs::policy::Policies;

/// `nats`: every server that events go to has to be a named one. A name without TLS allows TLS too, not the other way
/// round.
pub(super) fn nats(policies: &Policies, asked: Option<&NatsConfig>) -> Vec<Finding> {
    let Some(asked) = asked else { return Vec::new() };
    let said = policies.said("nats", |policy| policy.nats.as_deref());
    said.flat_map(|(rule, texts)| {
        let allowed: Vec<String> = texts
            .iter()
            .filter_map(|text| NatsConfig::new(text, None).ok())
            .flat_map(|config| config.addresses())
            .collect();
        let is_allowed = |address: &String| {
            let plain = address.replacen("tls://", "nats://", 1);
            allowed.iter().any(|allowed| allowed == address || *allowed == plain)
        };
        let words = if texts.is_empty() { "none".to_owned() } else { format!("only `{}`", texts.join("`, `")) };
        let refused = asked.addresses().into_iter().filter(|address| !is_allowed(address));
        refused
            .map(|address| Finding::refused(rule.clone(), format!("the NATS server `{address}`"), words.clone()))
            .collect::<Vec<_>>()
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inputs::policy::policies;

    #[test]
    fn every_server_has_to_be_named() {
        let rule =
            policies(&[(json!({ "nats": ["nats://a.example", "tls://b.example:4333,c.example"] }), &[("nats", 5)])]);
        let refused = |addresses: &str| -> Vec<String> {
            nats(&rule, Some(&NatsConfig::new(addresses, None).unwrap())).into_iter().map(|found| found.asked).collect()
        };
        for allowed in ["a.example:4222", "tls://a.example", "nats://me:secret@a.example", "tls://b.example:4333"] {
            assert_eq!(refused(allowed), [""; 0], "{allowed}");
        }
        assert_eq!(refused("nats://b.example:4333"), ["the NATS server `nats://b.example:4333`"]);
        assert_eq!(
            refused("x.example,a.example:4223"),
            ["the NATS server `nats://x.example:4222`", "the NATS server `nats://a.example:4223`"]
        );
        assert_eq!(nats(&rule, None), []);
    }
}
