//! Tells the world: lifecycle events.
