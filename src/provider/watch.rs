//! [`AcquireWatch`]: who is told how an acquisition goes on.

/// Told how an acquisition goes on. A closure is one that only shows what is waited for.
pub trait AcquireWatch: Send + Sync {
    /// What is waited for; since when is the listener's business. Read after `waiting for`: `sshd to start`,
    /// `3 GB of the machine's memory budget`.
    fn waiting(&self, what: &str);

    /// The provider confirmed that it makes the runner, under an id of its own. Told before anything else is asked of it.
    fn created(&self, remote_id: &str) {
        let _ = remote_id;
    }
}

impl<F: Fn(&str) + Send + Sync> AcquireWatch for F {
    fn waiting(&self, what: &str) {
        self(what);
    }
}

/// A borrowed [`AcquireWatch`].
pub type Watch<'a> = &'a dyn AcquireWatch;
