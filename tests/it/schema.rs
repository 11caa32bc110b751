//! `schema`: what is exported is enough for Nickel's own tools, and what is shown is what is embedded.

use std::path::Path;

use nickel_lang_core::eval::cache::CacheImpl;
use nickel_lang_core::program::ProgramBuilder;
use nickel_lang_core::serialize::{self, ExportFormat};
use serde_json::Value;

use crate::support::{Sandbox, assert_follows};

/// Exports a Nickel text as the `nickel` command does with `NICKEL_IMPORT_PATH` set to the directory.
fn nickel(import_path: &Path, text: &str) -> Value {
    let program = ProgramBuilder::new().add_source_string(text, "x.ncl").add_import_paths([import_path]);
    let mut program = program.build::<CacheImpl>().unwrap();
    let value = program.eval_full_for_export().unwrap_or_else(|error| panic!("{text}: {error:?}"));
    serde_json::from_str(&serialize::to_string(ExportFormat::Json, &value).unwrap()).unwrap()
}

#[test]
fn an_editor_finds_what_documents_import() {
    let sandbox = Sandbox::new();
    let document = sandbox.run(["schema", "export", "context/made/here", "--format=json"]).assert_code(0).envelope();
    assert_follows(&document, "schema-export.v1.json");
    let directory = sandbox.context().join("made/here");
    assert_eq!(document["environment"]["NICKEL_IMPORT_PATH"], directory.to_str().unwrap());
    for import in ["defaults", "lian/defaults"] {
        let text = format!(
            "let D = import \"{import}/build_directives.ncl\" in\n\
             let {{ BuildDirectives, .. }} = import \"lian/schemas/build_directives.ncl\" in\n\
             D.make_ci_build {{ workspace = \"shop\" }} | BuildDirectives"
        );
        let value = nickel(&directory, &text);
        assert_eq!(value["cache_policy"]["actor"], "ci");
        assert_eq!(value["artifact"]["push"], true);
    }
    let spec = nickel(&directory, "{ cpu = 2, memory_gb = 4 } | (import \"schemas/build_spec.ncl\").BuildSpec");
    assert_eq!(spec["oom_retry"], true);
    // The tables are whole, too.
    nickel(&directory, "(import \"lian/defaults/tiers.ncl\") | (import \"schemas/tiers.ncl\").TiersFile");
}

#[test]
fn every_json_schema_is_exported() {
    let sandbox = Sandbox::new();
    sandbox.run(["schema", "export", "context"]).assert_code(0);
    let shipped = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/json")).unwrap();
    let mut names = 0;
    for entry in shipped {
        let entry = entry.unwrap();
        let mut exported: Value =
            serde_json::from_slice(&std::fs::read(sandbox.context().join("json").join(entry.file_name())).unwrap())
                .unwrap();
        exported.as_object_mut().unwrap().remove("$comment").unwrap();
        let shipped: Value = serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap();
        assert_eq!(exported, shipped, "{:?}", entry.file_name());
        names += 1;
    }
    assert!(names > 10, "the schemas were not found");
}

#[test]
fn what_no_export_wrote_is_refused_before_anything_is_written() {
    let sandbox = Sandbox::new();
    sandbox.write("schemas/policy.ncl", "mine");
    std::os::unix::fs::symlink("/etc", sandbox.context().join("json")).unwrap();
    let refused = sandbox.run(["schema", "export", "context", "--format=json"]).assert_code(2).envelope();
    assert!(refused["error"]["message"].as_str().unwrap().contains("json"), "{refused}");
    std::fs::remove_file(sandbox.context().join("json")).unwrap();
    let refused = sandbox.run(["schema", "export", "context", "--format=json"]).assert_code(2).envelope();
    assert!(refused["error"]["message"].as_str().unwrap().contains("`schemas/policy.ncl`"), "{refused}");
    assert!(!sandbox.context().join("json").exists() && !sandbox.context().join("lian").exists());
    let refused =
        sandbox.run(["schema", "export", "context/schemas/policy.ncl", "--format=json"]).assert_code(2).envelope();
    assert_follows(&refused, "schema-export.v1.json");
}

#[test]
fn one_schema_is_shown_as_it_is() {
    let sandbox = Sandbox::new();
    let names = sandbox.run(["schema", "show"]).assert_code(0).stdout.clone();
    assert!(names.lines().any(|name| name == "schemas/build_directives.ncl"), "{names}");
    for name in ["schemas/policy.ncl", "json/directives.v1.json"] {
        let shown = sandbox.run(["schema", "show", name]).assert_code(0).stdout.clone();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name.replace("json/", "schemas/json/"));
        assert_eq!(shown, std::fs::read_to_string(file).unwrap(), "{name}");
    }
    let refused = sandbox.run(["schema", "show", "schemas/polcy.ncl"]);
    assert_eq!(refused.assert_code(2).stdout, "");
    assert!(refused.stderr.contains("did you mean `schemas/policy.ncl`?"), "{}", refused.stderr);
}
