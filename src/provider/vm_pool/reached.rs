//! How a pool says that its runner is reached, checked: no part of it may be anything but what it is called.

use std::net::{IpAddr, Ipv6Addr};

use super::VmPoolConfig;
use super::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::{AuthorizedKey, Endpoint, LeaseRequest};
use crate::plan::Tier;
use crate::pool_api::PoolLease;
use crate::provider::host::lease_dir::LeaseDir;

/// How much of what a pool wants to be told is.
const MOST_NOTES: usize = 16;

/// The longest user name, in bytes.
const LONGEST_USER: usize = 32;

/// A machine's own use of memory: a tier's nominal GB is a little more than what its kernel says.
const NEARLY: f64 = 0.85;

/// Makes an [`Endpoint`] of what a pool says, with what is ours. `quote` makes foreign text safe to show.
///
/// # Errors
/// [`ErrorKind::Provider`] with what cannot be used; [`ErrorKind::NoCapacity`] for a runner that is less than was asked for.
pub(super) fn endpoint(
    lease: &PoolLease,
    request: &LeaseRequest,
    config: &VmPoolConfig,
    dir: &LeaseDir,
    quote: &dyn Fn(&str) -> String,
) -> Result<Endpoint> {
    let pool = config.address.to_string();
    let unusable = |why: String| {
        Error::new(
            ErrorKind::Provider,
            format!("the pool `{pool}` leased a runner that cannot be used: {}", quote(&why)),
        )
    };
    let missing = |what: &str| unusable(format!("it does not say its {what}"));
    let host = lease.host.as_deref().ok_or_else(|| missing("host"))?;
    check_host(host, config.address.is_loopback()).map_err(unusable)?;
    let port = lease.port.filter(|port| *port > 0).ok_or_else(|| missing("port"))?;
    let user = lease.user.as_deref().ok_or_else(|| missing("user"))?;
    check_user(user).map_err(unusable)?;
    let key = lease.host_key.as_deref().ok_or_else(|| {
        missing("host key").hint("no runner is taken for another one's word: the pool has to name its key")
    })?;
    let host_key: AuthorizedKey =
        key.parse().map_err(|error: Error| unusable("its host key is none".to_owned()).because(error))?;
    let document = lease.endpoint.as_ref().ok_or_else(|| {
        missing("paths")
            .hint("this version goes on with runners of `lian-build serve` only, which says them as `endpoint`")
    })?;
    let document = Document::read(document).map_err(unusable)?;
    check_promise(lease, &document, request, config).map_err(|error| match error {
        Promise::Less(why) => Error::new(ErrorKind::NoCapacity, format!("the pool `{pool}`: {}", quote(&why))),
        Promise::Other(why, hint) => hint.into_iter().fold(unusable(why), Error::hint),
    })?;
    let mut notes = vec![format!("the runner is the pool's, `{pool}`, at `{host}`")];
    notes.extend(document.notes.iter().take(MOST_NOTES).map(|note| format!("the pool says: {}", quote(note))));
    let mut warnings: Vec<String> =
        document.warnings.iter().take(MOST_NOTES).map(|text| format!("the pool says: {}", quote(text))).collect();
    warnings.extend(other_size(lease, &document, &request.tier, quote));
    Ok(Endpoint {
        lease_id: request.lease_id.clone(),
        host: host.to_owned(),
        port,
        user: user.to_owned(),
        host_key: host_key.as_str().to_owned(),
        identity_file: dir.client_key(),
        session_dir: dir.session(),
        paths: document.paths,
        isolation: document.isolation,
        shared: document.shared,
        rootless: document.rootless,
        memory: document.memory,
        effective_memory_bytes: document.effective_memory_bytes,
        effective_cpu: document.effective_cpu,
        cache_cap_bytes: document.cache_cap_bytes,
        architecture: document.architecture,
        notes,
        warnings,
    })
}

/// How a runner is not what was asked for.
enum Promise {
    /// It is smaller.
    Less(String),
    /// It is another one, and what may be done about that.
    Other(String, Option<String>),
}

/// Nothing changes silently: not the architecture, not the provider, not how far the runner is apart, not its memory.
fn check_promise(
    lease: &PoolLease,
    document: &Document,
    request: &LeaseRequest,
    config: &VmPoolConfig,
) -> Result<(), Promise> {
    if document.architecture != request.architecture {
        let why = format!("it is `{}`, and `{}` is built for", document.architecture, request.architecture);
        return Err(Promise::Other(why, None));
    }
    if let (Some(asked), Some(given)) = (&config.asks_for, &lease.provider)
        && asked != given
    {
        return Err(Promise::Other(format!("it is of the provider `{given}`, and `{asked}` was asked for"), None));
    }
    let promised = config.isolation();
    if document.isolation < promised {
        let (given, promised) = (document.isolation.as_str(), promised.as_str());
        let hint = format!(
            "a pool whose runners are not machines of their own is asked for them by name: in the directives, or with {}, \
             `docker_local` say",
            crate::env_vars::ORCHESTRATOR_PROVIDER
        );
        let why = format!("its isolation is `{given}`, and `{promised}` is what was planned with");
        return Err(Promise::Other(why, Some(hint)));
    }
    let asked = gigabytes(&request.tier);
    if request.memory_is_explicit && to_gb(document.effective_memory_bytes) < asked * NEARLY {
        let given = to_gb(document.effective_memory_bytes);
        return Err(Promise::Less(format!("its runner has {given:.1} GB of memory, and {asked} GB were asked for")));
    }
    Ok(())
}

/// What is said of a runner that is not quite the tier.
fn other_size(lease: &PoolLease, document: &Document, tier: &Tier, quote: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(given) = lease.runner_type.as_deref().filter(|given| *given != tier.name) {
        said.push(format!("the pool leased a `{}` for a `{}`", quote(given), tier.name));
    }
    let given = to_gb(document.effective_memory_bytes);
    if given < gigabytes(tier) * NEARLY {
        said.push(format!("the pool's runner has {given:.1} GB of memory instead of {} GB", gigabytes(tier)));
    }
    said
}

fn gigabytes(tier: &Tier) -> f64 {
    tier.memory_gb
}

fn to_gb(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// A name or an address that `ssh` reads as just that, and that is not of this machine unless the pool is.
fn check_host(host: &str, pool_is_here: bool) -> Result<(), String> {
    let refused = |why: &str| Err(format!("its host is `{host}`, which {why}"));
    if let Ok(address) = host.parse::<IpAddr>() {
        let address = address.to_canonical();
        return match address {
            address if address.is_loopback() && !pool_is_here => refused("is this machine, and not the pool's"),
            address if address.is_unspecified() || address.is_multicast() => refused("is no machine's address"),
            IpAddr::V4(address) if address.is_link_local() || address.is_broadcast() => {
                refused("is no runner's address")
            }
            IpAddr::V6(address) if is_link_local(address) => refused("is no runner's address"),
            _ => Ok(()),
        };
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if host.len() > 253 || !host.split('.').all(is_label) {
        return refused("is no host name");
    }
    // `127.1`, `2130706433` and `0x7f000001` are addresses to some.
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        return refused("is neither a host name nor an address in its usual form");
    }
    if !pool_is_here && (host == "localhost" || last == "localhost") {
        return refused("is this machine, and not the pool's");
    }
    Ok(())
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80)
}

/// A user name as systems have them.
fn check_user(user: &str) -> Result<(), String> {
    let begins = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let goes_on = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if user.len() <= LONGEST_USER && user.as_bytes().first().is_some_and(begins) && user.bytes().all(goes_on) {
        Ok(())
    } else {
        Err(format!("its user is `{user}`, which is no user's name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_and_nothing_else() {
        for good in ["runner-1.pool.example", "10.1.2.3", "2001:db8::7", "a", "xn--bcher-kva.example", "3com.example"] {
            check_host(good, false).unwrap_or_else(|why| panic!("{why}"));
        }
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "localhost", "x.localhost"] {
            assert!(check_host(here, false).unwrap_err().contains("this machine"), "{here}");
            check_host(here, true).unwrap();
        }
        for bad in [
            "",
            "-oProxyCommand=id",
            "a b",
            "a\nProxyCommand id",
            "a\u{0}",
            "root@a",
            "a:22",
            "a/b",
            "a..b",
            ".a",
            "a.",
            "a-",
            "*",
            "!a",
            "größe.example",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "169.254.169.254",
            "fe80::1",
            "fe80::1%eth0",
            "255.255.255.255",
            "127.1",
            "2130706433",
            "0x7f000001",
            &"a".repeat(64),
            &"a.".repeat(200),
        ] {
            assert!(check_host(bad, true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn users_are_names() {
        for good in ["root", "lian-build", "_x", "a.b"] {
            check_user(good).unwrap();
        }
        for bad in ["", "-l", "a b", "a\n", "ro;ot", "1a", "%h", &"a".repeat(33)] {
            assert!(check_user(bad).is_err(), "{bad:?}");
        }
    }
}
