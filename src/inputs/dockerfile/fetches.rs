//! [`Fetches`]: what a Dockerfile fetches with `ADD`, from web servers and git repositories.

use std::collections::BTreeSet;

use super::instructions::instructions;
use crate::inputs::workspace::without_login;

/// What `ADD` fetches, as far as a text says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetches {
    /// Addresses whose host is known, without logins. What is a variable behind the host stays as it is written.
    pub known: BTreeSet<String>,
    /// The text of sources that may be an address of any host.
    pub unknown: Vec<String>,
}

/// The schemes that BuildKit fetches from (BuildKit 0.33, `dockerfile2llb` and `gitutil`).
const SCHEMES: [&str; 4] = ["http", "https", "git", "ssh"];

/// What a source of `ADD` is.
enum Source {
    Local,
    Remote,
    Unknown,
}

/// What a Dockerfile fetches with `ADD`, triggers (`ONBUILD`) included; those of its base images are not in its text.
/// `COPY` fetches nothing: BuildKit refuses an address there.
pub fn fetches(dockerfile: &[u8]) -> Fetches {
    let text = String::from_utf8_lossy(dockerfile);
    let (instructions, escape) = instructions(&text);
    let mut found = Fetches::default();
    for instruction in &instructions {
        let Some(inner) = instruction.triggered(escape) else { continue };
        if inner.name != "ADD" {
            continue;
        }
        if !(instruction.is_clear && inner.is_clear) {
            found.unknown.push(instruction.text());
            continue;
        }
        let mut words: Vec<String> = match serde_json::from_str(&inner.rest) {
            Ok(words) => words,
            Err(_) => inner.arguments().map(str::to_owned).collect(),
        };
        // The last one says where to.
        words.pop();
        for word in words {
            let plain: String = word.chars().filter(|character| !matches!(character, '"' | '\'')).collect();
            match judge(&plain) {
                Source::Local => {}
                Source::Remote => drop(found.known.insert(without_login(&plain))),
                Source::Unknown => found.unknown.push(word),
            }
        }
    }
    found
}

/// What a source is, variables not filled in: those of a stage come from `ENV`, base images and arguments.
fn judge(source: &str) -> Source {
    let open = |text: &str| text.contains(['$', '\\', '`']);
    // The body of a heredoc.
    if source.starts_with("<<") {
        return Source::Local;
    }
    if let Some((scheme, rest)) = source.split_once("://")
        && !scheme.contains('/')
    {
        let host = rest.split('/').next().unwrap_or_default();
        return match (SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)), open(scheme) || open(host)) {
            (_, true) => Source::Unknown,
            (true, false) => Source::Remote,
            (false, false) => Source::Local,
        };
    }
    // `user@host:path`, as ssh writes it. A slash before that makes it a path.
    let head = source.split('/').next().unwrap_or_default();
    match head.split_once(':') {
        Some((before, _)) if open(before) => Source::Unknown,
        Some((before, _)) if before.contains('@') => Source::Remote,
        _ if open(head) => Source::Unknown,
        _ => Source::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (Vec<String>, Vec<String>) {
        let found = fetches(text.as_bytes());
        (found.known.into_iter().collect(), found.unknown)
    }

    #[test]
    fn every_way_of_writing_an_address_is_found() {
        for (text, known) in [
            ("ADD https://a.example/x.tgz /x", "https://a.example/x.tgz"),
            ("add --checksum=sha256:00 http://a.example/x /x", "http://a.example/x"),
            ("ADD \"https://a.example/x\" /x", "https://a.example/x"),
            ("ADD [\"https://a.example/x y\", \"/x\"]", "https://a.example/x y"),
            ("ADD a b https://a.example/x \\\n  /x/", "https://a.example/x"),
            ("ADD git@a.example:team/x.git /x", "git@a.example:team/x.git"),
            ("ADD --keep-git-dir=true https://a.example/x.git#v1 /x", "https://a.example/x.git#v1"),
            ("ADD ssh://git@a.example/x.git /x", "ssh://a.example/x.git"),
            ("ADD git://a.example/x /x", "git://a.example/x"),
            ("ADD HTTPS://a.example/x.git /x", "HTTPS://a.example/x.git"),
            ("ONBUILD ADD https://a.example/x /x", "https://a.example/x"),
            ("ARG V=1\nADD https://a.example/x-${V}.tgz /x", "https://a.example/x-${V}.tgz"),
            ("ADD https://ann:hush@a.example/x /x", "https://a.example/x"),
        ] {
            assert_eq!(found(text), (vec![known.to_owned()], vec![]), "{text}");
        }
    }

    #[test]
    fn what_may_be_any_address_is_unknown_and_files_are_none() {
        for (text, unknown) in [
            ("ADD $URL /x", Some("$URL")),
            ("ADD https://${HOST}/x /x", Some("https://${HOST}/x")),
            ("ADD ${SCHEME}://a.example/x /x", Some("${SCHEME}://a.example/x")),
            ("ADD git@$HOST:x /x", Some("git@$HOST:x")),
            ("ADD http\\s://a.example/x /x", Some("http\\s://a.example/x")),
            ("ADD --chown=\u{e0} https://a.example/x /x", Some("ADD --chown=\u{e0} https://a.example/x /x")),
            ("ADD a.tar ./b dir/$X ./$Y /c /x/", None),
            ("ADD ftp://a.example/x /x", None),
            ("ADD <<EOF /x\nADD https://a.example/x /x\nEOF", None),
            ("COPY https://a.example/x /x", None),
            ("RUN curl https://a.example/x", None),
            ("ADD x https://a.example/y", None),
        ] {
            assert_eq!(found(text), (vec![], unknown.map(str::to_owned).into_iter().collect()), "{text}");
        }
    }
}
