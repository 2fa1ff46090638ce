//! Java: one Maven project, in which every class with a `main` is a program. Maven builds all of them at once and says what
//! the class path is; from there on only `java` runs, so that many can run beside each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use listings::{Listing, Stack};

use super::{NotReady, Program, Ready, Toolchain, interpreter, read};
use crate::process;

pub(crate) struct Maven;

pub(super) const OLDEST_JDK: &str = "17";
const OLDEST_MAVEN: &str = "3.6.3";
const INSTALL: &str =
    "`apt-get install openjdk-17-jdk-headless maven` on Debian and Ubuntu, `brew install openjdk maven` on macOS";

/// Where Maven wants programs, and what belongs to them.
const SOURCES: &str = "src/main/java";
const RESOURCES: &str = "src/main/resources";

/// For programs that live for seconds, and share the machine: no second compiler, no threads that collect garbage beside them.
const BRIEFLY: &[&str] = &["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"];

/// Files that are as they were when this was written need no Maven.
const MADE_FROM: &str = "made-from";

impl Toolchain for Maven {
    fn prepare(&self, stack: &Stack, target: Option<&Path>) -> Result<Box<dyn Ready>, NotReady> {
        // Maven needs the compiler, and who has only a runtime has no `javac`.
        interpreter("javac", &["-version"], OLDEST_JDK, INSTALL)?;
        let (java, version) = interpreter("java", &["--version"], OLDEST_JDK, INSTALL)?;
        let (maven, _) = interpreter("mvn", &["--batch-mode", "--version"], OLDEST_MAVEN, INSTALL)?;
        let project = Project { maven, folder: stack.directory.clone() };
        let inputs = [project.inputs()?, version.clone()].join("\n");
        let class_path = project.built_from(&inputs, "compile")?;
        let alone = match target {
            Some(target) => target.join("alone"),
            None => stack.directory.join("target/alone"),
        };
        Ok(Box::new(Built { stack: stack.clone(), java, version, project, class_path, alone }))
    }
}

struct Built {
    stack: Stack,
    java: PathBuf,
    version: String,
    project: Project,
    /// What the programs depend on.
    class_path: String,
    alone: PathBuf,
}

impl Ready for Built {
    fn program(&self, file: &Path) -> Result<Program> {
        let class = class(file)?;
        let classes = self.project.folder.join("target/classes");
        ensure!(
            classes.join(class.replace('.', "/")).with_extension("class").is_file(),
            "Maven built no class {class} from {}",
            file.display()
        );
        Ok(self.started(&classes, &self.class_path, &class, &self.stack.directory))
    }

    fn typed(&self, file: &Path) -> String {
        match fs::read_to_string(self.project.folder.join("pom.xml")) {
            Ok(pom) if pom.contains("<artifactId>spring-boot-maven-plugin</artifactId>") => {
                "mvn spring-boot:run".to_string()
            }
            _ => format!("mvn compile exec:java -Dexec.mainClass={}", class(file).unwrap_or_default()),
        }
    }

    fn toolchain_version(&self) -> (String, String) {
        ("java".to_string(), self.version.clone())
    }

    fn versions(&self, dependencies: &[String]) -> Result<BTreeMap<String, String>> {
        let lines = listings::dependency_lines(&self.stack, dependencies)?;
        dependencies
            .iter()
            .zip(lines)
            .map(|(name, line)| {
                // A parent project decides on the versions of some, and is on no class path itself.
                let own = line.rsplit(':').next().filter(|_| line.matches(':').count() == 2);
                let version = own.map(str::to_string).or_else(|| resolved_version(&self.class_path, name));
                Ok((name.clone(), version.with_context(|| format!("Maven resolved no version of {name}"))?))
            })
            .collect()
    }

    fn alone(&self, listing: &Listing, lines: &[String]) -> Result<Program> {
        // Listings with the same lines have the same class path.
        let artifacts: Vec<_> = lines.iter().filter_map(|line| line.split(':').nth(1)).collect();
        let name = artifacts.join("+");
        let project = Project { maven: self.project.maven.clone(), folder: self.alone.join("java").join(name) };
        fs::create_dir_all(&project.folder)?;
        let pom = listings::maven_project(lines)?;
        fs::write(project.folder.join("pom.xml"), &pom)?;
        let class_path = project.built_from(&pom, "validate").map_err(|error| anyhow::anyhow!("{error}"))?;

        let folder = project.folder.join(listing.id().replace('/', "-"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let mut compile = Command::new("javac");
        compile.args(["--release", OLDEST_JDK, "-cp", &class_path, "-d"]).arg(&folder);
        for file in &listing.files {
            let path = self.stack.directory.join(file);
            match file.strip_prefix(RESOURCES) {
                Ok(resource) => drop(fs::copy(&path, folder.join(resource))?),
                Err(_) => drop(compile.arg(path)),
            }
        }
        let status = process::status(&mut compile).context("cannot start javac")?;
        ensure!(
            status.success(),
            "{} does not compile with only the dependencies the book shows, javac's messages are above:\n{}",
            listing.id(),
            lines.join("\n")
        );
        let shown = listing.shown_file().context("the listing has no file")?;
        Ok(self.started(&folder, &class_path, &class(shown)?, &folder))
    }
}

impl Built {
    fn started(&self, classes: &Path, class_path: &str, class: &str, folder: &Path) -> Program {
        let all = format!("{}:{class_path}", classes.display());
        let mut arguments: Vec<PathBuf> = BRIEFLY.iter().map(PathBuf::from).collect();
        arguments.extend([PathBuf::from("-cp"), PathBuf::from(all), PathBuf::from(class)]);
        Program { executable: self.java.clone(), arguments, folder: folder.to_path_buf() }
    }
}

/// A folder with a `pom.xml`.
struct Project {
    maven: PathBuf,
    folder: PathBuf,
}

impl Project {
    /// Everything that its classes are made from.
    fn inputs(&self) -> Result<String> {
        let mut inputs = vec![read(&self.folder.join("pom.xml"))?];
        for folder in [SOURCES, RESOURCES] {
            let mut files = files(&self.folder.join(folder))?;
            files.sort();
            for file in files {
                inputs.push(format!("{}\n{}", file.display(), read(&file)?));
            }
        }
        Ok(inputs.join("\n"))
    }

    /// Has Maven go as far as `phase`, unless it has done so with the same `inputs`, and returns the class path.
    fn built_from(&self, inputs: &str, phase: &str) -> Result<String, NotReady> {
        let target = self.folder.join("target");
        let (made_from, class_path) = (target.join(MADE_FROM), target.join("class-path"));
        if fs::read_to_string(&made_from).is_ok_and(|found| found == inputs)
            && let Ok(class_path) = fs::read_to_string(&class_path)
        {
            return Ok(class_path);
        }
        // If it fails, nothing is there. And classes whose sources are gone would stay.
        let _ = fs::remove_file(&made_from);
        let _ = fs::remove_dir_all(target.join("classes"));
        let goals = [phase, "dependency:build-classpath"];
        let output = format!("-Dmdep.outputFile={}", class_path.display());
        // What is here needs no network; the first time something is missing.
        if !self.offline(&goals, &output)? {
            eprintln!("  Building the Java programs in {} with Maven", self.folder.display());
            let status = process::status(&mut self.maven(&["--quiet"], &goals, &output)).context("cannot start mvn")?;
            // Asked again, it says whether it is the network or the programs.
            if !status.success() && !self.offline(&goals, &output)? {
                return Err(NotReady::Missing {
                    what: format!("mvn {}, its messages are above", process::describe(status)),
                    install: "Maven needs a repository once, over the network or as its own settings name it"
                        .to_string(),
                });
            }
        }
        let found = read(&class_path)?.trim().to_string();
        fs::write(&class_path, &found).context("cannot write the class path")?;
        fs::write(&made_from, inputs).context("cannot write what the classes were made from")?;
        Ok(found)
    }

    /// Has Maven do it with what is on this machine. False if something is missing, an error if a program does not compile.
    fn offline(&self, goals: &[&str], output: &str) -> Result<bool> {
        let mut command = self.maven(&["--quiet", "--offline"], goals, output);
        let (status, printed) = process::output(&mut command, MAVEN_TIME).context("cannot run mvn")?;
        ensure!(
            !printed.stdout.contains("COMPILATION ERROR"),
            "the programs in {} do not compile:\n{}",
            self.folder.display(),
            printed.stdout.trim()
        );
        Ok(status.success())
    }

    fn maven(&self, how: &[&str], goals: &[&str], output: &str) -> Command {
        let mut command = Command::new(&self.maven);
        command
            .args(["--batch-mode", "--strict-checksums"])
            .args(how)
            .args(goals)
            .arg(output)
            .current_dir(&self.folder);
        command
    }
}

/// For what Maven does without the network.
const MAVEN_TIME: std::time::Duration = std::time::Duration::from_secs(180);

/// All files in a folder and those below it. None if there is no such folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}

/// `mistakes.HotLoop` for `src/main/java/mistakes/HotLoop.java`.
fn class(file: &Path) -> Result<String> {
    let Some(path) = file.strip_prefix(SOURCES).ok().filter(|path| path.extension().is_some_and(|it| it == "java"))
    else {
        bail!("{} is no Java program: these are in {SOURCES}, one file a class", file.display());
    };
    let parts: Vec<_> = path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    Ok(parts.join("."))
}

/// The version of `group:artifact`, which Maven's repository has in the path of each file.
fn resolved_version(class_path: &str, name: &str) -> Option<String> {
    let (group, artifact) = name.split_once(':')?;
    let folder = format!("/{}/{artifact}/", group.replace('.', "/"));
    class_path.split(':').find_map(|jar| {
        let (_, rest) = jar.split_once(&folder)?;
        let (version, file) = rest.split_once('/')?;
        (!file.contains('/')).then(|| version.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_named_by_its_folders() {
        assert_eq!(class(Path::new("src/main/java/PubSub.java")).unwrap(), "PubSub");
        assert_eq!(class(Path::new("src/main/java/mistakes/HotLoop.java")).unwrap(), "mistakes.HotLoop");
        assert!(class(Path::new("src/main/resources/application.yml")).is_err());
    }

    #[test]
    fn a_version_is_where_the_file_lies() {
        let path = "/r/redis/clients/jedis/8.0.2/jedis-8.0.2.jar:/r/com/azure/azure-core/1.58.1/azure-core-1.58.1.jar";
        assert_eq!(resolved_version(path, "redis.clients:jedis").as_deref(), Some("8.0.2"));
        assert_eq!(resolved_version(path, "com.azure:azure-core").as_deref(), Some("1.58.1"));
        assert_eq!(resolved_version(path, "com.azure:azure"), None);
    }
}
