//! The emulator under load for minutes while everything that can go wrong goes wrong: nobody gets in who should not, it does not grow,
//! and at the end it is as it was. `AMR_SOAK_SECONDS` says how long. Without it, a quarter of a minute; with `AMR_BOOK_SLOW=1`, as in
//! CI, a whole one. `AMR_SOAK_SEED` begins with the same choices again.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::{Pid, Signal, kill_process};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};
use support::{Client, PATIENCE, claims, resp, start_command, trusting};

const HONEST: &[&str] = &["system", "user", "service-principal", "system", "user", "service-principal"];
const ATTACKERS: usize = 2;

/// Memory that events may take which are kept, the last 100,000.
const KB_PER_EVENT: f64 = 4.0;
const KEPT_EVENTS: u64 = 100_000;

/// Memory that it may have beside events, in KB.
const KB_BESIDE_EVENTS: f64 = 128.0 * 1024.0;

/// The emulator in a process of its own, so that its memory and its files can be counted.
struct Emulator {
    child: Child,
    state: tempfile::TempDir,
    control: BTreeMap<String, String>,
    agent: ureq::Agent,
    tls: Arc<ClientConfig>,
    settings: BTreeMap<&'static str, BTreeMap<String, String>>,
    /// Where the cache is reached: its own port, and one a shard.
    ports: Mutex<Vec<u16>>,
    over: AtomicBool,
    counts: Mutex<BTreeMap<String, u64>>,
    /// The longest that the control API took.
    longest: Mutex<Duration>,
}

impl Emulator {
    fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let lives = ["--lifetime", "system=3s", "--lifetime", "user=4s", "--lifetime", "service-principal=5s"];
        let options = [&["--clustering-policy", "OSSCluster"], &lives[..]].concat();
        let (child, _) = start_command(state.path(), &options);
        let control = fs::read_to_string(state.path().join("control.env")).unwrap();
        let control = control.lines().filter_map(|line| line.split_once('='));
        let control = control.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut emulator = Emulator {
            tls: trusting(&state.path().join("ca.pem")),
            agent: ureq::Agent::config_builder().proxy(None).http_status_as_error(false).build().new_agent(),
            child,
            state,
            control,
            settings: BTreeMap::new(),
            ports: Mutex::default(),
            over: AtomicBool::new(false),
            counts: Mutex::default(),
            longest: Mutex::default(),
        };
        for identity in ["system", "user", "service-principal"] {
            let settings = emulator.call("GET", &format!("/v1/identities/{identity}/environment"), Value::Null);
            emulator.settings.insert(identity, serde_json::from_value(settings).unwrap());
        }
        emulator.call("PUT", "/v1/identities/toggled", json!({ "kind": "user-assigned" }));
        emulator.find_ports();
        emulator
    }

    /// Asks the control API, which never fails.
    fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.control["AMR_EMULATOR_CONTROL"]))
            .header("authorization", format!("Bearer {}", self.control["AMR_EMULATOR_CONTROL_TOKEN"]))
            .header("content-type", "application/json");
        let begun = Instant::now();
        let reply = match body {
            Value::Null => self.agent.run(request.body(()).unwrap()),
            body => self.agent.run(request.body(body.to_string()).unwrap()),
        };
        let mut reply = reply.unwrap_or_else(|e| {
            let state = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
            panic!("{method} {path}: {e} after {:?}; the process: {state}", begun.elapsed())
        });
        let mut longest = self.longest.lock().unwrap();
        *longest = longest.max(begun.elapsed());
        drop(longest);
        let text = reply.body_mut().read_to_string().unwrap();
        assert!(reply.status().is_success(), "{method} {path}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    fn find_ports(&self) {
        let status = self.call("GET", "/v1/status", Value::Null);
        let port = |port: &Value| u16::try_from(port.as_u64().unwrap()).unwrap();
        let shards = status["shards"].as_array().unwrap().iter().map(|shard| port(&shard["port"]));
        *self.ports.lock().unwrap() = std::iter::once(port(&status["ports"]["redis"])).chain(shards).collect();
    }

    /// A TLS connection, if somebody answers.
    fn connect(&self, random: &mut Random) -> Option<Client> {
        let port = { *random.one_of(&self.ports.lock().unwrap()) };
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let tls = ClientConnection::new(self.tls.clone(), "localhost".try_into().unwrap()).unwrap();
        Some(Client::over(StreamOwned::new(tls, stream)))
    }

    /// A token as an application gets it, if there is one to be had at the moment.
    fn token(&self, identity: &str) -> Option<String> {
        let settings = &self.settings[identity];
        if let Some(secret) = settings.get("AZURE_CLIENT_SECRET") {
            let authority = settings["AZURE_AUTHORITY_HOST"].strip_prefix("https://localhost:").unwrap();
            let stream = TcpStream::connect(("127.0.0.1", authority.parse().unwrap())).ok()?;
            let tls = ClientConnection::new(self.tls.clone(), "localhost".try_into().unwrap()).unwrap();
            let form = format!(
                "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fredis.azure.com%2F.default",
                settings["AZURE_CLIENT_ID"],
                form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>()
            );
            let request = format!(
                "POST /{}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost:{authority}\r\nConnection: close\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
                settings["AZURE_TENANT_ID"],
                form.len()
            );
            return access_token(StreamOwned::new(tls, stream), &request);
        }
        let endpoint = settings["IDENTITY_ENDPOINT"].strip_prefix("http://").unwrap();
        let (address, path) = endpoint.split_once('/').unwrap();
        let client = settings.get("AZURE_CLIENT_ID").map(|id| format!("&client_id={id}")).unwrap_or_default();
        let request = format!(
            "GET /{path}?api-version=2019-08-01&resource=https://redis.azure.com{client} HTTP/1.1\r\nHost: {address}\r\n\
             Connection: close\r\nX-IDENTITY-HEADER: {}\r\n\r\n",
            settings["IDENTITY_HEADER"]
        );
        access_token(TcpStream::connect(address).ok()?, &request)
    }

    /// User name and token of anybody, whatever is out of order.
    fn issued(&self, identity: &str) -> (String, String) {
        let reply = self.call("POST", &format!("/v1/identities/{identity}/tokens"), Value::Null);
        (reply["user_name"].as_str().unwrap().to_owned(), reply["token"].as_str().unwrap().to_owned())
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn count(&self, what: impl Into<String>) {
        *self.counts.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    /// Memory in KB, and open files, of the emulator without its engines.
    fn size(&self) -> (f64, usize) {
        let process = format!("/proc/{}", self.child.id());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory = memory.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        (memory, fs::read_dir(format!("{process}/fd")).unwrap().count())
    }

    /// How many processes it has started that have not been waited for.
    fn engines(&self) -> usize {
        let of = |stat: &str| stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
        stats.filter(|stat| of(stat) == Some(self.child.id())).count()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn access_token(mut stream: impl Read + Write, request: &str) -> Option<String> {
    stream.write_all(request.as_bytes()).ok()?;
    stream.flush().ok()?;
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let body: Value = serde_json::from_str(reply.split_once("\r\n\r\n")?.1).ok()?;
    body["access_token"].as_str().map(str::to_owned)
}

/// Sends a command and gives the first line of the reply; `None` if the connection has ended.
fn ask(client: &mut Client, arguments: &[&str]) -> Option<String> {
    client.stream.write_all(&resp(arguments)).ok()?;
    client.stream.flush().ok()?;
    client.try_line()
}

/// Numbers that are good enough to choose by, and can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// An application as it should be: signs in, works, signs in again, and comes back when it is cut off.
fn works(emulator: &Emulator, identity: &'static str, mut random: Random) {
    while !emulator.is_over() {
        let (Some(token), Some(mut client)) = (emulator.token(identity), emulator.connect(&mut random)) else {
            emulator.count("no token or no connection");
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        let object_id = claims(&token)["oid"].as_str().unwrap().to_owned();
        let mut token = Some(token);
        while let Some(fresh) = token {
            match ask(&mut client, &["AUTH", &object_id, &fresh]).as_deref() {
                Some("+OK") => emulator.count("sign-ins accepted"),
                Some(refused) if refused.starts_with("-WRONGPASS") => {
                    emulator.count("good sign-ins refused, because of a fault");
                    break;
                }
                Some(other) => panic!("a sign-in is answered {other}"),
                None => break,
            }
            let until = Instant::now() + Duration::from_millis(300 + random.below(1_200) as u64);
            let mut works = true;
            while works && Instant::now() < until && !emulator.is_over() {
                let key = format!("soak:{}", random.below(1000));
                works = ask(&mut client, &["SET", &key, &object_id]).is_some()
                    && ask(&mut client, &["PING"]).is_some_and(|reply| reply == "+PONG");
                std::thread::sleep(Duration::from_millis(4));
                emulator.count("commands");
            }
            token = if works && !emulator.is_over() { emulator.token(identity) } else { None };
        }
        emulator.count("connections of applications");
    }
}

/// A sign-in that must be refused, whatever else happens.
fn bad_sign_in(
    emulator: &Emulator,
    random: &mut Random,
    expired: &[(String, String)],
) -> (&'static str, String, String) {
    let (user, token) = emulator.issued("user");
    let parts: Vec<&str> = token.split('.').collect();
    let changed = |part: &str, name: &str, value: Value| {
        let mut members: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        members[name] = value;
        URL_SAFE_NO_PAD.encode(members.to_string())
    };
    let (system, _) = emulator.issued("system");
    match random.below(9) {
        0 => {
            let (unassigned, token) = emulator.issued("unassigned");
            ("no assignment", unassigned, token)
        }
        1 => ("another's name", system, token),
        2 => (
            "another's oid",
            system.clone(),
            format!("{}.{}.{}", parts[0], changed(parts[1], "oid", json!(system)), parts[2]),
        ),
        3 => (
            "a longer life",
            user,
            format!("{}.{}.{}", parts[0], changed(parts[1], "exp", json!(4_000_000_000_u64)), parts[2]),
        ),
        4 => ("no algorithm", user, format!("{}.{}.", changed(parts[0], "alg", json!("none")), parts[1])),
        5 => {
            let mut signature = parts[2].to_owned().into_bytes();
            let at = random.below(signature.len() - 1);
            signature[at] = if signature[at] == b'A' { b'B' } else { b'A' };
            ("another signature", user, format!("{}.{}.{}", parts[0], parts[1], String::from_utf8(signature).unwrap()))
        }
        6 => ("no token", user, "0123456789".repeat(random.below(200))),
        7 => ("the client id as user name", claims(&token)["appid"].as_str().unwrap().to_owned(), token),
        _ => match expired {
            [] => ("an empty password", user, String::new()),
            _ => {
                let (user, token) = random.one_of(expired).clone();
                ("an old token", user, token)
            }
        },
    }
}

/// Tries to get in all the time, and to do something without having got in.
fn attacks(emulator: &Emulator, mut random: Random) {
    let mut expired: Vec<(String, String)> = Vec::new();
    let mut waiting: Vec<(String, String)> = Vec::new();
    while !emulator.is_over() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let (over, rest) = waiting.into_iter().partition(|(_, token)| claims(token)["exp"].as_u64().unwrap() < now);
        waiting = rest;
        expired.extend::<Vec<_>>(over);
        if waiting.len() < 20 {
            waiting.push(emulator.issued("system"));
        }
        expired.drain(..expired.len().saturating_sub(50));
        let Some(mut client) = emulator.connect(&mut random) else { continue };
        for _ in 0..1 + random.below(4) {
            let (what, user, token) = bad_sign_in(emulator, &mut random, &expired);
            let hello = random.below(2) == 0;
            let reply = match hello {
                true => ask(&mut client, &["HELLO", "3", "AUTH", &user, &token]),
                false => ask(&mut client, &["AUTH", &user, &token]),
            };
            let Some(reply) = reply else { break };
            assert!(reply.starts_with('-'), "{what} is let in: {reply}");
            emulator.count(format!("refused: {what}"));
            let Some(reply) = ask(&mut client, &["GET", "soak:1"]) else { break };
            assert!(reply.starts_with("-NOAUTH"), "after {what}: {reply}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether somebody is let in, tried until there is an answer.
fn is_let_in(emulator: &Emulator, random: &mut Random, arguments: &[&str]) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let reply = emulator.connect(random).and_then(|mut client| ask(&mut client, arguments));
        match reply.as_deref() {
            Some("+OK") => return true,
            Some(reply) if reply.starts_with("-WRONGPASS") => return false,
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    panic!("nobody answers a sign-in within {PATIENCE:?}");
}

/// How many things can go wrong.
const FAULTS: usize = 12;

/// One thing goes wrong, and what must not happen then is tried.
fn one_fault(emulator: &Emulator, which: usize, random: &mut Random) {
    let put = |path: &str, body: Value| emulator.call("PUT", path, body);
    let lasts = 100 + random.below(900);
    let fault = match which {
        0 => {
            put("/v1/faults/entra", json!({ "kind": "fail", "status": 503, "lasts_ms": lasts }));
            "Entra ID fails"
        }
        1 => {
            put("/v1/faults/managed-identity", json!({ "kind": "fail", "status": 429, "lasts_ms": lasts }));
            "the managed identity endpoint fails"
        }
        2 => {
            put("/v1/faults/entra", json!({ "kind": "slow", "delay_ms": 300, "lasts_ms": lasts }));
            "Entra ID is slow"
        }
        3 => {
            put("/v1/faults/managed-identity", json!({ "kind": "hang", "lasts_ms": lasts }));
            "the managed identity endpoint hangs"
        }
        4 => {
            emulator.call("DELETE", "/v1/connections", Value::Null);
            "connections expire"
        }
        5 => {
            put("/v1/assignments/toggled", json!({ "identity": "toggled" }));
            let (user, token) = emulator.issued("toggled");
            let sign_in = ["AUTH", &user, &token];
            assert!(is_let_in(emulator, random, &sign_in), "an assignment does not let in");
            let mut inside = emulator.connect(random);
            let is_inside =
                inside.as_mut().and_then(|client| ask(client, &sign_in)).is_some_and(|reply| reply == "+OK");
            emulator.call("DELETE", "/v1/assignments/toggled", Value::Null);
            assert!(!is_let_in(emulator, random, &sign_in), "a removed assignment lets in");
            if let (true, Some(mut client)) = (is_inside, inside) {
                assert_eq!(ask(&mut client, &["PING"]), None, "a removed assignment lets stay");
            }
            "an assignment comes and goes"
        }
        6 => {
            let (user, token) = emulator.issued("user");
            let honoured = random.below(2) * 30;
            emulator.call("POST", "/v1/signing-keys", json!({ "honoured_seconds": honoured }));
            let accepted = is_let_in(emulator, random, &["AUTH", &user, &token]);
            assert!(honoured > 0 || !accepted, "a key that is honoured no more lets in");
            "the signing key changes"
        }
        7 => {
            let keys = put("/v1/access-keys", json!({ "enabled": true }));
            let key = keys["primary"].as_str().unwrap();
            assert!(is_let_in(emulator, random, &["AUTH", key]), "an access key does not let in");
            put("/v1/access-keys", json!({ "enabled": false }));
            assert!(!is_let_in(emulator, random, &["AUTH", key]), "an access key lets in though they are off");
            "access keys come and go"
        }
        8 => {
            let shift = if random.below(2) == 0 { 3600 } else { -3600 };
            put("/v1/clock", json!({ "shift_seconds": shift }));
            std::thread::sleep(Duration::from_millis(300));
            let (user, token) = emulator.issued("user");
            assert!(!is_let_in(emulator, random, &["AUTH", &user, &token]), "a token of another hour lets in");
            put("/v1/clock", json!({ "shift_seconds": 0 }));
            "the clock is wrong"
        }
        9 => {
            put("/v1/certificates/redis", json!({ "presents": "other-name" }));
            std::thread::sleep(Duration::from_millis(200));
            put("/v1/certificates/redis", json!({ "presents": "trusted" }));
            "the certificate is for another name"
        }
        10 => {
            emulator.call("POST", &format!("/v1/shards/{}/failover", random.below(3)), Value::Null);
            emulator.find_ports();
            "a shard fails over"
        }
        11 => {
            put("/v1/engine", json!({ "running": false }));
            std::thread::sleep(Duration::from_millis(200));
            put("/v1/engine", json!({ "running": true }));
            "the engines restart"
        }
        other => panic!("there is no fault {other}"),
    };
    emulator.count(format!("fault: {fault}"));
}

/// What the log says of the whole run.
fn judge(emulator: &Emulator) -> u64 {
    let mut next = 1;
    let (mut keys, mut toggled) = (false, false);
    for line in BufReader::new(File::open(emulator.state.path().join("events.jsonl")).unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(event["seq"], next, "the log has a gap");
        next += 1;
        match (event["event"].as_str().unwrap(), event["action"].as_str(), event["detail"].as_str()) {
            ("control", Some("access-keys"), Some(state)) => keys = state == "on",
            ("control", Some("assignment-created"), _) => toggled = true,
            ("control", Some("assignment-removed"), _) => toggled = false,
            ("access-key-accepted", ..) => assert!(keys, "an access key is accepted while they are off: {event}"),
            ("sign-in-accepted", ..) => {
                let identity = event["identity"].as_str().unwrap();
                assert!(identity != "unassigned" && (identity != "toggled" || toggled), "{event}");
            }
            _ => {}
        }
    }
    next - 1
}

#[test]
fn under_load_with_faults_nobody_gets_in_and_nothing_grows() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let time = Duration::from_secs(number("AMR_SOAK_SECONDS").unwrap_or(if number("AMR_BOOK_SLOW") == Some(1) {
        60
    } else {
        15
    }));
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("AMR_SOAK_SEED").unwrap_or_else(clock) | 1;
    println!("AMR_SOAK_SEED={seed}");
    let emulator = Emulator::start();
    let (_, files_at_the_start) = emulator.size();
    let random = |nth: u64| Random(seed.wrapping_mul(2 * nth + 1).rotate_left(17) | 1);
    let sizes = Mutex::new(Vec::new());
    let progress = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let emulator = &emulator;
        let mut workers = Vec::new();
        for (nth, identity) in HONEST.iter().enumerate() {
            workers.push(scope.spawn(move || works(emulator, identity, random(nth as u64))));
        }
        for nth in 0..ATTACKERS {
            workers.push(scope.spawn(move || attacks(emulator, random(100 + nth as u64))));
        }
        let faults = scope.spawn(|| {
            let mut random = random(200);
            let mut left = Vec::new();
            while !emulator.is_over() {
                // Each of them before any comes again.
                if left.is_empty() {
                    left.extend(0..FAULTS);
                }
                let which = left.swap_remove(random.below(left.len()));
                one_fault(emulator, which, &mut random);
                progress.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(200 + random.below(800) as u64));
            }
        });
        let end = Instant::now() + time;
        // A worker that has panicked ends the run: joined below, it fails the test.
        while Instant::now() < end && !faults.is_finished() && workers.iter().all(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(500));
            sizes.lock().unwrap().push(emulator.size());
        }
        emulator.over.store(true, Ordering::Relaxed);
    });

    emulator.call("POST", "/v1/reset", Value::Null);
    emulator.find_ports();
    let events = emulator.call("GET", "/v1/status", Value::Null)["last_event"].as_u64().unwrap();
    let mut all = Random(seed);
    for identity in ["system", "user", "service-principal"] {
        let token = emulator.token(identity).unwrap_or_else(|| panic!("no token for {identity} at the end"));
        let object_id = claims(&token)["oid"].as_str().unwrap().to_owned();
        // Again and again, so that every port is tried.
        for _ in 0..20 {
            assert!(
                is_let_in(&emulator, &mut all, &["AUTH", &object_id, &token]),
                "{identity} is not let in at the end"
            );
        }
    }
    let settled = Instant::now() + Duration::from_secs(10);
    while emulator.call("GET", "/v1/status", Value::Null)["connections"] != 0 {
        assert!(Instant::now() < settled, "connections stay: {}", emulator.call("GET", "/v1/connections", Value::Null));
        std::thread::sleep(Duration::from_millis(100));
    }
    let sizes = sizes.into_inner().unwrap();
    let (memory, files) = emulator.size();
    let most = sizes.iter().map(|(memory, _)| *memory).fold(memory, f64::max);
    let halfway = sizes[sizes.len() / 2].0;
    let mut report = format!(
        "{} s, {events} events, {} faults\nmemory {:.0} MB at the start, {:.0} halfway, {:.0} at the end, {:.0} at most\n\
         files {files_at_the_start} at the start, {} at most, {files} at the end\n",
        time.as_secs(),
        progress.into_inner(),
        sizes[0].0 / 1024.0,
        halfway / 1024.0,
        memory / 1024.0,
        most / 1024.0,
        sizes.iter().map(|(_, files)| *files).max().unwrap(),
    );
    let curve: Vec<String> = (0..=10)
        .map(|tenth| sizes[tenth * (sizes.len() - 1) / 10])
        .map(|(memory, _)| format!("{:.0}", memory / 1024.0))
        .collect();
    writeln!(report, "longest call of the control API: {:?}", emulator.longest.lock().unwrap()).unwrap();
    writeln!(report, "memory over time: {} MB", curve.join(" ")).unwrap();
    for (what, count) in emulator.counts.lock().unwrap().iter() {
        writeln!(report, "{count:>9} {what}").unwrap();
    }
    println!("{report}");
    assert_eq!(judge(&emulator), emulator.call("GET", "/v1/status", Value::Null)["last_event"].as_u64().unwrap());
    assert_eq!(emulator.engines(), 3, "engines are left, or missing");
    assert!(files <= files_at_the_start + 8, "{files} files are open, {files_at_the_start} were at the start");
    let allowed = KB_BESIDE_EVENTS + KB_PER_EVENT * events.min(KEPT_EVENTS) as f64;
    assert!(most < allowed, "{most} KB of memory, with {events} events; {allowed} are allowed");
    // Once the log is full, events come and go.
    let after_seven_tenths = sizes[sizes.len() * 7 / 10].0;
    if events * 6 / 10 > KEPT_EVENTS * 12 / 10 {
        assert!(memory < after_seven_tenths * 1.1, "memory grows, from {after_seven_tenths} KB to {memory} at the end");
    }
}
