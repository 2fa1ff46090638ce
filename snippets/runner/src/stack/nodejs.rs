//! Node.js: the packages of the lock file, installed beside the listings, as `npm ci` does it for everyone.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use listings::{Listing, Stack};
use serde::Deserialize;

use super::{NotReady, Program, Ready, Toolchain};
use crate::process;

pub(crate) struct NodeJs;

/// The first release of an LTS line whose `fetch`, `http` and `https` all take a proxy from the environment, which is how a
/// client that has Microsoft's hosts built in comes to the emulator. @azure/identity needs 22.
pub(super) const OLDEST: &str = "24.5";
const LOCK: &str = "package-lock.json";
const INSTALL: &str = "Node.js 24 or newer from https://nodejs.org, `brew install node` on macOS";

/// What keeps npm from saying, asking and fetching more than it is told to.
const QUIETLY: &[&str] = &["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];

impl Toolchain for NodeJs {
    fn prepare(&self, stack: &Stack, target: Option<&Path>) -> Result<Box<dyn Ready>, NotReady> {
        let (node, version) = super::interpreter("node", &["--version"], OLDEST, INSTALL)?;
        let folder = stack.directory.clone();
        let lock = Lock::read(&folder.join(LOCK))?;
        if !lock.is_installed_in(&folder) {
            eprintln!("  Installing npm packages into {}", folder.join("node_modules").display());
            // What checks and formats the listings is not needed to run them.
            npm(&node, &folder, &["ci", "--omit=dev"])?;
        }
        let alone = match target {
            Some(target) => target.join("alone"),
            None => folder.join("node_modules/.alone"),
        };
        Ok(Box::new(Installed { folder, node, version, lock, alone }))
    }
}

struct Installed {
    folder: PathBuf,
    node: PathBuf,
    version: String,
    lock: Lock,
    alone: PathBuf,
}

impl Ready for Installed {
    fn program(&self, file: &Path) -> Result<Program> {
        Ok(Program { executable: self.node.clone(), arguments: vec![file.to_path_buf()], folder: self.folder.clone() })
    }

    fn typed(&self, file: &Path) -> String {
        format!("node {}", file.display())
    }

    fn toolchain_version(&self) -> (String, String) {
        ("node".to_string(), self.version.clone())
    }

    fn versions(&self, dependencies: &[String]) -> Result<BTreeMap<String, String>> {
        dependencies
            .iter()
            .map(|name| {
                let locked = self.lock.package(name).with_context(|| format!("{LOCK} has no version of {name}"))?;
                Ok((name.clone(), locked.version.clone()))
            })
            .collect()
    }

    fn alone(&self, listing: &Listing, lines: &[String]) -> Result<Program> {
        let shown = listing.shown_file().context("the listing has no file")?;
        // Listings with the same lines need the same packages, so they may share the folder of these.
        let project = self.alone.join(lines.join("+").replace('/', "+"));
        fs::create_dir_all(&project)?;
        let program = project.join(format!("{}-{}.mjs", listing.scenario, listing.name()));
        fs::copy(self.folder.join(shown), &program)?;
        let installed = project.join("installed");
        if fs::read_to_string(&installed).ok().as_ref() != Some(&self.version) {
            eprintln!("  Installing npm packages into {}", project.join("node_modules").display());
            // Without a package.json here, npm would install into a folder above that has one.
            fs::write(project.join("package.json"), "{ \"private\": true }\n")?;
            let mut arguments = vec!["install", "--ignore-scripts", "--prefer-offline"];
            arguments.extend(lines.iter().map(String::as_str));
            npm(&self.node, &project, &arguments).map_err(|error| anyhow::anyhow!("{error}"))?;
            fs::write(&installed, &self.version).with_context(|| format!("cannot write {}", installed.display()))?;
        }
        Ok(Program { executable: self.node.clone(), arguments: vec![program], folder: project })
    }
}

/// What npm has locked, or has installed: it writes both in the same form.
#[derive(Deserialize)]
struct Lock {
    /// By the place of each package, `node_modules/redis`. The project itself has the empty one.
    packages: BTreeMap<String, Package>,
}

#[derive(Deserialize, PartialEq)]
struct Package {
    #[serde(default)]
    version: String,
    #[serde(default)]
    integrity: String,
    /// Only for working on the project.
    #[serde(default)]
    dev: bool,
    /// Not on every system.
    #[serde(default)]
    optional: bool,
}

impl Lock {
    fn read(path: &Path) -> Result<Lock> {
        let text = super::read(path)?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a lock file of npm 7 or newer", path.display()))
    }

    fn package(&self, name: &str) -> Option<&Package> {
        self.packages.get(&format!("node_modules/{name}"))
    }

    /// Whether everything that runs the listings is there as it is locked. npm keeps an account of what it installed.
    fn is_installed_in(&self, folder: &Path) -> bool {
        let Ok(there) = Lock::read(&folder.join("node_modules/.package-lock.json")) else {
            return false;
        };
        let mut wanted = self.packages.iter().filter(|(place, it)| !place.is_empty() && !it.dev && !it.optional);
        wanted.all(|(place, it)| {
            let same = there
                .packages
                .get(place)
                .is_some_and(|found| (&found.version, &found.integrity) == (&it.version, &it.integrity));
            same && folder.join(place).join("package.json").is_file()
        })
    }
}

/// Runs the npm that belongs to this Node.js, or the one on the PATH.
fn npm(node: &Path, folder: &Path, arguments: &[&str]) -> Result<(), NotReady> {
    let path = env::var_os("PATH").unwrap_or_default();
    // npm is a program for Node.js, and takes the first on the PATH: that has to be the one that the listings run with.
    let own = node.parent().map(Path::to_path_buf);
    let path = env::join_paths(own.into_iter().chain(env::split_paths(&path))).context("the PATH is not usable")?;
    let mut command = Command::new("npm");
    command.args(arguments).args(QUIETLY).current_dir(folder).env("PATH", path);
    let status = process::status(&mut command).map_err(|error| NotReady::Missing {
        what: format!("npm does not start: {error}"),
        install: format!("{INSTALL}, both with npm, or `apt-get install npm`"),
    })?;
    match status.success() {
        true => Ok(()),
        false => Err(NotReady::Missing {
            what: format!("npm {}, its messages are above", process::describe(status)),
            install: "npm needs a package registry once, over the network or as its own settings name it".to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKED: &str = r#"{
        "lockfileVersion": 3,
        "packages": {
            "": { "name": "listings", "version": "0.1.0" },
            "node_modules/redis": { "version": "6.3.1", "integrity": "sha512-a" },
            "node_modules/typescript": { "version": "7.0.2", "integrity": "sha512-b", "dev": true }
        }
    }"#;

    fn lock() -> Lock {
        serde_json::from_str(LOCKED).unwrap()
    }

    /// A folder in which npm says that it has installed this redis.
    fn folder(version: &str, integrity: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let redis = folder.path().join("node_modules/redis");
        fs::create_dir_all(&redis).unwrap();
        fs::write(redis.join("package.json"), "{}").unwrap();
        let there = format!(
            r#"{{ "packages": {{ "node_modules/redis": {{ "version": "{version}", "integrity": "{integrity}" }} }} }}"#
        );
        fs::write(folder.path().join("node_modules/.package-lock.json"), there).unwrap();
        folder
    }

    #[test]
    fn a_locked_version_is_found_by_the_packages_name() {
        assert_eq!(lock().package("redis").map(|it| it.version.as_str()), Some("6.3.1"));
        assert!(lock().package("express").is_none());
    }

    #[test]
    fn what_is_installed_as_locked_is_not_installed_again() {
        assert!(lock().is_installed_in(folder("6.3.1", "sha512-a").path()));
    }

    #[test]
    fn another_version_or_another_content_is_replaced() {
        assert!(!lock().is_installed_in(folder("6.3.0", "sha512-a").path()));
        assert!(!lock().is_installed_in(folder("6.3.1", "sha512-c").path()));
    }

    #[test]
    fn a_package_that_was_deleted_is_installed_again() {
        let folder = folder("6.3.1", "sha512-a");
        fs::remove_dir_all(folder.path().join("node_modules/redis")).unwrap();
        assert!(!lock().is_installed_in(folder.path()));
        assert!(!lock().is_installed_in(tempfile::tempdir().unwrap().path()));
    }
}
