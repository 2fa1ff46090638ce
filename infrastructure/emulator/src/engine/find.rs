//! Which engine to run: the one that was asked for, one on PATH, or the checked wheel, in this order.

use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Error;

use super::wheel;

/// The oldest version that can take single subcommands from a user, which the blocked commands need.
const OLDEST: (u32, u32) = (7, 0);

/// Names to look for on PATH.
const PROGRAMS: &[&str] = &["valkey-server", "redis-server"];

/// An engine that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// `Redis` or `Valkey`.
    pub name: String,
    /// For example `9.1.2`.
    pub version: String,
    /// The program.
    pub path: PathBuf,
    /// The modules that it is started with.
    pub modules: Vec<PathBuf>,
}

impl Display for EngineInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl EngineInfo {
    /// Major and minor version.
    fn number(&self) -> Option<(u32, u32)> {
        let mut numbers = self.version.split('.').map(|number| number.parse().ok());
        Some((numbers.next().flatten()?, numbers.next().flatten()?))
    }

    /// The same with these modules.
    pub(crate) fn with_modules(mut self, modules: &[PathBuf]) -> Result<Self, Error> {
        for module in modules {
            let why = |e: io::Error| Error::Module { path: module.clone(), why: e.to_string() };
            // The engine runs in another folder.
            self.modules.push(module.canonicalize().map_err(why)?);
        }
        Ok(self)
    }

    /// Whether its cluster nodes have shard ids: since 7.2.
    pub(super) fn knows_shards(&self) -> bool {
        self.number().is_some_and(|number| number >= (7, 2))
    }
}

/// Finds one. An engine that was asked for and is unusable is an error; an unusable one on PATH is passed over.
pub(crate) fn find(explicit: Option<&Path>) -> Result<EngineInfo, Error> {
    if let Some(path) = explicit {
        let info = ask(path)?;
        return match too_old(&info) {
            None => Ok(info),
            Some(why) => Err(Error::EngineStart { path: path.to_owned(), why }),
        };
    }
    let mut passed_over = Vec::new();
    for program in PROGRAMS {
        for path in on_path(program) {
            match ask(&path).map(|info| (too_old(&info), info)) {
                Ok((None, info)) => return Ok(info),
                Ok((Some(why), _)) => passed_over.push(format!("{}: {why}", path.display())),
                Err(error) => passed_over.push(error.to_string()),
            }
        }
    }
    let path = wheel::engine().map_err(|why| Error::NoEngine { passed_over, why })?;
    ask(&path)
}

fn on_path(program: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.into_iter().map(move |folder| folder.join(program)).filter(|file| file.is_file())
}

fn ask(path: &Path) -> Result<EngineInfo, Error> {
    let error = |why: String| Error::EngineStart { path: path.to_owned(), why };
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null());
    let output = patiently(|| command.output()).map_err(|e| error(format!("it can't be started: {e}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text, path).ok_or_else(|| {
        error(format!(
            "it does not look like Redis or Valkey: --version printed '{}'",
            text.lines().next().unwrap_or_default()
        ))
    })
}

/// A program that was only just written can be busy for a moment: a process that was forked meanwhile still has it open.
fn patiently<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..100 {
        match start() {
            Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::sleep(Duration::from_millis(5)),
            result => return result,
        }
    }
    start()
}

/// Reads `Valkey server v=9.1.2 sha=…` and `Redis server v=7.0.15 sha=…`.
fn parse(text: &str, path: &Path) -> Option<EngineInfo> {
    let (name, rest) = ["Valkey", "Redis"].into_iter().find_map(|name| Some((name, text.strip_prefix(name)?)))?;
    let version = rest.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    Some(EngineInfo { name: name.to_owned(), version: version.to_owned(), path: path.to_owned(), modules: Vec::new() })
}

fn too_old(info: &EngineInfo) -> Option<String> {
    let version = info.number()?;
    (version < OLDEST).then(|| format!("{info} is too old, {}.{} or newer is needed", OLDEST.0, OLDEST.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn versions_are_read_as_the_engines_print_them() {
        let path = Path::new("x");
        let valkey = parse("Valkey server v=9.1.2 sha=00000000:0 malloc=libc bits=64 build=1", path).unwrap();
        assert_eq!(valkey.to_string(), "Valkey 9.1.2");
        let redis = parse("Redis server v=6.2.7 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=1", path).unwrap();
        assert!(too_old(&redis).unwrap().contains("7.0 or newer"));
        assert!(too_old(&valkey).is_none());
        assert!(parse("KeyDB server v=6.3.4", path).is_none());
    }

    fn program(folder: &Path, prints: &str) -> PathBuf {
        let path = folder.join("server");
        fs::write(&path, format!("#!/bin/sh\necho '{prints}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn an_engine_that_was_asked_for_must_be_usable() {
        let folder = tempfile::tempdir().unwrap();
        let missing = find(Some(&folder.path().join("nothing"))).unwrap_err().to_string();
        assert!(missing.contains("can't be started"), "{missing}");
        let old = find(Some(&program(folder.path(), "Redis server v=6.0.16 sha=0"))).unwrap_err().to_string();
        assert!(old.contains("too old"), "{old}");
        let other = find(Some(&program(folder.path(), "hello"))).unwrap_err().to_string();
        assert!(other.contains("does not look like Redis"), "{other}");
    }
}
