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

    /// As Docker shows it, and as BuildKit looks named contexts up: without Docker Hub's defaults and the tag `latest`.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let hub = full.strip_prefix(DOCKER_HUB).and_then(|rest| rest.strip_prefix('/'));
        let official = hub.and_then(|name| name.strip_prefix("library/"));
        let short = official.filter(|_| self.repository.matches('/').count() == 1).or(hub).unwrap_or(&full);
        short.strip_suffix(":latest").unwrap_or(short).to_owned()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// Host, repository and tag of a valid name.
    fn parts(text: &str) -> (String, String, Option<String>) {
        let reference = Reference::parse(text).unwrap();
        (reference.host, reference.repository, reference.tag)
    }

    #[track_caller]
    fn assert_parts(text: &str, host: &str, repository: &str, tag: Option<&str>) {
        assert_eq!(parts(text), (host.to_owned(), repository.to_owned(), tag.map(str::to_owned)), "{text}");
    }

    /// Message and hints of an invalid name.
    #[track_caller]
    fn refusal(result: Result<Reference>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        format!("{error}\n{}", error.hints().join("\n"))
    }

    #[test]
    fn dockers_defaults_are_filled_in() {
        assert_parts("debian", "docker.io", "library/debian", None);
        assert_parts("debian:12", "docker.io", "library/debian", Some("12"));
        assert_parts("team/app", "docker.io", "team/app", None);
        assert_parts("index.docker.io/team/app", "docker.io", "team/app", None);
        assert_parts("docker.io/debian", "docker.io", "library/debian", None);
        // No slash: a name with a tag, not a host with a port.
        assert_parts("localhost:5000", "docker.io", "library/localhost", Some("5000"));
    }

    #[test]
    fn registries_are_told_from_paths() {
        assert_parts("localhost/a", "localhost", "a", None);
        assert_parts("localhost:5000/a/b:v1", "localhost:5000", "a/b", Some("v1"));
        assert_parts("Ghcr.io/owner/a_b__c-d---e.f", "ghcr.io", "owner/a_b__c-d---e.f", None);
        assert_parts("[::1]:5000/a:t", "[::1]:5000", "a", Some("t"));
        assert_parts("[2001:db8::1]/a", "[2001:db8::1]", "a", None);
        assert_parts("10.0.0.1:5000/a", "10.0.0.1:5000", "a", None);
        assert_parts("host/a", "docker.io", "host/a", None);
    }

    #[test]
    fn a_push_target_has_a_tag_and_no_digest() {
        let target = Reference::parse_push_target("r.example.com/a").unwrap();
        assert_eq!(target.to_string(), "r.example.com/a:latest");
        let said = refusal(Reference::parse_push_target(&format!("r.example.com/a:v1@{DIGEST}")));
        assert!(said.contains("cannot be pushed to a digest") && said.contains("`r.example.com/a:v1`"), "{said}");
    }

    #[test]
    fn each_bad_name_says_what_is_wrong() {
        let long_tag = format!("a:{}", "t".repeat(129));
        let long_name = format!("r.example.com/{}", "a".repeat(250));
        let hex = "a".repeat(64);
        for (text, word) in [
            ("", "empty"),
            ("r.example.com/a,b", "comma"),
            ("a,name=b", "comma"),
            ("my app", "space"),
            ("a\nb", "line break"),
            ("a\u{7}", "U+0007"),
            ("a\u{1b}[31m", "U+001B"),
            ("caf\u{e9}", "holds"),
            ("a$b", "`$`"),
            ("https://r.example.com/a", "no `https://`"),
            ("a@sha256", "no digest"),
            ("a@sha256:12", "no digest"),
            ("a@md5:0123456789abcdef0123456789abcdef", "no digest"),
            ("a:", "tag"),
            ("a:.t", "tag"),
            ("r.example.com/a:b:c", "not valid in a path"),
            ("r.example.com/", "no path"),
            ("r.example.com/a//b", "not valid in a path"),
            ("a/../b", "not valid in a path"),
            ("-a", "not valid in a path"),
            ("a-", "not valid in a path"),
            ("a..b", "not valid in a path"),
            ("a___b", "not valid in a path"),
            ("r.example.com:99999/a", "no port"),
            ("r.example.com:0/a", "no port"),
            ("r.example.com:/a", "no port"),
            ("-r.example.com/a", "no registry"),
            ("r..example.com/a", "no registry"),
            ("[::1/a", "no registry"),
            ("[::g]:5000/a", "no registry"),
            ("::1/a", "no registry"),
            (long_tag.as_str(), "at most 128"),
            (long_name.as_str(), "longer than 255"),
            (hex.as_str(), "id, not a name"),
        ] {
            let said = refusal(Reference::parse(text));
            assert!(said.contains(word), "{text:?}: {said}");
            assert!(!said.contains('\u{1b}') && !said.contains('\u{7}'), "{said:?}");
        }
    }

    #[test]
    fn upper_case_names_the_nearest_valid_name() {
        assert!(
            refusal(Reference::parse("r.example.com/My/App:V1")).contains("did you mean `r.example.com/my/app:V1`?")
        );
        assert!(refusal(Reference::parse("MyOrg/app")).contains("did you mean `myorg/app`?"));
        assert!(!refusal(Reference::parse("My//App")).contains("did you mean"));
    }

    #[test]
    fn a_digest_takes_the_place_of_a_tag() {
        let at = Reference::parse("r.example.com/a:v1").unwrap().at_digest(DIGEST).unwrap();
        assert_eq!(at.to_string(), format!("r.example.com/a@{DIGEST}"));
        assert!(at.at_digest("sha256:ABC").is_err());
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:5000"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ["localhost.example.com", "127.0.0.1.example.com", "10.0.0.1:5000", "[::2]:5000", "0.0.0.0"] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_what_is_valid_reads_back(text in "[a-zA-Z0-9./:@_\\[\\]\\-, ]{0,60}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
            }
        }

        #[test]
        fn what_is_valid_has_no_character_that_means_something_elsewhere(text in any::<String>()) {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert!(reference.to_string().chars().all(is_name_character));
            }
        }
    }
}
