//! What providers share on the machine of the caller: the private directory of leases and their keys, and, where runners
//! stand on it, its memory and who may have how much of it.

pub(in crate::provider) mod budget;
pub(in crate::provider) mod cache_cap;
pub(in crate::provider) mod creating;
pub(in crate::provider) mod fit;
pub(in crate::provider) mod key_pair;
pub(in crate::provider) mod lease_dir;
pub(in crate::provider) mod machine;
pub(in crate::provider) mod remove_tree;
pub(in crate::provider) mod runner_sign;
pub(in crate::provider) mod runtime_dir;

/// True for the machine's root.
pub(in crate::provider) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
