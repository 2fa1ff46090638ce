//! `amr-emulator control` and `amr-emulator events`: that they find the emulator that is meant, change it, tell what happens in it,
//! and say what is wrong.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_amr-emulator");
const PATIENCE: Duration = Duration::from_secs(20);

/// So that emulators of several tests run at once.
const FREE_PORTS: &[&str] =
    &["--port", "0", "--entra-port", "0", "--managed-identity-port", "0", "--proxy-port", "0", "--control-port", "0"];

/// A state folder, and the command that uses it.
struct State(TempDir);

impl State {
    fn new() -> Self {
        State(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn announcement(&self) -> PathBuf {
        self.folder().join("control.env")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("AMR_EMULATOR_STATE", self.folder()).stdin(Stdio::null());
        for name in ["AMR_EMULATOR_ENGINE", "AMR_EMULATOR_CONTROL", "AMR_EMULATOR_CONTROL_TOKEN"] {
            command.env_remove(name);
        }
        // Nothing here may go through a proxy.
        command.env("http_proxy", "http://127.0.0.1:1").env("HTTP_PROXY", "http://127.0.0.1:1");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command prints.
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What `control` prints.
    fn control(&self, arguments: &[&str]) -> String {
        self.prints(&[&["control"], arguments].concat())
    }

    /// What `control --json` prints.
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.control(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// What is said of a mistake.
    fn error(&self, arguments: &[&str]) -> String {
        failed(&self.run(arguments), arguments)
    }

    /// Starts an emulator by itself, on free ports.
    fn start(&self, arguments: &[&str]) -> Emulator {
        let mut command = self.command(&[FREE_PORTS, arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let printed: Vec<String> = lines.take_while(|line| !line.starts_with("Ready.")).collect();
        Emulator { child, printed: printed.join("\n") }
    }
}

/// An emulator that runs by itself.
struct Emulator {
    child: Child,
    printed: String,
}

impl Emulator {
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command whose output is read while it runs.
struct Reader {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Reader {
    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        Reader { lines: BufReader::new(child.stdout.take().unwrap()).lines(), child }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("another line").unwrap()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn failed(output: &Output, arguments: &[&str]) -> String {
    assert!(!output.status.success(), "{arguments:?} succeeded");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    text(&output.stderr)
}

#[test]
fn each_command_changes_the_emulator_that_runs() {
    let state = State::new();
    let emulator = state.start(&[]);
    let status = state.control(&["status"]);
    for part in ["NoCluster", "access keys       off", "faults            none", "trusted at redis"] {
        assert!(status.contains(part), "{part} is missing in\n{status}");
    }
    assert_eq!(state.json(&["status"])["process"], emulator.child.id());

    let added = state.control(&["identity", "set", "orders", "--kind", "user-assigned", "--token-lifetime", "5m"]);
    assert!(added.starts_with("identity orders is added: user-assigned, object id 0b1ec700-"), "{added}");
    let changed =
        state.control(&["identity", "set", "service-principal", "--token-lifetime", "10s", "--secret", "new"]);
    assert!(changed.starts_with("identity service-principal is changed: service-principal"), "{changed}");
    let identities = state.json(&["identities"])["identities"].clone();
    let named = |name: &str| identities.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    assert_eq!(named("orders")["token_lifetime_seconds"], 300);
    assert_eq!(named("service-principal")["token_lifetime_seconds"], 10);
    assert!(state.prints(&["env", "--as", "service-principal"]).contains("export AZURE_CLIENT_SECRET=new\n"));
    assert!(state.control(&["identities"]).contains("orders"));
    let msi = state.prints(&["env", "--as", "user", "--hosting", "msi-2017", "--proxy"]);
    assert!(msi.contains("MSI_ENDPOINT=http://127.0.0.1:") && msi.contains("HTTPS_PROXY=http://"), "{msi}");

    let created =
        state.control(&["assignment", "set", "orders", "--identity", "orders", "--access-string", "-@all +get ~*"]);
    assert!(created.contains("is created") && created.contains("-@all +get ~*"), "{created}");
    assert!(state.control(&["assignments"]).contains("-@all +get ~*"));
    state.control(&["assignment", "remove", "orders"]);
    assert!(!state.control(&["assignments"]).contains("orders"));
    state.control(&["identity", "remove", "orders"]);
    assert!(!state.control(&["identities"]).contains("orders"));

    state.control(&["fault", "set", "entra", "--fail", "503", "--for", "10m"]);
    state.control(&["fault", "set", "managed-identity", "--slow", "250ms"]);
    let faults = state.json(&["faults"])["faults"].clone();
    assert_eq!((&faults[0]["status"], &faults[1]["delay_ms"]), (&json!(503), &json!(250)));
    assert!(faults[0]["ends_in_ms"].is_u64() && faults[1]["ends_in_ms"].is_null());
    state.control(&["fault", "clear", "entra"]);
    assert!(state.control(&["status"]).contains("faults            slow at managed-identity"));
    state.control(&["fault", "set", "entra", "--hang"]);
    state.control(&["fault", "clear"]);
    assert_eq!(state.json(&["faults"]), json!({ "faults": [] }));

    assert_eq!(state.json(&["rotate-key"])["keys"].as_array().unwrap().len(), 2);
    assert_eq!(state.json(&["rotate-key", "--honoured", "0"])["keys"].as_array().unwrap().len(), 2);
    assert_eq!(state.control(&["clock", "-5m"]), "tokens are dated 300 s into the past\n");
    assert_eq!(state.json(&["clock", "+90"]), json!({ "shift_seconds": 90 }));
    assert_eq!(state.control(&["clock"]), "tokens are dated 90 s into the future\n");
    assert_eq!(state.control(&["clock", "0"]), "tokens are dated right\n");
    state.control(&["certificate", "redis", "other-name"]);
    assert!(state.control(&["certificate"]).contains("redis    other-name"));

    let keys = state.json(&["access-keys", "on"]);
    assert_eq!(keys["enabled"], true);
    assert!(state.control(&["access-keys", "show"]).contains(keys["secondary"].as_str().unwrap()));
    assert_eq!(state.control(&["access-keys", "off"]), "access keys are off\n");
    assert_eq!(state.json(&["connections"]), json!({ "connections": [] }));
    assert_eq!(state.control(&["expire", "--identity", "user"]), "0 connections are cut\n");
    assert!(state.control(&["fail-over"]).starts_with("shard 0 has failed over"));
    assert!(state.control(&["engine", "stop"]).contains("is stopped"));
    assert!(state.error(&["control", "fail-over"]).contains("the engine is stopped; start it first"));
    assert!(state.control(&["engine", "start"]).contains("runs"));
    state.control(&["reset"]);
    assert!(state.control(&["status"]).contains("trusted at redis"));
    // Each of them is in the log, and none of the keys.
    let events = text(&state.run(&["events"]).stdout);
    for action in ["identity-added", "assignment-removed", "fault-set", "signing-key-rotated", "certificate", "reset"] {
        assert!(events.contains(&format!("control            {action}")), "{action} is missing in\n{events}");
    }
    assert!(!events.contains(keys["primary"].as_str().unwrap()));
}

#[test]
fn a_command_below_exec_can_change_its_emulator() {
    let state = State::new();
    // Another one runs by itself: not the one that is meant.
    let _other = state.start(&[]);
    let script = r#"
        set -e
        ask() { curl --noproxy '*' -s -o /dev/null -w '%{http_code}\n' -H "X-IDENTITY-HEADER: $IDENTITY_HEADER" \
            "$IDENTITY_ENDPOINT?api-version=2019-08-01&resource=https://redis.azure.com"; }
        ask
        "$0" control fault set managed-identity --fail 503
        ask
        "$0" control reset
        ask
        curl --noproxy '*' -s -o /dev/null -w '%{http_code}\n' -H "Authorization: Bearer $AMR_EMULATOR_CONTROL_TOKEN" "$AMR_EMULATOR_CONTROL/v1/status"
        "$0" events | grep -c 'token issued'
        AMR_EMULATOR_CONTROL_TOKEN=wrong "$0" control status || echo refused
    "#;
    let output = state.run(&["exec", "--as", "system", "--quiet", "--", "sh", "-c", script, PROGRAM]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let expected = "200\nfrom now on requests for tokens go wrong at managed-identity\n503\neverything is as it was at the start\n200\n200\n2\nrefused\n";
    assert_eq!(out, expected, "{err}");
    assert!(err.contains("AMR_EMULATOR_CONTROL_TOKEN is not the token of the emulator that runs at"), "{err}");
    assert!(!text(&state.run(&["events"]).stdout).contains("fault-set"), "the other was left alone");
}

#[test]
fn the_running_emulator_is_found_by_a_file_that_goes_when_it_goes() {
    let state = State::new();
    assert!(state.error(&["control", "status"]).contains("no emulator runs with the state folder"));
    let emulator = state.start(&[]);
    let file = state.announcement();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(emulator.printed.contains(&file.display().to_string()), "{}", emulator.printed);
    let announced = fs::read_to_string(&file).unwrap();
    let token = announced.lines().find_map(|line| line.strip_prefix("AMR_EMULATOR_CONTROL_TOKEN=")).unwrap();
    assert!(!emulator.printed.contains(token), "the token is in the file only");
    // A script reads it as it is.
    let script = r#". "$0" && curl --noproxy '*' -s -H "Authorization: Bearer $AMR_EMULATOR_CONTROL_TOKEN" "$AMR_EMULATOR_CONTROL/v1/clock""#;
    let output = Command::new("sh").args(["-c", script]).arg(&file).output().unwrap();
    assert_eq!(text(&output.stdout), r#"{"shift_seconds":0}"#);

    let second = state.error(FREE_PORTS);
    assert!(second.contains("runs with the state folder") && second.contains("--state"), "{second}");
    emulator.stop();
    assert!(!file.exists());
    assert!(state.error(&["control", "status"]).contains("no emulator runs with the state folder"));

    let mut killed = state.start(&[]);
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert!(file.exists());
    let stale = state.error(&["control", "status"]);
    assert!(stale.contains(&format!("is left of process {}, which was killed", killed.child.id())), "{stale}");
    let again = state.start(&[]);
    assert_eq!(state.json(&["status"])["process"], again.child.id(), "what is left of a killed one is no hindrance");
    // As if another emulator had taken the address.
    let token =
        |text: &str| text.lines().find_map(|line| line.strip_prefix("AMR_EMULATOR_CONTROL_TOKEN=")).unwrap().to_owned();
    let announced = fs::read_to_string(&file).unwrap();
    fs::write(&file, announced.replace(&token(&announced), "of-an-earlier-run")).unwrap();
    let wrong = state.error(&["control", "status"]);
    assert!(wrong.contains("control.env is not of the emulator that runs at http://127.0.0.1:"), "{wrong}");
    again.stop();
    assert!(file.exists(), "it is no longer its own");
}

#[test]
fn mistakes_are_named_with_the_remedy() {
    let state = State::new();
    let _emulator = state.start(&[]);
    let says = |arguments: &[&str], says: &str| {
        let error = state.error(&[&["control"], arguments].concat());
        assert!(error.contains(says), "{arguments:?} says\n{error}\nand not {says}");
    };
    says(&["identity", "remove", "nobody"], "there is no identity 'nobody'; the directory has: system, user");
    says(&["identity", "set", "nobody", "--token-lifetime", "5s"], "there is no identity 'nobody'");
    says(&["identity", "set", "x", "--object-id", "0b1ec700-0000-4000-8000-000000000001"], "--kind");
    says(&["identity", "set", "x", "--kind", "user-assigned", "--object-id", "me"], "'me' is no GUID");
    says(
        &["identity", "set", "x", "--kind", "user-assigned", "--secret", "hunter2"],
        "'secrets' belongs to another kind",
    );
    says(&["assignment", "remove", "nobody"], "there is no assignment 'nobody'; the cache has: system, user");
    says(&["assignment", "set", "second", "--identity", "user"], "has the assignment 'user' already");
    says(&["assignment", "set", "a", "--identity", "unassigned", "--access-string", "on"], "InvalidAccessString");
    says(&["assignment", "set", "a"], "--identity <NAME>");
    says(&["expire", "--identity", "nobody"], "the directory has: system, user");
    says(&["fail-over", "5"], "there is no shard 5; the cache has 1");
    says(&["fault", "set", "entra"], "--fail <STATUS>|--slow <TIME>|--hang");
    says(&["fault", "set", "entra", "--fail", "200"], "there are 400 to 599");
    says(&["fault", "set", "redis", "--hang"], "[possible values: entra, managed-identity]");
    says(&["fault", "set", "entra", "--hang", "--for", "long"], "'long' is no time");
    says(&["certificate", "redis"], "<PRESENTS>");
    says(&["clock", "tomorrow"], "'tomorrow' is no time");

    let with = |variables: &[(&str, &str)]| {
        let mut command = state.command(&["control", "status"]);
        failed(&command.envs(variables.iter().copied()).output().unwrap(), &["control", "status"])
    };
    let (address, token) = ("AMR_EMULATOR_CONTROL", "AMR_EMULATOR_CONTROL_TOKEN");
    assert!(with(&[(address, "http://127.0.0.1:1")]).contains("but not AMR_EMULATOR_CONTROL_TOKEN"));
    for elsewhere in [
        "http://example.com:80",
        "http://169.254.1.1:80",
        "http://127.0.0.1.example.com:80",
        "https://127.0.0.1:1",
        "x",
    ] {
        let error = with(&[(address, elsewhere), (token, "x")]);
        assert!(error.contains("is no address of a control API"), "{elsewhere}: {error}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = with(&[(address, &format!("http://{nobody}")), (token, "x")]);
    assert!(error.contains("no emulator answers at"), "{error}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let other = State::new();
    let (_, others) = FREE_PORTS.split_last().unwrap();
    let error = other.error(&[others, &[&port]].concat());
    assert!(
        error.contains("can't be used for the control API") && error.contains("choose another with --control-port"),
        "{error}"
    );
}

#[test]
fn events_are_followed_as_they_happen_over_a_restart_too() {
    let state = State::new();
    let emulator = state.start(&[]);
    state.control(&["clock", "1"]);
    let mut follower = Reader::of(state.command(&["events", "--follow", "--json"]));
    let action = |line: String| serde_json::from_str::<Value>(&line).unwrap()["detail"].as_str().unwrap().to_owned();
    assert_eq!(action(follower.line()), "tokens are dated 1 s ahead");
    state.control(&["clock", "2"]);
    assert_eq!(action(follower.line()), "tokens are dated 2 s ahead");
    emulator.stop();
    assert_eq!(text(&state.run(&["events"]).stdout).lines().count(), 2, "what an emulator has seen outlives it");
    let _emulator = state.start(&[]);
    state.control(&["clock", "3"]);
    assert_eq!(action(follower.line()), "tokens are dated 3 s ahead", "the next one is followed too, from its start");
}

#[test]
fn events_of_a_killed_emulator_can_be_read_and_its_successor_followed() {
    let state = State::new();
    let mut emulator = state.start(&[]);
    state.control(&["clock", "1"]);
    emulator.child.kill().unwrap();
    emulator.child.wait().unwrap();
    let mut follower = Reader::of(state.command(&["events", "--follow"]));
    assert!(follower.line().ends_with("tokens are dated 1 s ahead"));
    let _emulator = state.start(&[]);
    state.control(&["clock", "2"]);
    assert!(follower.line().ends_with("tokens are dated 2 s ahead"));
}

#[test]
fn events_that_are_written_elsewhere_are_found_too() {
    let state = State::new();
    let elsewhere = state.folder().join("elsewhere.jsonl");
    let emulator = state.start(&["--events", &elsewhere.display().to_string()]);
    state.control(&["clock", "1"]);
    emulator.stop();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap().lines().count(), 1);
    assert!(text(&state.run(&["events"]).stdout).contains("tokens are dated 1 s ahead"));
    let _next = state.start(&[]);
    assert_eq!(text(&state.run(&["events"]).stdout), "", "the next one has its own");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap().lines().count(), 1, "and leaves that of the last one alone");
}

#[test]
fn below_exec_events_are_followed_until_its_emulator_stops() {
    let state = State::new();
    let file = state.folder().join("followed");
    // The follower outlives the command, and ends by itself with the emulator.
    let script = r#""$0" events --follow >"$1" & "$0" control clock 5 && while ! [ -s "$1" ]; do sleep 0.05; done"#;
    let followed = file.display().to_string();
    let output = state.run(&["exec", "--as", "system", "--quiet", "--", "sh", "-c", script, PROGRAM, &followed]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(fs::read_to_string(&file).unwrap().contains("tokens are dated 5 s ahead"));
    let mark = state.folder().display().to_string();
    let start = Instant::now();
    while processes_with(&mark) > 0 {
        assert!(start.elapsed() < PATIENCE, "the follower never ended");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many living processes have that text in their environment.
fn processes_with(mark: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| text(&fs::read(entry.path().join("environ")).unwrap_or_default()).contains(mark)).count()
}

#[test]
fn a_configuration_a_policy_and_access_keys_can_be_given_at_the_start() {
    let state = State::new();
    let config = state.folder().join("cache.toml");
    let written = "clustering-policy = 'EnterpriseCluster'\n\
                   [identities.orders]\nkind = 'user-assigned'\ntoken-lifetime = '5m'\n\
                   [assignments.orders]\nidentity = 'orders'\naccess-string = '+@read ~orders:*'\n";
    fs::write(&config, written).unwrap();
    let config = config.display().to_string();
    let emulator = state.start(&["--config", &config, "--access-keys"]);
    assert!(
        emulator.printed.contains("# as orders") && !emulator.printed.contains("# as system"),
        "{}",
        emulator.printed
    );
    let status = state.json(&["status"]);
    assert_eq!((&status["clustering_policy"], &status["access_keys"]), (&json!("EnterpriseCluster"), &json!(true)));
    assert!(state.control(&["assignments"]).contains("+@read ~orders:*"));

    let policy = |arguments: &[&str]| {
        let script = ["--", PROGRAM, "control", "status", "--json"];
        let output = state.run(&[&["exec", "--quiet"], arguments, &script].concat());
        let status: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        (status["clustering_policy"].as_str().unwrap().to_owned(), status["shards"].as_array().unwrap().len())
    };
    assert_eq!(policy(&["--as", "system"]), ("NoCluster".to_owned(), 1));
    assert_eq!(policy(&["--as", "orders", "--config", &config]), ("EnterpriseCluster".to_owned(), 1));
    let both = ["--as", "orders", "--config", &config, "--clustering-policy", "osscluster"];
    assert_eq!(policy(&both), ("OSSCluster".to_owned(), 3), "what is said on the command line counts more");

    let fails = |arguments: &[&str], says: &str| {
        let error = state.error(&[&["exec"], arguments, &["--", "true"]].concat());
        assert!(error.contains(says), "{error}\nand not {says}");
    };
    fails(&["--as", "system", "--config", &config], "there is no identity 'system'; the directory has: orders");
    fails(&["--as", "system", "--config", "/no/such.toml"], "/no/such.toml: it can't be read");
    fails(&["--as", "system", "--clustering-policy", "Sharded"], "NoCluster, EnterpriseCluster and OSSCluster");
}

#[test]
fn env_prints_what_exec_sets_for_whoever_reads_it() {
    let state = State::new();
    let emulator = state.start(&["--access-keys"]);
    let json: Value = serde_json::from_str(&state.prints(&["env", "--as", "user", "--format", "json"])).unwrap();
    let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert!(names.starts_with(&[
        "REDIS_HOST",
        "REDIS_PORT",
        "IDENTITY_ENDPOINT",
        "IDENTITY_HEADER",
        "AZURE_CLIENT_ID"
    ]));
    for (format, line) in [("dotenv", "REDIS_HOST=localhost\n"), ("github", "REDIS_HOST=localhost\n")] {
        let printed = state.prints(&["env", "--as", "user", "--format", format]);
        assert!(printed.starts_with(line) && printed.lines().count() == names.len(), "{printed}");
    }
    assert!(state.prints(&["env", "--as", "access-key"]).contains("export REDIS_ACCESS_KEY="));

    // A shell that evaluates it can do what a command below `exec` can.
    let script = r#"
        eval "$("$0" env --as developer --control)"
        test "$(command -v az)" = "$(echo "$PATH" | cut -d: -f1)/az" && test -n "$IDENTITY_HEADER" && command -v cat >/dev/null &&
        unset AMR_EMULATOR_STATE && "$0" control --json status"#;
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", script, PROGRAM]).env("AMR_EMULATOR_STATE", state.folder()).output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(status["process"], emulator.child.id());
    // The folder of `az` gets in front of the caller's PATH, and not in front of the emulator's.
    let mut command = state.command(&["env", "--as", "developer", "--format", "json"]);
    let json: Value = serde_json::from_slice(&command.env("PATH", "/of/the/caller").output().unwrap().stdout).unwrap();
    assert!(json["PATH"].as_str().unwrap().ends_with("/az/developer:/of/the/caller"), "{json}");
    assert!(state.error(&["env", "--as", "nobody"]).contains("the directory has: system, user"));
}

#[test]
fn token_prints_a_token_and_says_beside_it_how_to_use_it() {
    let state = State::new();
    let _emulator = state.start(&[]);
    let output = state.run(&["token", "--as", "user"]);
    let (token, hint) = (text(&output.stdout), text(&output.stderr));
    assert!(token.starts_with("eyJ") && token.lines().count() == 1, "{token}");
    assert!(hint.contains("REDISCLI_AUTH=\"$(amr-emulator token -q --as user)\" redis-cli -h localhost -p "), "{hint}");
    assert!(hint.contains("--user 0b1ec700-0000-4000-8000-000000000002") && !hint.contains("eyJ"), "{hint}");
    let of = |arguments: &[&str]| -> Value { serde_json::from_str(&state.prints(arguments)).unwrap() };
    assert_eq!(
        of(&["token", "--json"])["user_name"],
        "0b1ec700-0000-4000-8000-000000000001",
        "of the first assignment"
    );
    assert_eq!(text(&state.run(&["token", "--quiet"]).stderr), "");

    // What the hint says is done, where there is a redis-cli.
    let command = hint.lines().nth(1).unwrap().replace("amr-emulator", PROGRAM);
    let script = format!("command -v redis-cli >/dev/null || {{ echo none; exit; }}; {} ACL WHOAMI", command.trim());
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", &script]).env("AMR_EMULATOR_STATE", state.folder()).output().unwrap();
    match text(&output.stdout).trim() {
        "none" => _ = support::lacks("redis-cli"),
        said => assert_eq!(said.trim_matches('"'), "0b1ec700-0000-4000-8000-000000000002", "{}", text(&output.stderr)),
    }
}

#[test]
fn wait_ends_when_the_emulator_answers_and_not_before() {
    let state = State::new();
    let none = state.error(&["wait", "--timeout", "1s"]);
    assert!(none.contains("waited for 1 s: no emulator runs with the state folder"), "{none}");
    // One that was killed has left its file behind.
    state.start(&[]);
    assert!(state.announcement().exists());
    let mut waiting = Reader::of(state.command(&["wait"]));
    std::thread::sleep(Duration::from_millis(300));
    assert!(waiting.child.try_wait().unwrap().is_none(), "nobody answers yet");
    let _emulator = state.start(&[]);
    assert!(waiting.child.wait().unwrap().success());
}

/// As where a pipe is closed too early, or a program does not read what its child prints.
#[test]
fn it_goes_on_when_nobody_reads_its_settings() {
    let state = State::new();
    let mut child = state.command(FREE_PORTS).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    state.prints(&["wait"]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(state.json(&["status"])["process"], child.id());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}

/// The emulator can run for days, and engines come and go.
#[test]
fn engines_that_are_gone_leave_no_files() {
    let state = State::new();
    let emulator = state.start(&["--clustering-policy", "OSSCluster"]);
    let prefix = format!("amr-emulator-{}-", emulator.child.id());
    let run = fs::read_dir(std::env::temp_dir()).unwrap().flatten().map(|entry| entry.path());
    let run = run.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with(&prefix)).unwrap();
    let sockets = || {
        let find = Command::new("find").arg(&run).args(["-name", "redis.sock"]).output().unwrap();
        text(&find.stdout).lines().count()
    };
    assert_eq!(sockets(), 3);
    for shard in ["0", "1", "0", "2"] {
        state.control(&["fail-over", shard]);
        assert_eq!(sockets(), 3, "after a failover");
    }
    state.control(&["engine", "stop"]);
    assert_eq!(sockets(), 0);
    state.control(&["engine", "start"]);
    assert_eq!(sockets(), 3);
}

#[test]
fn completions_know_each_command() {
    let state = State::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = state.prints(&["completions", shell]);
        for word in ["exec", "completions", "fail-over", "clustering-policy"] {
            assert!(script.contains(word), "{shell}: {word} is missing");
        }
        assert!(!script.contains("guard"), "{shell} offers what is internal");
    }
    let script = r#"source <("$0" completions bash); COMP_WORDS=(amr-emulator tok); COMP_CWORD=1; _amr__emulator amr-emulator tok amr-emulator; echo "${COMPREPLY[@]}""#;
    let output = Command::new("bash").args(["-c", script, PROGRAM]).output().unwrap();
    assert_eq!(text(&output.stdout), "token\n", "{}", text(&output.stderr));
}

/// What the help shows is what the command understands: each example is tried as far as its words go.
#[test]
fn the_examples_of_the_help_are_understood() {
    let state = State::new();
    let mut examples = Vec::new();
    for command in [&[][..], &["exec"], &["env"], &["token"], &["wait"], &["events"], &["control"], &["completions"]] {
        let help = state.prints(&[command, &["--help"]].concat());
        examples.extend(help.split("amr-emulator ").skip(1).map(|rest| {
            let end = rest.find(['\n', ')', '>', '&']).unwrap_or(rest.len());
            rest[..end].split("   ").next().unwrap().trim().to_owned()
        }));
    }
    let commands = ["exec", "env", "token", "wait", "events", "control", "completions", "doctor"];
    let is_one = |example: &&String| commands.iter().any(|name| example.starts_with(&format!("{name} ")));
    // Not the lines that say what can be written.
    let examples: Vec<_> = examples.iter().filter(is_one).filter(|example| !example.contains(['<', '['])).collect();
    assert!(examples.len() >= 12, "{examples:?}");
    for example in examples {
        let script = format!("\"$0\" {example} --help", example = example.split(" -- ").next().unwrap());
        let output = Command::new("sh").args(["-c", &script, PROGRAM]).output().unwrap();
        assert!(output.status.success(), "{example}: {}", text(&output.stderr));
    }
}
