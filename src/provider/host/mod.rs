//! What providers share whose runners stand on a machine with other things on it: its memory and who may have how much
//! of it, the private directory of leases, and their keys.

pub(in crate::provider) mod budget;
pub(in crate::provider) mod fit;
pub(in crate::provider) mod key_pair;
pub(in crate::provider) mod machine;
pub(in crate::provider) mod remove_tree;
pub(in crate::provider) mod runtime_dir;

/// True for the machine's root.
pub(in crate::provider) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
