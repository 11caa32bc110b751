//! [`Gate`]: holds a build step until the test lets it go, without a clock.

use std::io::Write as _;
use std::net::TcpListener;

/// A port of this machine. A step that connects to it gets no answer until the gate is opened.
pub(crate) struct Gate {
    listener: TcpListener,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// The step's command: goes on when the gate is open, fails when nobody answers.
    pub(crate) fn wait(&self) -> String {
        format!("nc 127.0.0.1 {} | grep -q open", self.listener.local_addr().unwrap().port())
    }

    /// Lets the step go. On a thread of its own, so that a build that never came here fails its test and hangs nothing.
    pub(crate) fn open(self) {
        std::thread::spawn(move || {
            let (mut step, _) = self.listener.accept().unwrap();
            step.write_all(b"open\n").unwrap();
        });
    }
}
