//! [`Writer`]: the stream at the end of it all, on a thread of its own.
//!
//! A terminal that stands still stops this thread and nothing else. What has to wait for the stream hands over
//! something to hold (a permit, an answer) behind its bytes: it is let go once they are written.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::{Context as _, ErrorKind, Result};

/// Where a view's bytes go.
pub(super) trait Target: Send {
    /// Takes bytes; never waits.
    fn send(&mut self, bytes: Vec<u8>);
    /// True while bytes wait for the stream. Who draws the same thing again and again leaves one out then.
    fn is_busy(&self) -> bool;
}

/// A handle on the thread that writes.
#[derive(Clone)]
pub(super) struct Writer {
    sender: Sender<Piece>,
    /// Pieces of bytes that are not written yet.
    open: Arc<AtomicUsize>,
}

enum Piece {
    Bytes(Vec<u8>),
    Permit(OwnedSemaphorePermit),
    Answer(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when there can be no thread.
    pub(super) fn start(stream: Box<dyn Write + Send>) -> Result<Self> {
        let (sender, receiver) = channel();
        let open = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&open);
        std::thread::Builder::new()
            .name("stderr".to_owned())
            .spawn(move || write_all(stream, &receiver, &count))
            .context(ErrorKind::State, || "cannot start the thread that writes to stderr".to_owned())?;
        Ok(Self { sender, open })
    }

    /// Lets the permit go once everything before it is written.
    pub(super) fn release(&self, permit: OwnedSemaphorePermit) {
        // Without its thread there is nothing to wait for.
        let _ = self.sender.send(Piece::Permit(permit));
    }

    /// Answers once everything before it is written.
    pub(super) fn answer(&self, answer: oneshot::Sender<()>) {
        let _ = self.sender.send(Piece::Answer(answer));
    }
}

impl Target for Writer {
    fn send(&mut self, bytes: Vec<u8>) {
        self.open.fetch_add(1, Ordering::SeqCst);
        let _ = self.sender.send(Piece::Bytes(bytes));
    }

    fn is_busy(&self) -> bool {
        self.open.load(Ordering::SeqCst) > 0
    }
}

/// Writes until nobody can send any more. Once a write has failed nothing more is tried.
fn write_all(stream: Box<dyn Write + Send>, receiver: &Receiver<Piece>, open: &AtomicUsize) {
    let mut stream = Some(stream);
    for piece in receiver {
        match piece {
            Piece::Bytes(bytes) => {
                if stream.as_mut().is_some_and(|stream| write(stream, &bytes).is_err()) {
                    stream = None;
                }
                open.fetch_sub(1, Ordering::SeqCst);
            }
            Piece::Permit(permit) => drop(permit),
            Piece::Answer(answer) => {
                // Who gave up waiting needs no answer.
                let _ = answer.send(());
            }
        }
    }
}

/// Writes it all. A stream that somebody else made non-blocking (terminals are shared) is waited for, not given up.
fn write(stream: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error),
        }
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes two bytes at a time and refuses every other time.
    #[derive(Default)]
    struct Grudging {
        taken: Vec<u8>,
        asked: u32,
    }

    impl Write for Grudging {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.asked += 1;
            match self.asked % 3 {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                1 => Err(io::ErrorKind::Interrupted.into()),
                _ => {
                    let part = bytes.get(..2).unwrap_or(bytes);
                    self.taken.extend_from_slice(part);
                    Ok(part.len())
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_that_takes_little_at_a_time_gets_it_all() {
        let mut stream = Grudging::default();
        write(&mut stream, b"hello world\n").unwrap();
        assert_eq!(stream.taken, b"hello world\n");
    }
}
