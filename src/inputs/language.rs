//! The language of a project, told from the files at the context's root. Only a default size hangs on it.

use crate::inputs::context::Context;

/// What the project's own files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// `rust`, `java`, `kotlin`, `scala`, `go`, `node`, `python`, …, or `other`.
    pub language: String,
    /// The files that say so, for the sizing's reason.
    pub evidence: String,
}

/// A language and the files that stand for it.
struct Marker {
    language: &'static str,
    files: &'static [&'static str],
}

/// The most demanding language first: of several, the one whose build needs the most counts.
const MARKERS: &[Marker] = &[
    Marker { language: "rust", files: &["Cargo.toml"] },
    Marker { language: "scala", files: &["build.sbt", "build.sc", "build.mill"] },
    Marker { language: "kotlin", files: &["build.gradle.kts", "settings.gradle.kts"] },
    Marker { language: "java", files: &["pom.xml", "build.gradle", "settings.gradle", "build.xml"] },
    Marker { language: "go", files: &["go.mod", "go.work"] },
    Marker { language: "cpp", files: &["CMakeLists.txt", "meson.build", "configure.ac"] },
    Marker { language: "dotnet", files: &["global.json", "Directory.Build.props"] },
    Marker { language: "node", files: &["package.json", "deno.json"] },
    Marker { language: "python", files: &["pyproject.toml", "requirements.txt", "setup.py", "Pipfile"] },
    Marker { language: "ruby", files: &["Gemfile"] },
    Marker { language: "php", files: &["composer.json"] },
    Marker { language: "elixir", files: &["mix.exs"] },
];

/// Tells the language from what is sent: an ignored file is no evidence.
pub fn detect(context: &Context) -> Detected {
    detect_by(|name| context.has_root_file(name))
}

/// As [`detect`], where `has_root_file` says which files there are.
pub fn detect_by(has_root_file: impl Fn(&str) -> bool) -> Detected {
    let mut found = MARKERS.iter().filter_map(|marker| {
        let file = marker.files.iter().find(|name| has_root_file(name))?;
        Some((marker.language, *file))
    });
    let Some((language, file)) = found.next() else {
        return Detected { language: "other".to_owned(), evidence: "no known project file".to_owned() };
    };
    let others: Vec<String> = found.map(|(language, file)| format!("`{file}` ({language})")).collect();
    let evidence = if others.is_empty() {
        format!("`{file}`")
    } else {
        format!("`{file}`; also {}, which need less", others.join(", "))
    };
    Detected { language: language.to_owned(), evidence }
}
