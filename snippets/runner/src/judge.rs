//! The judge: compares what an expectation allows with what the emulator saw. Every event has to be accounted for; what
//! the program printed about itself comes last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Result, bail};
use azure_managed_redis_emulator::{ClosedBy, Event, EventKind, Flow, Service};
use listings::{CountRange, Expect};

use crate::process;
use crate::run::{Ending, Run};

/// Error replies that fail no run. Each is a client's question that some servers cannot answer, asked by the client
/// library itself, which goes on without the answer.
pub(crate) const TOLERATED: &[Tolerated] = &[
    Tolerated {
        // The emulator names a subcommand only if the engine knows it.
        command: "CLIENT",
        error: "ERR",
        because: "client libraries send, unasked, SETINFO, which servers before Redis 7.2 do not know, and \
                  MAINT_NOTIFICATIONS, which only Redis Enterprise and Azure know; they go on without",
    },
    Tolerated {
        command: "CLUSTER|MYID",
        error: "ERR",
        because: "Lettuce asks which node it is on, which Azure does not tell, and reads it from CLUSTER NODES instead",
    },
];

/// An error reply that is no fault of the program.
pub(crate) struct Tolerated {
    pub(crate) command: &'static str,
    pub(crate) error: &'static str,
    /// Said in failures, where it helps to know what was let pass.
    pub(crate) because: &'static str,
}

/// With this command a client asks the server to close the connection.
pub(crate) const QUIT: &str = "QUIT";

const CONNECTIONS: &str = "connections to Redis";

/// Whether an error reply belongs to the named exceptions.
pub(crate) fn tolerated(command: &str, error: &str) -> Option<&'static Tolerated> {
    TOLERATED.iter().find(|it| it.command.eq_ignore_ascii_case(command) && it.error == error)
}

/// What was let pass in a run, for a person who looks for what was not.
pub(crate) fn let_pass(events: &[Event]) -> Vec<String> {
    let mut passed = Vec::new();
    for event in events {
        if let EventKind::ErrorReply { command, error, .. } = &event.kind
            && let Some(rule) = tolerated(command, error)
        {
            let line = format!("{command} answered with {error}: {}", rule.because);
            if !passed.contains(&line) {
                passed.push(line);
            }
        }
    }
    passed
}

/// One way in which a run was not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// The program ended in a way that the scenario does not have.
    Ending(String),
    /// It did not do in time what the scenario waits for.
    NeverShown(String),
    /// A principal asked for a token, or signed in, that has no part in the scenario.
    OtherPrincipal(String),
    /// A token was used that no run of this program was given.
    ForeignToken(String),
    /// Something happened too often or too seldom.
    Count { what: String, expected: CountRange, seen: u64 },
    /// An event that no scenario allows, or not this one.
    Unexpected(String),
    /// A command that has to run did not.
    CommandMissing(String),
    /// A line that has to be printed was not.
    NotPrinted(String),
    /// A visitor of the server was not served.
    Answer(String),
    /// The program went on with a server that it must not trust.
    Trusted(String),
}

impl fmt::Display for Complaint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Complaint::Count { what, expected, seen } => {
                write!(out, "{what}: expected {expected}, saw {seen}")
            }
            Complaint::CommandMissing(command) => {
                write!(out, "the command {command} has to run, and no connection ran it")
            }
            Complaint::NotPrinted(pattern) => {
                write!(out, "no line of standard output matches /{pattern}/")
            }
            Complaint::Ending(text)
            | Complaint::NeverShown(text)
            | Complaint::OtherPrincipal(text)
            | Complaint::ForeignToken(text)
            | Complaint::Unexpected(text)
            | Complaint::Answer(text)
            | Complaint::Trusted(text) => out.write_str(text),
        }
    }
}

/// What is wrong with a run that ought to be as the scenario says. Empty for a good one.
pub(crate) fn judge(expect: &Expect, run: &Run) -> Vec<Complaint> {
    let mut complaints = judge_events(expect, &run.events);
    match run.ending {
        Ending::LeftAsAsked(_) => {}
        Ending::Left(status) if status.success() => {}
        Ending::Left(status) => {
            complaints.push(Complaint::Ending(format!("the program {}", process::describe(status))));
        }
        Ending::NeverLeft(limit) => complaints
            .push(Complaint::Ending(format!("the program had not left after {} s and was ended", limit.as_secs()))),
        Ending::NeverShown(limit) => complaints.push(Complaint::NeverShown(format!(
            "the event log did not show within {} s what the scenario waits for (`stop-after`)",
            limit.as_secs()
        ))),
        Ending::Ended => complaints.push(Complaint::Ending("the program was ended".to_string())),
    }
    if !run.shown && matches!(run.ending, Ending::Left(_)) {
        complaints.push(Complaint::NeverShown(
            "the program left before the event log showed what the scenario waits for (`stop-after`)".to_string(),
        ));
    }
    judge_visits(expect, run, &mut complaints);
    for pattern in &expect.prints {
        if !run.printed.stdout.lines().any(|line| pattern.is_match(line)) {
            complaints.push(Complaint::NotPrinted(pattern.as_str().to_string()));
        }
    }
    complaints
}

/// A server has to answer every visit, and rightly.
fn judge_visits(expect: &Expect, run: &Run, complaints: &mut Vec<Complaint>) {
    if expect.answers.is_empty() {
        return;
    }
    if run.visits.is_empty() {
        complaints.push(Complaint::Answer("it never listened at the port that PORT names".to_string()));
    }
    for visit in &run.visits {
        match visit {
            Ok(visit) if visit.status == 200 && expect.answers.iter().any(|it| it.is_match(&visit.body)) => {}
            Ok(visit) => complaints
                .push(Complaint::Answer(format!("it answered a visit with {} and `{}`", visit.status, visit.body))),
            Err(error) => complaints.push(Complaint::Answer(format!("it did not answer a visit: {error}"))),
        }
    }
    let answers = complaints.iter().filter(|it| matches!(it, Complaint::Answer(_))).count();
    const TOLD: usize = 3;
    if answers > TOLD {
        let mut told = 0;
        complaints.retain(|it| {
            told += usize::from(matches!(it, Complaint::Answer(_)));
            !matches!(it, Complaint::Answer(_)) || told <= TOLD
        });
        complaints.push(Complaint::Answer(format!("and {} more of {} visits", answers - TOLD, run.visits.len())));
    }
}

/// What is wrong with a run against a server with a certificate that nobody should trust. The program must stop before
/// anything secret is sent: no sign-in, and nothing asked of an Entra ID that is not the real one.
pub(crate) fn judge_distrust(untrusted: Service, run: &Run) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut refused = false;
    // .NET looks at the certificate when the handshake of TLS 1.3 is done, and hangs up then.
    let hung_up = |number: u64| {
        run.events.iter().any(|event| {
            matches!(&event.kind, EventKind::ConnectionClosed { connection, by: ClosedBy::Client, commands, .. }
                if *connection == number && commands.is_empty())
        })
    };
    for event in &run.events {
        match &event.kind {
            EventKind::TlsFailed { service, .. } if *service == untrusted => refused = true,
            EventKind::ConnectionOpened { connection, .. } if untrusted == Service::Redis && hung_up(*connection) => {
                refused = true;
            }
            // Of a client that hangs up so late Entra ID sees nothing, but the proxy does.
            EventKind::ProxyConnected { .. } if untrusted == Service::Entra => refused = true,
            EventKind::SignInAccepted { .. }
            | EventKind::SignInRefused { .. }
            | EventKind::AccessKeyAccepted { .. } => {
                complaints.push(Complaint::Trusted(format!("it sent a token or a key: {event}")));
            }
            EventKind::ConnectionOpened { .. } if untrusted == Service::Redis => {
                complaints.push(Complaint::Trusted(format!("it accepted the certificate: {event}")));
            }
            EventKind::TokenIssued { .. } | EventKind::TokenRefused { .. } | EventKind::HttpRequest { .. }
                if untrusted == Service::Entra =>
            {
                complaints.push(Complaint::Trusted(format!("it sent a request: {event}")));
            }
            _ => {}
        }
    }
    if !refused {
        complaints.push(Complaint::Unexpected(
            "the emulator saw nobody refuse a certificate, so the program never came to it".to_string(),
        ));
    }
    if let Ending::Left(status) = run.ending
        && status.success()
    {
        complaints.push(Complaint::Ending("the program left with 0, as if nothing had gone wrong".to_string()));
    }
    complaints
}

/// A flow as the table and the JSON of the event log write it.
fn written(flow: Flow) -> String {
    serde_json::to_value(flow).ok().and_then(|name| name.as_str().map(str::to_string)).unwrap_or_default()
}

fn judge_events(expect: &Expect, events: &[Event]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut issued_to: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut issued = BTreeSet::new();
    let mut connections = 0;
    let mut closed = 0;
    let mut with_key = 0;
    // Identity and number of connection → sign-ins with a new token after the first.
    let mut signed_in: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut ran: BTreeMap<&str, u64> = BTreeMap::new();
    // Connection and the shard whose address it was made to; shards that were signed in to.
    let mut shard_of: BTreeMap<u64, usize> = BTreeMap::new();
    let mut shards: BTreeSet<usize> = BTreeSet::new();

    for event in events {
        match &event.kind {
            EventKind::TokenIssued { identity, flow, token, .. } => {
                issued.insert(token.as_str());
                let flow = written(*flow);
                let allowed = expect.tokens.iter().any(|it| &it.identity == identity && it.flow == flow);
                if !allowed {
                    complaints.push(Complaint::OtherPrincipal(format!(
                        "a token was issued to `{identity}` by {flow}, which the scenario does not have: {event}"
                    )));
                }
                *issued_to.entry((identity.clone(), flow)).or_default() += 1;
            }
            EventKind::ConnectionOpened { connection, shard, .. } => {
                connections += 1;
                shard_of.extend(shard.map(|shard| (*connection, shard)));
            }
            EventKind::HttpRequest { service: Service::Entra, exchange }
                if expect.discovery && exchange.status == 200 => {}
            // Only a program that was given the proxy comes there, and only the emulator is behind it.
            EventKind::ProxyConnected { .. } => {}
            EventKind::SignInAccepted { connection, identity, token, renewal, .. } => {
                if !expect.sign_ins.iter().any(|it| &it.identity == identity) {
                    complaints.push(Complaint::OtherPrincipal(format!(
                        "`{identity}` signed in, who has no part in the scenario: {event}"
                    )));
                }
                if !issued.contains(token.as_str()) {
                    complaints.push(Complaint::ForeignToken(format!(
                        "the program signed in with a token that it did not get in this run: {event}"
                    )));
                }
                // A repeated sign-in with the token that the connection has already changes nothing. redis-rs does so
                // right after it connects.
                *signed_in.entry((identity.as_str(), *connection)).or_default() += u64::from(*renewal);
                shards.extend(shard_of.get(connection));
            }
            EventKind::AccessKeyAccepted { nth, .. } if expect.access_keys.max != Some(0) => {
                with_key += u64::from(*nth == 1);
            }
            // Nobody but the runner has the key to the emulator's controls.
            EventKind::Control { .. } => {}
            EventKind::ErrorReply { command, error, .. } => {
                let asked_by_itself =
                    expect.error_replies.iter().any(|it| it.command == *command && it.error == *error);
                if tolerated(command, error).is_none() && !asked_by_itself {
                    complaints.push(Complaint::Unexpected(format!("a command failed: {event}")));
                }
            }
            EventKind::ConnectionClosed { by, commands, unanswered, .. } => {
                closed += 1;
                // Turning access keys off is the runner's doing too.
                let by_program = matches!(by, ClosedBy::Client | ClosedBy::AccessKeysOff)
                    || (*by == ClosedBy::Server && commands.contains_key(QUIT));
                if !by_program {
                    complaints
                        .push(Complaint::Unexpected(format!("a connection was not closed by the program: {event}")));
                }
                // One may be open at the end: the repeated sign-in named above.
                if unanswered.is_some_and(|open| open > 1) {
                    complaints.push(Complaint::Unexpected(format!("commands were left without a reply: {event}")));
                }
                for (command, count) in commands {
                    *ran.entry(command).or_default() += count;
                }
            }
            _ => complaints
                .push(Complaint::Unexpected(format!("something happened that the scenario does not have: {event}"))),
        }
    }

    let open = connections - closed;
    if open > 0 {
        complaints.push(Complaint::Unexpected(format!(
            "{open} of {connections} connections were not closed when the program had left"
        )));
    }

    let mut count = |what: String, expected: CountRange, seen: u64| {
        if !expected.contains(seen) {
            complaints.push(Complaint::Count { what, expected, seen });
        }
    };
    for tokens in &expect.tokens {
        let key = (tokens.identity.clone(), tokens.flow.clone());
        let seen = issued_to.get(&key).copied().unwrap_or_default();
        count(format!("tokens issued to `{}` by {}", tokens.identity, tokens.flow), tokens.count, seen);
    }
    count(CONNECTIONS.to_string(), expect.connections, connections);
    count("connections that signed in with an access key".to_string(), expect.access_keys, with_key);
    for sign_ins in &expect.sign_ins {
        let identity = sign_ins.identity.as_str();
        let its: Vec<_> = signed_in.iter().filter(|((who, _), _)| *who == identity).collect();
        count(format!("connections that `{identity}` signed in on"), sign_ins.connections, its.len() as u64);
        for ((_, connection), renewals) in its {
            count(
                format!("sign-ins of `{identity}` with a new token on connection #{connection}, after the first"),
                sign_ins.renewals,
                *renewals,
            );
        }
    }
    if expect.shards > 0 {
        let all = CountRange { min: expect.shards, max: Some(expect.shards) };
        count("shards that were signed in to at their own address".to_string(), all, shards.len() as u64);
    }
    for command in &expect.commands {
        if !ran.keys().any(|name| name.eq_ignore_ascii_case(command)) {
            complaints.push(Complaint::CommandMissing(command.clone()));
        }
    }
    complaints
}

type Reason = fn(&Complaint) -> bool;

/// Why a kept mutation has to fail, by its name. Failing for another reason would prove nothing.
const REASONS: &[(&str, Reason)] = &[
    ("no-refresh", |it| matches!(it, Complaint::NeverShown(_))),
    ("reconnects", |it| matches!(it, Complaint::Count { what, .. } if what == CONNECTIONS)),
    ("no-reconnect", |it| matches!(it, Complaint::NeverShown(_))),
    ("static-token", |it| matches!(it, Complaint::NeverShown(_) | Complaint::ForeignToken(_))),
    ("other-principal", |it| matches!(it, Complaint::OtherPrincipal(_))),
    ("only-prints", |it| matches!(it, Complaint::CommandMissing(_))),
    ("no-certificate-check", |it| matches!(it, Complaint::Trusted(_))),
    ("no-host-name-check", |it| matches!(it, Complaint::Trusted(_))),
];

/// Whether these are the complaints that the mutation of this name must bring.
pub(crate) fn caught(mutation: &str, complaints: &[Complaint]) -> Result<bool> {
    match REASONS.iter().find(|(name, _)| *name == mutation) {
        Some((_, reason)) => Ok(complaints.iter().any(reason)),
        None => {
            let known: Vec<_> = REASONS.iter().map(|(name, _)| *name).collect();
            bail!(
                "there is no reason why a mutation called `{mutation}` has to fail; the judge knows {}: add it to \
                 REASONS in snippets/runner/src/judge.rs",
                known.join(", ")
            )
        }
    }
}

/// Events made by hand, for tests.
#[cfg(test)]
pub(crate) mod events {
    use super::*;

    pub(crate) fn issued(identity: &str, token: &str) -> EventKind {
        EventKind::TokenIssued {
            identity: identity.to_string(),
            object_id: String::new(),
            client_id: String::new(),
            flow: Flow::ManagedIdentity,
            audience: "https://redis.azure.com".to_string(),
            token: token.to_string(),
            lifetime: 3600,
            expires: 2_000_000_000,
            exchange: None,
        }
    }

    pub(crate) fn opened(connection: u64) -> EventKind {
        EventKind::ConnectionOpened {
            connection,
            tls: "TLSv1.3".to_string(),
            server_name: Some("localhost".to_string()),
            shard: None,
        }
    }

    pub(crate) fn signed_in(identity: &str, connection: u64, token: &str, nth: u32, renewal: bool) -> EventKind {
        EventKind::SignInAccepted {
            connection,
            identity: identity.to_string(),
            object_id: String::new(),
            token: token.to_string(),
            expires: 2_000_000_000,
            command: "AUTH".to_string(),
            nth,
            renewal,
            exchange: None,
        }
    }

    pub(crate) fn closed(connection: u64, commands: &[&str]) -> EventKind {
        EventKind::ConnectionClosed {
            connection,
            by: ClosedBy::Client,
            commands: commands.iter().map(|name| (name.to_string(), 1)).collect(),
            error_replies: Some(0),
            unanswered: Some(0),
        }
    }

    pub(crate) fn log(kinds: &[EventKind]) -> Vec<Event> {
        let log: Vec<_> = kinds
            .iter()
            .zip(1..)
            .map(|(kind, seq)| {
                let mut event = serde_json::to_value(kind).unwrap();
                event["seq"] = serde_json::json!(seq);
                event["time"] = serde_json::json!("2026-01-01T00:00:00Z");
                event
            })
            .collect();
        serde_json::from_value(log.into()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use listings::ErrorReply;

    use super::events::{closed, issued, log, opened, signed_in};
    use super::*;
    use crate::process::Printed;

    /// One token, one connection, one sign-in of `user`, and a PING.
    fn good() -> Vec<EventKind> {
        vec![issued("user", "uti-a"), opened(1), signed_in("user", 1, "uti-a", 1, false), closed(1, &["AUTH", "PING"])]
    }

    fn expect(renewals: &str) -> Expect {
        serde_json::from_value(serde_json::json!({
            "tokens": [{ "identity": "user", "flow": "managed-identity", "count": "1.." }],
            "connections": "1",
            "sign-ins": [{ "identity": "user", "connections": "1", "renewals": renewals }],
            "commands": ["PING"],
        }))
        .unwrap()
    }

    fn complaints(events: &[EventKind]) -> Vec<Complaint> {
        judge_events(&expect("0"), &log(events))
    }

    #[test]
    fn a_run_as_expected_brings_no_complaint() {
        assert_eq!(complaints(&good()), []);
    }

    #[test]
    fn a_repeated_sign_in_with_the_same_token_is_no_renewal() {
        let mut events = good();
        events.insert(3, signed_in("user", 1, "uti-a", 2, false));
        assert_eq!(complaints(&events), []);
    }

    #[test]
    fn renewals_count_on_the_same_connection_only() {
        let mut events = good();
        events.insert(3, signed_in("user", 1, "uti-b", 2, true));
        events.insert(3, issued("user", "uti-b"));
        assert_eq!(judge_events(&expect("1"), &log(&events)), []);

        // Two connections with a token each have renewed nothing.
        let mut events = good();
        events.extend([
            issued("user", "uti-b"),
            opened(2),
            signed_in("user", 2, "uti-b", 1, false),
            closed(2, &["PING"]),
        ]);
        let found = judge_events(&expect("1"), &log(&events));
        assert!(found.iter().any(|it| matches!(it, Complaint::Count { what, seen: 2, .. } if what == CONNECTIONS)));
        assert!(
            found.iter().any(|it| matches!(it, Complaint::Count { what, seen: 0, .. } if what.contains("new token")))
        );
    }

    #[test]
    fn another_principal_is_found_by_its_token_and_by_its_sign_in() {
        let events =
            [issued("system", "uti-a"), opened(1), signed_in("system", 1, "uti-a", 1, false), closed(1, &["PING"])];
        let found = complaints(&events);
        assert_eq!(found.iter().filter(|it| matches!(it, Complaint::OtherPrincipal(_))).count(), 2);
        assert!(caught("other-principal", &found).unwrap());
    }

    #[test]
    fn a_token_from_elsewhere_is_found() {
        let mut events = good();
        events[2] = signed_in("user", 1, "of-yesterday", 1, false);
        assert!(matches!(&complaints(&events)[..], [Complaint::ForeignToken(_)]));
    }

    #[test]
    fn printing_is_not_enough() {
        let found = complaints(&[]);
        assert!(found.contains(&Complaint::CommandMissing("PING".to_string())));
        assert!(caught("only-prints", &found).unwrap());
    }

    #[test]
    fn an_error_reply_fails_unless_it_is_a_named_exception() {
        let reply = |command: &str, error: &str| EventKind::ErrorReply {
            connection: 1,
            command: command.to_string(),
            error: error.to_string(),
        };
        let with = |event| {
            let mut events = good();
            events.insert(3, event);
            complaints(&events)
        };
        assert_eq!(with(reply("CLIENT", "ERR")), []);
        assert_eq!(with(reply("GET", "NOPERM")).len(), 1);
        assert_eq!(with(reply("CLIENT|SETINFO", "NOPERM")).len(), 1);
    }

    #[test]
    fn whatever_is_not_expected_fails() {
        let unexpected = [
            EventKind::TlsFailed { service: Service::Redis, why: String::new() },
            EventKind::ConnectionExpired { connection: 1, identity: "user".to_string(), token: "a".to_string() },
            EventKind::TokenRefused {
                flow: None,
                client_id: None,
                status: 400,
                error: String::new(),
                code: None,
                why: String::new(),
                exchange: None,
            },
        ];
        for event in unexpected {
            let mut events = good();
            events.insert(3, event);
            assert!(matches!(&complaints(&events)[..], [Complaint::Unexpected(_)]));
        }
    }

    #[test]
    fn a_connection_must_be_closed_by_the_program() {
        let mut open = good();
        open.pop();
        assert!(complaints(&open).iter().any(|it| matches!(it, Complaint::Unexpected(_))));

        let mut cut = good();
        if let Some(EventKind::ConnectionClosed { by, .. }) = cut.last_mut() {
            *by = ClosedBy::Expiry;
        }
        assert!(matches!(&complaints(&cut)[..], [Complaint::Unexpected(_)]));
    }

    #[test]
    fn an_access_key_is_of_no_use_where_a_token_is_expected() {
        let with_key =
            EventKind::AccessKeyAccepted { connection: 1, command: "AUTH".to_string(), nth: 1, exchange: None };
        let events = log(&[opened(1), with_key, closed(1, &["PING"])]);
        let found = judge_events(&expect("0"), &events);
        assert!(found.iter().any(|it| matches!(it, Complaint::Unexpected(_))));

        let one = CountRange { min: 1, max: Some(1) };
        let keys = Expect { access_keys: one, tokens: Vec::new(), sign_ins: Vec::new(), ..expect("0") };
        assert_eq!(judge_events(&keys, &events), []);
        assert!(judge_events(&keys, &[]).iter().any(|it| matches!(it, Complaint::Count { seen: 0, .. })));
    }

    #[test]
    fn connections_may_be_dropped_by_turning_access_keys_off() {
        let mut dropped = good();
        if let Some(EventKind::ConnectionClosed { by, .. }) = dropped.last_mut() {
            *by = ClosedBy::AccessKeysOff;
        }
        assert_eq!(complaints(&dropped), []);
    }

    #[test]
    fn a_client_may_ask_the_server_to_close_its_connection() {
        let by_the_server = |commands: &[&str]| {
            let mut events = good();
            events[3] = closed(1, commands);
            if let EventKind::ConnectionClosed { by, .. } = &mut events[3] {
                *by = ClosedBy::Server;
            }
            complaints(&events)
        };
        assert_eq!(by_the_server(&["PING", "QUIT"]), []);
        assert!(matches!(&by_the_server(&["PING"])[..], [Complaint::Unexpected(_)]));
    }

    #[test]
    fn a_stack_names_error_replies_to_its_client_library() {
        let mut events = good();
        events.insert(
            3,
            EventKind::ErrorReply { connection: 1, command: "CONFIG|GET".to_string(), error: "ERR".to_string() },
        );
        assert!(matches!(&complaints(&events)[..], [Complaint::Unexpected(_)]));
        let reply = ErrorReply { command: "CONFIG|GET".to_string(), error: "ERR".to_string() };
        let expect = Expect { error_replies: vec![reply], ..expect("0") };
        assert_eq!(judge_events(&expect, &log(&events)), []);
    }

    #[test]
    fn whoever_hangs_up_without_a_byte_has_refused_the_certificate() {
        let distrust = |events: &[EventKind]| {
            let run = Run {
                ending: Ending::Ended,
                shown: true,
                printed: Printed::default(),
                visits: Vec::new(),
                events: log(events),
                engine: String::new(),
                elapsed: Duration::ZERO,
            };
            judge_distrust(Service::Redis, &run)
        };
        assert_eq!(distrust(&[opened(1), closed(1, &[])]), []);
        assert!(matches!(&distrust(&[opened(1), closed(1, &["PING"])])[..], [Complaint::Trusted(_), ..]));
        assert!(matches!(&distrust(&[opened(1)])[..], [Complaint::Trusted(_), ..]));
        let sent = distrust(&[opened(1), signed_in("user", 1, "uti-a", 1, false), closed(1, &["AUTH"])]);
        assert!(caught("no-certificate-check", &sent).unwrap());
    }

    #[test]
    fn a_mutation_without_a_reason_is_an_error() {
        assert!(caught("something-new", &[]).is_err());
    }
}
