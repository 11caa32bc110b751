//! What comes out: the image's names, other outputs, and whether it is pushed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::built::Built;
use super::caller::Caller;
use super::sources::Sources;
use crate::error::{Error, Result};
use crate::inputs::attestation::{Asked, Attestations, Provenance, Sbom};
use crate::inputs::directives::{Directives, Output, image_name::Names};
use crate::inputs::output::OutputSpec;
use crate::inputs::resolve::{Candidates, Keyed, Ledger, Said};
use crate::registry::Reference;

/// What comes out.
pub(super) struct Image {
    pub(super) references: Vec<Reference>,
    pub(super) push: bool,
    pub(super) outputs: Vec<OutputSpec>,
    pub(super) metadata_file: Option<PathBuf>,
    pub(super) iidfile: Option<PathBuf>,
    pub(super) attestations: Attestations,
}

pub(super) async fn image(sources: &Sources<'_>, caller: &Caller, built: &Built, ledger: &mut Ledger) -> Result<Image> {
    let args = sources.args;
    let references = references(sources, caller, built, ledger).await?;
    if args.push == Some(true) && references.is_empty() && args.outputs.is_empty() {
        return Err(Error::usage("`--push` without a name").hint("name the image with `--tag HOST/PATH:TAG`"));
    }
    let push = Candidates {
        flag: args.push.map(|push| Said::flag("--push", push)),
        directives: sources.changed("artifact.push", &true, |said| said.artifact.push),
        variable: None,
    };
    let push = ledger.pick_or("push", push, "true")?.unwrap_or(true);
    let file = |path: &Option<PathBuf>| path.as_ref().map(|path| sources.file(path));
    let (metadata_file, iidfile) = (file(&args.metadata_file), file(&args.iidfile));
    for (name, flag, path) in [("metadata_file", "--metadata-file", &metadata_file), ("iidfile", "--iidfile", &iidfile)]
    {
        ledger.note_flag(name, flag, path.as_ref().map(|path| path.display().to_string()), "none");
    }
    ledger.note_flag("load", "--load", args.load.then_some("true"), "false");
    Ok(Image {
        references,
        push,
        outputs: outputs(sources, ledger)?,
        metadata_file,
        iidfile,
        attestations: attestations(sources, ledger)?,
    })
}

/// The image's names. Command line and directives may both name it, but have to name it alike.
async fn references(
    sources: &Sources<'_>,
    caller: &Caller,
    built: &Built,
    ledger: &mut Ledger,
) -> Result<Vec<Reference>> {
    let joined = |names: &[Reference]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let flag = sources.args.tags.iter().map(|name| Reference::parse_push_target(name)).collect::<Result<Vec<_>>>()?;
    let flag = (!flag.is_empty()).then(|| {
        let shown = joined(&flag);
        Said::by_flag("--tag", flag, shown)
    });
    let directives = match sources.directives {
        Some(said) => named_by(said, caller, built, sources).await?.map(|names| {
            let shown = joined(&names);
            said.said("artifact.image", names, shown)
        }),
        None => None,
    };
    let candidates = Candidates { flag, directives, variable: None };
    let set = |names: &[Reference]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let picked = ledger.pick_by("image", candidates, |one, other| set(one) == set(other))?;
    Ok(picked.unwrap_or_else(|| {
        ledger.note_default("image", "none");
        Vec::new()
    }))
}

/// The names that directives give, placeholders filled in.
async fn named_by(
    directives: &Directives,
    caller: &Caller,
    built: &Built,
    sources: &Sources<'_>,
) -> Result<Option<Vec<Reference>>> {
    let Some(names) = &directives.value.artifact.image else { return Ok(None) };
    let path = "artifact.image";
    let names_of = Names {
        workspace: &directives.value.workspace,
        actor: caller.actor,
        actor_id: &caller.actor_id,
        root: &directives.root,
        sources: &built.directories(),
    };
    let filled = names_of.fill(names, sources.environment).await.map_err(|error| directives.refuse(path, &error))?;
    let references = filled.iter().map(|name| Reference::parse_push_target(name)).collect::<Result<Vec<_>>>();
    references.map(Some).map_err(|error| directives.refuse(path, &error))
}

/// What is attested. Directives know the common cases, flags every attribute.
fn attestations(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Attestations> {
    let args = sources.args;
    let asked = Asked::parse(args.provenance.as_deref(), args.sbom.as_deref(), &args.attest)?;
    let provenance_shown = |provenance: &Option<Provenance>| match provenance {
        Some(provenance) => provenance.option(),
        None => Ok("none".to_owned()),
    };
    let sbom_shown = |sbom: &Option<Sbom>| match sbom {
        Some(Sbom { generator: Some(generator) }) => format!("generator={generator}"),
        Some(Sbom { generator: None }) => "true".to_owned(),
        None => "false".to_owned(),
    };
    let flag = match asked.provenance {
        Some(provenance) => {
            let shown = provenance_shown(&provenance)?;
            Some(Said::by_flag("--provenance", provenance, shown))
        }
        None => None,
    };
    let directives = match sources.directives {
        Some(said) => {
            let provenance = said.value.artifact.provenance.attested();
            let shown = provenance_shown(&provenance)?;
            said.said_unless(&None, "artifact.provenance", provenance, shown)
        }
        None => None,
    };
    let provenance = ledger.pick_or("provenance", Candidates { flag, directives, variable: None }, "none")?.flatten();
    let sbom = Candidates {
        flag: asked.sbom.map(|sbom| {
            let shown = sbom_shown(&sbom);
            Said::by_flag("--sbom", sbom, shown)
        }),
        directives: sources.directives.and_then(|said| {
            let sbom = said.value.artifact.sbom.then(Sbom::default);
            let shown = sbom_shown(&sbom);
            said.said_unless(&None, "artifact.sbom", sbom, shown)
        }),
        variable: None,
    };
    Ok(Attestations { provenance, sbom: ledger.pick_or("sbom", sbom, "false")?.flatten() })
}

fn outputs(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Vec<OutputSpec>> {
    let key = |spec: &OutputSpec, text: &str| match &spec.dest {
        Some(dest) => dest.display().to_string(),
        None => text.to_owned(),
    };
    let texts = &sources.args.outputs;
    let flags = OutputSpec::parse_all(texts, sources.base)?;
    let flags = flags
        .into_iter()
        .zip(texts)
        .map(|(spec, text)| Keyed { key: key(&spec, text), said: Said::by_flag("--output", spec, text.clone()) });
    let mut directives = Vec::new();
    if let Some(said) = sources.directives {
        let path = "artifact.outputs";
        let texts = output_texts(said)?;
        let specs = OutputSpec::parse_all(&texts, &said.root).map_err(|error| said.refuse(path, &error))?;
        for (index, (spec, text)) in specs.into_iter().zip(texts).enumerate() {
            let place = format!("{path}[{index}]");
            directives.push(Keyed { key: key(&spec, &text), said: said.said(&place, spec, text) });
        }
    }
    ledger.unite("output", flags.collect(), directives)
}

/// The outputs of directives as buildctl writes them, each destination inside of the project.
fn output_texts(directives: &Directives) -> Result<Vec<String>> {
    let text = |(index, output): (usize, &Output)| {
        let path = format!("artifact.outputs[{index}].dest");
        output.text(&directives.root).map_err(|error| directives.refuse(&path, &error))
    };
    directives.value.artifact.outputs.iter().enumerate().map(text).collect()
}
