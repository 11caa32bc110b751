//! The command line's surface, word for word: a change of it is a change of the interface.

use crate::support::Sandbox;

fn document(arguments: &[&str]) -> String {
    let sandbox = Sandbox::new();
    let finished = sandbox.run(arguments);
    finished.assert_code(0);
    assert_eq!(finished.stderr, "", "a document comes alone");
    finished.stdout
}

#[test]
fn help_of_every_command() {
    insta::assert_snapshot!("help", document(&["--help"]));
    insta::assert_snapshot!("help_build", document(&["build", "--help"]));
    insta::assert_snapshot!("help_check", document(&["check", "--help"]));
    insta::assert_snapshot!("help_init", document(&["init", "--help"]));
    for command in ["export", "show"] {
        insta::assert_snapshot!(format!("help_schema_{command}"), document(&["schema", command, "--help"]));
    }
    for command in ["list", "gc", "release", "ssh", "image", "user-data"] {
        insta::assert_snapshot!(format!("help_runners_{command}"), document(&["runners", command, "--help"]));
    }
    insta::assert_snapshot!("help_serve", document(&["serve", "--help"]));
    for command in ["new", "list", "revoke"] {
        insta::assert_snapshot!(
            format!("help_serve_token_{command}"),
            document(&["serve", "token", command, "--help"])
        );
    }
    // `plan` takes what `build` takes, explains it, and compares it.
    let options = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.trim_start().starts_with('-')).map(|line| line.trim().to_owned()).collect()
    };
    let mut of_plan = options(&document(&["plan", "--help"]));
    of_plan.retain(|option| option != "--explain" && option != "--against <FILE>");
    assert_eq!(options(&document(&["build", "--help"])), of_plan);
}

#[test]
fn documents_are_written() {
    assert!(document(&["completions", "bash"]).contains("complete -F"));
    assert!(document(&["man"]).contains(".TH"));
    assert!(document(&["--version"]).starts_with("lian-build "));
}

#[test]
fn the_original_names_stay_valid() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile.other", "FROM scratch\n");
    let arguments =
        ["plan", "--context", "context", "--image", "r.example/a:1", "--dockerfile", "context/Dockerfile.other"];
    let plan =
        sandbox.run(arguments.iter().copied().chain(["--workspace", "w", "--format=json"])).assert_code(0).envelope();
    assert_eq!(plan["workspace"], "w");
    assert_eq!(plan["plan"]["reach"]["pushes_to"], serde_json::json!(["r.example"]));
    let dispatched = sandbox.run(["dispatch", "--context", "context"]).assert_code(2).envelope();
    assert_eq!(dispatched["command"], "build");
}
