//! What directives build: contexts, the Dockerfile, and who reads that; and what comes out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::meaning::Meaning;
use super::part::Part;
use crate::error::Error;
use crate::inputs::attestation::{Attestations, Sbom};
use crate::inputs::build_arg::{ContextSource, KeyValue};
use crate::inputs::context::{DockerfileSource, Root};
use crate::inputs::directives::{Output, Provenance, inner_path};
use crate::inputs::dockerfile::SYNTAX_ARG;
use crate::inputs::nickel::Rule;
use crate::inputs::output::OutputSpec;
use crate::plan::{check_attestable, frontend};

/// What is said where a path leads nowhere.
const FROM_THE_ROOT: &str = "paths count from the repository's root";

impl Meaning<'_> {
    pub(super) fn built(&mut self, directives: &Part<'_>) {
        let artifact = directives.field("artifact");
        let dockerfile = self.dockerfile(&artifact);
        for (name, source) in artifact.field("extra_contexts").entries() {
            let Some(text) = source.said::<String>() else { continue };
            if let Err(error) = inner_path::named_context(self.root, name, &text) {
                let is_directory = ContextSource::is_directory(&text);
                let error = if is_directory && error.hints().is_empty() { error.hint(FROM_THE_ROOT) } else { error };
                self.refuse(source.path(), Rule::Reference, &error);
            }
        }
        self.frontend(&artifact, dockerfile);
    }

    /// The Dockerfile, where it is known which one is built.
    fn dockerfile(&mut self, artifact: &Part<'_>) -> Option<DockerfileSource> {
        let (context, file) = (artifact.field("context"), artifact.field("dockerfile"));
        let directory = match context.said::<String>() {
            Some(context_said) => self.directory(&context, &context_said),
            None => context.is_absent().then(|| self.root.to_owned()),
        }?;
        if !file.is_sound() {
            return None;
        }
        let said: Option<String> = file.said();
        let found = Root::open(&directory).and_then(|root| match &said {
            Some(name) => DockerfileSource::find(&root, Some(&inner_path::existing(&directory, name)?)),
            None => DockerfileSource::find(&root, None),
        });
        let is_missing = match (&found, &said) {
            (Ok(None), _) => true,
            // The command line may name another context.
            (Err(_), Some(name)) => context.is_absent() && !directory.join(name).exists(),
            _ => false,
        };
        if is_missing {
            let name = said.as_deref().unwrap_or("Dockerfile");
            let place = context.said().unwrap_or_else(|| "the root, and no context is said".to_owned());
            self.warn(format!(
                "`{}`: there is no `{name}` in {place}; it counts from the context that is built",
                if said.is_some() { file.path() } else { artifact.path() }
            ));
            return None;
        }
        found
            .map_err(|error| {
                let error = error.hint("`dockerfile` counts from `context`, and that from the repository's root");
                let place = if said.is_some() { &file } else { &context };
                self.refuse(place.path(), Rule::Reference, &error);
            })
            .ok()?
    }

    /// A directory below the root.
    fn directory(&mut self, part: &Part<'_>, relative: &str) -> Option<PathBuf> {
        let found = inner_path::existing(self.root, relative).map_err(|error| {
            let has_hint = !error.hints().is_empty();
            if has_hint { error } else { error.hint(FROM_THE_ROOT) }
        });
        let directory = found.and_then(|found| match found.is_dir() {
            true => Ok(found),
            false => Err(Error::usage(format!("`{relative}` is not a directory"))),
        });
        directory.map_err(|error| self.refuse(part.path(), Rule::Reference, &error)).ok()
    }

    /// Whoever reads the Dockerfile sees the build's secrets.
    fn frontend(&mut self, artifact: &Part<'_>, dockerfile: Option<DockerfileSource>) {
        let (args, secrets, ssh) = (artifact.field("build_args"), artifact.field("secrets"), artifact.field("ssh"));
        if ![&args, &secrets, &ssh].iter().all(|part| part.is_sound()) {
            return;
        }
        let asked = args.field(SYNTAX_ARG).said::<String>();
        let place = match (&asked, ssh.elements().is_empty()) {
            (Some(_), _) => args.field(SYNTAX_ARG),
            (None, true) => secrets.clone(),
            (None, false) => ssh.clone(),
        };
        let has_secrets = !(secrets.elements().is_empty() && ssh.elements().is_empty());
        let text = dockerfile.map(|file| file.bytes).unwrap_or_default();
        if let Err(error) = frontend::decide(asked.as_deref(), &text, has_secrets) {
            self.refuse(place.path(), Rule::Together, &error);
        }
    }

    /// Where results go, and what is attested about them.
    pub(super) fn outputs(&mut self, directives: &Part<'_>) {
        let artifact = directives.field("artifact");
        let is_attested = self.attestations(&artifact);
        let mut specs: Vec<OutputSpec> = Vec::new();
        for part in artifact.field("outputs").elements() {
            let Some(output) = part.said::<Output>() else { continue };
            let text = match output.text(self.root) {
                Ok(text) => text,
                Err(error) => {
                    self.refuse(part.field("dest").path(), Rule::Reference, &error);
                    continue;
                }
            };
            let checked = OutputSpec::parse(&text, self.root).and_then(|spec| {
                spec.check_distinct(&specs, part.path())?;
                Ok(spec)
            });
            match checked {
                Ok(spec) => {
                    if is_attested && let Err(error) = check_attestable(spec.kind, part.path()) {
                        self.refuse(part.field("type").path(), Rule::Together, &error);
                    }
                    specs.push(spec);
                }
                Err(error) => self.refuse(part.path(), Rule::Value, &error),
            }
        }
    }

    /// Whether something is attested, as far as that is known.
    fn attestations(&mut self, artifact: &Part<'_>) -> bool {
        let args = artifact.field("build_args");
        let pairs: BTreeMap<String, String> = args.said().unwrap_or_default();
        let pairs: Vec<KeyValue> = pairs.into_iter().map(|(key, value)| KeyValue { key, value }).collect();
        let attestations = Attestations {
            provenance: artifact.field("provenance").said().and_then(Provenance::attested),
            sbom: artifact.field("sbom").said().unwrap_or(false).then(Sbom::default),
        };
        if let Err(error) = attestations.check_build_args(&pairs) {
            self.refuse(args.path(), Rule::Together, &error);
        }
        attestations.any(&pairs)
    }
}
