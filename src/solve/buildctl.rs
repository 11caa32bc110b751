//! Builds the argv of `buildctl build`. Everything that comes from a user passes one of two encoders here: a `key=value`
//! option is one argument of its own, and a CSV list goes through [`csv::encode`].

use super::csv;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::build_arg::{ContextSource, KeyValue};
use crate::inputs::dockerfile::{BUILTIN_FRONTEND, SYNTAX_ARG};
use crate::lease::RunnerPaths;
use crate::plan::{Network, NoCache, Solve};

/// The directory below [`RunnerPaths::run`] that holds the Dockerfile and nothing else.
pub const DOCKERFILE_DIR: &str = "dockerfile";

/// The metadata file below [`RunnerPaths::run`].
pub const METADATA_FILE: &str = "metadata.json";

/// What BuildKit may pull, below [`RunnerPaths::run`].
pub const SOURCE_POLICY_FILE: &str = "source-policy.json";

/// The daemon's socket below [`RunnerPaths::run`].
pub const SOCKET: &str = "buildkitd.sock";

/// The directory below [`RunnerPaths::secrets`] that holds Docker's `config.json`.
pub const DOCKER_CONFIG_DIR: &str = "docker";

/// Where the runner listens for the caller's SSH agent number `index`.
pub fn agent_socket(paths: &RunnerPaths, index: usize) -> String {
    format!("{}/agent-{index}", paths.secrets)
}

/// The name of a secret's file below [`RunnerPaths::secrets`]; an id may hold dots, so it gets a prefix.
pub fn secret_file(id: &str) -> String {
    format!("secret-{id}")
}

/// Where the runner keeps the extra context `name`. A name may hold slashes; as a directory it is one component, so that
/// no context lies inside another.
pub fn extra_context_path(paths: &RunnerPaths, name: &str) -> String {
    format!("{}/{}", paths.extra_contexts, name.replace('/', "%2F"))
}

/// buildctl's name of a local directory: the context's own name may hold characters that `--local` does not take.
fn local_name(index: usize) -> String {
    format!("extra{index}")
}

/// Where the runner keeps result number `index` until it is fetched.
pub fn output_path(paths: &RunnerPaths, index: usize) -> String {
    format!("{}/{index}", paths.output)
}

/// What runs on the runner: [`argv`] with Docker's configuration where the logins are. Their directory is always set, so
/// that `buildctl` never looks into a home directory of the machine.
///
/// # Errors
/// As [`argv`].
pub fn remote_argv(solve: &Solve, paths: &RunnerPaths) -> Result<Vec<String>> {
    let config = format!("DOCKER_CONFIG={}/{DOCKER_CONFIG_DIR}", paths.secrets);
    // `env` replaces itself by the program, so that a signal to the process reaches `buildctl`.
    let mut full = vec!["env".to_owned(), config, "BUILDKIT_NO_CLIENT_TOKEN=1".to_owned()];
    full.extend(argv(solve, paths)?);
    Ok(full)
}

/// The argv of `buildctl`.
///
/// # Errors
/// When a value cannot be written in buildctl's CSV.
pub fn argv(solve: &Solve, paths: &RunnerPaths) -> Result<Vec<String>> {
    let mut argv: Vec<String> = vec![
        format!("{}/buildctl", paths.bin),
        "--addr".to_owned(),
        format!("unix://{}/{SOCKET}", paths.run),
        "build".to_owned(),
        "--progress=rawjson".to_owned(),
        "--frontend=dockerfile.v0".to_owned(),
        format!("--local=context={}", paths.context),
        format!("--local=dockerfile={}/{DOCKERFILE_DIR}", paths.run),
        format!("--metadata-file={}/{METADATA_FILE}", paths.run),
    ];
    let mut option = |key: &str, value: &str| argv.push(format!("--opt={key}={value}"));
    option("filename", &solve.dockerfile_name);
    if solve.force_builtin_frontend {
        // The built-in frontend takes a command line for the sign that it was chosen, and looks for no other.
        option("cmdline", BUILTIN_FRONTEND);
    }
    if let Some(target) = &solve.target {
        option("target", target);
    }
    let is_overruled = |key: &str| solve.force_builtin_frontend && key == SYNTAX_ARG;
    for KeyValue { key, value } in solve.build_args.iter().filter(|arg| !is_overruled(&arg.key)) {
        option(&format!("build-arg:{key}"), value);
    }
    for KeyValue { key, value } in &solve.labels {
        option(&format!("label:{key}"), value);
    }
    if let Some(platform) = &solve.platform {
        option("platform", platform);
    }
    match &solve.no_cache {
        NoCache::Off => {}
        NoCache::All => option("no-cache", ""),
        NoCache::Stages(stages) => option("no-cache", &csv::encode(stages)?),
    }
    if solve.pull {
        option("image-resolve-mode", "pull");
    }
    if !solve.add_hosts.is_empty() {
        option("add-hosts", &csv::encode(&solve.add_hosts)?);
    }
    match solve.network {
        Network::Default => {}
        Network::None => option("force-network-mode", "none"),
        Network::Host => option("force-network-mode", "host"),
    }
    if let Some(bytes) = solve.shm_size {
        option("shm-size", &bytes.to_string());
    }
    if let Some(provenance) = &solve.attestations.provenance {
        option("attest:provenance", &provenance.option()?);
    }
    if let Some(sbom) = &solve.attestations.sbom {
        option("attest:sbom", &sbom.option()?);
    }
    for (index, context) in solve.contexts.iter().enumerate() {
        let source = match &context.source {
            ContextSource::Directory(_) => format!("local:{}", local_name(index)),
            ContextSource::Image(image) => format!("docker-image://{image}"),
        };
        option(&format!("context:{}", context.name), &source);
    }
    for (index, context) in solve.contexts.iter().enumerate() {
        if matches!(context.source, ContextSource::Directory(_)) {
            argv.push(format!("--local={}={}", local_name(index), extra_context_path(paths, &context.name)));
        }
    }
    if solve.pull_from.is_some() {
        argv.push(format!("--source-policy-file={}/{SOURCE_POLICY_FILE}", paths.run));
    }
    if solve.network == Network::Host {
        argv.push("--allow=network.host".to_owned());
    }
    for id in &solve.secret_ids {
        let file = format!("{}/{}", paths.secrets, secret_file(id));
        argv.push(format!("--secret={}", csv::encode(&[format!("id={id}"), format!("src={file}")])?));
    }
    for (index, id) in solve.ssh_ids.iter().enumerate() {
        let socket = agent_socket(paths, index);
        if socket.contains([',', '=']) {
            // Several paths would be key files, which this is not.
            return Err(Error::new(ErrorKind::State, format!("buildctl cannot be given the socket `{socket}`")));
        }
        argv.push(format!("--ssh={id}={socket}"));
    }
    for (index, export) in solve.exports.iter().enumerate() {
        argv.push(format!("--output={}", export.spec.to_buildctl(Some(&output_path(paths, index)))?));
    }
    Ok(argv)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::attestation::Asked;
    use crate::inputs::build_arg::BuildContext;
    use crate::inputs::output::{OutputKind, OutputSpec};
    use crate::plan::{Export, Purpose};
    use crate::registry::Reference;
    use proptest::prelude::*;

    fn paths() -> RunnerPaths {
        let path = |name: &str| format!("/r/{name}");
        RunnerPaths {
            context: path("context"),
            extra_contexts: path("extra"),
            run: path("run"),
            buildkit_root: path("root"),
            output: path("output"),
            secrets: path("secrets"),
            bin: path("bin"),
        }
    }

    #[test]
    fn the_whole_command_line() {
        let solve = Solve {
            dockerfile_name: "Dockerfile".to_owned(),
            target: Some("app".to_owned()),
            build_args: vec![KeyValue { key: "V".to_owned(), value: "a,b\"c=d".to_owned() }],
            no_cache: NoCache::Stages(vec!["one".to_owned(), "two".to_owned()]),
            contexts: vec![
                BuildContext { name: "a/b".to_owned(), source: ContextSource::Directory("/x".into()) },
                BuildContext {
                    name: "img".to_owned(),
                    source: ContextSource::Image(Reference::parse("alpine").unwrap()),
                },
            ],
            secret_ids: vec!["token".to_owned()],
            ssh_ids: vec!["default".to_owned(), "deploy".to_owned()],
            attestations: Asked::parse(Some("max"), Some("generator=r.example/scan:1"), &[""; 0]).unwrap().into(),
            exports: vec![
                Export::push(&[Reference::parse_push_target("r.example/app:1").unwrap()]),
                Export {
                    spec: OutputSpec { kind: OutputKind::Tar, dest: Some("/o,ut.tar".into()), attrs: Vec::new() },
                    purpose: Purpose::Asked,
                },
            ],
            ..Solve::default()
        };
        assert_eq!(
            argv(&solve, &paths()).unwrap(),
            [
                "/r/bin/buildctl",
                "--addr",
                "unix:///r/run/buildkitd.sock",
                "build",
                "--progress=rawjson",
                "--frontend=dockerfile.v0",
                "--local=context=/r/context",
                "--local=dockerfile=/r/run/dockerfile",
                "--metadata-file=/r/run/metadata.json",
                "--opt=filename=Dockerfile",
                "--opt=target=app",
                "--opt=build-arg:V=a,b\"c=d",
                "--opt=no-cache=one,two",
                "--opt=attest:provenance=mode=max",
                "--opt=attest:sbom=generator=r.example/scan:1",
                "--opt=context:a/b=local:extra0",
                "--opt=context:img=docker-image://docker.io/library/alpine",
                "--local=extra0=/r/extra/a%2Fb",
                "--secret=id=token,src=/r/secrets/secret-token",
                "--ssh=default=/r/secrets/agent-0",
                "--ssh=deploy=/r/secrets/agent-1",
                "--output=type=image,name=r.example/app:1,push=true",
                "--output=type=tar,dest=/r/output/1",
            ]
        );
    }

    #[test]
    fn a_forced_frontend_is_not_overruled_by_a_build_argument() {
        let syntax = KeyValue { key: SYNTAX_ARG.to_owned(), value: "docker/dockerfile:1".to_owned() };
        let other = KeyValue { key: "V".to_owned(), value: "1".to_owned() };
        let free = Solve { build_args: vec![syntax, other], ..Solve::default() };
        let forced = Solve { force_builtin_frontend: true, ..free.clone() };
        let forced = argv(&forced, &paths()).unwrap();
        assert!(forced.contains(&"--opt=cmdline=dockerfile.v0".to_owned()), "{forced:?}");
        assert!(forced.contains(&"--opt=build-arg:V=1".to_owned()), "{forced:?}");
        assert!(!forced.iter().any(|argument| argument.contains(SYNTAX_ARG)), "{forced:?}");
        let free = argv(&free, &paths()).unwrap();
        assert!(free.contains(&"--opt=build-arg:BUILDKIT_SYNTAX=docker/dockerfile:1".to_owned()), "{free:?}");
    }

    proptest! {
        /// Whatever a value holds, it stays one argument that says nothing but itself.
        #[test]
        fn no_value_becomes_an_argument_of_its_own(key in "[A-Za-z_]{1,8}", value in any::<String>()) {
            let plain = Solve { dockerfile_name: "D".to_owned(), ..Solve::default() };
            let args = vec![KeyValue { key: key.clone(), value: value.clone() }];
            let with = Solve { build_args: args, target: Some(value.clone()), ..plain.clone() };
            let base = argv(&plain, &paths()).unwrap();
            let full = argv(&with, &paths()).unwrap();
            prop_assert_eq!(full.len(), base.len() + 2);
            let (argument, target) = (format!("--opt=build-arg:{key}={value}"), format!("--opt=target={value}"));
            prop_assert!(full.contains(&argument) && full.contains(&target));
        }

        /// A list is read back by buildctl's own rules as exactly its values, or it is refused.
        #[test]
        fn lists_are_read_back_as_they_were(stages in proptest::collection::vec(any::<String>(), 1..4)) {
            let solve = Solve { no_cache: NoCache::Stages(stages.clone()), ..Solve::default() };
            if let Ok(full) = argv(&solve, &paths()) {
                let list = full.iter().find_map(|argument| argument.strip_prefix("--opt=no-cache=")).unwrap();
                prop_assert_eq!(csv::decode(list).unwrap(), stages);
            }
        }
    }
}
