//! Rust: the listings are Cargo examples of the workspace, so building them here is free after `cargo test` has.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use listings::{Listing, Stack};
use serde::Deserialize;

use super::{NotReady, Program, Ready, Toolchain, folder_with, read};
use crate::process;

pub(crate) struct Cargo;

const INSTALL: &str = "https://rustup.rs";

impl Toolchain for Cargo {
    fn prepare(&self, stack: &Stack, target: Option<&Path>) -> Result<Box<dyn Ready>, NotReady> {
        let workspace = folder_with("Cargo.lock", &stack.directory)?;
        let rustc = version()?;
        // The same selection of packages and features as `cargo test`: anything narrower has other features, and
        // would compile the dependencies a second time.
        let mut build = cargo();
        build
            .args(["build", "--workspace", "--examples"])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(&workspace);
        if let Some(target) = target {
            build.arg("--target-dir").arg(target);
        }
        let artifacts = artifacts(&mut build).context("the Rust listings do not build")?;
        let programs = artifacts
            .into_iter()
            .filter(|artifact| artifact.source.starts_with(&stack.directory))
            .map(|artifact| (artifact.source, artifact.executable))
            .collect();
        Ok(Box::new(Built {
            folder: stack.directory.clone(),
            workspace,
            target: target.map(Path::to_path_buf),
            rustc,
            programs,
        }))
    }
}

struct Built {
    folder: PathBuf,
    workspace: PathBuf,
    target: Option<PathBuf>,
    rustc: String,
    /// Source file and executable.
    programs: BTreeMap<PathBuf, PathBuf>,
}

impl Ready for Built {
    fn program(&self, file: &Path) -> Result<Program> {
        let source = self.folder.join(file);
        let Some(executable) = self.programs.get(&source) else {
            bail!(
                "Cargo built no example from {}: files in examples/ become examples by themselves, others need an \
                 [[example]] with their `path` in {}",
                file.display(),
                self.folder.join("Cargo.toml").display()
            );
        };
        Ok(Program { executable: executable.clone(), arguments: Vec::new(), folder: self.folder.clone() })
    }

    fn typed(&self, file: &Path) -> String {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        format!("cargo run --example {name}")
    }

    fn toolchain_version(&self) -> (String, String) {
        ("rustc".to_string(), self.rustc.clone())
    }

    fn versions(&self, dependencies: &[String]) -> Result<BTreeMap<String, String>> {
        locked_versions(&read(&self.workspace.join("Cargo.lock"))?, &package_name(&self.folder)?, dependencies)
    }

    fn alone(&self, listing: &Listing, lines: &[String]) -> Result<Program> {
        let shown = listing.shown_file().context("the listing has no file")?;
        let name = listing.id().replace('/', "-");
        let base = match &self.target {
            Some(target) => target.clone(),
            None => self.workspace.join("target"),
        }
        .join("alone");
        let project = base.join(&name);
        // An empty [workspace] keeps the project out of the book's, inside whose folder it may lie; without debug
        // information it builds faster. Neither changes what is compiled.
        let manifest = format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[dependencies]\n{}\n\n[workspace]\n\n\
             [profile.dev]\ndebug = 0\n",
            lines.join("\n")
        );
        let source = read(&self.folder.join(shown))?;
        // The versions that the book was tested with, and nothing to fetch.
        let lock = read(&self.workspace.join("Cargo.lock"))?;
        let made_from = project.join("made-from");
        let inputs = [manifest.as_str(), &source, &lock].join("\n");
        if fs::read_to_string(&made_from).ok().as_ref() != Some(&inputs) {
            if project.exists() {
                fs::remove_dir_all(&project)?;
            }
            fs::create_dir_all(project.join("src"))?;
            fs::write(project.join("src/main.rs"), source)?;
            fs::write(project.join("Cargo.lock"), lock)?;
            fs::write(project.join("Cargo.toml"), manifest)?;
            fs::write(made_from, inputs)?;
        }
        let mut build = cargo();
        build
            .args(["build", "--offline"])
            .arg("--message-format=json-render-diagnostics")
            .arg("--target-dir")
            .arg(base.join("target"))
            .current_dir(&project);
        let artifacts = artifacts(&mut build).with_context(|| {
            format!(
                "{} does not build in an empty project that has only the dependency lines the book shows:\n{}",
                listing.id(),
                lines.join("\n")
            )
        })?;
        let built = artifacts.into_iter().next().context("Cargo built no program")?;
        Ok(Program { executable: built.executable, arguments: Vec::new(), folder: project })
    }
}

struct Artifact {
    source: PathBuf,
    executable: PathBuf,
}

/// Runs a build and returns the programs that it made, or found made.
fn artifacts(build: &mut Command) -> Result<Vec<Artifact>> {
    #[derive(Deserialize)]
    struct Message {
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        src_path: PathBuf,
    }

    process::ends_with_us(build).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let output = build.output().map_err(|error| not_started(&error))?;
    if !output.status.success() {
        bail!("`cargo build` {}: its messages are above", process::describe(output.status));
    }
    let mut artifacts = Vec::new();
    for line in output.stdout.split(|byte| *byte == b'\n') {
        // Build scripts and later versions of Cargo may print other lines.
        let Ok(message) = serde_json::from_slice::<Message>(line) else {
            continue;
        };
        if let (Some(target), Some(executable)) = (message.target, message.executable) {
            artifacts.push(Artifact { source: target.src_path, executable });
        }
    }
    Ok(artifacts)
}

/// The Cargo that runs us, or the one on the PATH.
fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    // What Cargo tells the programs it runs about themselves. Some build scripts (ring's) watch these variables and
    // would build everything again.
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let about_us = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        if about_us || name == "CARGO_PRIMARY_PACKAGE" || name == "OUT_DIR" {
            command.env_remove(name);
        }
    }
    command
}

fn version() -> Result<String, NotReady> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = process::output(Command::new(rustc).arg("--version"), Duration::from_secs(60));
    let Ok((_, printed)) = output else {
        return Err(NotReady::Missing {
            what: "there is no rustc on the PATH".to_string(),
            install: INSTALL.to_string(),
        });
    };
    let version = printed.stdout.split(' ').nth(1);
    version
        .map(str::to_string)
        .ok_or_else(|| anyhow!("`rustc --version` printed no version: {}", printed.stdout).into())
}

fn not_started(error: &std::io::Error) -> anyhow::Error {
    anyhow!("cannot start cargo: {error}; to install it: {INSTALL}")
}

fn package_name(folder: &Path) -> Result<String> {
    #[derive(Deserialize)]
    struct Manifest {
        package: Package,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
    }
    let path = folder.join("Cargo.toml");
    let manifest: Manifest =
        toml::from_str(&read(&path)?).with_context(|| format!("{} has no package", path.display()))?;
    Ok(manifest.package.name)
}

/// The versions that `package` has its dependencies locked to.
fn locked_versions(lock: &str, package: &str, dependencies: &[String]) -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
        #[serde(default)]
        dependencies: Vec<String>,
    }
    let lock: Lock = toml::from_str(lock).context("Cargo.lock is not a lock file")?;
    let ours = lock
        .package
        .iter()
        .find(|it| it.name == package)
        .with_context(|| format!("Cargo.lock does not know the package {package}"))?;
    let mut versions = BTreeMap::new();
    for name in dependencies {
        // `redis`, or `redis 1.8.1` where the lock has several versions.
        let locked = ours
            .dependencies
            .iter()
            .find(|entry| entry.split(' ').next() == Some(name))
            .with_context(|| format!("the package {package} does not depend on {name}"))?;
        let version = match locked.split(' ').nth(1) {
            Some(version) => version.to_string(),
            None => lock
                .package
                .iter()
                .find(|it| &it.name == name)
                .map(|it| it.version.clone())
                .with_context(|| format!("Cargo.lock has no version of {name}"))?,
        };
        versions.insert(name.clone(), version);
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_what_the_package_is_locked_to() {
        let lock = r#"
            version = 4
            [[package]]
            name = "redis"
            version = "1.8.1"
            [[package]]
            name = "azure_identity"
            version = "0.31.0"
            [[package]]
            name = "azure_identity"
            version = "1.0.0"
            [[package]]
            name = "snippets"
            version = "0.1.0"
            dependencies = ["azure_identity 0.31.0", "redis"]
        "#;
        let of = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            locked_versions(lock, "snippets", &names)
        };
        let versions = of(&["redis", "azure_identity"]).unwrap();
        assert_eq!(versions["redis"], "1.8.1");
        assert_eq!(versions["azure_identity"], "0.31.0");
        assert!(of(&["tokio"]).is_err());
    }
}
