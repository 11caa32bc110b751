//! [`Vouched`]: who the caller says that it is, apart from what the source says.

/// Which of its own attributes the caller stands for: by a flag, a variable, or because nothing else was said. Directives
/// come with the source, so what only they say of the caller satisfies no rule of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    /// The kind of caller.
    pub actor: bool,
    /// What is built.
    pub workspace: bool,
}
