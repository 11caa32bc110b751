//! [`LentAddress`]: an address of this machine's that is not of the loopback network, for as long as it is held. Needs root.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

/// An address of the upper half of the network for benchmarks, 198.18.0.0/15, where nobody else is.
#[derive(Debug)]
pub(super) struct LentAddress(pub(super) Ipv4Addr);

impl LentAddress {
    /// One that nobody has: what another process has already, the kernel refuses.
    pub(super) fn take() -> Self {
        let process = std::process::id() << 5;
        let addresses = (0..1 << 14).map(|number| (process + number) % (1 << 16));
        let mut addresses = addresses.map(|number| Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 19, 0, 0)) | number));
        Self(
            addresses
                .find(|address| ip("add", *address))
                .expect("no address can be added to this machine: `ip address add`"),
        )
    }
}

impl Drop for LentAddress {
    fn drop(&mut self) {
        ip("delete", self.0);
    }
}

#[expect(clippy::disallowed_methods, reason = "what stands behind a simulated server is no process of lian-build's")]
fn ip(what: &str, address: Ipv4Addr) -> bool {
    let mut command = Command::new("ip");
    command.args(["address", what, &format!("{address}/32"), "dev", "lo"]).stdin(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
