//! The README's commands and workflows do what it says, run as a reader would.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../README.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A shell with the command on its `PATH`, where what the README takes for granted is there: an application, and `npm test`.
struct Reader {
    home: tempfile::TempDir,
    /// What earlier steps of a workflow have set.
    variables: BTreeMap<String, String>,
}

impl Reader {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let program = "#!/bin/sh\necho \"$0 as $AZURE_CLIENT_ID at $REDIS_HOST:$REDIS_PORT\"\n";
        for name in ["python3", "npm", "cargo"] {
            let path = home.path().join(name);
            fs::write(&path, program).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Reader { home, variables: BTreeMap::new() }
    }

    /// What a script prints, to either output. An emulator that it leaves in the background goes on.
    fn runs(&mut self, script: &str) -> String {
        let file = self.home.path().join("github-env");
        fs::write(&file, "").unwrap();
        let binaries = Path::new(env!("CARGO_BIN_EXE_amr-emulator")).parent().unwrap().display().to_string();
        let path = format!("{}:{binaries}:{}", self.home.path().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell.args(["-e", "-c", script]).current_dir(self.home.path());
        for name in ["AMR_EMULATOR_STATE", "AMR_EMULATOR_CONTROL", "AMR_EMULATOR_CONTROL_TOKEN", "XDG_STATE_HOME"] {
            shell.env_remove(name);
        }
        shell.env("HOME", self.home.path()).env("GITHUB_ENV", &file).envs(&self.variables).env("PATH", path);
        let output = shell.output().unwrap();
        let printed = support::both(&output);
        assert!(output.status.success(), "{script}\n{printed}");
        let set = fs::read_to_string(&file).unwrap();
        let set = set.lines().map(|line| line.split_once('=').expect("NAME=VALUE"));
        self.variables.extend(set.map(|(name, value)| (name.to_owned(), value.to_owned())));
        printed
    }

    /// On the ports of the test, and stopped with it.
    fn runs_in_the_background(&mut self, script: &str) -> String {
        assert!(script.contains("amr-emulator --quiet"), "{script}");
        let script = script.replace("amr-emulator --quiet", "amr-emulator --quiet --free-ports");
        self.runs(&script.replace(" &\n", " > /dev/null 2>&1 &\n"))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let announcement = self.home.path().join(".local/state/amr-emulator/control.env");
        let announced = fs::read_to_string(announcement).unwrap_or_default();
        let process = announced.lines().find_map(|line| line.strip_prefix("AMR_EMULATOR_PROCESS="));
        if let Some(process) = process {
            let _ = Command::new("kill").arg(process).status();
        }
    }
}

#[test]
fn its_commands_work() {
    let blocks = blocks("sh");
    let [install_and_run, keep, suite] = blocks[..] else { panic!("{blocks:?}") };
    let printed = Reader::new().runs(install_and_run);
    assert!(printed.contains("python3 as c11e4700-0000-4000-8000-000000000002 at localhost:"), "{printed}");
    let printed = Reader::new().runs_in_the_background(keep);
    assert!(printed.contains("\"access_token\":\"eyJ") && printed.contains("token issued"), "{printed}");
    let printed = Reader::new().runs(suite);
    assert!(printed.contains("reset"), "{printed}");
}

#[test]
fn its_workflows_work() {
    let blocks = blocks("yaml");
    let [around, for_all_steps] = blocks[..] else { panic!("{blocks:?}") };
    let steps = |workflow: &'static str| {
        let steps = workflow.split("run: ").skip(1).map(|step| step.split("\n  - ").next().unwrap());
        steps.map(|step| step.trim_start_matches("|\n").lines().map(str::trim).collect::<Vec<_>>().join("\n"))
    };
    let mut reader = Reader::new();
    let printed: String = steps(around).map(|step| reader.runs(&step)).collect();
    assert!(printed.contains("npm as c11e4700-0000-4000-8000-000000000002 at localhost:"), "{printed}");

    let mut reader = Reader::new();
    let printed: String = steps(for_all_steps)
        .map(|step| match step.contains(" &\n") {
            true => reader.runs_in_the_background(&step),
            false => reader.runs(&step),
        })
        .collect();
    assert!(printed.contains("npm as c11e4700-0000-4000-8000-000000000002 at localhost:"), "{printed}");
    assert!(reader.variables.contains_key("AMR_EMULATOR_CONTROL_TOKEN"));
}
