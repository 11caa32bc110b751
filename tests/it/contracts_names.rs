//! A name that a contract lets through is one that its type takes, and for most the other way round: every short string over
//! an alphabet that has what matters, and strings around the longest.

use std::path::Path;

use lian_build::events::SubjectPrefix;
use lian_build::ids::{ActorId, Workspace};
use lian_build::inputs::secret::SecretId;
use lian_build::inputs::ssh_agent::SshId;
use nickel_lang_core::eval::cache::CacheImpl;
use nickel_lang_core::program::ProgramBuilder;
use nickel_lang_core::serialize::{self, ExportFormat};

const ALPHABET: &[&str] = &["a", "Z", "7", "-", ".", "/", "\n"];

/// Every string of at most three characters of the alphabet, and long ones.
fn candidates() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut longest = all.clone();
    for _ in 0..3 {
        longest = longest.iter().flat_map(|head| ALPHABET.iter().map(move |tail| format!("{head}{tail}"))).collect();
        all.extend(longest.iter().cloned());
    }
    all.extend([32, 33, 63, 64, 65, 93, 94, 128, 129].map(|length| "a".repeat(length)));
    all.extend(["_", "_a", "a_", "a_b", "a__b", "a-_b", " ", "a b", "é", "aé", "a*", "a>"].map(str::to_owned));
    all.push(format!("{}é", "a".repeat(62)));
    all
}

/// Which of the names the contract of `common.ncl` lets through.
fn let_through(contract: &str, names: &[String]) -> Vec<bool> {
    let names = serde_json::to_string(names).unwrap();
    let text = format!(
        "let C = import \"schemas/common.ncl\" in\n\
         let probe = std.contract.custom (fun label names =>\n  \
           'Ok (std.array.map (fun name => (std.enum.to_tag_and_arg (std.contract.check C.{contract} label name)).tag == \"Ok\") names))\n\
         in {names} | probe"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut program =
        ProgramBuilder::new().add_source_string(text, "x.ncl").add_import_paths([root]).build::<CacheImpl>().unwrap();
    let value = program.eval_full_for_export().unwrap_or_else(|error| panic!("{contract}: {error:?}"));
    serde_json::from_str(&serialize::to_string(ExportFormat::Json, &value).unwrap()).unwrap()
}

/// Whether a type takes a name.
type Takes = fn(&str) -> bool;

#[test]
fn names_are_the_same_to_contracts_and_types() {
    let names = candidates();
    // The last word: whether the type takes nothing that the contract does not let through.
    let takes: [(&str, Takes, bool); 5] = [
        ("Workspace", |name| name.parse::<Workspace>().is_ok(), true),
        ("ActorId", |name| name.parse::<ActorId>().is_ok(), true),
        ("SubjectPrefix", |name| name.parse::<SubjectPrefix>().is_ok(), true),
        ("SecretId", |name| SecretId::parse(name).is_ok(), false),
        ("SshId", |name| SshId::parse(name).is_ok(), false),
    ];
    for (contract, takes, is_exact) in takes {
        let through = let_through(contract, &names);
        assert_eq!(through.len(), names.len());
        assert!(through.contains(&true) && through.contains(&false), "{contract} tells nothing apart");
        for (name, through) in names.iter().zip(through) {
            let agree = if through || is_exact { through == takes(name) } else { true };
            assert!(agree, "the contract {contract} and its type differ on {name:?}");
        }
    }
}
