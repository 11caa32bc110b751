//! [`check`]: every rule that looks at what a build asks for.

use super::{Finding, LeaseCaps, Who, events, registries, runner};
use crate::ids::LeaseId;
use crate::inputs::policy::Policies;
use crate::inputs::request::BuildRequest;
use crate::lease::Isolation;
use crate::plan::Solve;
use crate::plan::reach::pulled_images;

/// What a build asks for, and what is known of its runner.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) struct Asked<'a> {
    pub(in crate::plan) who: Who<'a>,
    pub(in crate::plan) request: &'a BuildRequest,
    pub(in crate::plan) solve: &'a Solve,
    pub(in crate::plan) dockerfile: &'a [u8],
    /// The provider's name.
    pub(in crate::plan) provider: &'a str,
    /// How far its runners are apart.
    pub(in crate::plan) isolation: Isolation,
    /// The leases that are held already.
    pub(in crate::plan) held: &'a [LeaseId],
}

/// What is not allowed of it.
pub(in crate::plan) fn check(policies: &Policies, asked: &Asked<'_>) -> Vec<Finding> {
    let Asked { who, request, solve, dockerfile, provider, isolation, held } = *asked;
    let pushed = solve.pushed_references();
    [
        runner::provider(policies, provider),
        runner::isolation(policies, who, provider, isolation),
        runner::host_network(policies, who, solve.network),
        runner::keep_failed(policies, who, request.keep_failed),
        registries::push_to(policies, &pushed),
        registries::pull_from(policies, &pulled_images(solve, dockerfile)),
        events::nats(policies, request.nats.as_ref()),
        LeaseCaps::of(policies).findings(held),
    ]
    .concat()
}
