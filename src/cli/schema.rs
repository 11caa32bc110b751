//! `schema`: the schemas of what is read and written, as files or one by one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::args::Format;
use super::command_result::print;
use super::printer::Printer;
use super::result_text;
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::new_files::NewFiles;
use crate::report::CommandDocument;
use crate::report::schema_export::{ExportAction, SchemaExport};
use crate::{sanitise, schema_files};

/// Where Nickel looks for files that are imported, besides the importing file's directory.
const IMPORT_PATH: &str = "NICKEL_IMPORT_PATH";

/// Schemas: what documents may say, for editors and agents
#[derive(Debug, Args)]
#[command(arg_required_else_help = false)]
pub struct SchemaArgs {
    #[command(subcommand)]
    pub command: SchemaCommand,
}

#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Write all of them below a directory: Nickel contracts with their documentation, and JSON Schemas
    Export(ExportArgs),
    /// Write one of them to standard output, or the names of all
    Show {
        /// Its name [default: list the names]
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The directory; it is made. What an earlier export wrote is replaced, nothing else
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub directory: PathBuf,

    /// How the result is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "human")]
    pub format: Format,
}

/// Runs a command of the group.
pub(super) fn main(args: SchemaArgs) -> ExitCode {
    match args.command {
        SchemaCommand::Export(args) => {
            let printer = Printer::new(Some(args.format));
            let document = match export(&args.directory) {
                Ok(body) => CommandDocument::done(body, Vec::new()),
                Err(error) => CommandDocument::refused(&error),
            };
            if let Some(error) = &document.error {
                printer.message(&result_text::error_info(error));
            }
            print(printer, &document, text)
        }
        SchemaCommand::Show { name } => {
            let printer = Printer::new(Some(Format::Human));
            match show(name.as_deref()) {
                Ok(text) => {
                    printer.result(&text);
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    printer.message(&result_text::error(&error));
                    refuse(Some("show"), printer, &error)
                }
            }
        }
    }
}

/// The result of a command of this name that was refused.
pub(super) fn refuse(name: Option<&str>, printer: Printer, error: &Error) -> ExitCode {
    match name {
        // A document comes alone, or not at all.
        Some("show") => ExitCode::from(crate::exit::code(error.kind())),
        _ => print(printer, &CommandDocument::<SchemaExport>::refused(error), |_| String::new()),
    }
}

fn export(directory: &Path) -> Result<SchemaExport> {
    std::fs::create_dir_all(directory).map_err(|error| {
        Error::usage(format!("the directory `{}` cannot be made", directory.display())).because(error)
    })?;
    let absolute = directory.canonicalize().map_err(|error| {
        Error::usage(format!("the directory `{}` cannot be used", directory.display())).because(error)
    })?;
    let files = schema_files::export(&NewFiles::open(&absolute)?)?;
    let shown = absolute.display().to_string();
    Ok(SchemaExport { environment: BTreeMap::from([(IMPORT_PATH.to_owned(), shown.clone())]), directory: shown, files })
}

fn show(name: Option<&str>) -> Result<String> {
    let schemas = schema_files::all()?;
    let Some(name) = name else {
        return Ok(schemas.iter().map(|schema| format!("{}\n", schema.name)).collect());
    };
    if let Some(schema) = schemas.iter().find(|schema| schema.name == name) {
        return Ok(schema.text.clone());
    }
    let error = Error::usage(format!("there is no schema `{name}`"));
    Err(match nearest(name, schemas.iter().map(|schema| schema.name.as_str())) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("`lian-build schema show` lists the names"),
    })
}

fn text(export: &SchemaExport) -> String {
    let mut text = String::new();
    for file in &export.files {
        let action = match file.action {
            ExportAction::Written => "wrote    ",
            ExportAction::Replaced => "replaced ",
            ExportAction::Unchanged => "unchanged",
        };
        let _ = writeln!(text, "{action} {}", file.path);
    }
    text.push_str("start the editor, or its Nickel language server, with\n");
    for (name, value) in &export.environment {
        let value = sanitise::line(value);
        let quoted = shlex::try_quote(&value).map_or_else(|_| value.clone(), std::borrow::Cow::into_owned);
        let _ = writeln!(text, "  {name}={quoted}");
    }
    text
}
