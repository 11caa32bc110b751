//! `serve token`: makes tokens, lists them, takes them away.

use std::fmt::Write as _;
use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;

use super::args::{NewTokenArgs, RevokeArgs, TokenCommand, TokensArgs};
use crate::cli::args::Format;
use crate::cli::command_result::print;
use crate::cli::printer::Printer;
use crate::cli::result_text;
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::lock_file::LockFile;
use crate::report::CommandDocument;
use crate::report::serve_token::{ServeToken, TokenInfo};
use crate::sanitise;
use crate::serve::{Token, TokenScope, TokensFile};

/// The longest name.
const LONGEST_NAME: usize = 63;

/// Runs a command of the group.
pub(super) fn main(command: TokenCommand) -> ExitCode {
    let (format, done) = match command {
        TokenCommand::New(args) => (args.common.format, new(args)),
        TokenCommand::List(args) => (args.format, list(&args)),
        TokenCommand::Revoke(args) => (args.common.format, revoke(&args)),
    };
    let printer = Printer::new(Some(format));
    let document = match done {
        Ok(body) => CommandDocument::done(body, Vec::new()),
        Err(error) => {
            printer.message(&result_text::error(&error));
            CommandDocument::refused(&error)
        }
    };
    if format == Format::Human && document.body.token.is_some() {
        printer.message("keep it now: it is not shown again, and only a hash of it is kept");
    }
    print(printer, &document, text)
}

/// The result of a command that was refused.
pub(super) fn refuse(printer: Printer, error: &Error) -> ExitCode {
    print(printer, &CommandDocument::<ServeToken>::refused(error), |_| String::new())
}

fn new(args: NewTokenArgs) -> Result<ServeToken> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if args.name.is_empty() || args.name.len() > LONGEST_NAME || !args.name.chars().all(is_plain) {
        return Err(Error::usage(format!("`{}` is no name for a token", sanitise::short(&args.name, 80)))
            .hint(format!("a name is at most {LONGEST_NAME} letters, digits and `-_.@`")));
    }
    if let Some(bad) = args.workspace.iter().find(|name| !TokenScope::is_workspace_pattern(name)) {
        return Err(Error::usage(format!("`{}` names no workspace", sanitise::short(bad, 80)))
            .hint("a name, `shop-*` for all that begin so, or `*`"));
    }
    if args.hours_per_day.is_some_and(|hours| !hours.is_finite() || hours < 0.0) {
        return Err(Error::usage("`--hours-per-day` is a number of hours"));
    }
    let list = |names: Vec<String>| (!names.is_empty()).then_some(names);
    let scope = TokenScope {
        workspaces: args.workspace,
        runner_types: list(args.runner_type),
        providers: list(args.provider),
        concurrent_leases: args.concurrent_leases,
        hours_per_day: args.hours_per_day,
    };
    let now = SystemClock.now();
    let expires_at = args.expires_in.map(|time| {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        now.checked_add(time).unwrap_or(Timestamp::MAX)
    });
    let _lock = lock(&args.common)?;
    let mut file = TokensFile::read_or_new(&args.common.tokens)?;
    if file.tokens.iter().any(|token| token.name == args.name) {
        return Err(Error::usage(format!("there is a token `{}` already", args.name))
            .hint(format!("`lian-build serve token revoke {}` takes it away", args.name)));
    }
    let (token, text) = Token::new(args.name, scope, now, expires_at)?;
    let info = info(&token);
    file.tokens.push(token);
    file.write(&args.common.tokens)?;
    // The one place where it is shown, to who asked for it.
    Ok(ServeToken { token: Some(text.expose_secret().to_owned()), tokens: vec![info] })
}

fn list(args: &TokensArgs) -> Result<ServeToken> {
    let file = TokensFile::read(&args.tokens)?;
    Ok(ServeToken { token: None, tokens: file.tokens.iter().map(info).collect() })
}

fn revoke(args: &RevokeArgs) -> Result<ServeToken> {
    let _lock = lock(&args.common)?;
    let mut file = TokensFile::read(&args.common.tokens)?;
    let is_named = |token: &Token, name: &str| token.name == name || token.id == name;
    if let Some(unknown) = args.names.iter().find(|name| !file.tokens.iter().any(|token| is_named(token, name))) {
        return Err(Error::usage(format!("there is no token `{}`", sanitise::short(unknown, 80))));
    }
    let (gone, left): (Vec<Token>, Vec<Token>) =
        file.tokens.into_iter().partition(|token| args.names.iter().any(|name| is_named(token, name)));
    file.tokens = left;
    file.write(&args.common.tokens)?;
    Ok(ServeToken { token: None, tokens: gone.iter().map(info).collect() })
}

/// Two of these commands at once would lose a token.
fn lock(args: &TokensArgs) -> Result<LockFile> {
    LockFile::try_take(&args.tokens.with_extension("lock"))?.ok_or_else(|| {
        Error::new(ErrorKind::State, format!("`{}` is being changed by another command", args.tokens.display()))
    })
}

fn info(token: &Token) -> TokenInfo {
    let scope = &token.scope;
    TokenInfo {
        id: token.id.clone(),
        name: token.name.clone(),
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.map(|end| end.to_string()),
        workspaces: scope.workspaces.clone(),
        runner_types: scope.runner_types.clone(),
        providers: scope.providers.clone(),
        concurrent_leases: scope.concurrent_leases,
        hours_per_day: scope.hours_per_day,
    }
}

/// The token alone, so that it can be taken into a variable; or a line for each.
fn text(body: &ServeToken) -> String {
    if let Some(token) = &body.token {
        return format!("{token}\n");
    }
    let mut text = String::new();
    for token in &body.tokens {
        let names =
            |names: &Option<Vec<String>>| names.as_ref().map_or_else(|| "all".to_owned(), |names| names.join(","));
        let most = |most: Option<String>| most.unwrap_or_else(|| "any".to_owned());
        let _ = writeln!(
            text,
            "{}  {}  workspaces {}  tiers {}  providers {}  leases {}  hours a day {}  until {}",
            token.id,
            sanitise::line(&token.name),
            token.workspaces.join(","),
            names(&token.runner_types),
            names(&token.providers),
            most(token.concurrent_leases.map(|count| count.to_string())),
            most(token.hours_per_day.map(|hours| hours.to_string())),
            token.expires_at.as_deref().unwrap_or("revoked"),
        );
    }
    if text.is_empty() {
        text.push_str("no tokens\n");
    }
    text
}
