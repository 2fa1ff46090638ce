//! .NET: file-based apps, single files that name their packages themselves. `dotnet run` would build each by itself, which
//! takes seconds for every one; here each gets a project of its own, and all of these are built at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use listings::{Listing, Stack, file_based_package};

use super::{NotReady, Program, Ready, Toolchain, folder_with, read};
use crate::process;

pub(crate) struct DotNet;

/// The first SDK in which a file-based app can include other files.
pub(super) const OLDEST: &str = "10.0.300";
const INSTALL: &str = "the SDK of .NET 10 from https://dotnet.microsoft.com/download, `brew install dotnet` on macOS; \
                       what Linux distributions package is often too old";

/// What NuGet says when a feed lacks a package, lacks its version, or does not answer.
const NOT_THERE: &[&str] = &["NU1101", "NU1102", "NU1301"];

impl Toolchain for DotNet {
    fn prepare(&self, stack: &Stack, target: Option<&Path>) -> Result<Box<dyn Ready>, NotReady> {
        let (dotnet, version) = super::interpreter("dotnet", &["--version"], OLDEST, INSTALL)?;
        let target = match target {
            Some(target) => target.to_path_buf(),
            None => folder_with("book.toml", &stack.directory)?.join("target"),
        };
        let directory = stack.directory.canonicalize().context("cannot find the folder of the .NET listings")?;
        let built = target.join(&stack.id);
        let programs = programs(&directory)?;
        let sdk = Sdk { dotnet, version };
        build(&sdk, stack, &directory, &programs, &built)?;
        Ok(Box::new(Built { stack: stack.clone(), sdk, programs, built, alone: target.join("alone") }))
    }
}

struct Sdk {
    dotnet: PathBuf,
    version: String,
}

struct Built {
    stack: Stack,
    sdk: Sdk,
    programs: BTreeMap<PathBuf, Directives>,
    /// Holds a project for each program.
    built: PathBuf,
    alone: PathBuf,
}

impl Ready for Built {
    fn program(&self, file: &Path) -> Result<Program> {
        ensure!(
            self.programs.contains_key(file),
            "{} was not built: a program names a package in a line such as `#:package StackExchange.Redis@3.4.35`, at \
             its top",
            file.display()
        );
        Ok(self.sdk.runs(&assembly(&self.built, file), &self.stack.directory))
    }

    fn typed(&self, file: &Path) -> String {
        format!("dotnet run {}", file.display())
    }

    fn toolchain_version(&self) -> (String, String) {
        ("dotnet".to_string(), self.sdk.version.clone())
    }

    fn versions(&self, dependencies: &[String]) -> Result<BTreeMap<String, String>> {
        let lines = listings::dependency_lines(&self.stack, dependencies)?;
        lines
            .iter()
            .map(|line| {
                let (name, version) = file_based_package(line).with_context(|| format!("`{line}` has no version"))?;
                Ok((name.to_string(), version.to_string()))
            })
            .collect()
    }

    fn alone(&self, listing: &Listing, lines: &[String]) -> Result<Program> {
        let shown = listing.shown_file().context("the listing has no file")?;
        let project = self.alone.join(listing.id().replace('/', "-"));
        let program = self.sdk.runs(&project.join("out").join(shown).with_extension("dll"), &project);
        let mut files = BTreeMap::new();
        for file in &listing.files {
            let text = read(&self.stack.directory.join(file))?;
            files.insert(file, if file == shown { with_packages(&text, lines) } else { text });
        }
        let inputs = format!("{} {files:?}", self.sdk.version);
        let made_from = project.join("made-from");
        if fs::read_to_string(&made_from).ok().as_ref() == Some(&inputs) {
            return Ok(program);
        }
        if project.exists() {
            fs::remove_dir_all(&project)?;
        }
        fs::create_dir_all(&project)?;
        for (file, text) in files {
            fs::write(project.join(file), text)?;
        }
        let mut build = self.sdk.command(&project);
        build.arg("build").arg(shown).args(["--output", "out", "--nologo", "--verbosity", "quiet", ERRORS_ONLY]);
        // Otherwise it would fetch the compiler that `dotnet publish` needs, and nothing else would differ.
        build.arg("-property:PublishAot=false");
        run(&mut build).with_context(|| {
            format!(
                "{} does not build in an empty folder, with only the packages that the book shows:\n{}",
                listing.id(),
                lines.join("\n")
            )
        })?;
        fs::write(made_from, inputs)?;
        Ok(program)
    }
}

impl Sdk {
    /// A `dotnet` command in a folder.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.dotnet);
        command
            .current_dir(folder)
            .env("DOTNET_NOLOGO", "1")
            .env("DOTNET_CLI_TELEMETRY_OPTOUT", "1")
            // Processes that wait for the next build would outlive this one.
            .env("MSBUILDDISABLENODEREUSE", "1")
            .stdin(Stdio::null());
        command
    }

    fn runs(&self, assembly: &Path, folder: &Path) -> Program {
        Program {
            executable: self.dotnet.clone(),
            arguments: vec![assembly.to_path_buf()],
            folder: folder.to_path_buf(),
        }
    }
}

/// Warnings that are to be heeded are errors already, by the settings.
const ERRORS_ONLY: &str = "-consoleLoggerParameters:ErrorsOnly;NoSummary";

/// MSBuild, for the projects of all programs.
const PROGRAMS: &[&str] = &["msbuild", "programs.slnx", "-nologo", "-maxCpuCount", "-verbosity:quiet", ERRORS_ONLY];

fn run(command: &mut Command) -> Result<()> {
    let status = process::status(command).context("cannot start dotnet")?;
    ensure!(status.success(), "`dotnet build` {}, its messages are above", process::describe(status));
    Ok(())
}

/// What the lines at the top of a file tell the SDK.
#[derive(Debug, Default, PartialEq)]
struct Directives {
    sdk: Option<String>,
    /// Name and version.
    packages: Vec<(String, String)>,
    includes: Vec<PathBuf>,
}

impl Directives {
    /// `None` if the file is no program, but a part of others.
    fn read(source: &str) -> Result<Option<Directives>> {
        let mut directives = Directives::default();
        let lines = source.trim_start_matches('\u{feff}').lines().map(str::trim);
        for line in lines.take_while(|line| line.is_empty() || line.starts_with('#') || line.starts_with("//")) {
            let Some(directive) = line.strip_prefix("#:") else { continue };
            match directive.split_once(' ') {
                Some(("sdk", name)) => directives.sdk = Some(name.to_string()),
                Some(("include", file)) => directives.includes.push(PathBuf::from(file)),
                Some(("package", _)) => {
                    let (name, version) =
                        file_based_package(line).with_context(|| format!("`{line}` has no version"))?;
                    directives.packages.push((name.to_string(), version.to_string()));
                }
                _ => bail!("`{line}` is not known here: add it to snippets/runner/src/stack/dotnet.rs"),
            }
        }
        Ok((!directives.packages.is_empty()).then_some(directives))
    }
}

/// The program with these lines in place of those that name packages in it.
fn with_packages(source: &str, lines: &[String]) -> String {
    let kept: Vec<_> = source.lines().filter(|line| file_based_package(line).is_none()).collect();
    // `#!` is one only in the first line.
    let (first, rest) = kept.split_at(usize::from(kept.first().is_some_and(|line| line.starts_with("#!"))));
    let lines = lines.iter().map(String::as_str);
    let mut text = first.iter().copied().chain(lines).chain(rest.iter().copied()).collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

/// All programs of a stack, by their paths relative to its folder. A folder in that with settings of its own is another
/// stack's.
fn programs(directory: &Path) -> Result<BTreeMap<PathBuf, Directives>> {
    let mut programs = BTreeMap::new();
    let mut folders = vec![directory.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() && !path.join(SETTINGS).exists() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "cs") {
                let directives = Directives::read(&read(&path)?).with_context(|| path.display().to_string())?;
                let file = path.strip_prefix(directory).expect("it is in that folder").to_path_buf();
                programs.extend(directives.map(|directives| (file, directives)));
            }
        }
    }
    Ok(programs)
}

/// What MSBuild reads before any project in or below the folder.
const SETTINGS: &str = "Directory.Build.props";

/// The name of a program's project: `mistakes-frozen-token`.
fn name(file: &Path) -> String {
    file.with_extension("").display().to_string().replace('/', "-")
}

fn assembly(built: &Path, file: &Path) -> PathBuf {
    let name = name(file);
    built.join(&name).join("out").join(name).with_extension("dll")
}

/// Builds all programs, unless they are there as they would be built.
fn build(
    sdk: &Sdk,
    stack: &Stack,
    directory: &Path,
    programs: &BTreeMap<PathBuf, Directives>,
    built: &Path,
) -> Result<(), NotReady> {
    let mut inputs = format!("{}\n{}", sdk.version, read(&directory.join(&stack.manifest))?);
    let mut solution = "<Solution>\n".to_string();
    let mut projects = Vec::new();
    for (file, directives) in programs {
        let path = built.join(name(file)).join(name(file)).with_extension("csproj");
        let sources = sources(directory, file, directives);
        let project = project(directory, &sources, directives);
        inputs.push_str(&project);
        for source in &sources {
            inputs.push_str(&read(source)?);
        }
        let _ = writeln!(solution, "  <Project Path=\"{}\" />", path.display());
        projects.push((path, project));
    }
    solution.push_str("</Solution>\n");

    let made_from = built.join("made-from");
    let is_there = || programs.keys().all(|file| assembly(built, file).is_file());
    if fs::read_to_string(&made_from).is_ok_and(|found| found == inputs) && is_there() {
        return Ok(());
    }
    eprintln!("  Building {} .NET programs into {}", programs.len(), built.display());
    // If it fails, some programs are new and some are not.
    let _ = fs::remove_file(&made_from);
    for (path, project) in projects {
        write(&path, &project)?;
    }
    write(&built.join("programs.slnx"), &solution)?;
    restore(sdk, stack, built)?;
    let mut build = sdk.command(built);
    run(build.args(PROGRAMS)).context("the .NET listings do not build")?;
    write(&made_from, &inputs)?;
    Ok(())
}

fn sources(directory: &Path, file: &Path, directives: &Directives) -> Vec<PathBuf> {
    let program = directory.join(file);
    let beside = program.parent().unwrap_or(directory);
    let includes = directives.includes.iter().map(|include| beside.join(include));
    std::iter::once(program.clone()).chain(includes).collect()
}

/// The project that the SDK would make up for a file-based app, but for what it does only when it publishes.
fn project(directory: &Path, sources: &[PathBuf], directives: &Directives) -> String {
    let sdk = directives.sdk.as_deref().unwrap_or("Microsoft.NET.Sdk");
    let mut items = String::new();
    for source in sources {
        let _ = writeln!(items, "    <Compile Include=\"{}\" />", source.display());
    }
    for (name, version) in &directives.packages {
        let _ = writeln!(items, "    <PackageReference Include=\"{name}\" Version=\"{version}\" />");
    }
    format!(
        r#"<Project>
  <PropertyGroup>
    <DirectoryBuildPropsPath>{settings}</DirectoryBuildPropsPath>
  </PropertyGroup>
  <Import Project="Sdk.props" Sdk="{sdk}" />
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <RollForward>Major</RollForward>
    <ImplicitUsings>enable</ImplicitUsings>
    <Nullable>enable</Nullable>
    <Features>$(Features);FileBasedProgram</Features>
    <EnableDefaultItems>false</EnableDefaultItems>
    <AppendTargetFrameworkToOutputPath>false</AppendTargetFrameworkToOutputPath>
    <OutputPath>out/</OutputPath>
    <UseAppHost>false</UseAppHost>
  </PropertyGroup>
  <ItemGroup>
{items}  </ItemGroup>
  <Import Project="Sdk.targets" Sdk="{sdk}" />
</Project>
"#,
        settings = directory.join(SETTINGS).display(),
    )
}

/// Fetches the packages: from here on nothing needs the network.
fn restore(sdk: &Sdk, stack: &Stack, built: &Path) -> Result<(), NotReady> {
    let mut restore = sdk.command(built);
    restore.args(PROGRAMS).arg("-target:Restore");
    let output = process::ends_with_us(&mut restore).output().context("cannot start dotnet")?;
    if output.status.success() {
        return Ok(());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let lacks = |line: &&str| NOT_THERE.iter().any(|code| line.contains(code));
    let Some(first) = messages.lines().find(lacks) else {
        return Err(anyhow!("`dotnet restore` {}:\n{messages}", process::describe(output.status)).into());
    };
    // `/folder/x.csproj : error NU1101: Unable to find package … [/folder/programs.slnx]`
    let message = first.split_once(": error ").map_or(first, |(_, message)| message);
    let message = message.rsplit_once(" [").map_or(message, |(message, _)| message);
    match &stack.not_everywhere {
        Some(package) if messages.lines().filter(lacks).all(|line| line.contains(package.as_str())) => {
            Err(NotReady::NotOffered { package: package.clone(), message: message.to_string() })
        }
        _ => Err(NotReady::Missing {
            what: format!("the packages of the listings are not here: {message}"),
            install: "NuGet needs a package feed once, over the network or as its own settings name it".to_string(),
        }),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "#!/usr/bin/env dotnet\n// A web application.\n#:sdk Microsoft.NET.Sdk.Web\n\
                           #:package One@1.0.0\n#:package Two@2.0.0\n#:include Part.cs\n\nusing One;\n// #:package Three@3.0.0\n";

    #[test]
    fn directives_are_those_at_the_top() {
        let directives = Directives::read(PROGRAM).unwrap().unwrap();
        let expected = Directives {
            sdk: Some("Microsoft.NET.Sdk.Web".to_string()),
            packages: [("One", "1.0.0"), ("Two", "2.0.0")].map(|(name, of)| (name.into(), of.into())).to_vec(),
            includes: vec![PathBuf::from("Part.cs")],
        };
        assert_eq!(directives, expected);
        assert_eq!(Directives::read("// A part.\nusing One;\n").unwrap(), None);
    }

    #[test]
    fn a_directive_that_would_be_lost_is_refused() {
        assert!(Directives::read("#:property PublishAot=false\n").is_err());
        assert!(Directives::read("#:package One\n").is_err());
    }

    #[test]
    fn alone_a_program_has_the_packages_that_the_book_shows() {
        let text = with_packages(PROGRAM, &["#:package Four@4.0.0".to_string()]);
        assert!(text.starts_with("#!/usr/bin/env dotnet\n#:package Four@4.0.0\n// A web"), "{text}");
        let packages = Directives::read(&text).unwrap().unwrap().packages;
        assert_eq!(packages, [("Four".to_string(), "4.0.0".to_string())]);
    }
}
