//! [`Measuring`]: the sampler of one attempt, begun again on each new session.

use std::sync::Arc;

use tokio::sync::watch;

use crate::failpoint;
use crate::lease::Endpoint;
use crate::record::{MACHINE_PRESSURE, Pressure, Sampler, SamplerOptions, SamplerScope, Samples};
use crate::remote::Session;

/// The sampler of one attempt, begun again on each new session. Without metrics a build is still a build: nothing here
/// fails.
#[derive(Debug)]
pub(super) struct Measuring {
    scope: SamplerScope,
    machine_pressure: Option<String>,
    sampler: Option<Sampler>,
    samples: Samples,
    pressure: watch::Sender<Pressure>,
}

impl Measuring {
    /// Begins to measure the steps of this lease.
    pub(super) fn start(endpoint: &Endpoint, session: &Arc<Session>) -> Self {
        let asked = failpoint::value("pressure").map(str::to_owned);
        let machine_pressure = asked.or_else(|| endpoint.is_own_machine().then(|| MACHINE_PRESSURE.to_owned()));
        let mut measuring = Self {
            scope: SamplerScope::from(&endpoint.memory),
            machine_pressure,
            sampler: None,
            samples: Samples::default(),
            pressure: watch::Sender::default(),
        };
        measuring.sampler = measuring.sample(session);
        measuring
    }

    /// Goes on over another session.
    pub(super) async fn go_on(&mut self, session: &Arc<Session>) {
        self.gather().await;
        self.sampler = self.sample(session);
    }

    /// The memory pressure as it comes; nothing where the kernel does not say.
    pub(super) fn pressure(&self) -> watch::Receiver<Pressure> {
        self.pressure.subscribe()
    }

    /// Takes a last sample; yields all of them.
    pub(super) async fn finish(mut self) -> Samples {
        self.gather().await;
        self.samples
    }

    async fn gather(&mut self) {
        if let Some(sampler) = self.sampler.take() {
            self.samples.append(sampler.finish().await);
        }
    }

    fn sample(&self, session: &Arc<Session>) -> Option<Sampler> {
        let options = SamplerOptions {
            machine_pressure: self.machine_pressure.clone(),
            base: self.samples.base(),
            ..SamplerOptions::default()
        };
        let mut child = session
            .spawn(&self.scope.argv(&options))
            .inspect_err(|error| tracing::warn!(%error, "the sampler cannot be started"))
            .ok()?;
        let (stdin, stdout) = (child.stdin(), child.stdout());
        // The session must stand as long as somebody works over it.
        let guard = (child, Arc::clone(session));
        Some(Sampler::start_on(stdin, stdout, guard, self.pressure.clone()))
    }
}
