//! The image that runners in containers start from, made on this machine: Debian packages and BuildKit's programs, no
//! image registry. The recipe (`runner/` in the sources) is the same that machines of their own are made with.
//!
//! Nothing here leases or starts a runner.

mod binaries;
mod debian_root;
mod docker_image;
mod recipe;
mod release;

pub use binaries::Binaries;
pub use debian_root::DebianRoot;
pub use docker_image::{Loaded, is_of_this_recipe, load, name};
pub use release::Release;
