//! Runs the command with an environment of the test's making, and reads its report. What must hold for every run, whatever is
//! wrong, is checked here.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use azure_managed_redis_emulator::Environment;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::servers::{self, Reply};

/// What every secret of the tests contains.
pub(crate) const SECRET: &str = "tops3cret";
pub(crate) const OBJECT_ID: &str = "0b1ec700-0000-4000-8000-0000000000aa";
pub(crate) const CLIENT_ID: &str = "c11e4700-0000-4000-8000-0000000000aa";
pub(crate) const TENANT: &str = "7e4a4700-0000-4000-8000-0000000000aa";

/// Short, for runs in which something gives no answer; and long enough for everything else, on a busy machine too.
pub(crate) const IN_TIME: &str = "--timeout=5";

/// The steps, in their order.
const STEPS: &[&str] = &["name", "network", "tls", "credential", "token", "clock", "sign-in", "cluster", "renewal"];

/// A run to come.
pub(crate) struct Doctor {
    command: Command,
}

/// A run that was.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) json: Value,
    pub(crate) code: i32,
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amr-emulator"));
    command.arg("doctor").env_remove("COLUMNS").stdin(Stdio::null());
    command
}

/// A test cannot be run here: that is told, and in CI it is a failure.
pub(crate) fn skipped(why: &str) {
    let required = std::env::var("AMR_BOOK_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!required, "{why}, and everything is required");
    // Not through `eprintln!`, which the test harness swallows.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// What `--help` says.
pub(crate) fn help() -> String {
    let output = program().arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

impl Doctor {
    /// Nothing of this machine is in its environment: no credential, no proxy, no program on PATH.
    pub(crate) fn new(target: &str) -> Self {
        let mut command = program();
        command.arg(target).env_clear().env("PATH", "/nonexistent");
        Doctor { command }
    }

    /// At a port of localhost, trusting an authority.
    pub(crate) fn at(port: u16, authority: &Authority) -> Self {
        Self::new(&format!("localhost:{port}")).env("SSL_CERT_FILE", authority.file())
    }

    /// In an environment of an emulator.
    pub(crate) fn inside(environment: &Environment) -> Self {
        let target = format!("localhost:{}", environment.get("REDIS_PORT").unwrap());
        let mut doctor = Self::new(&target);
        doctor.command.envs(environment);
        doctor
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// With a managed identity endpoint that hands this token out.
    pub(crate) fn with_token(self, token: &str) -> Self {
        let token = token.to_owned();
        self.with_identity_endpoint(move |_| Reply::token(&token))
    }

    pub(crate) fn with_identity_endpoint(
        self,
        answer: impl Fn(&servers::Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let port = servers::http(answer);
        self.env("IDENTITY_ENDPOINT", format!("http://127.0.0.1:{port}/msi/token")).env("IDENTITY_HEADER", SECRET)
    }

    /// With an Entra ID at this port, and the ids of an application.
    pub(crate) fn with_entra(self, port: u16) -> Self {
        self.env("AZURE_AUTHORITY_HOST", format!("https://localhost:{port}"))
            .env("AZURE_TENANT_ID", TENANT)
            .env("AZURE_CLIENT_ID", CLIENT_ID)
    }

    /// With an `az` that is this shell script.
    pub(crate) fn with_az(self, folder: &Path, script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join("az");
        let mut file = std::fs::File::create(&path).unwrap();
        write!(file, "#!/bin/sh\n{script}\n").unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o755)).unwrap();
        drop(file);
        self.env("PATH", folder)
    }

    /// In a network of its own that has nothing, not even loopback, with these lines as the hosts file and no other resolver.
    /// `None` where the system does not permit that.
    #[cfg(target_os = "linux")]
    pub(crate) fn cut_off(mut self, folder: &Path, hosts: &str) -> Option<Self> {
        let unshare = || {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--net", "--mount"]);
            command
        };
        if !unshare().arg("true").output().is_ok_and(|output| output.status.success()) {
            skipped("`unshare --user --net --mount` is not permitted here");
            return None;
        }
        std::fs::write(folder.join("hosts"), hosts).unwrap();
        std::fs::write(folder.join("nsswitch"), "hosts: files\n").unwrap();
        let script = "mount --bind \"$0\" /etc/hosts && mount --bind \"$1\" /etc/nsswitch.conf && shift && exec \"$@\"";
        let mut command = unshare();
        command.args(["sh", "-c", script]).arg(folder.join("hosts")).arg(folder.join("nsswitch"));
        command.arg(self.command.get_program()).args(self.command.get_args()).env_clear();
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        // For `sh`, `mount` and `unshare` themselves.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        self.command = command;
        Some(self)
    }

    /// Runs it with `--json`.
    pub(crate) fn run(mut self) -> Report {
        let output = self.command.arg("--json").output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let code = output.status.code().unwrap_or_else(|| panic!("{}: {stderr}", output.status));
        assert_nothing_secret(&stdout);
        assert_nothing_secret(&stderr);
        assert_eq!(stderr, "", "everything belongs into the report");
        let json: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));

        let steps = json["steps"].as_array().unwrap();
        assert_eq!(steps.iter().map(|step| step["step"].as_str().unwrap()).collect::<Vec<_>>(), STEPS);
        assert_eq!(json["exit_code"], code);
        let failed = steps.iter().any(|step| step["status"] == "failed");
        assert_eq!(failed, code != 0, "a failed step has its exit code: {json:#}");
        assert_eq!(json["cause"].is_null(), code == 0, "a failure has its cause: {json:#}");
        Report { json, code }
    }

    /// Runs it as a person does.
    pub(crate) fn read(mut self) -> (String, i32) {
        let output = self.command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_nothing_secret(&text);
        (text, output.status.code().unwrap())
    }
}

fn assert_nothing_secret(text: &str) {
    assert!(!text.contains(SECRET), "a secret is in the output: {text}");
    assert!(!text.contains("eyJ"), "a token is in the output: {text}");
    assert!(!text.contains(SIGNATURE), "a signature is in the output: {text}");
    assert!(!text.contains("emulator~client~secret"), "the emulator's client secret is in the output: {text}");
    assert!(!text.contains('\x1b'), "colours are for terminals: {text}");
}

impl Report {
    pub(crate) fn step(&self, name: &str) -> &Value {
        self.json["steps"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap()
    }

    /// The fact of that name in a step: value and note in one text.
    pub(crate) fn fact(&self, step: &str, name: &str) -> String {
        let facts = self.step(step)["facts"].as_array().unwrap();
        let fact = facts.iter().find(|fact| fact["name"] == name).unwrap_or_else(|| panic!("no {name} in {facts:#?}"));
        format!("{} {}", fact["value"].as_str().unwrap(), fact["note"].as_str().unwrap_or_default())
    }

    #[track_caller]
    pub(crate) fn is_well(&self) -> &Self {
        assert_eq!(self.code, 0, "{:#}", self.json);
        for step in self.json["steps"].as_array().unwrap() {
            assert_ne!(step["status"], "failed", "{:#}", self.json);
        }
        self
    }

    /// That this is the cause, with its stage's exit code, and that what is said holds each of the words.
    #[track_caller]
    pub(crate) fn is_caused_by(&self, id: &str, code: i32, words: &[&str]) -> &Self {
        let cause = &self.json["cause"];
        assert_eq!(cause["id"], id, "{:#}", self.json);
        assert_eq!(self.code, code, "{:#}", self.json);
        let said = format!("{} {}", cause["what"].as_str().unwrap(), cause["fix"].as_str().unwrap());
        for word in words {
            assert!(said.contains(word), "'{word}' is not in: {said}");
        }
        self
    }
}

const SIGNATURE: &str = "c2lnbmF0dXJlLW9mLWEtdGVzdA";

/// A good token for Redis, with changed claims; null takes one away.
pub(crate) fn token(change: &Value) -> String {
    let now = now();
    let mut claims = json!({
        "aud": "https://redis.azure.com",
        "iss": format!("https://sts.windows.net/{TENANT}/"),
        "iat": now - 300,
        "nbf": now - 300,
        "exp": now + 3600,
        "appid": CLIENT_ID,
        "idtyp": "app",
        "oid": OBJECT_ID,
        "tid": TENANT,
        "ver": "1.0",
    });
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{SIGNATURE}", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&claims))
}

pub(crate) fn good_token() -> String {
    token(&json!({}))
}

pub(crate) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}
