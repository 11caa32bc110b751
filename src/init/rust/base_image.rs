//! [`BaseImage`]: the official image that a Rust project is built in.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::inputs::context::Root;

/// The first version of Rust whose official images were made on Debian 12.
const FIRST_ON_BOOKWORM: (u32, u32) = (1, 70);

/// The official image that a project is built in, and what the program is put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// `rust:1.90-slim-bookworm`.
    pub name: String,
    /// `debian:bookworm-slim`: the same Debian, so that the C library fits.
    pub runtime: String,
    /// Why it is this one.
    pub reason: String,
    /// True when the image's own toolchain is the one to use: rustup would otherwise download what the project's toolchain
    /// file names, the same once more or a newer one.
    pub use_own_toolchain: bool,
}

/// `rust-toolchain.toml`.
#[derive(Deserialize)]
struct ToolchainFile {
    toolchain: Toolchain,
}

#[derive(Deserialize)]
struct Toolchain {
    channel: Option<String>,
}

impl BaseImage {
    /// The image for the project at `root`. Its `rust-version` does not count: that is the oldest Rust it can do with, and
    /// the dependencies that are locked may need a newer one.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when the toolchain file cannot be read or is none.
    pub(super) fn of(root: &Root) -> Result<Self> {
        let Some((file, channel)) = channel(root)? else {
            return Ok(Self::current("no toolchain file asks for another"));
        };
        // A nightly of a day, or a target in the name: `stable-x86_64-unknown-linux-gnu`.
        let short = channel.split('-').next().unwrap_or_default();
        if short == "stable" {
            return Ok(Self::current(&format!("`{file}` says `{channel}`")));
        }
        if let Some((major, minor)) = version(short) {
            let debian = if (major, minor) < FIRST_ON_BOOKWORM { "bullseye" } else { "bookworm" };
            return Ok(Self {
                name: format!("rust:{short}-slim-{debian}"),
                runtime: format!("debian:{debian}-slim"),
                reason: format!("`{file}` says `{channel}`"),
                use_own_toolchain: true,
            });
        }
        let current =
            Self::current(&format!("`{file}` says `{channel}`, of which there is no image: rustup downloads it"));
        Ok(Self { use_own_toolchain: false, ..current })
    }

    fn current(reason: &str) -> Self {
        Self {
            name: "rust:1-slim-bookworm".to_owned(),
            runtime: "debian:bookworm-slim".to_owned(),
            reason: reason.to_owned(),
            use_own_toolchain: true,
        }
    }
}

/// The toolchain file and the channel in it. rustup looks for the bare name first, and that may hold just a channel.
fn channel(root: &Root) -> Result<Option<(&'static str, String)>> {
    for file in ["rust-toolchain", "rust-toolchain.toml"] {
        let Some(bytes) = root.read(Path::new(file), "toolchain file")? else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let is_bare = file == "rust-toolchain" && text.trim().lines().count() == 1 && !text.contains('[');
        if is_bare {
            return Ok(Some((file, text.trim().to_owned())));
        }
        let parsed: ToolchainFile = toml::from_str(&text)
            .map_err(|error| Error::usage(format!("`{file}` is no toolchain file")).because(error))?;
        return Ok(parsed.toolchain.channel.map(|channel| (file, channel)));
    }
    Ok(None)
}

/// `1.90` or `1.90.0`, as it stands in an image's tag.
fn version(text: &str) -> Option<(u32, u32)> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let parts: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
    match parts?.as_slice() {
        [major, minor] | [major, minor, _] => Some((*major, *minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(file: &str, text: &str) -> BaseImage {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(file), text).unwrap();
        BaseImage::of(&Root::open(directory.path()).unwrap()).unwrap()
    }

    #[test]
    fn the_toolchain_file_decides() {
        for (file, text, name, own) in [
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.85.1\"", "rust:1.85.1-slim-bookworm", true),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.60\"", "rust:1.60-slim-bullseye", true),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"stable\"", "rust:1-slim-bookworm", true),
            ("rust-toolchain.toml", "[toolchain]\ncomponents = []", "rust:1-slim-bookworm", true),
            ("rust-toolchain", "1.80.0\n", "rust:1.80.0-slim-bookworm", true),
            ("rust-toolchain", "[toolchain]\nchannel = \"1.80.0\"", "rust:1.80.0-slim-bookworm", true),
            ("rust-toolchain", "nightly-2026-01-01", "rust:1-slim-bookworm", false),
            ("Cargo.toml", "", "rust:1-slim-bookworm", true),
        ] {
            let image = image(file, text);
            assert_eq!((image.name.as_str(), image.use_own_toolchain), (name, own), "{file}: {text}");
            let debian = name.rsplit('-').next().unwrap();
            assert_eq!(image.runtime, format!("debian:{debian}-slim"));
        }
    }

    #[test]
    fn a_channel_cannot_write_lines_into_the_dockerfile() {
        let image = image("rust-toolchain.toml", "[toolchain]\nchannel = \"1.85\\nRUN evil\"");
        assert_eq!(image.name, "rust:1-slim-bookworm");
    }
}
