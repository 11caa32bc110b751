//! The list of what is sent, for `rsync --files-from=- --from0`.

use std::os::unix::ffi::OsStrExt as _;

use crate::inputs::context::Context;

/// Every entry's path, each ended by NUL: the one byte that no name holds.
pub fn file_list(context: &Context) -> Vec<u8> {
    let mut list = Vec::with_capacity(context.entries().len() * 48);
    for entry in context.entries() {
        list.extend_from_slice(entry.path.as_os_str().as_bytes());
        list.push(0);
    }
    list
}
