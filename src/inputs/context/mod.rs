//! The build context: what is sent, and what is in it.
