//! [`Gate`]: holds a build step until the test lets it go, without a clock.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use lian_simulators::backend::GuestBackend;

use super::Running;

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

    /// One that steps of a container can reach, too.
    pub(crate) fn for_containers() -> Self {
        Self { listener: TcpListener::bind("0.0.0.0:0").unwrap() }
    }

    /// As [`Gate::wait`], for a step of a container: this machine is its way out.
    pub(crate) fn wait_in_container(&self) -> String {
        let port = self.listener.local_addr().unwrap().port();
        format!("nc $(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p') {port} | grep -q open")
    }

    /// The step's command: goes on when the gate is open, fails when nobody answers.
    pub(crate) fn wait(&self) -> String {
        let address = self.listener.local_addr().unwrap();
        format!("nc {} {} | grep -q open", address.ip(), address.port())
    }

    /// As [`Gate::wait`], for a step in a guest of QEMU's.
    pub(crate) fn wait_in_guest(&self) -> String {
        let port = self.listener.local_addr().unwrap().port();
        format!("nc {} {port} | grep -q open", GuestBackend::HOST)
    }

    /// The same for a script of this machine, which may have no `nc`.
    pub(crate) fn wait_here(&self) -> String {
        let port = self.listener.local_addr().unwrap().port();
        format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && grep -q open <&3'")
    }

    /// Lets the step go. On a thread of its own, so that a build that never came here fails its test and hangs nothing.
    pub(crate) fn open(self) {
        std::thread::spawn(move || {
            let (mut step, _) = self.listener.accept().unwrap();
            step.write_all(b"open\n").unwrap();
        });
    }

    /// Waits for a step; fails when the command ends before.
    pub(crate) fn reached(&self, running: &mut Running<'_>) -> Step {
        self.listener.set_nonblocking(true).unwrap();
        loop {
            match self.listener.accept() {
                Ok((step, _)) => return Step(step),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            if let Some(status) = running.child.try_wait().unwrap() {
                let mut said = String::new();
                running.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("the command ended with {status} before its step ran: {said}");
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// A step that waits at the gate. It fails when this is dropped.
pub(crate) struct Step(TcpStream);

impl Step {
    /// Lets it go.
    pub(crate) fn open(mut self) {
        self.0.write_all(b"open\n").unwrap();
    }
}
