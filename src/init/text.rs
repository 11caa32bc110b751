//! The wording of the Nickel files.

use std::fmt::Write as _;

use crate::ids::Workspace;

/// `.build-spec.ncl`: decides nothing yet, and says what could be decided.
pub(super) const SPEC: &str = "\
# The machine that this project is built on. What is not said here comes from past builds and, before there are five of
# them, from the project's language: `lian-build plan` shows what and why.
let { BuildSpec, .. } = import \"lian/schemas/build_spec.ncl\" in
{
  schema_version = 1,
  # A tier by name (cax11, cax21, cax31, cax41), or cpu and memory_gb.
  # runner_type = \"cax31\",
  # Minutes that one attempt may take.
  # time_budget_min = 60,
}
  | BuildSpec
";

/// What the directives say.
#[derive(Debug)]
pub(super) struct Directives<'a> {
    pub(super) workspace: &'a Workspace,
    /// The image's name without a tag.
    pub(super) image: Option<&'a str>,
    /// From the repository's root; empty for the root itself.
    pub(super) context: &'a str,
    /// From the context, where it is not the usual one.
    pub(super) dockerfile: Option<&'a str>,
    /// Stages that make other images.
    pub(super) stages: &'a [String],
}

impl Directives<'_> {
    /// `ci/directives.ncl`.
    pub(super) fn text(&self) -> String {
        let mut artifact = String::new();
        match self.image {
            Some(image) => {
                let _ = write!(
                    artifact,
                    "    # Naming an image pushes it. `${{sha}}` is the commit: CI builds only what is committed.\n    image = {},\n",
                    string(&format!("{image}:${{sha}}"))
                );
            }
            None => {
                let _ = write!(
                    artifact,
                    "    # Naming an image pushes it. `${{sha}}` is the commit: CI builds only what is committed.\n    \
                     # image = \"registry.example.com/{}:${{sha}}\",\n",
                    self.workspace
                );
            }
        }
        if !self.context.is_empty() {
            let _ = writeln!(artifact, "    # From the repository's root.\n    context = {},", string(self.context));
        }
        if let Some(dockerfile) = self.dockerfile {
            let _ = writeln!(artifact, "    dockerfile = {},", string(dockerfile));
        }
        if let Some(stage) = self.stages.first() {
            let others: Vec<&str> = self.stages.iter().skip(1).map(String::as_str).collect();
            let others = if others.is_empty() { String::new() } else { format!(" (or {})", others.join(", ")) };
            let _ = writeln!(artifact, "    # Another program's image{others}:\n    # target = {},", string(stage));
        }
        format!(
            "# What CI builds: `lian-build build --directives {}`.\nlet D = import \"defaults/build_directives.ncl\" in\n\
             D.make_ci_build {{\n  workspace = {},\n  artifact = {{\n{artifact}  }},\n  cache_policy = D.ci_cache_policy,\n}}\n",
            super::prepare::DIRECTIVES,
            string(self.workspace.as_str()),
        )
    }
}

/// A string of Nickel's.
fn string(text: &str) -> String {
    let escaped =
        text.replace('\\', "\\\\").replace('"', "\\\"").replace("%{", "\\%{").replace('\n', "\\n").replace('\r', "\\r");
    format!("\"{escaped}\"")
}
