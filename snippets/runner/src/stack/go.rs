//! Go: one module, in which every folder with a `main` package is a program. Go keeps by itself what it has fetched and
//! built, so there is nothing to cache here; a build that finds all as it left it takes half a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use listings::{Listing, Stack};

use super::{NotReady, Program, Ready, Toolchain, folder_with, new_enough, read};
use crate::process;

pub(crate) struct Go;

const INSTALL: &str =
    "https://go.dev/dl, `brew install go` on macOS; what Linux distributions package is often too old";

impl Toolchain for Go {
    fn prepare(&self, stack: &Stack, target: Option<&Path>) -> Result<Box<dyn Ready>, NotReady> {
        let module = read(&stack.directory.join(&stack.manifest))?;
        let version = version(&stack.directory, language_version(&module))?;
        download(&stack.directory)?;
        let target = match target {
            Some(target) => target.to_path_buf(),
            None => folder_with("book.toml", &stack.directory)?.join("target"),
        };
        let built = target.join("go");
        let programs = build(&stack.directory, &built)?;
        Ok(Box::new(Built { stack: stack.clone(), module, version, programs, built, alone: target.join("alone") }))
    }
}

struct Built {
    stack: Stack,
    /// `go.mod`. It is the manifest and, because it names exact versions, the lock too; `go.sum` has the hashes.
    module: String,
    version: String,
    /// The folders of the programs, relative to the stack's.
    programs: BTreeSet<PathBuf>,
    /// Where their executables are, by the same paths.
    built: PathBuf,
    alone: PathBuf,
}

impl Ready for Built {
    fn program(&self, file: &Path) -> Result<Program> {
        let folder = file.parent().unwrap_or(Path::new(""));
        if !self.programs.contains(folder) {
            bail!(
                "Go built no program from {}: a program is a folder of its own with `package main`, as \
                 {}/pub-sub/main.go",
                file.display(),
                self.stack.directory.display()
            );
        }
        let executable = self.built.join(folder);
        Ok(Program { executable, arguments: Vec::new(), folder: self.stack.directory.clone() })
    }

    fn typed(&self, file: &Path) -> String {
        format!("go run ./{}", file.parent().unwrap_or(Path::new("")).display())
    }

    fn toolchain_version(&self) -> (String, String) {
        ("go".to_string(), self.version.clone())
    }

    fn versions(&self, dependencies: &[String]) -> Result<BTreeMap<String, String>> {
        let lines = listings::dependency_lines(&self.stack, dependencies)?;
        lines
            .iter()
            .map(|line| {
                let (path, version) = line.split_once(' ').with_context(|| format!("`{line}` has no version"))?;
                Ok((path.to_string(), version.to_string()))
            })
            .collect()
    }

    fn alone(&self, listing: &Listing, lines: &[String]) -> Result<Program> {
        let project = self.alone.join(listing.id().replace('/', "-"));
        let executable = project.join("listing");
        let manifest = format!("module listing\n\ngo {}\n", language_version(&self.module));
        let mut inputs = vec![manifest.clone(), lines.join("\n"), self.version.clone()];
        for file in &listing.files {
            inputs.push(read(&self.stack.directory.join(file))?);
        }
        let inputs = inputs.join("\n");
        let made_from = project.join("made-from");
        if fs::read_to_string(&made_from).ok().as_ref() == Some(&inputs) {
            return Ok(Program { executable, arguments: Vec::new(), folder: project });
        }
        if project.exists() {
            fs::remove_dir_all(&project)?;
        }
        fs::create_dir_all(&project)?;
        fs::write(project.join("go.mod"), manifest)?;
        for file in &listing.files {
            let name = file.file_name().context("a file of the listing has no name")?;
            fs::copy(self.stack.directory.join(file), project.join(name))?;
        }
        // As the page tells a reader to.
        let wanted = lines.iter().map(|line| line.replace(' ', "@"));
        let made = run(go(&project).arg("get").args(wanted)).and_then(|()| {
            let mut build = go(&project);
            run(build.arg("build").args(BUILD).arg("-o").arg(&executable).arg("."))
        });
        made.with_context(|| {
            format!(
                "{} does not build in an empty module that has only the dependencies the book shows:\n{}",
                listing.id(),
                lines.join("\n")
            )
        })?;
        fs::write(made_from, inputs)?;
        Ok(Program { executable, arguments: Vec::new(), folder: project })
    }
}

/// Not stamped with the commit, which would link every program anew after each; without debug information, which links
/// faster. Neither changes what is compiled.
const BUILD: &[&str] = &["-buildvcs=false", "-ldflags=-s -w"];

/// Builds every program of the module below `built`, and returns their folders.
fn build(directory: &Path, built: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut list = go(directory);
    list.args(["list", "-f", r#"{{if eq .Name "main"}}{{.Dir}}{{end}}"#, "./..."]).stderr(Stdio::inherit());
    let output = process::ends_with_us(&mut list).output().context("cannot start go")?;
    if !output.status.success() {
        bail!("`go list` {}: its messages are above", process::describe(output.status));
    }
    // Go tells where a folder really is.
    let real = directory.canonicalize().with_context(|| format!("cannot find {}", directory.display()))?;
    let programs: BTreeSet<PathBuf> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| Path::new(line).strip_prefix(&real).map(Path::to_path_buf))
        .collect::<Result<_, _>>()
        .context("`go list` told of a program outside the module")?;
    // Go names an executable after the last part of its path, so each parent has a folder of its own.
    let mut siblings: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
    for program in &programs {
        siblings.entry(program.parent().unwrap_or(Path::new(""))).or_default().push(program);
    }
    for (parent, programs) in siblings {
        let folder = built.join(parent);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        // With the separator at its end it is a folder for Go, and not the name of one executable.
        let mut build = go(directory);
        build.arg("build").args(BUILD).arg("-o").arg(folder.join(""));
        build.args(programs.iter().map(|program| Path::new(".").join(program)));
        run(&mut build).context("the Go listings do not build")?;
    }
    Ok(programs)
}

/// Fetches all modules that `go.mod` names, checked against `go.sum`: from here on nothing needs the network.
fn download(directory: &Path) -> Result<(), NotReady> {
    if run(go(directory).args(["mod", "download"])).is_ok() {
        return Ok(());
    }
    // Its messages went to the terminal while it worked. Asked again, it says why.
    let mut again = go(directory);
    let output = process::ends_with_us(again.args(["mod", "download"])).output().context("cannot start go")?;
    let messages = String::from_utf8_lossy(&output.stderr);
    match (output.status.success(), messages.contains("SECURITY ERROR")) {
        (true, _) => Ok(()),
        (false, true) => Err(anyhow!("a module is not what go.sum says it was:\n{}", messages.trim()).into()),
        (false, false) => Err(NotReady::Missing {
            what: format!("the modules of the listings are not here: {}", messages.trim()),
            install: "Go needs a module proxy once, over the network or as GOPROXY names it".to_string(),
        }),
    }
}

/// The version of the Go that builds in this folder: `go` may fetch a newer one for a module that needs it.
fn version(directory: &Path, oldest: &str) -> Result<String, NotReady> {
    let missing = |what: String| NotReady::Missing { what, install: INSTALL.to_string() };
    let mut asked = go(directory);
    asked.args(["env", "GOVERSION"]).stderr(Stdio::inherit());
    let output = match process::ends_with_us(&mut asked).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(missing("there is no go on the PATH".to_string()));
        }
        Err(error) => return Err(anyhow!("cannot start go: {error}").into()),
    };
    if !output.status.success() {
        return Err(missing(format!("`go env` {}, its messages are above", process::describe(output.status))));
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let version = printed.trim().trim_start_matches("go").to_string();
    new_enough(&"go", &version, oldest, INSTALL)?;
    Ok(version)
}

/// A `go` command in a module, in the background.
fn go(directory: &Path) -> Command {
    let mut command = Command::new("go");
    // A workspace file of the reader's, in a folder above, is none of the listings' business.
    command.current_dir(directory).env("GOWORK", "off").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Result<()> {
    let status = process::status(command).context("cannot start go")?;
    let what = command.get_args().next().unwrap_or_default().to_string_lossy().into_owned();
    anyhow::ensure!(status.success(), "`go {what}` {}, its messages are above", process::describe(status));
    Ok(())
}

/// What the line `go 1.26.0` of a `go.mod` says.
fn language_version(module: &str) -> &str {
    module.lines().find_map(|line| line.strip_prefix("go ")).map_or("", str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_is_what_the_module_names() {
        assert_eq!(language_version("module example.com/x\n\ngo 1.26.0\n\nrequire x v1.0.0\n"), "1.26.0");
        assert_eq!(language_version("module example.com/x\n"), "");
    }
}
