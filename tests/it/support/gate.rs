//! [`Gate`]: holds a build step until the test lets it go, without a clock.

use std::io::Write as _;
use std::net::TcpListener;

/// A port of this machine. A step that connects to it gets no answer until the gate is opened.
pub(crate) struct Gate {
    listener: TcpListener,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::at("127.0.0.1")
    }

    /// At another address of this machine: a container cannot reach its loopback.
    pub(crate) fn at(address: &str) -> Self {
        Self { listener: TcpListener::bind((address, 0)).unwrap() }
    }

    /// The step's command: goes on when the gate is open, fails when nobody answers.
    pub(crate) fn wait(&self) -> String {
        let address = self.listener.local_addr().unwrap();
        format!("nc {} {} | grep -q open", address.ip(), address.port())
    }

    /// Lets the step go. On a thread of its own, so that a build that never came here fails its test and hangs nothing.
    pub(crate) fn open(self) {
        std::thread::spawn(move || {
            let (mut step, _) = self.listener.accept().unwrap();
            step.write_all(b"open\n").unwrap();
        });
    }
}
