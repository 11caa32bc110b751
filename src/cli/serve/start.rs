//! Starts the server, and ends it at a signal.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::args::ServeArgs;
use super::for_people;
use crate::cli::result_text;
use crate::clock::SystemClock;
use crate::custody::{Custodian, Timing};
use crate::dirs::Dirs;
use crate::env_vars::Environment;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::RunId;
use crate::inputs::nickel::Evaluator;
use crate::inputs::serve_config::{ServeConfig, TlsFiles};
use crate::inputs::settings;
use crate::lease::{Journal, OwnerId};
use crate::provider::choice;
use crate::record::SqliteStore;
use crate::run::Signals;
use crate::serve::{Limits, Server, ServerParts, Tls, Tokens};

/// Where it listens unless it is told otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8470);

/// Every lease has a lock that is held, and every caller a connection.
const OPEN_FILES: u64 = 65_536;

/// How long a provider may wait for memory that others hold, before the caller is told that there is none.
const QUEUE_LIMIT: Duration = Duration::from_secs(60);

/// Runs the server until a signal.
pub(super) fn main(args: &ServeArgs, environment: Environment) -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(64).enable_all().build();
    let runtime = runtime.context(ErrorKind::State, || "cannot start the runtime".to_owned());
    let ended = runtime.and_then(|runtime| {
        let ended = runtime.block_on(serve(args, environment));
        // A thread that still waits for a disk must not hold up the end.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for_people().message(&result_text::error(&error));
            ExitCode::from(crate::exit::code(error.kind()))
        }
    }
}

async fn serve(args: &ServeArgs, environment: Environment) -> Result<()> {
    let signals = Signals::listen(|_| {})?;
    allow_open_files();
    let server = tokio::select! {
        server = start(args, &environment) => server?,
        () = signals.token().cancelled() => return Ok(()),
    };
    for_people().message(&format!("listening at {}", server.url()));
    signals.token().cancelled().await;
    for_people().message("ending: leases stay, and are taken up at the next start");
    tokio::select! {
        () = server.stop() => {}
        () = signals.give_up().cancelled() => {}
    }
    Ok(())
}

/// What the file says, with the flags over it.
async fn settled(args: &ServeArgs, evaluator: &Evaluator) -> Result<ServeConfig> {
    let mut config = match &args.config {
        Some(path) => ServeConfig::read(evaluator, path).await?,
        None => ServeConfig::default(),
    };
    config.listen = args.listen.or(config.listen);
    if !args.provider.is_empty() {
        config.providers = Some(args.provider.clone());
    }
    config.tokens = args.tokens.clone().or(config.tokens);
    if let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) {
        config.tls = Some(TlsFiles { cert: cert.clone(), key: key.clone() });
    }
    config.tiers = args.tiers.clone().or(config.tiers);
    config.state_dir = args.state_dir.clone().or(config.state_dir);
    config.owner = args.owner.clone().or(config.owner);
    config.ttl_s = args.ttl.map(|ttl| ttl.as_secs()).or(config.ttl_s);
    config.max_ttl_s = args.max_ttl.map(|ttl| ttl.as_secs()).or(config.max_ttl_s);
    config.max_leases = args.max_leases.or(config.max_leases);
    Ok(config)
}

async fn start(args: &ServeArgs, environment: &Environment) -> Result<Server> {
    let dirs = Dirs::from_environment(environment)?;
    let evaluator = Evaluator::of_this_program()?;
    let config = settled(args, &evaluator).await?;
    let state: PathBuf = config.state_dir.unwrap_or_else(|| dirs.state.join("serve"));
    let state = std::path::absolute(&state).context(ErrorKind::State, || format!("`{}`", state.display()))?;
    let tokens_file = config.tokens.as_ref().ok_or_else(|| {
        Error::usage("`serve` needs the tokens of those who may ask: `--tokens FILE`")
            .hint("`lian-build serve token new NAME --tokens FILE --workspace '*'` makes the first one")
    })?;
    let providers = config.providers.unwrap_or_default();
    if providers.is_empty() {
        return Err(Error::usage("`serve` needs somebody to lease from: `--provider NAME`")
            .hint(format!("providers are: {}", choice::KNOWN.join(", "))));
    }
    let tokens = Tokens::open(tokens_file)?;
    let tls = config.tls.map(|files| Tls::open(&files.cert, &files.key)).transpose()?;
    let tiers = settings::load_tiers(&evaluator, config.tiers.as_deref()).await?;
    let clock: crate::clock::SharedClock = Arc::new(SystemClock);
    let journal = Journal::new(&state);
    let mut custodians: Vec<Custodian> = Vec::new();
    for name in &providers {
        let choice = choice::named(name)?;
        if custodians.iter().any(|custodian| custodian.provider().name() == choice.name()) {
            return Err(Error::usage(format!("`--provider {name}` stands there twice")));
        }
        if choice.name() == "vm_pool" {
            return Err(Error::usage("a pool does not lease from another pool"));
        }
        let queue_limit = crate::failpoint::seconds("pool-queue-limit", QUEUE_LIMIT);
        let provider = choice.config(environment, &dirs)?.queue_timeout(queue_limit).open()?;
        custodians.push(Custodian::without_reaper(provider, journal.clone(), Arc::clone(&clock), Timing::default()));
    }
    let usual = Limits::default();
    let owner = config.owner.unwrap_or_else(|| RunId::new().to_string());
    let parts = ServerParts {
        listen: config.listen.unwrap_or(DEFAULT_LISTEN),
        tls,
        custodians,
        tokens,
        tiers,
        limits: Limits {
            ttl_s: config.ttl_s.unwrap_or(usual.ttl_s),
            max_ttl_s: config.max_ttl_s.unwrap_or(usual.max_ttl_s),
            leases: config.max_leases.unwrap_or(usual.leases),
        },
        owner: OwnerId::derive(&format!("pool:{owner}")),
        store: Arc::new(SqliteStore::new(&state)),
        state,
        clock,
    };
    Server::start(parts).await
}

/// Asks for as many open files as there may be; with fewer it goes on as far as they go.
fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if current.is_some_and(|current| current < wanted) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}
