//! The client stacks: what each needs on this machine, how its programs are made ready, and how one is started.
//! A further stack is one more file here and one more arm in [`toolchain`].

mod dotnet;
mod go;
mod maven;
mod nodejs;
mod python;
mod rust;

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use listings::{Listing, Stack};

use crate::process;

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
    /// The package feed of this machine has not the package of which the stack says that not every feed has it.
    NotOffered { package: String, message: String },
    /// Everything is there, but building or installing failed.
    Failed(anyhow::Error),
}

impl fmt::Display for NotReady {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotReady::Missing { what, install } => write!(out, "{what}; to install it: {install}"),
            NotReady::NotOffered { package, message } => {
                write!(out, "the package feed of this machine does not have {package}: {message}")
            }
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
        "java" => &maven::Maven,
        "csharp" => &dotnet::DotNet,
        other => bail!(
            "the runner has no toolchain for the language `{other}` of the stack `{}`: add one in \
             snippets/runner/src/stack/",
            stack.id
        ),
    })
}

/// The first program of that name on the PATH, and the version that it prints, if that is `oldest` or later.
fn interpreter(name: &str, asked: &[&str], oldest: &str, install: &'static str) -> Result<(PathBuf, String), NotReady> {
    let missing = |what: String| NotReady::Missing { what, install: install.to_string() };
    let path = env::var_os("PATH").unwrap_or_default();
    let program = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| missing(format!("there is no {name} on the PATH")))?;
    let version = match process::output(Command::new(&program).args(asked), Duration::from_secs(60)) {
        Ok((status, printed)) if status.success() => version_in(&printed.stdout),
        _ => return Err(missing(format!("{} does not run", program.display()))),
    };
    new_enough(&program.display(), &version, oldest, install)?;
    Ok((program, version))
}

/// `24.5.0` in `v24.5.0`, `17.0.21` in `openjdk 17.0.21 2026-11-17`.
fn version_in(printed: &str) -> String {
    let mut words = printed.split_whitespace().map(|word| word.trim_start_matches('v'));
    words.find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap_or_default().to_string()
}

fn new_enough(program: &dyn fmt::Display, version: &str, oldest: &str, install: &str) -> Result<(), NotReady> {
    match at_least(version, oldest) {
        true => Ok(()),
        false => Err(NotReady::Missing {
            what: format!("{program} is version {version}, and the listings need {oldest} or later"),
            install: install.to_string(),
        }),
    }
}

fn at_least(version: &str, oldest: &str) -> bool {
    let parts = |version: &str| -> Vec<u32> {
        let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse();
        version.split('.').map_while(|part| digits(part).ok()).collect()
    };
    parts(version) >= parts(oldest)
}

/// The nearest folder, this one or one above it, that has such a file.
fn folder_with(file: &str, from: &Path) -> Result<PathBuf> {
    from.ancestors()
        .find(|folder| folder.join(file).is_file())
        .map(Path::to_path_buf)
        .with_context(|| format!("there is no {file} in or above {}", from.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_among_other_words() {
        assert_eq!(version_in("v24.5.0\n"), "24.5.0");
        assert_eq!(version_in("3.13.0rc1"), "3.13.0rc1");
        assert_eq!(version_in("openjdk 17.0.21 2026-11-17\nOpenJDK Runtime"), "17.0.21");
        assert_eq!(version_in("Apache Maven 3.8.7\nMaven home: /usr"), "3.8.7");
        assert_eq!(version_in("no version"), "");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(at_least("3.11.0", python::OLDEST));
        assert!(at_least("4.0.0", python::OLDEST));
        assert!(at_least("3.14.0rc1", python::OLDEST));
        assert!(!at_least("3.9.18", python::OLDEST));
        assert!(!at_least("", python::OLDEST));

        assert!(at_least("24.5.0", nodejs::OLDEST));
        assert!(at_least("26.0.0-nightly", nodejs::OLDEST));
        assert!(!at_least("24.4.1", nodejs::OLDEST));
        assert!(!at_least("9.11.2", nodejs::OLDEST));
        assert!(!at_least("", nodejs::OLDEST));

        assert!(at_least("10.0.401", dotnet::OLDEST));
        assert!(!at_least("10.0.112", dotnet::OLDEST));
        assert!(!at_least("9.0.300", dotnet::OLDEST));

        assert!(at_least("1.26.8", "1.26.0"));
        assert!(at_least("1.100.0", "1.26.0"));
        assert!(at_least("1.27rc1", "1.26.0"));
        assert!(!at_least("1.26rc2", "1.26.0"));
        assert!(!at_least("1.9.7", "1.26.0"));
        assert!(!at_least("", "1.26.0"));
    }
}
