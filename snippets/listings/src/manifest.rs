//! The dependency lines of a listing, taken from its stack's manifest as a reader would write them
//! into their own. The page shows them, and the runner builds listings from nothing else.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use roxmltree::{Document, Node};
use toml::Value;

use crate::table::Stack;

/// What to add to a project, and how to show it.
pub(crate) struct Instruction {
    /// What the reader does with it.
    pub(crate) caption: &'static str,
    /// The tag of the fence.
    pub(crate) language: &'static str,
    pub(crate) text: String,
}

/// The kinds of manifest that stacks have.
enum Manifest {
    Cargo,
    PackageJson,
    PyProject,
    GoMod,
    Pom,
    /// The settings of .NET programs that are one file each, and name their packages themselves.
    FileBasedApps,
}

impl Manifest {
    fn of(stack: &Stack) -> Result<Manifest> {
        match stack.manifest.file_name().and_then(|name| name.to_str()) {
            Some("Cargo.toml") => Ok(Manifest::Cargo),
            Some("package.json") => Ok(Manifest::PackageJson),
            Some("pyproject.toml") => Ok(Manifest::PyProject),
            Some("go.mod") => Ok(Manifest::GoMod),
            Some("pom.xml") => Ok(Manifest::Pom),
            Some("Directory.Build.props") => Ok(Manifest::FileBasedApps),
            _ => bail!(
                "stack `{}` keeps its dependencies in {}, and only Cargo.toml, package.json, pyproject.toml, go.mod, pom.xml \
                 and Directory.Build.props can be read so far: add a kind to snippets/listings/src/manifest.rs",
                stack.id,
                stack.manifest.display()
            ),
        }
    }

    fn read(&self, path: &Path) -> Result<Value> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}, a manifest", path.display()))?;
        let value = match self {
            Manifest::Cargo | Manifest::PyProject => toml::from_str(&text).context("it is not TOML"),
            Manifest::PackageJson => serde_json::from_str(&text).context("it is not JSON"),
            Manifest::GoMod => Ok(go_requirements(&text)),
            Manifest::Pom => maven_coordinates(&text),
            Manifest::FileBasedApps => file_based_apps(path.parent().unwrap_or(Path::new(""))),
        };
        value.with_context(|| format!("cannot use {}, a manifest", path.display()))
    }

    /// The line of one dependency, or `None` when the manifest does not have it.
    fn line(&self, manifest: &Value, name: &str) -> Result<Option<String>> {
        match self {
            Manifest::Cargo => cargo_line(manifest, name),
            Manifest::PackageJson => npm_line(manifest, name),
            Manifest::PyProject => pyproject_line(manifest, name),
            Manifest::GoMod => {
                Ok(manifest.get(name).and_then(Value::as_str).map(|version| format!("{name} {version}")))
            }
            Manifest::Pom => Ok(manifest.get(name).and_then(Value::as_str).map(str::to_owned)),
            Manifest::FileBasedApps => {
                Ok(manifest.get(name).and_then(Value::as_str).map(|version| format!("#:package {name}@{version}")))
            }
        }
    }
}

/// The lines of these dependencies in the stack's manifest: for Cargo what stands under
/// `[dependencies]`, for Python requirements, for Node.js what `npm install` takes, for Go what stands under `require`, for Maven
/// `group:artifact:version`, without the version if the parent project decides on that, with `parent` before the parent and `bom`
/// before an imported list of versions, for .NET the `#:package` lines of its programs.
pub fn dependency_lines(stack: &Stack, names: &[String]) -> Result<Vec<String>> {
    let kind = Manifest::of(stack)?;
    let path = stack.directory.join(&stack.manifest);
    let manifest = kind.read(&path)?;
    names
        .iter()
        .map(|name| {
            kind.line(&manifest, name).with_context(|| format!("in {}", path.display()))?.ok_or_else(|| {
                anyhow!(
                    "{} has no dependency `{name}`, which a listing names: add it there, or \
                         correct the listing's `dependencies`",
                    path.display()
                )
            })
        })
        .collect()
}

/// The same for a page: what to write where. `None` when there are no dependencies.
pub(crate) fn instruction(stack: &Stack, names: &[String]) -> Result<Option<Instruction>> {
    if names.is_empty() {
        return Ok(None);
    }
    let lines = dependency_lines(stack, names)?;
    Ok(Some(match Manifest::of(stack)? {
        Manifest::Cargo => Instruction {
            caption: "Add to Cargo.toml",
            language: "toml",
            text: format!("[dependencies]\n{}", lines.join("\n")),
        },
        Manifest::PackageJson => Instruction {
            caption: "Install with npm",
            language: "sh",
            text: format!("npm install {}", lines.join(" ")),
        },
        Manifest::PyProject => Instruction {
            caption: "Install with pip",
            language: "sh",
            text: format!("pip install '{}'", lines.join("' '")),
        },
        Manifest::GoMod => Instruction {
            caption: "Add with go get",
            language: "sh",
            text: format!(
                "go get {}",
                lines.iter().map(|line| line.replace(' ', "@")).collect::<Vec<_>>().join(" \\\n  ")
            ),
        },
        Manifest::Pom => Instruction { caption: "Add to pom.xml", language: "xml", text: maven_elements(&lines)? },
        Manifest::FileBasedApps => Instruction {
            caption: "Add to a project with dotnet",
            language: "sh",
            text: lines.join("\n").replace("#:package ", "dotnet package add "),
        },
    }))
}

fn cargo_line(manifest: &Value, name: &str) -> Result<Option<String>> {
    // Cargo examples see both; what a listing needs may stand in either.
    let found = ["dev-dependencies", "dependencies"].iter().find_map(|section| manifest.get(section)?.get(name));
    let Some(value) = found else {
        return Ok(None);
    };
    if value.get("path").is_some() || value.get("workspace").is_some() {
        bail!(
            "`{name}` comes from this repository, so a reader cannot depend on it: a listing may \
             only use published crates, with their version written here"
        );
    }
    Ok(Some(format!("{name} = {}", inline(value))))
}

/// TOML in one line, in the order in which it was written.
fn inline(value: &Value) -> String {
    match value {
        Value::Table(table) => {
            let pairs: Vec<_> = table.iter().map(|(key, value)| format!("{key} = {}", inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        plain => plain.to_string(),
    }
}

/// What is only for working on the project is no listing's dependency.
fn npm_line(manifest: &Value, name: &str) -> Result<Option<String>> {
    let version = manifest.get("dependencies").and_then(|all| all.get(name)).and_then(Value::as_str);
    Ok(version.map(|version| format!("{name}@{version}")))
}

fn pyproject_line(manifest: &Value, name: &str) -> Result<Option<String>> {
    let requirements = manifest
        .get("project")
        .and_then(|project| project.get("dependencies"))
        .and_then(Value::as_array)
        .ok_or_else(|| anyhow!("there is no list `dependencies` under [project]"))?;
    let wanted = python_name(name);
    Ok(requirements
        .iter()
        .filter_map(Value::as_str)
        .find(|requirement| python_name(requirement) == wanted)
        .map(|requirement| requirement.trim().to_owned()))
}

/// The modules that a `go.mod` requires, with their versions, from lines of a block and lines by themselves.
fn go_requirements(text: &str) -> Value {
    let mut modules = toml::Table::new();
    let mut in_block = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let requirement = match line.strip_prefix("require ") {
            Some("(") => {
                in_block = true;
                continue;
            }
            Some(requirement) => requirement.trim(),
            None if line == ")" => {
                in_block = false;
                continue;
            }
            None if in_block => line,
            None => continue,
        };
        if let Some((module, version)) = requirement.split_once(' ') {
            modules.insert(module.to_owned(), Value::String(version.trim().to_owned()));
        }
    }
    Value::Table(modules)
}

/// The parent and the dependencies of a `pom.xml`, by `group:artifact`, each as the line that tells of it.
fn maven_coordinates(text: &str) -> Result<Value> {
    let document = Document::parse(text)?;
    let project = document.root_element();
    let below = |path: &[&'static str]| -> Vec<Node> {
        path.iter().fold(vec![project], |nodes, tag| {
            nodes.iter().flat_map(Node::children).filter(|child| child.tag_name().name() == *tag).collect()
        })
    };
    let parents = below(&["parent"]);
    let managed = below(&["dependencyManagement", "dependencies", "dependency"]);
    let own = below(&["dependencies", "dependency"]);
    let mut found = toml::Table::new();
    for element in [parents, managed, own].concat() {
        let tag = element.tag_name().name();
        let inner = |tag: &str| {
            let child = element.children().find(|child| child.tag_name().name() == tag)?;
            child.text().map(|text| text.trim().to_owned())
        };
        let (Some(group), Some(artifact)) = (inner("groupId"), inner("artifactId")) else {
            bail!("it has a {tag} without groupId and artifactId");
        };
        let name = format!("{group}:{artifact}");
        let kind = match (tag, inner("scope").as_deref()) {
            ("parent", _) => "parent ",
            (_, Some("import")) => "bom ",
            _ => "",
        };
        let line = match inner("version") {
            Some(version) => format!("{kind}{name}:{version}"),
            None => format!("{kind}{name}"),
        };
        found.insert(name, Value::String(line));
    }
    Ok(Value::Table(found))
}

/// Such lines as a `pom.xml` has them.
fn maven_elements(lines: &[String]) -> Result<String> {
    let coordinates = |line: &str, indent: &str| -> Result<String> {
        let mut parts = line.split(':');
        let (Some(group), Some(artifact)) = (parts.next(), parts.next()) else {
            bail!("`{line}` is not `group:artifact:version`");
        };
        let mut text = format!("{indent}<groupId>{group}</groupId>\n{indent}<artifactId>{artifact}</artifactId>\n");
        if let Some(version) = parts.next() {
            text.push_str(&format!("{indent}<version>{version}</version>\n"));
        }
        Ok(text)
    };
    let mut text = String::new();
    for parent in lines.iter().filter_map(|line| line.strip_prefix("parent ")) {
        text.push_str(&format!("<parent>\n{}</parent>\n\n", coordinates(parent, "  ")?));
    }
    let boms: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("bom ")).collect();
    if !boms.is_empty() {
        text.push_str("<dependencyManagement>\n  <dependencies>\n");
        for bom in boms {
            let inside = "      ";
            let coordinates = coordinates(bom, inside)?;
            text.push_str(&format!(
                "    <dependency>\n{coordinates}{inside}<type>pom</type>\n{inside}<scope>import</scope>\n    </dependency>\n"
            ));
        }
        text.push_str("  </dependencies>\n</dependencyManagement>\n\n");
    }
    text.push_str("<dependencies>\n");
    for line in lines.iter().filter(|line| !line.contains(' ')) {
        text.push_str(&format!("  <dependency>\n{}  </dependency>\n", coordinates(line, "    ")?));
    }
    text.push_str("</dependencies>");
    Ok(text)
}

/// A `pom.xml` that has these lines, and nothing else that a reader would have to know of.
pub fn maven_project(lines: &[String]) -> Result<String> {
    let elements = maven_elements(lines)?;
    Ok(format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n<modelVersion>4.0.0</modelVersion>\n\
         <groupId>alone</groupId>\n<artifactId>listing</artifactId>\n<version>1</version>\n{elements}\n</project>\n"
    ))
}

/// Name and version in a line of a .NET program such as `#:package StackExchange.Redis@3.4.35`.
pub fn file_based_package(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("#:package ")?.trim().split_once('@')
}

/// The packages that .NET programs name in lines such as `#:package StackExchange.Redis@3.4.35`, with their versions. Each
/// program can be copied by itself, so each says the version, and all have to say the same.
fn file_based_apps(folder: &Path) -> Result<Value> {
    let mut packages = toml::Table::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "cs") {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for (name, version) in text.lines().filter_map(file_based_package) {
            let before = packages.insert(name.to_owned(), Value::String(version.to_owned()));
            if let Some(other) = before.as_ref().and_then(Value::as_str)
                && other != version
            {
                bail!("{} names {name} {version}, and another program {other}: choose one", path.display());
            }
        }
    }
    Ok(Value::Table(packages))
}

/// The project's name in a requirement, in the one spelling that PyPA's "Names and normalization"
/// gives to `redis_entraid`, `redis-entraid` and `Redis.EntraID`-like variants.
fn python_name(requirement: &str) -> String {
    let end = requirement
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(requirement.len());
    let mut name = String::new();
    for c in requirement[..end].trim().to_ascii_lowercase().chars() {
        match c {
            '-' | '_' | '.' if name.ends_with('-') => {}
            '-' | '_' | '.' => name.push('-'),
            c => name.push(c),
        }
    }
    name
}
