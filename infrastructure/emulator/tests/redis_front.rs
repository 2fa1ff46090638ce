//! The Redis port as a client meets it: who gets in, who does not and why, what stays out of reach, and when it ends.

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use azure_managed_redis_emulator::{ClosedBy, ClusteringPolicy, Emulator, EventKind, Presented, Refusal};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use support::{Client, PATIENCE, refusals, resp, token_for, token_of};

const WRONGPASS: &str = "-WRONGPASS invalid username-password pair";
const NOAUTH: &str = "-NOAUTH Authentication required.";

#[test]
fn nothing_works_before_the_sign_in_and_everything_after() {
    let emulator = Emulator::start().unwrap();
    let mut client = Client::connect(&emulator);
    assert_eq!(client.command(&["PING"]), NOAUTH);
    let (object_id, token) = token_of(&emulator, "system");
    assert_eq!(client.sign_in(&object_id, &token), "+OK");
    assert_eq!(client.bulk(&["ACL", "WHOAMI"]), object_id);
    assert_eq!(client.command(&["SET", "greeting", "hello"]), "+OK");
    assert_eq!(client.bulk(&["GET", "greeting"]), "hello");
    assert_eq!(client.command(&["SELECT", "1"]), "-ERR DB index is out of range");
}

#[test]
fn hello_signs_in_too_with_its_options_in_either_order() {
    let emulator = Emulator::start().unwrap();
    let (object_id, token) = token_of(&emulator, "user");
    let id = object_id.as_str();
    for options in
        [vec!["AUTH", id, &token], vec!["SETNAME", "me", "AUTH", id, &token], vec!["auth", id, &token, "setname", "me"]]
    {
        let mut client = Client::connect(&emulator);
        let command = [vec!["HELLO", "3"], options].concat();
        assert_eq!(client.command(&command), "%7", "{command:?}");
    }
    let mut client = Client::connect(&emulator);
    let version = client.command(&["HELLO", "4", "AUTH", id, &token]);
    assert!(version.starts_with("-NOPROTO"), "{version}");
    assert_eq!(client.command(&["PING"]), NOAUTH);
    let twice = client.command(&["HELLO", "3", "AUTH", id, &token, "AUTH", id, &token]);
    assert_eq!(twice, WRONGPASS);
    assert_eq!(refusals(&emulator), [Refusal::CommandRefused, Refusal::RepeatedAuth]);
}

/// The token with another key's name in its header.
fn with_other_key(token: &str) -> String {
    let (header, rest) = token.split_once('.').unwrap();
    let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    let header = header.replace(r#""kid":""#, r#""kid":"x"#);
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
}

/// The token with the byte at `at` replaced by another of its alphabet.
fn tamper(token: &str, at: usize) -> String {
    let mut bytes = token.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

#[test]
fn every_bad_token_gets_the_same_answer_and_its_own_reason() {
    let emulator = Emulator::builder().token_lifetime("user", Duration::from_secs(1)).start().unwrap();
    let (object_id, token) = token_of(&emulator, "system");
    let (user, short) = token_of(&emulator, "user");
    let (unassigned, of_unassigned) = token_of(&emulator, "unassigned");
    let (_, for_management) = token_for(&emulator, "system", "https://management.azure.com");
    let other = Emulator::builder().state_folder(tempfile::tempdir().unwrap().keep()).start().unwrap();
    let (_, foreign) = token_of(&other, "system");
    let client_id = emulator.directory().identity("system").unwrap().client_id.to_string();
    let parts: Vec<&str> = token.split('.').collect();
    let (header, payload) = (parts[0].len(), parts[1].len());
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#), parts[1]);
    std::thread::sleep(Duration::from_millis(2100));

    let cases = [
        ("header changed", &object_id, tamper(&token, 8), Refusal::NotAToken),
        ("key name changed", &object_id, with_other_key(&token), Refusal::UnknownKey),
        ("payload changed", &object_id, tamper(&token, header + 1 + payload / 2), Refusal::BadSignature),
        ("signature changed", &object_id, tamper(&token, token.len() - 20), Refusal::BadSignature),
        ("signature cut", &object_id, token[..token.len() - 1].to_owned(), Refusal::BadSignature),
        ("unsigned", &object_id, none, Refusal::UnknownAlgorithm),
        ("expired", &user, short, Refusal::Expired),
        ("another audience", &object_id, for_management, Refusal::WrongAudience),
        ("another emulator", &object_id, foreign, Refusal::UnknownKey),
        ("client id as user name", &client_id, token.clone(), Refusal::UsernameNotObjectId),
        ("another's object id", &user, token.clone(), Refusal::UsernameNotObjectId),
        ("no assignment", &unassigned, of_unassigned, Refusal::NoAssignment),
        ("a password", &object_id, "secret".to_owned(), Refusal::NotAToken),
        ("empty", &object_id, String::new(), Refusal::NotAToken),
    ];
    let mut client = Client::connect(&emulator);
    for (what, username, token, reason) in &cases {
        assert_eq!(client.sign_in(username, token), WRONGPASS, "{what}");
        assert_eq!(refusals(&emulator).last(), Some(reason), "{what}");
    }
    assert_eq!(client.command(&["AUTH", "a-key"]), WRONGPASS);
    assert_eq!(refusals(&emulator).last(), Some(&Refusal::AccessKey));
    assert_eq!(client.command(&["PING"]), NOAUTH);
    let log = serde_json::to_string(&emulator.events()).unwrap();
    assert!(!log.contains("eyJ"), "a token is in the log");
}

#[test]
fn a_failed_sign_in_keeps_the_old_identity() {
    let emulator = Emulator::start().unwrap();
    let (object_id, token) = token_of(&emulator, "system");
    let mut client = Client::connect(&emulator);
    client.sign_in(&object_id, &token);
    assert_eq!(client.sign_in(&object_id, "wrong"), WRONGPASS);
    assert_eq!(client.bulk(&["ACL", "WHOAMI"]), object_id);
    let (other, token) = token_of(&emulator, "user");
    assert_eq!(client.sign_in(&other, &token), "+OK");
    assert_eq!(client.bulk(&["ACL", "WHOAMI"]), other);
}

#[test]
fn replies_stay_in_order_when_good_and_bad_sign_ins_are_pipelined() {
    let emulator = Emulator::start().unwrap();
    let (object_id, token) = token_of(&emulator, "system");
    let mut client = Client::connect(&emulator);
    let mut bytes = resp(&["PING"]);
    bytes.extend(resp(&["AUTH", &object_id, "wrong"]));
    bytes.extend(resp(&["AUTH", &object_id, &token]));
    bytes.extend(resp(&["PING"]));
    bytes.extend(resp(&["AUTH", &object_id, "wrong"]));
    bytes.extend(resp(&["ECHO", "end"]));
    client.send(bytes);
    let lines: Vec<String> = (0..7).map(|_| client.line()).collect();
    assert_eq!(lines, [NOAUTH, WRONGPASS, "+OK", "+PONG", WRONGPASS, "$3", "end"]);
}

#[test]
fn a_sign_in_may_come_byte_by_byte_or_inline() {
    let emulator = Emulator::start().unwrap();
    let (object_id, token) = token_of(&emulator, "system");
    let mut client = Client::connect(&emulator);
    for byte in resp(&["AUTH", &object_id, &token]) {
        client.send([byte]);
    }
    assert_eq!(client.line(), "+OK");
    let mut client = Client::connect(&emulator);
    client.send(format!("AUTH \"{object_id}\" '{token}'\nPING\r\n"));
    assert_eq!((client.line(), client.line()), ("+OK".to_owned(), "+PONG".to_owned()));
}

#[test]
fn a_sign_in_inside_a_transaction_counts_when_the_transaction_runs() {
    let emulator = Emulator::builder().token_lifetime("user", Duration::from_secs(3)).start().unwrap();
    let (system, token) = token_of(&emulator, "system");
    let (user, short) = token_of(&emulator, "user");
    let mut client = Client::connect(&emulator);
    assert_eq!(client.sign_in(&user, &short), "+OK");
    assert_eq!(client.command(&["MULTI"]), "+OK");
    assert_eq!(client.sign_in(&system, &token), "+QUEUED");
    assert_eq!(client.sign_in(&system, "wrong"), "+QUEUED");
    assert_eq!(client.command(&["EXEC"]), "*2");
    assert_eq!((client.line().as_str(), client.line().as_str()), ("+OK", WRONGPASS));
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(client.command(&["PING"]), "+PONG", "the connection now belongs to the longer token");

    let (_, short) = token_of(&emulator, "user");
    let mut client = Client::connect(&emulator);
    client.sign_in(&user, &short);
    client.command(&["MULTI"]);
    client.sign_in(&system, &token);
    assert_eq!(client.command(&["DISCARD"]), "+OK");
    assert!(client.is_closed(), "a discarded sign-in does not keep the connection alive");
}

#[test]
fn the_connection_is_cut_at_expiry_unless_it_signs_in_again() {
    let emulator = Emulator::builder().token_lifetime("user", Duration::from_secs(2)).start().unwrap();
    let (object_id, first) = token_of(&emulator, "user");
    let mut kept = Client::connect(&emulator);
    let mut left = Client::connect(&emulator);
    kept.sign_in(&object_id, &first);
    left.sign_in(&object_id, &first);
    let mut user = emulator.directory().identity("user").unwrap().clone();
    user.token_lifetime = Some(Duration::from_secs(6));
    emulator.control().set_identity(user).unwrap();
    let (_, second) = token_of(&emulator, "user");
    assert_eq!(kept.sign_in(&object_id, &second), "+OK");
    assert!(left.is_closed());
    assert_eq!(kept.command(&["PING"]), "+PONG");
    assert!(kept.is_closed(), "the second token runs out too");

    assert!(emulator.wait_for(PATIENCE, |events| {
        events.iter().filter(|e| matches!(e.kind, EventKind::ConnectionClosed { .. })).count() == 2
    }));
    let events = emulator.events();
    let renewals: Vec<(u64, u32, bool)> = events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::SignInAccepted { connection, nth, renewal, .. } => Some((connection, nth, renewal)),
            _ => None,
        })
        .collect();
    assert_eq!(renewals.iter().filter(|(_, nth, renewal)| *nth == 2 && *renewal).count(), 1);
    let runs_out = |token: &str| {
        events.iter().find_map(|event| match &event.kind {
            EventKind::TokenIssued { token: issued, expires, .. } if issued == token => i64::try_from(*expires).ok(),
            _ => None,
        })
    };
    let mut cut = 0;
    for event in &events {
        if let EventKind::ConnectionExpired { token, .. } = &event.kind {
            let late = event.time.unix_timestamp() - runs_out(token).unwrap();
            assert!((0..5).contains(&late), "cut {late} s after the expiry");
            cut += 1;
        }
    }
    assert_eq!(cut, 2);
}

#[test]
fn a_resp2_subscriber_can_not_sign_in_again_and_a_resp3_subscriber_can() {
    let emulator = Emulator::builder().token_lifetime("user", Duration::from_secs(3)).start().unwrap();
    let (object_id, first) = token_of(&emulator, "user");
    let mut resp2 = Client::connect(&emulator);
    resp2.sign_in(&object_id, &first);
    assert_eq!(resp2.command(&["SUBSCRIBE", "news"]), "*3");
    (0..5).for_each(|_| drop(resp2.line()));
    let mut resp3 = Client::connect(&emulator);
    assert_eq!(resp3.command(&["HELLO", "3", "AUTH", &object_id, &first]), "%7");
    resp3.send(resp(&["SUBSCRIBE", "news"]));
    while resp3.line() != "subscribe" {}
    (0..3).for_each(|_| drop(resp3.line()));

    let (_, second) = token_of(&emulator, "system");
    let system = emulator.directory().identity("system").unwrap().object_id.to_string();
    let refused = resp2.sign_in(&system, &second);
    assert!(refused.starts_with("-ERR Can't execute 'auth'"), "{refused}");
    let refused = resp2.sign_in(&system, "wrong");
    assert!(refused.starts_with("-ERR Can't execute 'auth'"), "{refused}");
    assert_eq!(resp3.sign_in(&system, &second), "+OK");
    assert_eq!(refusals(&emulator), [Refusal::Resp2Subscriber, Refusal::NotAToken]);
    assert!(resp2.is_closed());
    assert_eq!(resp3.command(&["PING"]), "+PONG", "signed in with the longer token, and still there");
}

#[test]
fn limits_for_strangers_are_the_engines() {
    let emulator = Emulator::start().unwrap();
    let long = "x".repeat(16_384);
    let mut client = Client::connect(&emulator);
    assert_eq!(client.command(&["ECHO", &long]), NOAUTH);
    let too_long = "x".repeat(16_385);
    for bad in [
        resp(&["ECHO", &too_long]),
        resp(&["AUTH", "user", &too_long]),
        resp(&["AUTH"; 11]),
        b"*01\r\n$4\r\nAUTH\r\n".to_vec(),
        b"*3\r\n$4\r\nAUTH\r\n$-1\r\n".to_vec(),
        b"AUTH \"unbalanced\r\n".to_vec(),
    ] {
        let mut client = Client::connect(&emulator);
        client.send(&bad);
        let error = client.line();
        assert!(error.starts_with("-ERR Protocol error"), "{error}");
        assert!(client.is_closed());
    }
    let mut client = Client::connect(&emulator);
    client.send("*0\r\n*-1\r\n\r\nPING\r\n");
    assert_eq!(client.line(), NOAUTH);
}

/// Everything in the engine's category `@admin` but what Azure leaves to users, and more: by itself, in a transaction and in
/// a script.
#[test]
fn administrative_commands_are_out_of_reach_whatever_the_engine_has() {
    for policy in [ClusteringPolicy::NoCluster, ClusteringPolicy::OssCluster] {
        let emulator = Emulator::builder().clustering_policy(policy).start().unwrap();
        let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
        client.send(resp(&["COMMAND", "LIST", "FILTERBY", "ACLCAT", "admin"]));
        let count: usize = client.line().trim_start_matches('*').parse().unwrap();
        let mut names: Vec<String> = (0..count).map(|_| (client.line(), client.line()).1).collect();
        let besides =
            ["migrate", "restore-asking", "swapdb", "readonly", "readwrite", "asking", "reset", "move", "role"];
        names.extend(besides.map(str::to_owned));
        assert!(names.len() > 50, "{names:?}");
        let open = ["client|list", "latency|histogram", "module|list", "slowlog|"];
        let mut tried = 0;
        for name in names.iter().filter(|name| !open.iter().any(|open| name.starts_with(open))) {
            let words: Vec<&str> = name.split('|').collect();
            // Every arity up to 6: somewhere the command is complete, and it must be refused there.
            let mut refused = false;
            for extra in 0..6 {
                let command: Vec<&str> = words.iter().copied().chain(std::iter::repeat_n("0", extra)).collect();
                let reply = client.command(&command);
                let is_refusal = reply == format!("-ERR unknown command '{name}'")
                    || reply == format!("-ERR unknown subcommand '{}'", words.last().unwrap())
                    || reply == "-ERR command is not allowed" && words[0] == "cluster";
                // A container without its subcommand (CONFIG) only complains of that.
                let is_container = words.len() == 1 && reply.starts_with("-ERR wrong number");
                assert!(is_refusal || is_container, "{policy:?} {command:?}: {reply}");
                refused |= is_refusal;
                if refused {
                    // No script can call RESET, whoever asks.
                    let quoted: Vec<String> = command.iter().map(|word| format!("'{word}'")).collect();
                    let script = format!("return redis.call({})", quoted.join(","));
                    let reply = client.command(&["EVAL", &script, "0"]);
                    assert!(reply.starts_with('-') && !reply.starts_with("-ERR value"), "{script}: {reply}");
                    client.command(&["MULTI"]);
                    let reply = client.command(&command);
                    assert!(reply.starts_with('-'), "{command:?} in MULTI: {reply}");
                    client.command(&["DISCARD"]);
                    break;
                }
            }
            assert!(refused || words.len() == 1, "{name} was never refused");
            tried += 1;
        }
        assert!(tried > 45, "{tried}");
        for name in ["CLIENT LIST", "INFO server", "COMMAND COUNT", "ACL WHOAMI", "SLOWLOG LEN"] {
            let reply = client.command(&name.split(' ').collect::<Vec<_>>());
            assert!(!reply.starts_with('-'), "{name}: {reply}");
            if let Some(length) = reply.strip_prefix('$') {
                let mut left: usize = length.parse::<usize>().unwrap() + 2;
                while left > 0 {
                    left -= client.line().len() + 2;
                }
            }
        }
    }
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_stays() {
    let emulator = Emulator::builder().idle_time(Duration::from_secs(2)).start().unwrap();
    let mut idle = Client::signed_in(&emulator, emulator.redis_port(), "system");
    let mut busy = Client::signed_in(&emulator, emulator.redis_port(), "user");
    let closed =
        |by| emulator.events().iter().any(|e| matches!(&e.kind, EventKind::ConnectionClosed { by: b, .. } if *b == by));
    let started = Instant::now();
    while !closed(ClosedBy::Idle) {
        assert!(started.elapsed() < PATIENCE, "the idle connection was never closed");
        assert_eq!(busy.command(&["PING"]), "+PONG");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(idle.is_closed());
    assert_eq!(busy.command(&["PING"]), "+PONG");
}

#[test]
fn commands_and_errors_are_counted_and_named_in_the_log() {
    let emulator = Emulator::start().unwrap();
    let (object_id, token) = token_of(&emulator, "system");
    let mut client = Client::connect(&emulator);
    client.sign_in(&object_id, &token);
    client.command(&["SET", "k", "v"]);
    client.command(&["set", "k", "v"]);
    client.command(&["INCR", "k"]);
    client.command(&["eyJsecret"]);
    drop(client);
    assert!(emulator.wait_for(PATIENCE, |events| {
        events.iter().any(|event| matches!(event.kind, EventKind::ConnectionClosed { .. }))
    }));
    let events = emulator.events();
    let Some(EventKind::ConnectionClosed { by, commands, error_replies, unanswered, .. }) =
        events.iter().map(|event| &event.kind).find(|kind| matches!(kind, EventKind::ConnectionClosed { .. }))
    else {
        unreachable!()
    };
    assert_eq!(*by, ClosedBy::Client);
    assert_eq!(
        commands.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", "),
        "AUTH 1, INCR 1, SET 2, UNKNOWN 1"
    );
    assert_eq!((*error_replies, *unanswered), (Some(2), Some(0)));
    let errors: Vec<(&str, &str)> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::ErrorReply { command, error, .. } => Some((command.as_str(), error.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(errors, [("INCR", "ERR"), ("UNKNOWN", "ERR")]);
}

#[test]
fn without_reply_counting_sign_ins_work_all_the_same() {
    let emulator =
        Emulator::builder().count_replies(false).token_lifetime("user", Duration::from_secs(2)).start().unwrap();
    let (object_id, token) = token_of(&emulator, "user");
    let mut client = Client::connect(&emulator);
    let refused = client.sign_in(&object_id, "wrong");
    assert!(refused.starts_with(WRONGPASS), "{refused}");
    assert_eq!(client.sign_in(&object_id, &token), "+OK");
    assert_eq!(client.command(&["PING"]), "+PONG");
    assert!(client.is_closed(), "cut at expiry");
}

#[test]
fn client_reply_off_does_not_lose_the_sign_in() {
    let emulator = Emulator::builder().token_lifetime("user", Duration::from_secs(3)).start().unwrap();
    let (user, short) = token_of(&emulator, "user");
    let (system, token) = token_of(&emulator, "system");
    let mut client = Client::connect(&emulator);
    client.sign_in(&user, &short);
    let mut bytes = resp(&["CLIENT", "REPLY", "OFF"]);
    bytes.extend(resp(&["AUTH", &system, &token]));
    bytes.extend(resp(&["CLIENT", "REPLY", "ON"]));
    client.send(bytes);
    assert_eq!(client.line(), "+OK");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(client.bulk(&["ACL", "WHOAMI"]), system);
}

#[test]
fn a_client_that_refuses_the_certificate_is_told_apart_in_the_log() {
    for presented in [Presented::OtherAuthority, Presented::OtherName] {
        let emulator = Emulator::builder().redis_certificate(presented).start().unwrap();
        let mut stream = support::tls(&emulator, emulator.redis_port());
        assert!(stream.read(&mut [0]).is_err(), "{presented:?}: the handshake must fail");
        drop(stream);
        assert!(
            emulator.wait_for(PATIENCE, |events| {
                events.iter().any(|event| matches!(event.kind, EventKind::TlsFailed { .. }))
            }),
            "{presented:?}"
        );
        assert!(!emulator.events().iter().any(|event| matches!(event.kind, EventKind::ConnectionOpened { .. })));
    }
}

#[test]
fn who_does_not_finish_the_handshake_or_sign_in_in_time_is_let_go() {
    let second = Duration::from_secs(1);
    let emulator = Emulator::builder().handshake_time(second).sign_in_time(second).start().unwrap();
    let (object_id, token) = token_of(&emulator, "system");
    let mut silent = std::net::TcpStream::connect(("127.0.0.1", emulator.redis_port())).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stranger = Client::connect(&emulator);
    assert_eq!(stranger.command(&["PING"]), NOAUTH);
    let mut known = Client::connect(&emulator);
    known.sign_in(&object_id, &token);
    assert!(matches!(silent.read(&mut [0]), Ok(0) | Err(_)), "the handshake never came");
    assert!(stranger.is_closed());
    assert_eq!(known.command(&["PING"]), "+PONG");
    assert!(emulator.wait_for(PATIENCE, |events| {
        let let_go = |kind: &EventKind| matches!(kind, EventKind::ConnectionClosed { by: ClosedBy::NoSignIn, .. });
        let failed = |kind: &EventKind| matches!(kind, EventKind::TlsFailed { .. });
        events.iter().any(|e| let_go(&e.kind)) && events.iter().any(|e| failed(&e.kind))
    }));
}

#[test]
fn plain_text_is_no_tls() {
    use std::io::Write;
    let emulator = Emulator::start().unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", emulator.redis_port())).unwrap();
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
    assert!(emulator.wait_for(PATIENCE, |events| {
        events.iter().any(|event| matches!(&event.kind, EventKind::TlsFailed { why, .. } if why.contains("rediss://")))
    }));
}

#[test]
fn pipelines_of_any_size_come_back_whole() {
    let emulator = Emulator::start().unwrap();
    let (object_id, token) = token_of(&emulator, "system");
    let mut client = Client::connect(&emulator);
    client.sign_in(&object_id, &token);
    let value = "v".repeat(1_000_000);
    client.send(resp(&["SET", "large", &value]));
    assert_eq!(client.line(), "+OK");
    assert_eq!(client.bulk(&["GET", "large"]).len(), value.len());
    let commands: Vec<u8> = (0..20_000).flat_map(|n| resp(&["ECHO", &format!("value {n}")])).collect();
    for piece in commands.chunks(30_011) {
        client.send(piece);
    }
    for n in 0..20_000 {
        client.line();
        assert_eq!(client.line(), format!("value {n}"));
    }
}

#[test]
fn several_emulators_live_side_by_side() {
    let (one, other) = (Emulator::start().unwrap(), Emulator::start().unwrap());
    for emulator in [&one, &other] {
        let (object_id, token) = token_of(emulator, "service-principal");
        let mut client = Client::connect(emulator);
        assert_eq!(client.sign_in(&object_id, &token), "+OK");
        assert_eq!(client.command(&["INCR", "visits"]), ":1");
    }
}
