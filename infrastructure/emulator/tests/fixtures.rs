//! The fixtures for test frameworks in `examples/fixtures` do what they promise. Whoever lacks a toolchain skips its fixture, and is
//! told; with `AMR_BOOK_REQUIRE_ALL=1` that is a failure.

mod support;

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{both, lacks};

/// What is in the environment of everything that a fixture starts.
const MARK: &str = "AMR_EMULATOR_FIXTURE";

/// A fixture, with the command in front of the `PATH`.
struct Fixture {
    name: &'static str,
    folder: PathBuf,
    /// Where what is installed and built is kept, beside the build of the command.
    kept: PathBuf,
    path: OsString,
}

impl Fixture {
    fn new(name: &'static str) -> Self {
        let command = Path::new(env!("CARGO_BIN_EXE_amr-emulator"));
        let binaries = command.parent().unwrap();
        let around = env::var_os("PATH").unwrap();
        let path = env::join_paths([binaries.to_owned()].into_iter().chain(env::split_paths(&around))).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fixtures").join(name);
        let kept = binaries.join("fixtures").join(name);
        std::fs::create_dir_all(&kept).unwrap();
        Fixture { name, folder, kept, path }
    }

    /// Copies the fixture to where things may be installed, and works there.
    fn copied(mut self) -> Self {
        let copy = self.kept.join("copy");
        std::fs::create_dir_all(&copy).unwrap();
        for entry in std::fs::read_dir(&self.folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
        }
        self.folder = copy;
        self
    }

    fn command(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.folder).env("PATH", &self.path).env(MARK, self.name);
        // Nobody may go past the emulator, and the fixtures bring their own settings.
        for name in ["AMR_EMULATOR_CONTROL", "AMR_EMULATOR_CONTROL_TOKEN", "AMR_EMULATOR_STATE", "SSL_CERT_FILE"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command that must succeed, and gives what it printed.
    fn run(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> String {
        let output = self.command(program, arguments).output().unwrap();
        let printed = both(&output);
        assert!(output.status.success(), "{arguments:?}:\n{printed}");
        printed
    }

    /// Installs what a lock file names, unless that is there from another time.
    fn install(&self, lock: &str, install: impl FnOnce()) {
        let (wanted, stamp) = (std::fs::read(self.folder.join(lock)).unwrap(), self.kept.join("installed"));
        if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
            return;
        }
        let _ = std::fs::remove_file(&stamp);
        install();
        std::fs::write(stamp, wanted).unwrap();
    }

    /// Runs the tests of the fixture. They leave no emulator and no engine behind.
    fn test(&self, program: impl AsRef<OsStr>, arguments: &[&str], all_well: &str) {
        let printed = self.run(program, arguments);
        assert!(printed.contains(all_well), "{printed}");
        let ours = format!("{MARK}={}", self.name);
        let left = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter(|process| {
            let read = |file: &str| std::fs::read(process.path().join(file)).unwrap_or_default();
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            let name = text(read("comm"));
            (name.contains("amr-emulator") || name.contains("server")) && text(read("environ")).contains(&ours)
        });
        let left: Vec<_> = left.map(|process| process.path()).collect();
        assert!(left.is_empty(), "{left:?} are left after\n{printed}");
    }

    /// Whether there is a toolchain, of at least that version. It is asked with these words, and answers with a number first or last.
    fn has(&self, program: &str, question: &[&str], oldest: (u32, u32)) -> bool {
        let answer = self.command(program, question).output().ok().filter(|output| output.status.success());
        let version = answer.as_ref().and_then(|output| version_in(&both(output)));
        if version.is_some_and(|version| version >= oldest) {
            return true;
        }
        lacks(&format!("{program} {}.{} or newer, found {version:?}", oldest.0, oldest.1))
    }
}

/// The first two numbers of the first word that has some.
fn version_in(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches('v').split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    })
}

#[test]
fn pytest() {
    let fixture = Fixture::new("pytest");
    if !fixture.has("python3", &["--version"], (3, 11)) {
        return;
    }
    let environment = fixture.kept.join("venv");
    let python = environment.join("bin/python");
    fixture.install("requirements.lock", || {
        fixture.run("python3", &["-m", "venv", "--clear", &environment.display().to_string()]);
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"];
        fixture.run(&python, &[&pip[..], &["--requirement", "requirements.lock"]].concat());
    });
    fixture.test(&python, &["-B", "-m", "pytest", "-p", "no:cacheprovider"], "3 passed");
}

#[test]
fn node_test() {
    let fixture = Fixture::new("node-test").copied();
    if !fixture.has("node", &["--version"], (24, 5)) {
        return;
    }
    fixture.install("package-lock.json", || {
        fixture.run("npm", &["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    });
    fixture.test("npm", &["test", "--silent"], "pass 3");
}

#[test]
fn junit() {
    let fixture = Fixture::new("junit");
    if !fixture.has("java", &["--version"], (17, 0)) || !fixture.has("mvn", &["--version"], (3, 6)) {
        return;
    }
    let build = format!("-Dfixture.build={}", fixture.kept.join("build").display());
    let all_well = "Tests run: 3, Failures: 0, Errors: 0, Skipped: 0";
    fixture.test("mvn", &["--batch-mode", "--no-transfer-progress", &build, "test"], all_well);
}

#[test]
fn xunit() {
    let fixture = Fixture::new("xunit").copied();
    if !fixture.has("dotnet", &["--version"], (10, 0)) {
        return;
    }
    fixture.test("dotnet", &["run", "--verbosity", "quiet"], "Total: 3, Errors: 0, Failed: 0, Skipped: 0");
}
