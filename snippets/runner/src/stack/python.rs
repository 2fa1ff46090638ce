//! Python: a virtual environment beside the listings, installed from the lock file and kept until that changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use listings::{Listing, Stack};
use sha2::{Digest, Sha256};

use super::{NotReady, Program, Ready, Toolchain};
use crate::process;

pub(crate) struct Python;

pub(super) const OLDEST: &str = "3.11";
const LOCK: &str = "requirements.lock";
const INSTALL: &str = "`apt-get install python3-venv` on Debian and Ubuntu, `brew install python` on macOS";

impl Toolchain for Python {
    fn prepare(&self, stack: &Stack, target: Option<&Path>) -> Result<Box<dyn Ready>, NotReady> {
        let asked = ["-c", "import platform; print(platform.python_version())"];
        let (interpreter, version) = super::interpreter("python3", &asked, OLDEST, INSTALL)?;
        let lock = stack.directory.join(LOCK);
        let requirements = super::read(&lock)?;
        let environment = stack.directory.join(".venv");
        install(
            &interpreter,
            &environment,
            &[&requirements, &version],
            &["--require-hashes".as_ref(), "--requirement".as_ref(), lock.as_os_str()],
        )?;
        let alone = match target {
            Some(target) => target.join("alone"),
            None => stack.directory.join(".venv/alone"),
        };
        Ok(Box::new(Installed {
            folder: stack.directory.clone(),
            interpreter,
            environment,
            alone,
            version,
            requirements,
        }))
    }
}

struct Installed {
    folder: PathBuf,
    interpreter: PathBuf,
    environment: PathBuf,
    alone: PathBuf,
    version: String,
    requirements: String,
}

impl Ready for Installed {
    fn program(&self, file: &Path) -> Result<Program> {
        Ok(Program {
            executable: self.environment.join("bin/python"),
            arguments: vec![file.to_path_buf()],
            folder: self.folder.clone(),
        })
    }

    fn typed(&self, file: &Path) -> String {
        format!("python {}", file.display())
    }

    fn toolchain_version(&self) -> (String, String) {
        ("python".to_string(), self.version.clone())
    }

    fn versions(&self, dependencies: &[String]) -> Result<BTreeMap<String, String>> {
        dependencies
            .iter()
            .map(|name| {
                let version = locked_version(&self.requirements, name)
                    .with_context(|| format!("{LOCK} has no version of {name}"))?;
                Ok((name.clone(), version))
            })
            .collect()
    }

    fn alone(&self, listing: &Listing, lines: &[String]) -> Result<Program> {
        let shown = listing.shown_file().context("the listing has no file")?;
        let project = self.alone.join(format!("{}-{}", listing.scenario, listing.name()));
        fs::create_dir_all(&project)?;
        let program = project.join("main.py");
        fs::copy(self.folder.join(shown), &program)?;
        // Lines of a pyproject.toml: a quoted requirement, with a comma.
        let requirements: Vec<_> =
            lines.iter().map(|line| line.trim().trim_end_matches(',').trim_matches(['"', '\''])).collect();
        let text = requirements.join("\n");
        // Listings with the same lines share what these install.
        let environment = self.alone.join(format!("python-{}", &fingerprint(&[&text], &self.alone)[..16]));
        let arguments: Vec<_> = requirements.iter().map(AsRef::as_ref).collect();
        install(&self.interpreter, &environment, &[&text, &self.version], &arguments).map_err(|error| match error {
            NotReady::Failed(error) => error,
            missing => anyhow::anyhow!("{missing}"),
        })?;
        Ok(Program { executable: environment.join("bin/python"), arguments: vec![program], folder: project })
    }
}

/// Makes a virtual environment with these arguments for `pip install`, unless it already stands for the same `inputs`.
fn install(
    interpreter: &Path,
    environment: &Path,
    inputs: &[&str],
    arguments: &[&std::ffi::OsStr],
) -> Result<(), NotReady> {
    let mark = environment.join("installed");
    let wanted = fingerprint(inputs, environment);
    if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    eprintln!("  Installing Python packages into {}", environment.display());
    let made = Command::new(interpreter)
        .args(["-m", "venv", "--clear"])
        .arg(environment)
        .stdin(Stdio::null())
        .output()
        .context("cannot start python3")?;
    if !made.status.success() {
        return Err(NotReady::Missing {
            what: format!("`python3 -m venv` does not work: {}", String::from_utf8_lossy(&made.stdout).trim()),
            install: INSTALL.to_string(),
        });
    }
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"])
        .arg("--only-binary=:all:")
        .args(arguments);
    let status = process::status(&mut pip).context("cannot start pip")?;
    if !status.success() {
        return Err(NotReady::Missing {
            what: format!("pip {}, its messages are above", process::describe(status)),
            install: "pip needs a package index once, over the network or as its own settings name it".to_string(),
        });
    }
    fs::write(&mark, wanted).with_context(|| format!("cannot write {}", mark.display()))?;
    Ok(())
}

/// Changes with everything that an environment is made from. It cannot be moved, so its own place counts too.
fn fingerprint(inputs: &[&str], environment: &Path) -> String {
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update(input.as_bytes());
        hash.update([0]);
    }
    hash.update(environment.as_os_str().as_encoded_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The version in a line such as `redis-entraid==1.2.2 \`. Names are equal whatever their dashes and capitals.
fn locked_version(requirements: &str, name: &str) -> Option<String> {
    let normal = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
    requirements.lines().find_map(|line| {
        let (found, rest) = line.split_once("==")?;
        let version = rest.split([' ', ';', '\\']).next()?;
        (normal(found.trim()) == normal(name)).then(|| version.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_version_is_found_by_any_spelling_of_the_name() {
        let lock = "redis==8.1.0 \\\n    --hash=sha256:00\nredis-entraid==1.2.2 ; python_version > '3' \\\n";
        assert_eq!(locked_version(lock, "redis").as_deref(), Some("8.1.0"));
        assert_eq!(locked_version(lock, "Redis_EntraID").as_deref(), Some("1.2.2"));
        assert_eq!(locked_version(lock, "msal"), None);
    }
}
