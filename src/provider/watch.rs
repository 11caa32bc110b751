//! [`AcquireWatch`]: who is told how an acquisition goes on.

use async_trait::async_trait;

use crate::lease::Made;

/// Told how an acquisition goes on. A closure is one that only shows what is waited for.
#[async_trait]
pub trait AcquireWatch: Send + Sync {
    /// What is waited for; since when is the listener's business. Read after `waiting for`: `sshd to start`,
    /// `3 GB of the machine's memory budget`.
    fn waiting(&self, what: &str);

    /// The provider confirmed that it makes the runner, under an id of its own: from now on it costs what it costs. Told, and
    /// waited for, before anything else is asked of it. The wait may be dropped.
    async fn created(&self, made: &Made) {
        let _ = made;
    }
}

impl<F: Fn(&str) + Send + Sync> AcquireWatch for F {
    fn waiting(&self, what: &str) {
        self(what);
    }
}

/// A borrowed [`AcquireWatch`].
pub type Watch<'a> = &'a dyn AcquireWatch;
