//! A command on the runner that goes on when the connection breaks: a small supervisor there keeps its log and its exit
//! code, and [`Supervised::follow`] reads on at the exact byte over whatever connection stands.
//!
//! It ends with its lease, or by [`Supervised::stop`]. It knows nothing of what the command says, nor when it is worth it to
//! connect again.

mod supervised;

pub use supervised::Supervised;
