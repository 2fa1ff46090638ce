//! The Redis port where it is hard to get right: sign-ins in the middle of pipelines, transactions and subscriptions, streams
//! that are cut anywhere, replies of every type. After each conversation the log must have told every sign-in and every
//! reply to its command.

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;

use azure_managed_redis_emulator::{ClosedBy, ClusteringPolicy, Emulator, EventKind, Refusal};
use support::{Client, PATIENCE, Reply, refusals, resp, token_of};

const WRONGPASS: &str = "-WRONGPASS invalid username-password pair";
const NOAUTH: &str = "-NOAUTH Authentication required.";

fn start(policy: ClusteringPolicy) -> Emulator {
    Emulator::builder().clustering_policy(policy).start().unwrap()
}

/// What the log says of a connection that has ended.
#[derive(Debug)]
struct Closed {
    by: ClosedBy,
    commands: BTreeMap<String, u64>,
    errors: Option<u64>,
    unanswered: Option<u64>,
}

impl Closed {
    fn count(&self, command: &str) -> u64 {
        self.commands.get(command).copied().unwrap_or(0)
    }
}

/// Waits for the end of the connection with that number.
fn closed(emulator: &Emulator, number: u64) -> Closed {
    let of = |kind: &EventKind| match kind {
        EventKind::ConnectionClosed { connection, by, commands, error_replies, unanswered }
            if *connection == number =>
        {
            Some(Closed { by: *by, commands: commands.clone(), errors: *error_replies, unanswered: *unanswered })
        }
        _ => None,
    };
    assert!(emulator.wait_for(PATIENCE, |events| events.iter().any(|event| of(&event.kind).is_some())));
    emulator.events().iter().find_map(|event| of(&event.kind)).unwrap()
}

/// The sign-ins that the log has as accepted: who, and the first line of the engine's reply.
fn accepted(emulator: &Emulator) -> Vec<(String, String)> {
    let one = |kind: &EventKind| match kind {
        EventKind::SignInAccepted { identity, exchange, .. } => {
            Some((identity.clone(), exchange.as_ref().map(|exchange| exchange.reply.clone()).unwrap_or_default()))
        }
        _ => None,
    };
    emulator.events().iter().filter_map(|event| one(&event.kind)).collect()
}

fn identities(emulator: &Emulator) -> Vec<String> {
    accepted(emulator).into_iter().map(|(identity, _)| identity).collect()
}

/// A key whose slot is on the node that the client is connected to.
fn own_key(client: &mut Client) -> String {
    (0..).map(|n| format!("key:{n}")).find(|key| client.command(&["SET", key, "0"]) == "+OK").unwrap()
}

#[test]
fn thousands_of_commands_may_follow_a_sign_in_without_waiting_for_it() {
    for &(_, policy) in ClusteringPolicy::ALL {
        let emulator = start(policy);
        let (system, token) = token_of(&emulator, "system");
        let (user, other) = token_of(&emulator, "user");
        let mut client = Client::connect(&emulator);
        let mut bytes = resp(&["AUTH", &system, &token]);
        // Both are more than a stranger may send: more than ten arguments, and more than 16 KB in one.
        let many: Vec<&str> = ["EVAL", "return #ARGV", "0"].into_iter().chain(std::iter::repeat_n("x", 20)).collect();
        bytes.extend(resp(&many));
        bytes.extend(resp(&["ECHO", &"x".repeat(20_000)]));
        for n in 0..5000 {
            bytes.extend(resp(&["ECHO", &n.to_string()]));
        }
        bytes.extend(resp(&["AUTH", &user, &other]));
        bytes.extend(resp(&["ACL", "WHOAMI"]));
        client.send(bytes);
        assert_eq!(client.line(), "+OK", "{policy:?}");
        assert_eq!(client.line(), ":20", "{policy:?}");
        assert_eq!(client.reply().text().len(), 20_000);
        for n in 0..5000 {
            assert_eq!(client.reply().text(), n.to_string());
        }
        assert_eq!(client.line(), "+OK", "{policy:?}");
        assert_eq!(client.reply().text(), user);
        drop(client);
        let closed = closed(&emulator, 1);
        assert_eq!((closed.count("AUTH"), closed.count("ECHO"), closed.count("EVAL")), (2, 5001, 1), "{policy:?}");
        assert_eq!((closed.errors, closed.unanswered), (Some(0), Some(0)), "{policy:?}");
        assert_eq!(identities(&emulator), ["system", "user"], "{policy:?}");
    }
}

#[test]
fn a_sign_in_may_be_cut_anywhere_with_commands_before_and_behind() {
    let emulator = Emulator::start().unwrap();
    let (system, token) = token_of(&emulator, "system");
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "user");
    let sign_ins = [resp(&["AUTH", &system, &token]), resp(&["HELLO", "2", "SETNAME", "n", "auth", &system, &token])];
    let mut count = 1;
    for sign_in in sign_ins {
        let rest = [sign_in.as_slice(), &resp(&["ECHO", "behind"])].concat();
        // The middle of the token is like the rest of it.
        let all = if sign_in.starts_with(b"*3") { 1..rest.len() } else { 1..200 };
        for cut in all {
            // Once the first command is answered, what was sent with it has been read.
            client.send([resp(&["PING"]).as_slice(), &rest[..cut]].concat());
            assert_eq!(client.line(), "+PONG", "cut at {cut}");
            client.send(&rest[cut..]);
            let signed_in = client.reply();
            assert!(signed_in == Reply::Line("+OK".into()) || signed_in.items().len() == 14, "{cut}: {signed_in:?}");
            assert_eq!(client.reply().text(), "behind", "cut at {cut}");
            count += 1;
        }
    }
    assert_eq!(accepted(&emulator).len(), count);
    drop(client);
    assert_eq!(closed(&emulator, 1).unanswered, Some(0));
}

#[test]
fn a_sign_in_counts_only_if_its_transaction_runs() {
    for &(_, policy) in ClusteringPolicy::ALL {
        let emulator = start(policy);
        let (user, token) = token_of(&emulator, "user");
        let user_id = user.as_str();
        let mut other = Client::signed_in(&emulator, emulator.redis_port(), "system");
        let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
        let key = own_key(&mut other);

        // Another client changes what is watched.
        assert_eq!(client.command(&["WATCH", &key]), "+OK", "{policy:?}");
        assert_eq!(other.command(&["INCR", &key]), ":1");
        assert_eq!(client.command(&["MULTI"]), "+OK");
        assert_eq!(client.sign_in(user_id, &token), "+QUEUED");
        assert_eq!(client.command(&["EXEC"]), "*-1", "{policy:?}");
        // A command that can not be queued.
        assert_eq!(client.command(&["MULTI"]), "+OK");
        assert_eq!(client.sign_in(user_id, &token), "+QUEUED");
        assert!(client.command(&["NO-SUCH-COMMAND"]).starts_with("-ERR unknown command"));
        assert!(client.command(&["EXEC"]).starts_with("-EXECABORT"), "{policy:?}");
        assert_eq!(client.command(&["MULTI"]), "+OK");
        assert_eq!(client.sign_in(user_id, &token), "+QUEUED");
        assert_eq!(client.command(&["DISCARD"]), "+OK");
        assert_eq!(identities(&emulator), ["system", "system"], "{policy:?}");

        // One that the engine runs and refuses all the same: version 4 there is not.
        assert_eq!(client.command(&["MULTI"]), "+OK");
        assert_eq!(client.command(&["GET", &key]), "+QUEUED");
        assert_eq!(client.command(&["HELLO", "4", "AUTH", user_id, &token]), "+QUEUED");
        assert_eq!(client.sign_in(user_id, "wrong"), "+QUEUED");
        let Reply::List('*', items) = client.ask(&["EXEC"]) else { panic!("{policy:?}") };
        assert_eq!(items[0].text(), "1", "{policy:?}");
        assert!(items[1].text().starts_with("-NOPROTO"), "{items:?}");
        assert_eq!(items[2].text(), WRONGPASS, "{policy:?}");
        assert_eq!(
            client.bulk(&["ACL", "WHOAMI"]),
            emulator.directory().identity("system").unwrap().object_id.to_string()
        );
        assert_eq!(identities(&emulator), ["system", "system"], "{policy:?}");
        assert_eq!(refusals(&emulator), [Refusal::CommandRefused, Refusal::NotAToken], "{policy:?}");

        // And one that goes through, in one write, with a queued error behind it that does no harm.
        let pipeline = [
            resp(&["MULTI"]),
            resp(&["INCR", &key]),
            resp(&["AUTH", user_id, &token]),
            resp(&["LPUSH", &key, "x"]),
            resp(&["EXEC"]),
            resp(&["ACL", "WHOAMI"]),
        ];
        client.send(pipeline.concat());
        let lines: Vec<String> = (0..4).map(|_| client.line()).collect();
        assert_eq!(lines, ["+OK", "+QUEUED", "+QUEUED", "+QUEUED"], "{policy:?}");
        let items = client.reply().items().to_vec();
        assert_eq!((items[0].text(), items[1].text()), (":2", "+OK"), "{policy:?}");
        assert!(items[2].text().starts_with("-WRONGTYPE"), "{items:?}");
        assert_eq!(client.reply().text(), user_id);
        assert_eq!(identities(&emulator), ["system", "system", "user"], "{policy:?}");
        drop(client);
        assert_eq!(closed(&emulator, 2).unanswered, Some(0), "{policy:?}");
    }
}

/// A stranger can open no transaction: what comes after the sign-in is in none.
#[test]
fn a_transaction_that_was_refused_ties_no_keys_together() {
    let emulator = start(ClusteringPolicy::EnterpriseCluster);
    let (system, token) = token_of(&emulator, "system");
    let mut client = Client::connect(&emulator);
    let pipeline =
        [resp(&["MULTI"]), resp(&["AUTH", &system, &token]), resp(&["SET", "key1", "a"]), resp(&["SET", "key2", "b"])];
    client.send(pipeline.concat());
    let lines: Vec<String> = (0..4).map(|_| client.line()).collect();
    assert_eq!(lines, [NOAUTH, "+OK", "+OK", "+OK"]);
    emulator.control().assign("system", system.parse().unwrap(), Some("+@all -multi ~*")).unwrap();
    let pipeline = [resp(&["MULTI"]), resp(&["PING"])];
    client.send(pipeline.concat());
    assert!(client.line().starts_with("-NOPERM"));
    assert_eq!(client.line(), "+PONG");
    assert_eq!(client.command(&["SET", "key1", "a"]), "+OK");
    assert_eq!(client.command(&["SET", "key2", "b"]), "+OK");
}

#[test]
fn hello_in_all_its_forms_is_the_engines_own() {
    for &(_, policy) in ClusteringPolicy::ALL {
        let emulator = start(policy);
        let (id, token) = token_of(&emulator, "system");
        let (id, token) = (id.as_str(), token.as_str());
        let mut client = Client::connect(&emulator);
        let refused: [(&[&str], &str); 13] = [
            (&["HELLO"], "-NOAUTH"),
            (&["HELLO", "3"], "-NOAUTH"),
            (&["HELLO", "3", "SETNAME", "n"], "-NOAUTH"),
            (&["HELLO", "3", "AUTH"], "-ERR Syntax error in HELLO option 'AUTH'"),
            (&["HELLO", "3", "AUTH", id], "-ERR Syntax error in HELLO option 'AUTH'"),
            (&["HELLO", "3", "SETNAME"], "-ERR Syntax error in HELLO option 'SETNAME'"),
            (&["HELLO", "3", "AUTH", id, token, "SETNAME"], "-ERR Syntax error in HELLO option 'SETNAME'"),
            (&["HELLO", "AUTH", id, token], "-ERR Protocol version is not an integer or out of range"),
            (&["HELLO", "three", "AUTH", id, token], "-ERR Protocol version is not an integer or out of range"),
            (&["HELLO", "4", "AUTH", id, token], "-NOPROTO unsupported protocol version"),
            (&["HELLO", "1", "AUTH", id, token], "-NOPROTO unsupported protocol version"),
            (&["AUTH"], "-ERR wrong number of arguments for 'auth' command"),
            (&["AUTH", id, token, "more"], "-ERR syntax error"),
        ];
        for (command, error) in refused {
            let reply = client.command(command);
            assert!(reply.starts_with(error), "{policy:?} {command:?}: {reply}");
            assert!(!reply.contains("eyJ"), "{reply}");
        }
        assert_eq!(client.command(&["HELLO", "3", "AUTH", id, "wrong"]), WRONGPASS, "{policy:?}");
        assert_eq!(client.command(&["PING"]), NOAUTH);
        assert!(identities(&emulator).is_empty());

        let good: [(&[&str], char); 7] = [
            (&["HELLO", "2", "AUTH", id, token], '*'),
            (&["hello", "3", "auth", id, token], '%'),
            (&["HELLO", "3", "SETNAME", "n", "AUTH", id, token], '%'),
            (&["HELLO", "2", "AUTH", id, token, "SETNAME", "n"], '*'),
            (&["HELLO"], '*'),
            (&["HELLO", "3"], '%'),
            (&["HeLLo", "3", "SETNAME", "auth"], '%'),
        ];
        for (command, mark) in good {
            let reply = client.ask(command);
            assert!(matches!(&reply, Reply::List(it, _) if *it == mark), "{policy:?} {command:?}: {reply:?}");
        }
        assert_eq!(client.ask(&["CLIENT", "GETNAME"]).text(), "auth");
        client.send(format!("hello 2 auth '{id}' \"{token}\"\r\n"));
        assert_eq!(client.reply().items().len(), 14, "inline");
        client.send(format!("AUTH {id} {token}\nPING\n"));
        assert_eq!((client.line(), client.line()), ("+OK".into(), "+PONG".into()));
        assert_eq!(identities(&emulator).len(), 6, "{policy:?}");
        drop(client);
        let closed = closed(&emulator, 1);
        assert_eq!(closed.unanswered, Some(0), "{policy:?}");
    }
}

/// What the engine does not see as a command must not count as one, or every later reply is told to the wrong command.
#[test]
fn inline_commands_are_read_as_the_engine_reads_them() {
    let emulator = Emulator::start().unwrap();
    let (id, token) = token_of(&emulator, "system");
    let mut client = Client::connect(&emulator);
    client.send(format!("AUTH {id} {token}\r\n"));
    assert_eq!(client.line(), "+OK");
    let cases: [(&[u8], &[&str]); 10] = [
        (b"  \t PING  \r\n", &["+PONG"]),
        (b"ECHO a\rb\n", &["-ERR wrong number of arguments for 'echo' command"]),
        (b"ECHO a\x0bb\n", &["$3", "a\x0bb"]),
        (b"ECHO a\x0cb\n", &["$3", "a\x0cb"]),
        (b"\x0b\x0cPING\n", &["+PONG"]),
        (b"\"PI\\x4eG\"\n", &["+PONG"]),
        (b"PI'NG'\n", &["+PONG"]),
        (b"ECHO \"\\q\\\\\"\n", &["$2", "q\\"]),
        (b"ECHO 'it\\'s'\n", &["$4", "it's"]),
        (b"ECHO \"\"\n", &["$0", ""]),
    ];
    for (line, expected) in cases {
        client.send([line, b"AUTH x wrong\n"].concat());
        for expected in expected {
            assert_eq!(client.line(), *expected, "{}", line.escape_ascii());
        }
        assert_eq!(client.line(), WRONGPASS, "{}", line.escape_ascii());
    }
    drop(client);
    assert_eq!(closed(&emulator, 1).unanswered, Some(0));
}

#[test]
fn client_reply_changes_nothing_about_sign_ins() {
    let emulator = Emulator::start().unwrap();
    let (system, token) = token_of(&emulator, "system");
    let (user, other) = token_of(&emulator, "user");

    // ON where it was on already: replies are still told to their commands.
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
    assert_eq!(client.command(&["CLIENT", "REPLY", "ON"]), "+OK");
    assert_eq!(client.sign_in(&user, "wrong"), WRONGPASS);
    assert_eq!(client.sign_in(&user, &other), "+OK");
    drop(client);
    let on = closed(&emulator, 1);
    assert_eq!((on.errors, on.unanswered), (Some(1), Some(0)));

    // SKIP hides the reply of the sign-in, good or bad.
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
    let pipeline = [
        resp(&["ECHO", "before"]),
        resp(&["CLIENT", "REPLY", "SKIP"]),
        resp(&["AUTH", &user, &other]),
        resp(&["ACL", "WHOAMI"]),
        resp(&["CLIENT", "REPLY", "SKIP"]),
        resp(&["AUTH", &user, "wrong"]),
        resp(&["AUTH", &user, "wrong"]),
        resp(&["NO-SUCH-COMMAND"]),
        resp(&["RESET"]),
    ];
    client.send(pipeline.concat());
    assert_eq!(client.reply().text(), "before");
    assert_eq!(client.reply().text(), user);
    assert_eq!(client.line(), WRONGPASS, "Azure's text, also now");
    assert!(client.line().starts_with("-ERR unknown command 'NO-SUCH-COMMAND'"));
    assert_eq!(client.line(), "-ERR unknown command 'RESET'");

    // OFF hides everything until ON.
    let pipeline = [
        resp(&["CLIENT", "REPLY", "OFF"]),
        resp(&["AUTH", &system, &token]),
        resp(&["AUTH", &system, "wrong"]),
        resp(&["PING"]),
        resp(&["CLIENT", "REPLY", "ON"]),
        resp(&["ACL", "WHOAMI"]),
        resp(&["AUTH", &system, "wrong"]),
    ];
    client.send(pipeline.concat());
    assert_eq!(client.line(), "+OK");
    assert_eq!(client.reply().text(), system);
    assert_eq!(client.line(), WRONGPASS);
    assert_eq!(refusals(&emulator), [Refusal::NotAToken; 5]);
    assert_eq!(identities(&emulator), ["system", "user", "system", "user", "system"]);
}

/// A refused CLIENT REPLY switches nothing off.
#[test]
fn a_stranger_can_not_hide_replies() {
    let emulator = Emulator::start().unwrap();
    let (system, token) = token_of(&emulator, "system");
    let mut client = Client::connect(&emulator);
    client.send([resp(&["CLIENT", "REPLY", "OFF"]), resp(&["AUTH", &system, "wrong"])].concat());
    assert_eq!((client.line().as_str(), client.line().as_str()), (NOAUTH, WRONGPASS));
    assert_eq!(client.sign_in(&system, &token), "+OK");
    assert_eq!(identities(&emulator), ["system"]);
}

/// Reads up to the answer to a PING with that word, and gives what came before.
fn until(client: &mut Client, word: &str) -> Vec<Reply> {
    client.send(resp(&["PING", word]));
    let mut before = Vec::new();
    loop {
        let reply = client.reply();
        let is_it = match &reply {
            Reply::Bulk(text) => text == word,
            Reply::List(_, items) => {
                matches!(items.as_slice(), [Reply::Bulk(pong), Reply::Bulk(text)] if pong == "pong" && text == word)
            }
            Reply::Line(_) => false,
        };
        if is_it {
            return before;
        }
        before.push(reply);
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn one_of<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.roll(of.len())]
    }
}

/// Long conversations of subscriptions, transactions, lists that look like messages, and sign-ins in between: each sign-in that
/// the client sees answered is in the log as what it was.
#[test]
fn in_any_conversation_each_reply_is_told_to_its_command() {
    for (seed, resp3, policy) in [
        (1, false, ClusteringPolicy::NoCluster),
        (2, true, ClusteringPolicy::NoCluster),
        (3, false, ClusteringPolicy::EnterpriseCluster),
        (4, true, ClusteringPolicy::EnterpriseCluster),
        (5, false, ClusteringPolicy::OssCluster),
        (6, true, ClusteringPolicy::OssCluster),
    ] {
        converse(seed, resp3, policy);
    }
}

fn converse(seed: u64, resp3: bool, policy: ClusteringPolicy) {
    let context = format!("seed {seed}, RESP3 {resp3}, {policy:?}");
    let emulator = start(policy);
    let (id, token) = token_of(&emulator, "user");
    let mut publisher = Client::signed_in(&emulator, emulator.redis_port(), "system");
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "user");
    if resp3 {
        client.ask(&["HELLO", "3"]);
    }
    let key = own_key(&mut client);
    client.ask(&["DEL", &key]);
    client.ask(&["RPUSH", &key, "subscribe", "x", "1"]);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
    let (mut good, mut bad) = (1, 0);
    for round in 0..400 {
        let mut bytes = Vec::new();
        let mut kinds = Vec::new();
        for _ in 0..1 + dice.roll(6) {
            let channel = dice.one_of(&["a", "b", "c", "d"]);
            let (kind, command): (&str, Vec<&str>) = match dice.roll(16) {
                0 => ("", vec!["SUBSCRIBE", channel, dice.one_of(&["a", "e"])]),
                1 => ("", vec!["PSUBSCRIBE", dice.one_of(&["a*", "b*", "?"])]),
                2 => ("", vec!["UNSUBSCRIBE", channel]),
                3 => ("", vec!["UNSUBSCRIBE"]),
                4 => ("", vec!["PUNSUBSCRIBE"]),
                5 => ("", vec!["SUNSUBSCRIBE"]),
                6 => ("", vec!["PUNSUBSCRIBE", "a*"]),
                7 => ("", vec!["SSUBSCRIBE", &key]),
                8 => ("one", vec!["LRANGE", &key, "0", "-1"]),
                9 => ("one", vec!["SUBSCRIBE"]),
                10 => ("one", vec!["SET", &key]),
                11 => ("bad", vec!["AUTH", &id, "wrong"]),
                12 => ("good", vec!["AUTH", &id, &token]),
                13 if resp3 => ("good", vec!["HELLO", "3", "AUTH", &id, &token]),
                14 => ("one", vec!["READONLY"]),
                _ => ("one", vec!["ACL", "WHOAMI"]),
            };
            bytes.extend(resp(&command));
            bytes.extend(resp(&["PING", &format!("after {}", kinds.len())]));
            kinds.push((kind, command.join(" ")));
        }
        client.send(&bytes);
        if dice.roll(2) == 0 {
            for channel in ["a", "b"] {
                publisher.command(&["PUBLISH", channel, "news"]);
            }
            publisher.command(&["SPUBLISH", &key, "news"]);
        }
        let end = format!("end {round}");
        let mut replies = until(&mut client, &end).into_iter();
        for (at, (kind, command)) in kinds.iter().enumerate() {
            let word = format!("after {at}");
            let mine: Vec<Reply> = replies
                .by_ref()
                .take_while(|reply| match reply {
                    Reply::Bulk(text) => *text != word,
                    Reply::List('*', items) => !items.last().is_some_and(|last| *last == Reply::Bulk(word.clone())),
                    _ => true,
                })
                .filter(|reply| match reply {
                    Reply::List('>', _) => false,
                    Reply::List('*', items) => {
                        resp3 || !matches!(&items[..], [Reply::Bulk(kind), ..] if kind.ends_with("message"))
                    }
                    _ => true,
                })
                .collect();
            if kind.is_empty() {
                continue;
            }
            assert_eq!(mine.len(), 1, "{context}, round {round}, {command}: {mine:?}");
            let is_error = matches!(&mine[0], Reply::Line(line) if line.starts_with('-'));
            match (*kind, is_error) {
                ("good", false) => good += 1,
                ("good" | "bad", true) => bad += 1,
                ("bad", false) => panic!("{context}, round {round}: a wrong token was accepted: {mine:?}"),
                _ => {}
            }
        }
        let (logged, refused) = (identities(&emulator).len() - 1, refusals(&emulator).len());
        assert_eq!((logged, refused), (good, bad), "{context}, round {round}: {kinds:#?}");
    }
    drop(client);
    let closed = closed(&emulator, 2);
    assert_eq!(closed.unanswered, Some(0), "{context}");
    assert!(good > 10 && bad > 50, "{context}: {good} {bad}");
}

/// The engine gives several confirmations to one command inside of one reply: nobody can tell replies to commands any more, but
/// everything passes, and the connection lives as long as its token.
#[test]
fn subscriptions_inside_a_transaction_do_no_harm() {
    for resp3 in [false, true] {
        let emulator = Emulator::builder().token_lifetime("user", Duration::from_secs(4)).start().unwrap();
        let (user, short) = token_of(&emulator, "user");
        let mut publisher = Client::signed_in(&emulator, emulator.redis_port(), "system");
        let mut client = Client::connect(&emulator);
        client.ask(&["HELLO", if resp3 { "3" } else { "2" }, "AUTH", &user, &short]);
        client.send([resp(&["MULTI"]), resp(&["SUBSCRIBE", "a", "b"]), resp(&["EXEC"])].concat());
        assert_eq!((client.line().as_str(), client.line().as_str()), ("+OK", "+QUEUED"));
        let before = until(&mut client, "done");
        assert!(format!("{before:?}").matches("\"subscribe\"").count() == 2, "{before:?}");
        for n in 0..100 {
            assert_eq!(publisher.command(&["PUBLISH", "a", &n.to_string()]), ":1");
        }
        for n in 0..100 {
            assert_eq!(client.reply().items()[2].text(), n.to_string());
        }
        let refused = client.sign_in(&user, "wrong");
        assert!(refused == WRONGPASS || refused.starts_with("-ERR Can't execute"), "{refused}");
        assert!(client.is_closed());
        assert_eq!(closed(&emulator, 2).by, ClosedBy::Expiry, "RESP3 {resp3}");
    }
}

#[test]
fn a_subscriber_signs_in_again_while_messages_arrive() {
    let emulator = Emulator::builder().token_lifetime("user", Duration::from_secs(600)).start().unwrap();
    let (user, token) = token_of(&emulator, "user");
    let mut client = Client::connect(&emulator);
    client.ask(&["HELLO", "3", "AUTH", &user, &token]);
    client.send(resp(&["SUBSCRIBE", "news", "news"]));
    assert_eq!(until(&mut client, "subscribed").len(), 2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = Client::signed_in(&emulator, emulator.redis_port(), "system");
            for n in 0..2000 {
                publisher.command(&["PUBLISH", "news", &n.to_string()]);
            }
        });
        let (mut messages, mut answers, mut sent) = (0, 0, 0);
        while messages < 2000 || answers < sent {
            if sent < 100 && answers == sent {
                client.send(resp(&["AUTH", &user, &token]));
                sent += 1;
            }
            match client.reply() {
                Reply::List('>', items) => {
                    assert_eq!(items[2].text(), messages.to_string(), "in order");
                    messages += 1;
                }
                Reply::Line(line) => {
                    assert_eq!(line, "+OK");
                    answers += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(answers > 10, "{answers}");
    });
    drop(client);
    assert_eq!(closed(&emulator, 1).unanswered, Some(0));
}

#[test]
fn replies_of_every_type_come_through_unchanged_with_pushes_in_between() {
    let emulator = Emulator::start().unwrap();
    let mut publisher = Client::signed_in(&emulator, emulator.redis_port(), "system");
    let (user, token) = token_of(&emulator, "user");
    let mut client = Client::connect(&emulator);
    client.ask(&["HELLO", "3", "AUTH", &user, &token]);
    client.send(resp(&["SUBSCRIBE", "news"]));
    until(&mut client, "subscribed");
    let script = |body: &str| vec!["EVAL".to_owned(), format!("redis.setresp(3); {body}"), "0".to_owned()];
    let line = |text: &str| Reply::Line(text.to_owned());
    let bulk = |text: &str| Reply::Bulk(text.to_owned());
    let cases: Vec<(Vec<String>, Reply)> = vec![
        (script("return {double=1.5}"), line(",1.5")),
        (script("return true"), line("#t")),
        (script("return false"), line("#f")),
        (script("return redis.call('GET', 'none')"), line("_")),
        (script("return {map={a=1}}"), Reply::List('%', vec![bulk("a"), line(":1")])),
        (script("return {set={a=true}}"), Reply::List('~', vec![bulk("a")])),
        (script("return {big_number='123456789012345678901234567890'}"), line("(123456789012345678901234567890")),
        (
            script("return {verbatim_string={format='txt', string='line\\r\\n-ERR no error'}}"),
            bulk("txt:line\r\n-ERR no error"),
        ),
        (script("return {}"), Reply::List('*', vec![])),
        (script("return {{}, {{1}}, 'x'}"), {
            let one = Reply::List('*', vec![line(":1")]);
            Reply::List('*', vec![Reply::List('*', vec![]), Reply::List('*', vec![one]), bulk("x")])
        }),
        (script("return {'message', 'news', 'no message'}"), {
            Reply::List('*', vec![bulk("message"), bulk("news"), bulk("no message")])
        }),
        (
            script("return {'subscribe', 'news', 7}"),
            Reply::List('*', vec![bulk("subscribe"), bulk("news"), line(":7")]),
        ),
        (script("return {redis.error_reply('ERR one'), 1}"), Reply::List('*', vec![line("-ERR one"), line(":1")])),
        (script("return redis.error_reply('MINE alone')"), line("-MINE alone")),
        (script("return redis.status_reply('fine')"), line("+fine")),
        (script("return ''"), bulk("")),
    ];
    let mut bytes = Vec::new();
    for (command, _) in &cases {
        bytes.extend(resp(&command.iter().map(String::as_str).collect::<Vec<_>>()));
        bytes.extend(resp(&["AUTH", &user, &token]));
    }
    for piece in [bytes.as_slice(), &bytes] {
        client.send(piece);
        publisher.command(&["PUBLISH", "news", "x"]);
        let mut replies =
            std::iter::repeat_with(|| client.reply()).filter(|reply| !matches!(reply, Reply::List('>', _)));
        for (command, expected) in &cases {
            assert_eq!(replies.next().unwrap(), *expected, "{command:?}");
            assert_eq!(replies.next().unwrap(), line("+OK"), "{command:?}");
        }
    }
    assert_eq!(accepted(&emulator).len(), 2 + 2 * cases.len());
    assert!(accepted(&emulator).iter().skip(2).all(|(_, reply)| reply == "+OK"));
    drop(client);
    assert_eq!(closed(&emulator, 2).unanswered, Some(0));
}

#[test]
fn invalidations_of_client_tracking_are_no_replies() {
    let emulator = Emulator::start().unwrap();
    let mut other = Client::signed_in(&emulator, emulator.redis_port(), "system");
    let (user, token) = token_of(&emulator, "user");
    let mut client = Client::connect(&emulator);
    client.ask(&["HELLO", "3", "AUTH", &user, &token]);
    assert_eq!(client.command(&["CLIENT", "TRACKING", "ON"]), "+OK");
    for n in 0..200 {
        let value = n.to_string();
        assert_eq!(other.command(&["SET", "tracked", &value]), "+OK");
        let read = |reply: Reply, client: &mut Client| match reply {
            Reply::List('>', items) => {
                assert_eq!(items[0].text(), "invalidate");
                client.reply()
            }
            reply => reply,
        };
        let reply = client.ask(&["GET", "tracked"]);
        assert_eq!(read(reply, &mut client).text(), value);
        let reply = client.ask(&["AUTH", &user, &token]);
        assert_eq!(read(reply, &mut client).text(), "+OK");
    }
    assert_eq!(identities(&emulator).len(), 202);
    drop(client);
    assert_eq!(closed(&emulator, 2).unanswered, Some(0));
}

#[test]
fn a_blocked_command_ends_with_the_token_and_not_before() {
    let emulator = Emulator::builder().token_lifetime("user", Duration::from_secs(3)).start().unwrap();
    let (user, short) = token_of(&emulator, "user");
    let (system, long) = token_of(&emulator, "system");
    let mut cut = Client::connect(&emulator);
    let mut kept = Client::connect(&emulator);
    for client in [&mut cut, &mut kept] {
        assert_eq!(client.sign_in(&user, &short), "+OK");
    }
    cut.send(resp(&["BLPOP", "queue", "0"]));
    // The engine takes the second command only when the first has ended, and then it is too late.
    kept.send(
        [resp(&["BLPOP", "other", "1"]), resp(&["AUTH", &system, &long]), resp(&["BLPOP", "other", "0"])].concat(),
    );
    assert!(cut.is_closed());
    assert_eq!((kept.line().as_str(), kept.line().as_str()), ("*-1", "+OK"));
    assert_eq!(closed(&emulator, 1).by, ClosedBy::Expiry);
    let mut other = Client::signed_in(&emulator, emulator.redis_port(), "system");
    assert_eq!(other.command(&["LPUSH", "other", "x"]), ":1");
    assert_eq!(kept.reply().items()[1].text(), "x", "it had signed in again, and waits");
}

/// Lines that a script makes can be of any length; they are not kept until they end.
#[test]
fn a_status_or_error_of_any_length_passes() {
    let emulator = Emulator::start().unwrap();
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
    for length in [255, 256, 257, 4096, 70_000, 300_000] {
        for field in ["ok", "err"] {
            let script = format!("return {{{field} = 'E ' .. string.rep('x', {length})}}");
            let line = client.command(&["EVAL", &script, "0"]);
            assert_eq!(line.len() as i64 - length, 3, "{field}");
            let script = format!("return {{{{{field} = 'E ' .. string.rep('x', {length})}}, 1}}");
            let reply = client.ask(&["EVAL", &script, "0"]);
            assert_eq!(reply.items().len(), 2, "{field}");
            assert_eq!(client.sign_in("x", "wrong"), WRONGPASS);
        }
    }
    drop(client);
    let closed = closed(&emulator, 1);
    assert_eq!((closed.errors, closed.unanswered), (Some(24), Some(0)));
}

/// Whoever has signed in can not make the front keep what they send.
#[test]
fn a_sign_in_without_end_is_a_protocol_error() {
    let emulator = Emulator::start().unwrap();
    let long = "x".repeat(16_385);
    let many = vec!["x"; 200_000];
    for command in [
        resp(&["AUTH", "user", &long]),
        resp(&[["HELLO"].as_slice(), &many].concat()),
        resp(&[["HELLO", "3"].as_slice(), &["SETNAME", &"x".repeat(16_000)].repeat(20)].concat()),
    ] {
        let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
        let bytes = [resp(&["ECHO", "before"]), command, resp(&["PING"])].concat();
        // The rest may not be taken any more.
        for piece in bytes.chunks(10_000) {
            if client.stream.write_all(piece).and_then(|()| client.stream.flush()).is_err() {
                break;
            }
        }
        assert_eq!(client.reply().text(), "before");
        let error = client.line();
        assert!(error.starts_with("-ERR Protocol error"), "{error}");
        assert!(client.is_closed());
    }
}

/// After a protocol error nothing reaches the engine any more, whatever it would make of it.
#[test]
fn after_a_protocol_error_nothing_is_carried_out() {
    let emulator = Emulator::start().unwrap();
    let (system, token) = token_of(&emulator, "system");
    let mut other = Client::signed_in(&emulator, emulator.redis_port(), "system");
    let wrong: [&[u8]; 10] = [
        b"*1000000000000\r\n",
        b"*x\r\n",
        b"*1\r\n+PING\r\n",
        b"*2\r\n$4\r\nECHO\r\n$-1\r\n",
        b"*1234567890123456789012345678901234567890",
        b"*1\r\n$1234567890123456789012345678901234567890",
        b"ECHO \"open\n",
        b"ECHO x\0\n",
        b"*1\r\n$4\0\r\n",
        b"*3\r\n$4\r\nAUTH\r\n$1\r\nx\r\n$20000\r\n",
    ];
    for wrong in wrong {
        for cut in [false, true] {
            let mut client = Client::connect(&emulator);
            assert_eq!(client.sign_in(&system, &token), "+OK");
            let behind = [b"\r\n".as_slice(), &resp(&["SET", "reached", "yes"]).repeat(3)].concat();
            if cut {
                client.send([resp(&["PING"]).as_slice(), wrong].concat());
                assert_eq!(client.line(), "+PONG");
                let _ = client.stream.write_all(&behind).and_then(|()| client.stream.flush());
            } else {
                client.send([wrong, &behind].concat());
            }
            let error = client.line();
            assert!(error.starts_with("-ERR Protocol error"), "{}: {error}", wrong.escape_ascii());
            assert!(client.is_closed(), "{}", wrong.escape_ascii());
            assert_eq!(other.command(&["EXISTS", "reached"]), ":0", "{}", wrong.escape_ascii());
        }
    }
    let long = "x".repeat(70_000);
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
    client.send(format!("ECHO {long}"));
    let error = client.line();
    assert!(error.starts_with("-ERR Protocol error: too big inline request"), "{error}");
    assert!(client.is_closed());
}

#[test]
fn a_client_that_closes_its_side_still_gets_its_replies() {
    for &(_, policy) in ClusteringPolicy::ALL {
        let emulator = start(policy);
        let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
        let bytes: Vec<u8> = (0..1000).flat_map(|n| resp(&["ECHO", &n.to_string()])).collect();
        client.send(bytes);
        for n in 0..1000 {
            assert_eq!(client.reply().text(), n.to_string());
        }
        client.send(resp(&["ECHO", "last"]));
        client.stream.conn.send_close_notify();
        client.stream.flush().unwrap();
        client.stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.reply().text(), "last", "{policy:?}");
        let mut rest = Vec::new();
        assert_eq!(client.stream.read_to_end(&mut rest).unwrap(), 0, "ends with TLS's goodbye");
        assert_eq!(closed(&emulator, 1).by, ClosedBy::Client, "{policy:?}");
    }
}

/// Many clients just hang up.
#[test]
fn a_client_that_vanishes_is_noticed() {
    let emulator = Emulator::start().unwrap();
    let client = Client::signed_in(&emulator, emulator.redis_port(), "system");
    client.stream.sock.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(closed(&emulator, 1).by, ClosedBy::Client);
    assert!(emulator.control().connections().is_empty());
}

#[test]
fn what_a_client_sends_can_not_forge_a_line_of_the_log() {
    let state = tempfile::tempdir().unwrap();
    let events = state.path().join("events.jsonl");
    let emulator = Emulator::builder().events_file(&events).start().unwrap();
    let mut client = Client::connect(&emulator);
    let forged = "x\n12:00:00.000  connection #1      signed in: system\u{1b}[2J";
    assert_eq!(client.sign_in(forged, "wrong"), WRONGPASS);
    let line = emulator.events().pop().unwrap().to_string();
    assert!(!line.contains(['\n', '\u{1b}']), "{line}");
    assert_eq!(std::fs::read_to_string(&events).unwrap().lines().count(), emulator.events().len());
}
