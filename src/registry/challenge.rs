//! [`Challenge`]: what a registry asks for in `WWW-Authenticate` (RFC 9110 §11.6.1, distribution token specification).

/// One way to log in that a registry offers and we can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password with every request.
    Basic,
    /// A token, fetched from `realm`.
    Bearer {
        /// The token server's address.
        realm: String,
        /// The name the token server knows the registry by.
        service: Option<String>,
    },
}

impl Challenge {
    /// The best of the offers in the header's values: a token before a password. Anything may stand in them.
    pub(super) fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let offers: Vec<Self> = headers.into_iter().flat_map(parse).collect();
        let bearer = offers.iter().find(|offer| matches!(offer, Self::Bearer { .. }));
        bearer.or_else(|| offers.first()).cloned()
    }
}

/// Reads one header value, which may hold several challenges.
fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut scheme = String::new();
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|character: char| !is_token_character(character)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            challenges.extend(finish(&scheme, &parameters));
            return challenges;
        }
        match after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            Some(value) => {
                let (value, after) = take_value(value.trim_start_matches([' ', '\t']));
                parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            None => {
                challenges.extend(finish(&scheme, &parameters));
                scheme = word.to_ascii_lowercase();
                parameters.clear();
                rest = after;
            }
        }
    }
}

fn finish(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let value = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => value("realm").map(|realm| Challenge::Bearer { realm, service: value("service") }),
        _ => None,
    }
}

/// A quoted string or a bare token, and what follows it.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (index, character) in quoted.char_indices() {
        match character {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return (value, quoted.get(index + 1..).unwrap_or_default()),
            _ => {
                value.push(character);
                escaped = false;
            }
        }
    }
    (value, "")
}

fn is_token_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
    }

    #[test]
    fn the_usual_headers_are_understood() {
        let hub =
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#;
        assert_eq!(Challenge::choose([hub]), bearer("https://auth.docker.io/token", Some("registry.docker.io")));
        assert_eq!(Challenge::choose([r#"Basic realm="Registry Realm""#]), Some(Challenge::Basic));
        assert_eq!(Challenge::choose(["basic"]), Some(Challenge::Basic));
        assert_eq!(
            Challenge::choose(["BEARER REALM=https://x/t , service=\"a\\\"b\""]),
            bearer("https://x/t", Some("a\"b"))
        );
    }

    #[test]
    fn a_token_is_chosen_before_a_password_in_one_header_and_in_two() {
        assert_eq!(Challenge::choose([r#"Basic realm="r", Bearer realm="https://x/t""#]), bearer("https://x/t", None));
        assert_eq!(
            Challenge::choose([r#"Basic realm="r""#, r#"Bearer realm="https://x/t""#]),
            bearer("https://x/t", None)
        );
    }

    #[test]
    fn what_cannot_be_taken_is_no_offer() {
        for header in ["", "Negotiate", "Bearer service=\"x\"", "=", "\"", ",,,", "Digest realm=\"x\"", "\u{e9}"] {
            assert_eq!(Challenge::choose([header]), None, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_survived(header in ".*") {
            let _ = Challenge::choose([header.as_str()]);
        }
    }
}
