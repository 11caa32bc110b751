//! "Did you mean": the known name that was probably meant.

use crate::nearest::nearest;

/// How alike two names are that are plainly the same one, between 0 and 1.
const PLAIN: f64 = 0.85;

/// The known fields that were probably meant: the one that is the name's last part, as `kind` is of `build_kind`; else the
/// nearest; else those with the name as a part, as `compute_provider` has `provider`.
pub(super) fn fields<'a>(name: &str, known: &'a [String]) -> Vec<&'a str> {
    let last = name.rsplit_once('_').map(|(_, last)| last);
    if let Some(part) = known.iter().find(|field| last == Some(field.as_str())) {
        return vec![part];
    }
    if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
        return vec![near];
    }
    let has_it = |field: &&str| field.split('_').any(|part| part == name);
    known.iter().map(String::as_str).filter(has_it).collect()
}

/// The one known field that was meant, where that is plain enough to look at its content as that field's.
pub(super) fn plainly_meant<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let [meant] = fields(name, known).try_into().ok()?;
    let is_part = || name.split('_').any(|part| part == meant) || meant.split('_').any(|part| part == name);
    (strsim::jaro_winkler(name, meant) > PLAIN || is_part()).then_some(meant)
}

/// What was probably meant, told from a contract's own message: "actor `'ci_aix` is not known: one of 'ci, 'human".
pub(super) fn among_the_known(message: &str) -> Option<String> {
    let (said, known) = message.split_once(" is not known: one of ")?;
    let said = said.split('`').nth_back(1)?.trim_start_matches('\'');
    let known = known.split(", ").map(|tag| tag.trim_start_matches('\''));
    nearest(said, known).map(|near| format!("did you mean `'{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_may_be_meant() {
        let known = ["compute_provider", "registry_provider", "build_args", "cpu"].map(str::to_owned);
        assert_eq!(fields("cpus", &known), ["cpu"]);
        assert_eq!(fields("provider", &known), ["compute_provider", "registry_provider"]);
        assert_eq!(fields("args", &known), ["build_args"]);
        assert_eq!(fields("min_cpu", &known), ["cpu"]);
        assert!(fields("zebra", &known).is_empty());
    }

    #[test]
    fn what_is_plain_is_one_field() {
        let known = ["artifact", "compute_provider", "registry_provider", "subject_prefix"].map(str::to_owned);
        assert_eq!(plainly_meant("artefact", &known), Some("artifact"));
        assert_eq!(plainly_meant("registry", &known), Some("registry_provider"));
        assert_eq!(plainly_meant("prefix", &known), Some("subject_prefix"));
        assert_eq!(plainly_meant("provider", &known), None);
        assert_eq!(plainly_meant("zebra", &known), None);
    }

    #[test]
    fn a_contract_that_lists_what_it_knows_is_enough() {
        let message = |tag: &str| format!("actor `'{tag}` is not known: one of 'ci, 'human, 'agent, 'ci_aux");
        assert_eq!(among_the_known(&message("ci_aix")).as_deref(), Some("did you mean `'ci_aux`?"));
        assert_eq!(among_the_known(&message("quux_quux")), None);
        assert_eq!(among_the_known("actor is not known: one of 'ci, 'human"), None);
        assert_eq!(among_the_known("cpu is 0"), None);
    }
}
