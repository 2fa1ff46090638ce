//! The client stacks: what each needs on this machine, how its programs are made ready, and how one is started.
//! A further stack is one more file here and one more arm in [`toolchain`].

mod go;
mod nodejs;
mod python;
mod rust;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use listings::{Listing, Stack};

/// A language's tools on this machine.
pub(crate) trait Toolchain: Sync {
    /// Builds or installs all programs of the stack, telling on standard error what takes long.
    fn prepare(&self, stack: &Stack, target: Option<&Path>) -> Result<Box<dyn Ready>, NotReady>;
}

/// A stack whose programs can be started.
pub(crate) trait Ready: Send + Sync {
    /// How to start the program in `file`, a path relative to the stack's folder.
    fn program(&self, file: &Path) -> Result<Program>;

    /// What a reader types in the stack's folder to do the same.
    fn typed(&self, file: &Path) -> String;

    /// The version of the compiler or interpreter, by its name.
    fn toolchain_version(&self) -> (String, String);

    /// The locked version of each dependency that a listing names.
    fn versions(&self, dependencies: &[String]) -> Result<BTreeMap<String, String>>;

    /// The listing, made ready in an empty folder from its own file and the dependency lines that the book shows.
    fn alone(&self, listing: &Listing, lines: &[String]) -> Result<Program>;
}

/// A command without its environment.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) executable: PathBuf,
    pub(crate) arguments: Vec<PathBuf>,
    pub(crate) folder: PathBuf,
}

impl Program {
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(&self.arguments).current_dir(&self.folder);
        command
    }
}

/// Why the programs of a stack cannot be started.
#[derive(Debug)]
pub(crate) enum NotReady {
    /// The machine lacks something: a reader may go without this stack.
    Missing { what: String, install: String },
    /// Everything is there, but building or installing failed.
    Failed(anyhow::Error),
}

impl fmt::Display for NotReady {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotReady::Missing { what, install } => write!(out, "{what}; to install it: {install}"),
            NotReady::Failed(error) => write!(out, "{error:#}"),
        }
    }
}

impl From<anyhow::Error> for NotReady {
    fn from(error: anyhow::Error) -> Self {
        NotReady::Failed(error)
    }
}

/// The tools for a stack of the table.
pub(crate) fn toolchain(stack: &Stack) -> Result<&'static dyn Toolchain> {
    Ok(match stack.language.as_str() {
        "rust" => &rust::Cargo,
        "python" => &python::Python,
        "javascript" => &nodejs::NodeJs,
        "go" => &go::Go,
        other => bail!(
            "the runner has no toolchain for the language `{other}` of the stack `{}`: add one in \
             snippets/runner/src/stack/",
            stack.id
        ),
    })
}
