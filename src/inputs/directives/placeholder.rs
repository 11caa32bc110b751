//! [`Template`]: an image's name with placeholders. Pure: what stands for them is found elsewhere.

use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::sanitise;

/// What can stand for a part of an image's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// The full id of the commit.
    Sha,
    /// Its first twelve characters.
    ShortSha,
    /// The branch, as a tag may be written.
    Branch,
    /// The workspace.
    Workspace,
    /// Who builds.
    ActorId,
}

impl Placeholder {
    pub(super) const ALL: [Self; 5] = [Self::Sha, Self::ShortSha, Self::Branch, Self::Workspace, Self::ActorId];

    /// What a name is checked with before it is known what fills it: as valid as that will be, and like nothing that is written.
    pub(super) const fn stand_in(self) -> &'static str {
        match self {
            Self::Sha => "lian0sha0",
            Self::ShortSha => "lian0short0sha0",
            Self::Branch => "lian0branch0",
            Self::Workspace => "lian0workspace0",
            Self::ActorId => "lian0actor0id0",
        }
    }

    /// The word between the braces.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Sha => "sha",
            Self::ShortSha => "short_sha",
            Self::Branch => "branch",
            Self::Workspace => "workspace",
            Self::ActorId => "actor_id",
        }
    }
}

/// A name in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template<'a>(Vec<Part<'a>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Fill(Placeholder),
}

impl<'a> Template<'a> {
    /// Takes a name apart.
    ///
    /// # Errors
    /// `Usage` for a placeholder that is not known, and for a `$` that begins none.
    pub(super) fn parse(name: &'a str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = name;
        while let Some((text, after)) = rest.split_once('$') {
            parts.push(Part::Text(text));
            let inner = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((word, after)) = inner else {
                return Err(Error::usage(format!("`{}`: a `$` begins a placeholder, `${{…}}`", sanitise::line(name)))
                    .hint(listed()));
            };
            let known = Placeholder::ALL.into_iter().find(|known| known.word() == word);
            parts.push(Part::Fill(known.ok_or_else(|| unknown(word))?));
            rest = after;
        }
        parts.push(Part::Text(rest));
        Ok(Self(parts))
    }

    /// Whether `placeholder` has to be filled in.
    pub(super) fn needs(&self, placeholder: Placeholder) -> bool {
        self.0.contains(&Part::Fill(placeholder))
    }

    /// The name with `value` for each placeholder.
    pub(super) fn fill<'v>(&self, value: impl Fn(Placeholder) -> &'v str) -> String {
        let text = |part: &Part<'a>| match *part {
            Part::Text(text) => text.to_owned(),
            Part::Fill(placeholder) => value(placeholder).to_owned(),
        };
        self.0.iter().map(text).collect()
    }
}

fn unknown(word: &str) -> Error {
    let error = Error::usage(format!("`${{{}}}` is not a placeholder", sanitise::line(word)));
    match nearest(word, Placeholder::ALL.iter().map(|known| known.word())) {
        Some(near) => error.hint(format!("did you mean `${{{near}}}`?")),
        None => error.hint(listed()),
    }
}

fn listed() -> String {
    let words: Vec<String> = Placeholder::ALL.iter().map(|known| format!("`${{{}}}`", known.word())).collect();
    format!("placeholders are: {}", words.join(", "))
}

/// The nearest that a tag can be to a branch's name: `feature/x` is `feature-x`.
///
/// # Errors
/// `Usage` when nothing is left of it.
pub(super) fn tag_of_branch(branch: &str) -> Result<String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    let tag: String = branch.chars().map(|character| if fits(character) { character } else { '-' }).collect();
    let tag = tag.trim_start_matches(['.', '-']);
    let tag: String = tag.chars().take(MAX_TAG).collect();
    if tag.is_empty() {
        let branch = sanitise::line(branch);
        return Err(Error::usage(format!("no tag can be made of the branch's name, `{branch}`")));
    }
    Ok(tag)
}

/// The most characters of a tag.
const MAX_TAG: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::Reference;

    fn fill(name: &str) -> Result<String> {
        Ok(Template::parse(name)?.fill(|placeholder| placeholder.word()))
    }

    #[test]
    fn every_placeholder_is_filled_in() {
        assert_eq!(fill("r.example/a:1").unwrap(), "r.example/a:1");
        let all = "r.example/${workspace}/${actor_id}:${sha}-${short_sha}.${branch}";
        assert_eq!(fill(all).unwrap(), "r.example/workspace/actor_id:sha-short_sha.branch");
        let template = Template::parse("x:${sha}").unwrap();
        assert!(template.needs(Placeholder::Sha) && !template.needs(Placeholder::ShortSha));
    }

    #[test]
    fn what_is_no_placeholder_is_refused_with_what_is() {
        for (name, word) in [
            ("x:${tag}", "`${sha}`, `${short_sha}`"),
            ("x:${shaa}", "did you mean `${sha}`?"),
            ("x:${short-sha}", "did you mean `${short_sha}`?"),
            ("x:$sha", "begins a placeholder"),
            ("x:${sha", "begins a placeholder"),
            ("x:$", "begins a placeholder"),
            ("x:${}", "placeholders are"),
            ("x:${${sha}}", "is not a placeholder"),
        ] {
            let error = fill(name).unwrap_err();
            assert!(format!("{error:?}").contains(word), "{name}: {error:?}");
        }
    }

    #[test]
    fn a_branch_becomes_a_tag() {
        for (branch, tag) in [("main", "main"), ("feature/New_x.1", "feature-New_x.1"), ("-a", "a"), ("ä/b", "b")] {
            assert_eq!(tag_of_branch(branch).unwrap(), tag);
        }
        assert!(tag_of_branch("///").is_err());
    }

    proptest! {
        #[test]
        fn a_tag_of_a_branch_is_one(branch in ".{0,300}") {
            if let Ok(tag) = tag_of_branch(&branch) {
                let reference = Reference::parse(&format!("r.example/x:{tag}")).unwrap();
                prop_assert_eq!(reference.tag(), Some(tag.as_str()));
            }
        }

        #[test]
        fn text_without_a_dollar_stays(name in "[^$]{0,100}") {
            prop_assert_eq!(fill(&name).unwrap(), name);
        }

        #[test]
        fn any_text_is_filled_in_or_refused(name in ".{0,60}|(\\$|\\{|\\}|sha|x){0,20}") {
            if let Ok(filled) = fill(&name) {
                prop_assert!(!filled.contains('$'));
            }
        }
    }
}
