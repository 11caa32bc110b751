//! Talks to OCI registries: names, logins, digests.
