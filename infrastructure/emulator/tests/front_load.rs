//! The Redis port under load: many connections, long pipelines, large values, slow clients, and changes from outside at the worst
//! moment. What it keeps in memory has a bound, and nobody gets in or stays who should not.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use azure_managed_redis_emulator::{ClosedBy, ClusteringPolicy, Emulator, EventKind, Refusal};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use rustls::ClientConfig;
use support::{Client, PATIENCE, refusals, resp, start_command, tls_with, token_of, trusting};

const WRONGPASS: &str = "-WRONGPASS invalid username-password pair";

/// How often connections ended, by whom.
fn ends(emulator: &Emulator) -> BTreeMap<String, usize> {
    let mut ends = BTreeMap::new();
    for event in emulator.events() {
        if let EventKind::ConnectionClosed { by, .. } = event.kind {
            *ends.entry(format!("{by:?}")).or_default() += 1;
        }
    }
    ends
}

fn accepted(emulator: &Emulator) -> usize {
    emulator.events().iter().filter(|event| matches!(event.kind, EventKind::SignInAccepted { .. })).count()
}

#[test]
fn a_hundred_thousand_replies_wait_for_a_client_that_reads_late() {
    for &(_, policy) in ClusteringPolicy::ALL {
        let emulator = Emulator::builder().clustering_policy(policy).start().unwrap();
        let (system, token) = token_of(&emulator, "system");
        let mut client = Client::signed_in(&emulator, emulator.redis_port(), "user");
        for start in (0..100_000).step_by(1000) {
            let mut bytes: Vec<u8> = (start..start + 1000).flat_map(|n| resp(&["ECHO", &n.to_string()])).collect();
            if start % 10_000 == 0 {
                bytes.extend(resp(&["AUTH", &system, &token]));
                bytes.extend(resp(&["AUTH", &system, "wrong"]));
            }
            client.send(bytes);
        }
        for n in 0..100_000 {
            assert_eq!(client.reply().text(), n.to_string(), "{policy:?}");
            if n % 10_000 == 999 {
                assert_eq!((client.line().as_str(), client.line().as_str()), ("+OK", WRONGPASS), "{policy:?}");
            }
        }
        assert_eq!((accepted(&emulator), refusals(&emulator).len()), (11, 10), "{policy:?}");
    }
}

#[test]
fn ten_thousand_sign_ins_may_be_sent_together() {
    let emulator = Emulator::start().unwrap();
    let (system, token) = token_of(&emulator, "system");
    let mut client = Client::connect(&emulator);
    for _ in 0..100 {
        client.send(resp(&["AUTH", &system, &token]).repeat(100));
    }
    for _ in 0..10_000 {
        assert_eq!(client.line(), "+OK");
    }
    assert_eq!(client.bulk(&["ACL", "WHOAMI"]), system);
    assert_eq!(accepted(&emulator), 10_000);
}

/// The command in a process of its own, so that its memory can be read.
struct Process {
    child: Child,
    /// Of the identity `system`.
    settings: BTreeMap<String, String>,
    ca_file: PathBuf,
    _state: tempfile::TempDir,
}

impl Process {
    fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let (child, lines) = start_command(state.path(), &[]);
        let of_system =
            lines.iter().skip_while(|line| *line != "# as system").skip(1).take_while(|line| !line.is_empty());
        let settings = of_system
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        Process { child, settings, ca_file: state.path().join("ca.pem"), _state: state }
    }

    fn redis_port(&self) -> u16 {
        self.settings["REDIS_PORT"].parse().unwrap()
    }

    /// Object id and token of the identity `system`.
    fn token(&self) -> (String, String) {
        let endpoint = self.settings["IDENTITY_ENDPOINT"].strip_prefix("http://").unwrap();
        let (address, path) = endpoint.split_once('/').unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET /{path}?api-version=2019-08-01&resource=https://redis.azure.com HTTP/1.1\r\nHost: {address}\r\n\
             X-IDENTITY-HEADER: {}\r\nConnection: close\r\n\r\n",
            self.settings["IDENTITY_HEADER"]
        )
        .unwrap();
        let reply = std::io::read_to_string(stream).unwrap();
        let body: serde_json::Value = serde_json::from_str(reply.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        ("0b1ec700-0000-4000-8000-000000000001".to_owned(), body["access_token"].as_str().unwrap().to_owned())
    }

    /// Memory in KB, now and at most so far. The engine is another process.
    fn memory(&self) -> (usize, usize) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Bytes that tell where they belong, so that a gap or a swap is noticed.
fn pattern(start: usize, length: usize) -> Vec<u8> {
    let first = start / 8;
    let numbers = first..(start + length).div_ceil(8);
    let bytes: Vec<u8> = numbers.flat_map(|n| (n as u64).to_be_bytes()).collect();
    bytes[start - 8 * first..][..length].to_vec()
}

#[test]
fn values_of_200_mb_pass_both_ways_without_being_kept() {
    const SIZE: usize = 200 * 1024 * 1024;
    const PIECE: usize = 1024 * 1024;
    let process = Process::start();
    let (id, token) = process.token();
    let mut client = Client::over(tls_with(trusting(&process.ca_file), process.redis_port()));
    assert_eq!(client.sign_in(&id, &token), "+OK");
    let (_, before) = process.memory();
    client.send(format!("*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n${SIZE}\r\n"));
    for start in (0..SIZE).step_by(PIECE) {
        client.send(pattern(start, PIECE));
    }
    client.send("\r\n");
    assert_eq!(client.line(), "+OK");
    client.send(resp(&["GET", "large"]));
    client.send(resp(&["AUTH", &id, &token]));
    assert_eq!(client.line(), format!("${SIZE}"));
    for start in (0..SIZE).step_by(PIECE) {
        assert!(client.bytes(PIECE) == pattern(start, PIECE), "a difference in the piece from {start} on");
    }
    assert_eq!(client.line(), "");
    assert_eq!(client.line(), "+OK");
    let (_, most) = process.memory();
    assert!(most - before < 20 * 1024, "{} KB more than before", most - before);
}

/// What nobody reads waits in the engine, and what a script says in one line passes as it comes.
#[test]
fn neither_unread_replies_nor_endless_lines_are_kept() {
    let process = Process::start();
    let (id, token) = process.token();
    let config = trusting(&process.ca_file);
    let mut client = Client::over(tls_with(config.clone(), process.redis_port()));
    assert_eq!(client.sign_in(&id, &token), "+OK");
    let value = "v".repeat(1_000_000);
    client.send(resp(&["SET", "value", &value]));
    assert_eq!(client.line(), "+OK");
    let (_, before) = process.memory();
    client.send(resp(&["GET", "value"]).repeat(50));
    let line = "return redis.status_reply(string.rep('x', 30000000))";
    client.send(resp(&["EVAL", line, "0"]));
    // A second client sees that the engine has carried everything out.
    let mut other = Client::over(tls_with(config, process.redis_port()));
    assert_eq!(other.sign_in(&id, &token), "+OK");
    assert_eq!(other.command(&["PING"]), "+PONG");
    for _ in 0..50 {
        assert_eq!(client.line(), "$1000000");
        client.bytes(1_000_002);
    }
    assert_eq!(client.bytes(30_000_003).len(), 30_000_003);
    assert_eq!(client.command(&["PING"]), "+PONG");
    let (_, most) = process.memory();
    assert!(most - before < 20 * 1024, "{} KB more than before", most - before);
}

/// Makes room for so many open files in this process, and in those that it starts. Says so and gives false if that can't be.
fn allow_open_files(count: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return true;
    }
    let raised = Rlimit { current: Some(count), maximum: limit.maximum.map(|maximum| maximum.max(count)) };
    let done = setrlimit(Resource::Nofile, raised).is_ok();
    if !done {
        eprintln!("SKIPPED: {count} open files are needed, and the limit of {:?} can't be raised", limit.maximum);
    }
    done
}

/// So many signed-in connections at once, made by several threads.
fn crowd(count: usize, config: &Arc<ClientConfig>, port: u16, id: &str, token: &str) -> Vec<Client> {
    const THREADS: usize = 16;
    std::thread::scope(|scope| {
        let some = |thread: usize| {
            scope.spawn(move || {
                let mine = count / THREADS + usize::from(thread < count % THREADS);
                let connect = |_| {
                    let mut client = Client::over(tls_with(config.clone(), port));
                    assert_eq!(client.sign_in(id, token), "+OK");
                    client
                };
                let clients: Vec<Client> = (0..mine).map(connect).collect();
                clients
            })
        };
        let threads: Vec<_> = (0..THREADS).map(some).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn two_thousand_clients_connect_at_once_and_cost_little_while_idle() {
    const COUNT: usize = 2000;
    if !allow_open_files(10_000) {
        return;
    }
    let process = Process::start();
    let (id, token) = process.token();
    let config = trusting(&process.ca_file);
    // What the first connections cost is there once.
    drop(crowd(16, &config, process.redis_port(), &id, &token));
    let (before, _) = process.memory();
    let mut clients = crowd(COUNT, &config, process.redis_port(), &id, &token);
    for client in &mut clients {
        client.send(resp(&["INCR", "visits"]));
    }
    for client in &mut clients {
        assert!(client.line().starts_with(':'));
    }
    assert_eq!(clients[0].command(&["INCR", "visits"]), format!(":{}", COUNT + 1));
    let (after, _) = process.memory();
    let each = (after - before) / COUNT;
    println!("{each} KB for each idle connection");
    assert!(each < 60, "{each} KB for each idle connection");
}

#[test]
fn connections_whose_tokens_run_out_together_are_cut_together_and_come_back() {
    const COUNT: usize = 200;
    let in_one_policy = |policy| {
        let emulator = Emulator::builder()
            .clustering_policy(policy)
            .token_lifetime("user", Duration::from_secs(20))
            .start()
            .unwrap();
        let config = trusting(emulator.ca_file());
        let (id, token) = token_of(&emulator, "user");
        let mut clients = crowd(COUNT, &config, emulator.redis_port(), &id, &token);
        let (id_2, token_2) = token_of(&emulator, "system");
        // Some sign in again, at the last moment or before; the others go on asking until they are cut.
        let (kept, lost) = clients.split_at_mut(COUNT / 4);
        for client in &mut *kept {
            assert_eq!(client.sign_in(&id_2, &token_2), "+OK");
        }
        let cut = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for some in lost.chunks_mut(COUNT / 8) {
                scope.spawn(|| {
                    for client in some {
                        let ping = resp(&["PING"]);
                        while client.stream.write_all(&ping).and_then(|()| client.stream.flush()).is_ok() {
                            match client.try_line() {
                                Some(line) => assert_eq!(line, "+PONG"),
                                None => break,
                            }
                        }
                        cut.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(cut.into_inner(), lost.len());
        let expired = |events: &[azure_managed_redis_emulator::Event]| {
            let by_expiry = |kind: &EventKind| matches!(kind, EventKind::ConnectionClosed { by: ClosedBy::Expiry, .. });
            events.iter().filter(|event| by_expiry(&event.kind)).count()
        };
        assert!(
            emulator.wait_for(PATIENCE, |events| expired(events) == lost.len()),
            "{policy:?} {:?}",
            ends(&emulator)
        );
        for client in kept {
            assert_eq!(client.command(&["PING"]), "+PONG", "{policy:?}");
        }
        assert_eq!(emulator.control().connections().len(), COUNT / 4);
        drop(crowd(COUNT, &config, emulator.redis_port(), &id_2, &token_2));
    };
    // Side by side, for all of them wait.
    std::thread::scope(|scope| {
        for &(_, policy) in ClusteringPolicy::ALL {
            scope.spawn(move || in_one_policy(policy));
        }
    });
}

/// Whoever signs in while the assignment goes is refused or cut, whichever comes first; nobody stays.
#[test]
fn nobody_stays_who_signed_in_while_the_assignment_was_removed() {
    for &(_, policy) in ClusteringPolicy::ALL {
        let emulator = Emulator::builder().clustering_policy(policy).start().unwrap();
        let control = emulator.control();
        let config = trusting(emulator.ca_file());
        let (id, token) = token_of(&emulator, "user");
        let object_id = id.parse().unwrap();
        for _ in 0..15 {
            let mut clients: Vec<Client> =
                (0..12).map(|_| Client::over(tls_with(config.clone(), emulator.redis_port()))).collect();
            std::thread::scope(|scope| {
                for client in &mut clients {
                    scope.spawn(|| {
                        let sign_in = resp(&["AUTH", &id, &token]);
                        // Until the removal, which ends it with WRONGPASS or the end of the connection.
                        while client.stream.write_all(&sign_in).and_then(|()| client.stream.flush()).is_ok() {
                            match client.try_line().as_deref() {
                                Some("+OK") => {}
                                Some(other) => {
                                    assert_eq!(other, WRONGPASS, "{policy:?}");
                                    break;
                                }
                                None => break,
                            }
                        }
                    });
                }
                control.unassign("user").unwrap();
            });
            let named = |connection: &azure_managed_redis_emulator::OpenConnection| connection.identity.is_some();
            let started = Instant::now();
            while control.connections().iter().any(named) {
                assert!(started.elapsed() < PATIENCE, "{policy:?}: {:?}", control.connections());
                std::thread::yield_now();
            }
            for client in &mut clients {
                let alive = client.stream.write_all(&resp(&["PING"])).and_then(|()| client.stream.flush()).is_ok();
                let answer = if alive { client.try_line() } else { None };
                assert!(answer.as_deref().is_none_or(|line| line.starts_with("-NOAUTH")), "{policy:?}: {answer:?}");
            }
            control.assign("user", object_id, None).unwrap();
        }
        assert!(refusals(&emulator).iter().all(|reason| *reason == Refusal::NoAssignment), "{policy:?}");
        let ends = ends(&emulator);
        assert!(ends.keys().all(|by| ["AssignmentRemoved", "Client"].contains(&by.as_str())), "{policy:?}: {ends:?}");
    }
}

/// An assignment that is removed and made again at once is there in the end.
#[test]
fn an_assignment_that_is_made_again_at_once_works() {
    let emulator = Emulator::start().unwrap();
    let (id, token) = token_of(&emulator, "user");
    let object_id = id.parse().unwrap();
    let control = emulator.control();
    for _ in 0..100 {
        let removed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                control.unassign("user").unwrap();
                removed.store(true, Ordering::Relaxed);
            });
            while !removed.load(Ordering::Relaxed) {
                control.assign("user", object_id, None).unwrap();
            }
        });
        if control.assignments().iter().any(|assignment| assignment.object_id == object_id) {
            assert_eq!(Client::connect(&emulator).sign_in(&id, &token), "+OK");
        }
        control.assign("user", object_id, None).unwrap();
    }
}

/// Tokens of the key before are good for as long as they are honoured, and not a moment longer.
#[test]
fn sign_ins_go_on_while_the_signing_key_is_rotated() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(&emulator);
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) || count < 20 {
                        let (id, token) = token_of(&emulator, "user");
                        assert_eq!(client.sign_in(&id, &token), "+OK");
                        count += 1;
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            control.rotate_signing_key(Duration::from_secs(600)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    assert!(refusals(&emulator).is_empty());
    let (id, token) = token_of(&emulator, "user");
    control.rotate_signing_key(Duration::ZERO).unwrap();
    let mut client = Client::connect(&emulator);
    assert_eq!(client.sign_in(&id, &token), WRONGPASS);
    assert_eq!(refusals(&emulator), [Refusal::UnknownKey]);
}

#[test]
fn a_busy_emulator_stops_and_tells_how_each_connection_ended() {
    let state = tempfile::tempdir().unwrap();
    let events = state.path().join("events.jsonl");
    let emulator = Emulator::builder().events_file(&events).start().unwrap();
    let config = trusting(emulator.ca_file());
    let (id, token) = token_of(&emulator, "user");
    let mut clients = crowd(40, &config, emulator.redis_port(), &id, &token);
    let (readers, others) = clients.split_at_mut(20);
    // Ten never read what they asked for, ten wait for something that never comes.
    for (at, client) in others.iter_mut().enumerate() {
        let command =
            if at % 2 == 0 { resp(&["BLPOP", "never", "0"]) } else { resp(&["ECHO", &"x".repeat(5000)]).repeat(2000) };
        client.send(command);
    }
    let busy = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in readers {
            scope.spawn(|| {
                let ping = resp(&["PING"]);
                let mut first = true;
                while client.stream.write_all(&ping).and_then(|()| client.stream.flush()).is_ok()
                    && client.try_line().is_some()
                {
                    if std::mem::take(&mut first) {
                        busy.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        while busy.load(Ordering::Relaxed) < 20 {
            std::thread::yield_now();
        }
        let started = Instant::now();
        drop(emulator);
        assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    });
    let log = std::fs::read_to_string(&events).unwrap();
    let ends = log.lines().filter(|line| line.contains(r#""event":"connection-closed""#));
    let told: Vec<&str> = ends.collect();
    assert_eq!(told.len(), 40);
    assert!(told.iter().all(|line| line.contains(r#""by":"shutdown""#)), "{told:?}");
}

/// A byte now and then does not keep a connection open.
#[test]
fn who_only_trickles_is_let_go() {
    let second = Duration::from_secs(1);
    let emulator = Emulator::builder().handshake_time(second).sign_in_time(second).start().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The start of a long ClientHello, byte by byte.
            let mut hello = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];
            hello.resize(16_000, 0);
            trickle(TcpStream::connect(("127.0.0.1", emulator.redis_port())).unwrap(), &hello);
        });
        scope.spawn(|| {
            // An AUTH that never gets whole.
            let auth = [b"*3\r\n$4\r\nAUTH\r\n$1\r\nx\r\n$16000\r\n".to_vec(), vec![b'e'; 15_000]].concat();
            trickle(support::tls(&emulator, emulator.redis_port()), &auth);
        });
        // Empty commands, which are none.
        scope.spawn(|| trickle(support::tls(&emulator, emulator.redis_port()), b"*0\r\n\r\n"));
    });
    assert!(emulator.wait_for(PATIENCE, |events| {
        let failed = |kind: &EventKind| matches!(kind, EventKind::TlsFailed { .. });
        events.iter().any(|event| failed(&event.kind))
    }));
    assert_eq!(ends(&emulator), BTreeMap::from([("NoSignIn".to_owned(), 2)]));
}

/// Sends these bytes one by one, over and over, until nobody takes them any more.
fn trickle(mut to: impl Write, bytes: &[u8]) {
    let started = Instant::now();
    for byte in bytes.iter().cycle() {
        if to.write_all(&[*byte]).and_then(|()| to.flush()).is_err() {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "still there after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
