//! The nearest known word to one that is not known, for hints.

/// The candidate most like `word`, when one is like enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_its_word_and_an_unrelated_word_finds_none() {
        assert_eq!(nearest("locla", ["oci", "local", "tar"]), Some("local"));
        assert_eq!(nearest("zebra", ["oci", "local", "tar"]), None);
    }
}
