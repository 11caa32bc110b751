//! The image that runners in containers start from, made on this machine: Debian packages and BuildKit's programs, no
//! image registry. The recipe (`runner/` in the sources) is the same that machines of their own are made with.
//!
//! Nothing here leases or starts a runner.

mod binaries;
mod debian_root;
mod docker_image;
pub(crate) mod layout;
mod recipe;
mod release;

pub use binaries::Binaries;
pub use debian_root::DebianRoot;
pub use docker_image::{Loaded, is_of_this_recipe, load, name};
pub(crate) use recipe::{DIRECTORY as RECIPE_DIRECTORY, FILES, hash as recipe_hash};
pub use release::Release;
