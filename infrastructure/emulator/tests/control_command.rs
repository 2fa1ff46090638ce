//! `amr-emulator control` and `amr-emulator events`: that they find the emulator that is meant, change it, tell what happens in it,
//! and say what is wrong.

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

    /// What `control` prints.
    fn control(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["control"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
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
    assert!(state.control(&["environment", "service-principal"]).contains("AZURE_CLIENT_SECRET=new\n"));
    assert!(state.control(&["identities"]).contains("orders"));
    let msi = state.control(&["environment", "user", "--hosting", "msi-2017", "--proxy"]);
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
    says(&["environment", "nobody"], "the directory has: system, user");
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
