//! [`SecretBytes`]: bytes that must not be shown.

/// Secret bytes of any content: wiped when dropped, and shown as `[REDACTED]` by `Debug`. Their way out is
/// `secrecy::ExposeSecret`, which reads as what it is wherever it stands.
pub type SecretBytes = secrecy::SecretSlice<u8>;
