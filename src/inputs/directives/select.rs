//! [`select`]: which of a file's directives are meant.

use super::BuildDirectives;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Workspace;
use crate::nearest::nearest;

/// The index of the directives that `asked` names in a file that holds several.
///
/// # Errors
/// [`ErrorKind::Spec`] when names are missing or stand twice; `Usage` when nothing is asked for, or a name that is not
/// there. `file` is how messages name the file.
pub fn select(all: &[BuildDirectives], asked: Option<&str>, file: &str) -> Result<usize> {
    let said: Vec<Option<&str>> =
        all.iter().map(|directives| directives.name.as_ref().map(Workspace::as_str)).collect();
    if let Some((_, error)) = name_faults(&said).into_iter().next() {
        let placed = Error::new(error.kind(), format!("`{file}`: {}", error.message()));
        return Err(error.hints().iter().fold(placed, |placed, hint| placed.hint(hint.clone())));
    }
    let names: Vec<&str> = said.into_iter().flatten().collect();
    let listed = names.join(", ");
    let Some(asked) = asked else {
        return Err(
            Error::usage(format!("`{file}` holds several directives: {listed}")).hint("pick one: `--select NAME`")
        );
    };
    names
        .iter()
        .position(|name| *name == asked)
        .ok_or_else(|| unknown(asked, file, &names).hint(format!("names are: {listed}")))
}

/// What is wrong with the names of several directives, each with the number of the one that it is about, from 0.
pub fn name_faults(names: &[Option<&str>]) -> Vec<(usize, Error)> {
    let wrong = |message| Error::new(ErrorKind::Spec, message);
    let fault = |(number, name): (usize, &Option<&str>)| match name {
        None => Some((
            number,
            wrong(format!("number {} of the directives has no `name`", number + 1))
                .hint("in a file of several each has a name of its own, `name = \"web\"`: `--select NAME` picks by it"),
        )),
        Some(name) if names.iter().take(number).flatten().any(|other| other == name) => {
            Some((number, wrong(format!("the name `{name}` stands twice"))))
        }
        Some(_) => None,
    };
    names.iter().enumerate().filter_map(fault).collect()
}

/// Checks that a file's only directives are the ones that `asked` names.
///
/// # Errors
/// `Usage` when they have another name or none.
pub fn check_only(only: &BuildDirectives, asked: Option<&str>, file: &str) -> Result<()> {
    match (asked, &only.name) {
        (None, _) => Ok(()),
        (Some(asked), Some(name)) if name.as_str() == asked => Ok(()),
        (Some(asked), Some(name)) => Err(unknown(asked, file, &[name.as_str()])),
        (Some(asked), None) => {
            Err(Error::usage(format!("`--select {asked}`: the directives in `{file}` have no name"))
                .hint("they are the only ones: leave `--select` out"))
        }
    }
}

fn unknown(asked: &str, file: &str, names: &[&str]) -> Error {
    let error = Error::usage(format!("`--select {asked}`: `{file}` has no directives of that name"));
    match nearest(asked, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<BuildDirectives> {
        let one = |name: &&str| {
            let mut value = serde_json::json!({"workspace": "shop", "cache_policy": {"actor": "ci"}});
            if !name.is_empty() {
                value["name"] = (*name).into();
            }
            serde_json::from_value(value).unwrap()
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn one_of_several_is_picked_by_its_name() {
        assert_eq!(select(&named(&["web", "api"]), Some("api"), "x.ncl").unwrap(), 1);
        for (names, asked, kind, word) in [
            (&["web", "api"][..], None, ErrorKind::Usage, "web, api"),
            (&["web", "api"], Some("wep"), ErrorKind::Usage, "did you mean `web`?"),
            (&["web", ""], Some("web"), ErrorKind::Spec, "number 2"),
            (&["web", "web"], Some("web"), ErrorKind::Spec, "twice"),
            (&[], Some("web"), ErrorKind::Usage, "no directives of that name"),
        ] {
            let error = select(&named(names), asked, "x.ncl").unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(format!("{error:?}").contains(word), "{error:?}");
        }
    }

    #[test]
    fn the_only_ones_need_no_name_but_must_not_have_another() {
        for (name, asked, fits) in [
            ("", None, true),
            ("web", None, true),
            ("web", Some("web"), true),
            ("web", Some("api"), false),
            ("", Some("web"), false),
        ] {
            assert_eq!(check_only(&named(&[name])[0], asked, "x.ncl").is_ok(), fits, "{name} {asked:?}");
        }
    }
}
