//! [`Facts`]: what is known before a machine is made, and whether one of the tier could be.

use super::ProxmoxConfig;
use super::client::Client;
use super::node::Node;
use super::privileges;
use super::template::Template;
use crate::env_vars;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::LeaseRequest;

/// The architecture of nodes where the token does not see it: the one that releases of Proxmox VE are made for.
const USUAL: &str = "amd64";

/// What is known before a machine is made.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) template: Template,
    /// Where the machine is made.
    pub(super) node: String,
    /// Its architecture, as OCI names it.
    pub(super) architecture: String,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}

impl Facts {
    /// Asks for everything that a lease depends on. No side effect.
    ///
    /// # Errors
    /// `Credentials` for a token that is refused or may too little, `Usage` for a template or node that cannot be used,
    /// `NoCapacity` for another architecture than the one asked for and a tier that is larger than the node.
    pub(super) async fn read(client: &Client, config: &ProxmoxConfig, request: &LeaseRequest) -> Result<Self> {
        client.get(&["version"], &[]).await.map_err(|failure| failure.into_error("be asked"))?;
        let wanted = config.template.as_deref().ok_or_else(|| {
            Error::usage(format!(
                "the provider `proxmox` needs a template, and neither the directives nor {} name one",
                env_vars::PROXMOX_VE_TEMPLATE
            ))
            .hint("docs/proxmox.md says how one is made")
        })?;
        let template = Template::find(client, wanted).await?;
        let node = Node::read(client, config.node.as_deref().unwrap_or(&template.place.node)).await?;
        let (architecture, notes) = architecture(template.architecture(), &node);
        if architecture != request.architecture {
            return Err(Error::new(
                ErrorKind::NoCapacity,
                format!(
                    "machines of the template `{wanted}` on the node `{}` are `{architecture}`, and `{}` is built for",
                    node.name, request.architecture
                ),
            )
            .hint(format!("build with `--platform linux/{architecture}`, or on a node of that architecture")));
        }
        fits(&node, request)?;
        privileges::check(client, config, &template).await?;
        Ok(Self { template, node: node.name, architecture, notes })
    }
}

/// The architecture of a machine: what its template says, or its node's own.
fn architecture(of_template: Option<&str>, node: &Node) -> (String, Vec<String>) {
    let mut notes = Vec::new();
    if node.architecture.is_none() && of_template.is_none() {
        notes.push(format!(
            "the token does not see the architecture of the node `{}` (Sys.Audit on /nodes/{}): taken to be `{USUAL}`",
            node.name, node.name
        ));
    }
    let own = node.architecture.as_deref().unwrap_or(USUAL);
    let architecture = of_template.unwrap_or(own);
    if node.architecture.is_some() && architecture != own {
        notes.push(format!(
            "the machine is `{architecture}` and its node `{}` is `{own}`: it is emulated, and many times slower",
            node.name
        ));
    }
    (architecture.to_owned(), notes)
}

/// Whether the node could ever hold the tier. What others use of it now decides the start.
fn fits(node: &Node, request: &LeaseRequest) -> Result<()> {
    let tier = &request.tier;
    let too_large = |what: String| {
        Err(Error::new(
            ErrorKind::NoCapacity,
            format!("the node `{}` of Proxmox VE is smaller than the tier `{}`: it has {what}", node.name, tier.name),
        ))
    };
    match (node.cpus, node.memory_bytes) {
        (Some(cpus), _) if cpus < u64::from(tier.cpu) => too_large(format!("{cpus} cpu, not {}", tier.cpu)),
        (_, Some(memory)) if memory < tier.memory_bytes() => {
            too_large(format!("{} MB of memory, not {}", memory >> 20, tier.memory_bytes() >> 20))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(architecture: Option<&str>) -> Node {
        Node { name: "pve".to_owned(), architecture: architecture.map(str::to_owned), cpus: None, memory_bytes: None }
    }

    #[test]
    fn an_architecture_that_is_not_seen_or_emulated_is_said() {
        assert_eq!(architecture(None, &node(Some("arm64"))), ("arm64".to_owned(), vec![]));
        let (unseen, notes) = architecture(None, &node(None));
        assert!(unseen == "amd64" && notes[0].contains("Sys.Audit"), "{notes:?}");
        let (emulated, notes) = architecture(Some("arm64"), &node(Some("amd64")));
        assert!(emulated == "arm64" && notes[0].contains("emulated"), "{notes:?}");
        assert_eq!(architecture(Some("arm64"), &node(None)), ("arm64".to_owned(), vec![]));
    }
}
