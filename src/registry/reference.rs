//! [`Reference`]: an image name, checked against the distribution specification and normalised as Docker does.
//!
//! It only reads text: it never asks a registry whether the name exists.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::{Error, Result};
use crate::sanitise;

/// The registry of a name that names none.
pub const DOCKER_HUB: &str = "docker.io";
/// The host that answers for Docker Hub's API.
pub(super) const DOCKER_HUB_API: &str = "registry-1.docker.io";
/// The tag of a name that has neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";

/// The distribution specification: many clients limit host and name together.
const MAX_NAME: usize = 255;
/// The distribution specification: a tag's length.
const MAX_TAG: usize = 128;

/// `[host[:port]/]path[:tag][@digest]`, with Docker's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    /// Reads any image name. A name without tag and digest keeps neither.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] with what is wrong, and the nearest valid name where there is one.
    pub fn parse(text: &str) -> Result<Self> {
        refuse_foreign_characters(text)?;
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(check_digest(text, digest)?)),
            None => (text, None),
        };
        let (host, rest) = split_host(name);
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(check_tag(text, tag)?)),
            None => (rest, None),
        };
        let host = check_host(text, host)?;
        let repository = check_path(text, &host, path)?;
        if host.len() + 1 + repository.len() > MAX_NAME {
            return Err(invalid(text, &format!("registry and path are longer than {MAX_NAME} characters")));
        }
        Ok(Self { host, repository, tag, digest })
    }

    /// Reads the name an image is pushed under: no digest (it is the push's result), the tag `latest` where none is
    /// given.
    ///
    /// # Errors
    /// As [`Reference::parse`], and for a name with a digest.
    pub fn parse_push_target(text: &str) -> Result<Self> {
        let mut reference = Self::parse(text)?;
        if reference.digest.take().is_some() {
            let name = reference.name_with_tag();
            return Err(invalid(text, "an image cannot be pushed to a digest, which is the result of a push")
                .hint(format!("leave out `@…`: `{name}`")));
        }
        reference.tag.get_or_insert_with(|| DEFAULT_TAG.to_owned());
        Ok(reference)
    }

    /// The registry as `host[:port]`; `docker.io` for Docker Hub.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository within the registry, `library/…` filled in for Docker Hub's own images.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, where there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest as `algorithm:hex`, where there is one.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// `host/repository`, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// `host/repository:tag`, without a digest.
    pub fn name_with_tag(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}/{}:{tag}", self.host, self.repository),
            None => self.name(),
        }
    }

    /// The same repository at `digest`, without a tag.
    ///
    /// # Errors
    /// When `digest` is not a valid `sha256:` or `sha512:` digest.
    pub fn at_digest(&self, digest: &str) -> Result<Self> {
        let digest = check_digest(digest, digest)?;
        Ok(Self { host: self.host.clone(), repository: self.repository.clone(), tag: None, digest: Some(digest) })
    }

    /// True when the registry is on this machine by its name alone.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(&self.host)
    }
}

impl fmt::Display for Reference {
    /// The full name, which [`Reference::parse`] reads back to the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name_with_tag())?;
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl std::str::FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// True for `localhost`, `127.0.0.0/8` and `[::1]`, with or without a port: where BuildKit speaks plain HTTP unless told
/// otherwise, so that we do the same.
pub fn is_loopback_host(host: &str) -> bool {
    let name = without_port(host);
    name == "localhost"
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .and_then(|address| address.parse::<Ipv6Addr>().ok())
            .is_some_and(|address| address.is_loopback())
}

/// True for a digest as registries write it: `sha256:` or `sha512:` with lower-case hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    let digits = match text.split_once(':') {
        Some(("sha256", hex)) if hex.len() == 64 => hex,
        Some(("sha512", hex)) if hex.len() == 128 => hex,
        _ => return false,
    };
    digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The host without its port; the brackets of an IPv6 address stay.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// Docker's rule: the first part is a registry when it has a dot or a colon, or is `localhost`.
fn split_host(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':', '[']) || first == "localhost" => (first, rest),
        _ => (DOCKER_HUB, name),
    }
}

/// Characters that no image name has, each with a reason of its own.
fn refuse_foreign_characters(text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(invalid(text, "it is empty"));
    }
    if text.len() > 1024 {
        return Err(Error::usage(format!("invalid image name of {} bytes: it is too long", text.len())));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return Err(invalid(text, &format!("an image name has no `{}://`", sanitise::line(scheme)))
            .hint(format!("write `{}`", sanitise::line(rest))));
    }
    let Some(character) = text.chars().find(|character| !is_name_character(*character)) else { return Ok(()) };
    Err(match character {
        ',' => invalid(text, "it holds a comma").hint("name one image per `--image` and repeat the flag"),
        ' ' => invalid(text, "it holds a space"),
        '\n' | '\r' => invalid(text, "it holds a line break"),
        character if character.is_control() => {
            invalid(text, &format!("it holds the control character U+{:04X}", u32::from(character)))
        }
        character => invalid(text, &format!("it holds `{}`", sanitise::line(&character.to_string()))),
    })
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | '/' | ':' | '@' | '[' | ']')
}

fn check_digest(text: &str, digest: &str) -> Result<String> {
    if is_digest(digest) {
        Ok(digest.to_owned())
    } else {
        Err(invalid(text, &format!("`{}` is no digest", sanitise::line(digest)))
            .hint("a digest is `sha256:` and 64 digits of `0-9a-f`"))
    }
}

fn check_tag(text: &str, tag: &str) -> Result<String> {
    let valid = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        && !tag.starts_with(['.', '-'])
        && !tag.is_empty();
    if !valid {
        return Err(invalid(text, &format!("the tag `{tag}` is not valid"))
            .hint("a tag is made of `A-Za-z0-9_.-` and does not begin with `.` or `-`"));
    }
    if tag.len() > MAX_TAG {
        return Err(invalid(text, &format!("the tag has {} characters, at most {MAX_TAG} are allowed", tag.len())));
    }
    Ok(tag.to_owned())
}

fn check_host(text: &str, host: &str) -> Result<String> {
    let name = without_port(host);
    if let Some(port) = host.get(name.len() + 1..)
        && !(port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0))
    {
        return Err(invalid(text, &format!("`{port}` is no port")));
    }
    let valid = match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => name.split('.').all(is_domain_component),
    };
    if !valid {
        return Err(invalid(text, &format!("`{host}` is no registry"))
            .hint("a registry is `host`, `host:port` or `[IPv6 address]:port`"));
    }
    // Host names have no case; Docker Hub's old name and its new one are the same registry with the same login.
    let host = host.to_ascii_lowercase();
    Ok(if host == "index.docker.io" { DOCKER_HUB.to_owned() } else { host })
}

fn is_domain_component(component: &str) -> bool {
    !component.is_empty()
        && component.len() <= 63
        && component.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !component.starts_with('-')
        && !component.ends_with('-')
}

fn check_path(text: &str, host: &str, path: &str) -> Result<String> {
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let error = invalid(text, "its path holds upper-case letters");
        let lower = text.replacen(path, &path.to_ascii_lowercase(), 1);
        return Err(match Reference::parse(&lower) {
            Ok(_) => error.hint(format!("did you mean `{lower}`?")),
            Err(_) => error,
        });
    }
    if path.is_empty() {
        return Err(invalid(text, "it has no path"));
    }
    if let Some(component) = path.split('/').find(|component| !is_path_component(component)) {
        return Err(invalid(text, &format!("`{component}` is not valid in a path")).hint(
            "the parts of a path are made of `a-z0-9`, joined within by `.`, `_`, `__` or dashes, and separated by `/`",
        ));
    }
    if host != DOCKER_HUB || path.contains('/') {
        return Ok(path.to_owned());
    }
    if path.len() == 64 && path.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(invalid(text, "64 hexadecimal digits are an image's id, not a name"));
    }
    Ok(format!("library/{path}"))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` of the distribution specification.
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    component.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'_' | b'-'))
        && component.bytes().next().is_some_and(is_word)
        && component.bytes().last().is_some_and(is_word)
        && component
            .split(|character: char| character.is_ascii_alphanumeric())
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

fn invalid(text: &str, why: &str) -> Error {
    let shown: String = text.chars().take(120).collect();
    Error::usage(format!("invalid image name `{}`: {why}", sanitise::line(&shown)))
}
