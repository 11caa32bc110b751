//! The request that creates a runner's container, and what is read of one that exists.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    MountType, MountVolumeOptions, PortBinding,
};

use super::facts::DaemonFacts;
use super::kept_cache::KeptCache;
use super::privileges;
use crate::ids::LeaseId;
use crate::lease::{CgroupVersion, Holder, Labels, LeaseRequest};
use crate::provider::host::fit::Fit;
use crate::runner_image::layout::{BUILDKIT_ROOT, SECRETS, STEPS};

/// sshd's port in the container.
const SSH: &str = "22/tcp";

/// The tmpfs of secrets and logins.
const SECRETS_OPTIONS: &str = "rw,noexec,nosuid,nodev,size=64m,mode=0700";

const STEPS_OPTIONS: &str = "rw,noexec,nosuid,nodev,size=64m,mode=0711";

/// What must not reach a disk.
fn tmpfs() -> HashMap<String, String> {
    let steps = STEPS.map(|path| (path.to_owned(), STEPS_OPTIONS.to_owned()));
    [(SECRETS.to_owned(), SECRETS_OPTIONS.to_owned())].into_iter().chain(steps).collect()
}

/// The request that creates the container: all labels and limits are in it. BuildKit's state is in the kept cache, or in a
/// volume of the lease's own.
pub(super) fn create_body(
    image: &str,
    request: &LeaseRequest,
    fit: &Fit,
    facts: &DaemonFacts,
    kept: Option<&KeptCache>,
) -> ContainerCreateBody {
    let labels: HashMap<String, String> = request.labels().to_map().into_iter().collect();
    let memory = i64::try_from(fit.memory_bytes).unwrap_or(i64::MAX);
    let loopback = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some("0".to_owned()) };
    let cache = Mount {
        target: Some(BUILDKIT_ROOT.to_owned()),
        typ: Some(MountType::VOLUME),
        // Without a name it goes with the container.
        source: kept.map(|kept| kept.name.clone()),
        volume_options: Some(MountVolumeOptions {
            labels: Some(kept.map_or(&labels, |kept| &kept.labels).clone()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    let log = [("max-size", "1m"), ("max-file", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let host = HostConfig {
        memory: Some(memory),
        // Memory and swap together: no swap.
        memory_swap: Some(memory),
        nano_cpus: Some(i64::from(fit.cpu) * 1_000_000_000),
        // Reaps what build steps orphan.
        init: Some(true),
        mounts: Some(vec![cache]),
        tmpfs: Some(tmpfs()),
        port_bindings: Some(HashMap::from([(SSH.to_owned(), Some(vec![loopback]))])),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(privileges::capabilities(facts.cgroup)),
        security_opt: Some(privileges::security_options()),
        devices: Some(privileges::devices(facts.cgroup)),
        // On v2 the runner arranges groups of its own, and must not see the machine's.
        cgroupns_mode: (facts.cgroup == CgroupVersion::V2).then_some(HostConfigCgroupnsModeEnum::PRIVATE),
        // Mounts need the machine's own root; the daemon would map it to another user.
        userns_mode: facts.remaps_users.then(|| "host".to_owned()),
        // What it said is needed when it ends too early, whatever the daemon's default is.
        log_config: Some(HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(log.into()) }),
        // One that removes or starts itself again could not be asked why it ended.
        auto_remove: Some(false),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        hostname: Some(request.lease_id.to_string()),
        image: Some(image.to_owned()),
        labels: Some(labels),
        exposed_ports: Some(vec![SSH.to_owned()]),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

/// The labels of a container, in order.
pub(super) fn labels_of(labels: Option<&HashMap<String, String>>) -> BTreeMap<String, String> {
    labels.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether the container is the one of this lease, by its own labels; else why not.
pub(super) fn is_of(container: &ContainerInspectResponse, lease: &LeaseId) -> Result<Labels, String> {
    let map = labels_of(container.config.as_ref().and_then(|config| config.labels.as_ref()));
    match Labels::from_map(&map) {
        None => Err("it has no label of lian-build".to_owned()),
        Some(Err(why)) => Err(why),
        Some(Ok(labels)) if labels.lease_id == *lease => Ok(labels),
        Some(Ok(labels)) => Err(format!("its labels name the lease `{}`", labels.lease_id)),
    }
}

/// The container's first process, where it is one that this machine shows in the container's own cgroup: in a virtual machine,
/// or seen from another PID namespace, the same number is somebody else's or nobody's.
pub(super) fn first_process(container: &ContainerInspectResponse) -> Option<Holder> {
    let (id, pid) = (container.id.as_deref()?, container.state.as_ref()?.pid?);
    let process = Holder::of(u32::try_from(pid).ok().filter(|pid| *pid > 0)?)?;
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    (!id.is_empty() && cgroup.contains(id)).then_some(process)
}

/// Where sshd may be reached once the container runs: the loopback port that leads to it, and, for callers that are in a
/// container of the same daemon themselves (a CI job with Docker's socket), the container's own address.
pub(super) fn ssh_addresses(container: &ContainerInspectResponse) -> Vec<(String, u16)> {
    let Some(network) = &container.network_settings else { return Vec::new() };
    let bindings = network.ports.as_ref().and_then(|ports| ports.get(SSH)?.as_ref());
    let ports = bindings.into_iter().flatten().filter_map(|binding| binding.host_port.as_deref()?.parse().ok());
    let published = ports.filter(|port| *port != 0).map(|port| ("127.0.0.1".to_owned(), port));
    let own = network.networks.iter().flat_map(HashMap::values).filter_map(|network| {
        let address: std::net::Ipv4Addr = network.ip_address.as_deref()?.parse().ok()?;
        Some((address.to_string(), 22))
    });
    published.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerConfig, ContainerState, EndpointSettings, NetworkSettings};

    use super::*;

    fn labelled(labels: &BTreeMap<String, String>) -> ContainerInspectResponse {
        let labels = Some(labels.clone().into_iter().collect());
        let config = Some(ContainerConfig { labels, ..ContainerConfig::default() });
        ContainerInspectResponse { config, ..ContainerInspectResponse::default() }
    }

    #[test]
    fn only_the_leases_own_labels_make_a_container_ours() {
        let lease = LeaseId::new();
        let mut labels = BTreeMap::from(
            [
                ("lian-managed", "1"),
                ("lian-schema", "1"),
                ("lian-owner", "0123456789ab"),
                ("lian-lease", lease.as_str()),
                ("lian-workspace", "shop"),
                ("lian-tier", "cax11"),
                ("lian-attempt", "1"),
                ("lian-created", "1"),
                ("lian-expires", "2"),
                ("lian-max", "3"),
                ("lian-run", "018f0000-0000-7000-8000-000000000000"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        assert_eq!(is_of(&labelled(&labels), &lease).unwrap().lease_id, lease);
        assert!(is_of(&labelled(&labels), &LeaseId::new()).unwrap_err().contains(lease.as_str()));
        labels.remove("lian-owner");
        assert!(is_of(&labelled(&labels), &lease).unwrap_err().contains("lian-owner"));
        assert!(is_of(&labelled(&BTreeMap::new()), &lease).is_err());
        assert!(is_of(&ContainerInspectResponse::default(), &lease).is_err());
    }

    #[test]
    fn a_process_outside_of_the_containers_cgroup_is_not_the_containers() {
        let with = |id: &str, pid: i64| ContainerInspectResponse {
            id: Some(id.to_owned()),
            state: Some(ContainerState { pid: Some(pid), ..ContainerState::default() }),
            ..ContainerInspectResponse::default()
        };
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let mine = i64::from(std::process::id());
        assert_eq!(first_process(&with(own.lines().next().unwrap(), mine)), Holder::current());
        for (id, pid) in [("0123456789abcdef", mine), ("", mine), (own.as_str(), 0), (own.as_str(), -1)] {
            assert_eq!(first_process(&with(id, pid)), None, "{id} {pid}");
        }
    }

    #[test]
    fn the_published_port_comes_before_the_containers_own_address() {
        let with = |port: Option<&str>, address: &str| {
            let binding = PortBinding { host_ip: None, host_port: port.map(str::to_owned) };
            let bridge = EndpointSettings { ip_address: Some(address.to_owned()), ..EndpointSettings::default() };
            let network_settings = Some(NetworkSettings {
                ports: Some(HashMap::from([(SSH.to_owned(), Some(vec![binding]))])),
                networks: Some(HashMap::from([("bridge".to_owned(), bridge)])),
                ..NetworkSettings::default()
            });
            ssh_addresses(&ContainerInspectResponse { network_settings, ..ContainerInspectResponse::default() })
        };
        let loopback = ("127.0.0.1".to_owned(), 40_022);
        assert_eq!(with(Some("40022"), "172.17.0.2"), [loopback.clone(), ("172.17.0.2".to_owned(), 22)]);
        assert_eq!(with(Some("40022"), ""), [loopback]);
        for none in [None, Some(""), Some("0"), Some("99999")] {
            assert!(with(none, "-oProxyCommand=x").is_empty());
        }
    }
}
