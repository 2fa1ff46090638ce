//! The event log: one ordered record of everything that a sign-in is made of. Tests read it as [`Event`]s, scripts as
//! JSON lines, people as the lines on standard error. No event ever carries a token, a signature or a secret.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Display, Write as _};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::token::Refusal;

/// How many events are kept in memory. Older ones are dropped, so that an emulator that runs for weeks does not grow.
const KEPT: usize = 100_000;

/// Something that happened, with its place in the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// 1 for the first event of an emulator, then counting up without gaps.
    pub seq: u64,
    /// When it happened, UTC, to the microsecond. Of a request and its reply: when the reply went; its `duration_us` before that
    /// the request came.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub time: OffsetDateTime,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened. In JSON the field `event` holds the name in kebab-case, for example `sign-in-accepted`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// Entra ID or a managed identity endpoint gave out a token.
    TokenIssued {
        /// Name of the identity in the directory.
        identity: String,
        /// Object id of the principal: the user name that Redis expects.
        object_id: String,
        /// Client id (application id) of the principal.
        client_id: String,
        /// How the client proved who it is.
        flow: Flow,
        /// The `aud` claim.
        audience: String,
        /// The `uti` claim: names the token without giving it away.
        token: String,
        /// Seconds until it expires.
        lifetime: u64,
        /// The `exp` claim, seconds since 1970.
        expires: u64,
        /// The request and its reply, secrets cut out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exchange: Option<HttpExchange>,
    },
    /// Entra ID or a managed identity endpoint gave out no token.
    TokenRefused {
        /// How the client tried to prove who it is, where that could be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flow: Option<Flow>,
        /// The client id that was asked for, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        /// HTTP status of the reply.
        status: u16,
        /// The `error` field of the reply.
        error: String,
        /// The AADSTS code, where Entra ID gives one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// What was wrong, in a sentence.
        why: String,
        /// The request and its reply, secrets cut out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exchange: Option<HttpExchange>,
    },
    /// Any other HTTP request: discovery, keys, or a path that nobody answers.
    HttpRequest {
        /// Who was asked.
        service: Service,
        /// The request and its reply, secrets cut out.
        exchange: HttpExchange,
    },
    /// A program reached Entra ID, or another port of the emulator, through the proxy.
    ProxyConnected {
        /// The host that it asked for, with the port.
        host: String,
    },
    /// The proxy refused a host that is none of Entra ID's, or a request that was no `CONNECT`.
    ProxyRefused {
        /// The host that was asked for, with the port, or the address of the request.
        host: String,
        /// Why, as the client was told too.
        why: String,
    },
    /// A TLS connection to the Redis port was made.
    ConnectionOpened {
        /// Number of the connection, from 1.
        connection: u64,
        /// Protocol version, `TLSv1.2` or `TLSv1.3`.
        tls: String,
        /// The server name that the client asked for, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server_name: Option<String>,
        /// Number of the shard whose own address it was made to, from 0. Absent at the cache's endpoint.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shard: Option<usize>,
    },
    /// A TLS handshake did not finish.
    TlsFailed {
        /// Who was asked.
        service: Service,
        /// What the TLS library says, and what it usually means.
        why: String,
    },
    /// A Redis connection signed in.
    SignInAccepted {
        /// Number of the connection.
        connection: u64,
        /// Name of the identity in the directory.
        identity: String,
        /// Object id of the principal.
        object_id: String,
        /// The `uti` claim of the token.
        token: String,
        /// The `exp` claim, seconds since 1970: the connection is closed then.
        expires: u64,
        /// `AUTH` or `HELLO`.
        command: String,
        /// 1 for the first sign-in on this connection.
        nth: u32,
        /// The token differs from the one before on this connection: a token was renewed.
        renewal: bool,
        /// The command and its reply, the token cut out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exchange: Option<RespExchange>,
    },
    /// A Redis connection signed in with an access key.
    AccessKeyAccepted {
        /// Number of the connection.
        connection: u64,
        /// `AUTH` or `HELLO`.
        command: String,
        /// 1 for the first sign-in on this connection.
        nth: u32,
        /// The command and its reply, the key cut out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exchange: Option<RespExchange>,
    },
    /// A Redis connection tried to sign in and was refused. The client is told `WRONGPASS` only; the reason is here.
    SignInRefused {
        /// Number of the connection.
        connection: u64,
        /// The user name that was sent, shortened; `default` where none was.
        username: String,
        /// Why, as a fixed word.
        reason: Refusal,
        /// Why, in a sentence that says what to do.
        why: String,
        /// The command and its reply, the token cut out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exchange: Option<RespExchange>,
    },
    /// The server answered a command with an error.
    ErrorReply {
        /// Number of the connection.
        connection: u64,
        /// The command, with its subcommand where it has one: `GET`, `CLIENT|SETINFO`.
        command: String,
        /// The first word of the error, for example `NOPERM`.
        error: String,
    },
    /// A connection was closed because its token ran out.
    ConnectionExpired {
        /// Number of the connection.
        connection: u64,
        /// Name of the identity in the directory.
        identity: String,
        /// The `uti` claim of the token that ran out.
        token: String,
    },
    /// Somebody changed the emulator while it ran, from a test or with the command.
    Control {
        /// What was done, as a fixed word, for example `assignment-removed`.
        action: String,
        /// To what, and how.
        detail: String,
    },
    /// A connection ended.
    ConnectionClosed {
        /// Number of the connection.
        connection: u64,
        /// Who ended it, and why.
        by: ClosedBy,
        /// How often each command was sent.
        commands: BTreeMap<String, u64>,
        /// How many error replies the server gave, if replies were counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_replies: Option<u64>,
        /// Commands that had no reply yet, if replies were counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unanswered: Option<u64>,
    },
}

/// How a client proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Flow {
    /// The managed identity endpoint of the hosting.
    ManagedIdentity,
    /// `client_credentials` with a client secret.
    ClientSecret,
    /// `client_credentials` with an assertion that the client signed with its certificate's key.
    ClientCertificate,
    /// `client_credentials` with a token of another issuer (workload identity).
    FederatedCredential,
    /// A person, through the Azure CLI.
    AzureCli,
}

/// One of the servers that the emulator is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Service {
    /// Microsoft Entra ID.
    Entra,
    /// The managed identity endpoint.
    ManagedIdentity,
    /// The Redis port.
    Redis,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ClosedBy {
    /// The client closed it.
    Client,
    /// Its token ran out.
    Expiry,
    /// It did not sign in within the time that is allowed for that.
    NoSignIn,
    /// It was idle for too long.
    Idle,
    /// The engine closed it, for example after a protocol error, or it was stopped.
    Server,
    /// The access policy assignment that it had signed in by was removed.
    AssignmentRemoved,
    /// Access keys were switched off, which ends every connection.
    AccessKeysOff,
    /// Its shard failed over to another engine.
    Failover,
    /// The emulator was reset.
    Reset,
    /// The emulator stopped.
    Shutdown,
}

/// An HTTP request and its reply, as far as a sequence diagram needs them. Secrets and tokens are cut out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HttpExchange {
    /// Who was asked.
    pub service: Service,
    /// Protocol version of the connection, `TLSv1.2` or `TLSv1.3`. Absent for plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// For example `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers that matter to the flow, names in lower case.
    pub request_headers: BTreeMap<String, String>,
    /// The body, empty if there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_body: String,
    /// Status of the reply.
    pub status: u16,
    /// Body of the reply.
    pub response_body: String,
    /// Microseconds from the request to the reply.
    pub duration_us: u64,
}

/// A Redis command and its reply. Tokens are cut out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RespExchange {
    /// The arguments, the command's name first.
    pub request: Vec<String>,
    /// First line of the reply, without the line end.
    pub reply: String,
    /// Microseconds from the command to the reply.
    pub duration_us: u64,
}

impl Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flow::ManagedIdentity => "managed identity",
            Flow::ClientSecret => "client secret",
            Flow::ClientCertificate => "client certificate",
            Flow::FederatedCredential => "federated credential",
            Flow::AzureCli => "Azure CLI",
        })
    }
}

impl Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Service::Entra => "Entra ID",
            Service::ManagedIdentity => "managed identity",
            Service::Redis => "Redis",
        })
    }
}

impl Display for Event {
    /// One line for a person: the time of day (UTC), what happened, to whom, and why. Whatever a client sent, it stays one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CLOCK: &[time::format_description::BorrowedFormatItem<'_>] =
            format_description!("[hour]:[minute]:[second].[subsecond digits:3]");
        let clock = self.time.format(CLOCK).map_err(|_| fmt::Error)?;
        write!(OneLine(f), "{clock}  {}", self.kind)
    }
}

/// Escapes what would end a line or move a terminal's cursor.
struct OneLine<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            let plain = part.trim_end_matches(char::is_control);
            self.0.write_str(plain)?;
            write!(self.0, "{}", part[plain.len()..].escape_default())?;
        }
        Ok(())
    }
}

impl Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::TokenIssued { identity, object_id, flow, audience, token, lifetime, .. } => write!(
                f,
                "token issued       {identity} ({object_id}) by {flow}, for {audience}, valid {lifetime} s  <token uti={token}>"
            ),
            EventKind::TokenRefused { client_id, status, error, code, why, .. } => {
                write!(f, "token REFUSED      ")?;
                if let Some(client_id) = client_id {
                    write!(f, "client {client_id}: ")?;
                }
                write!(f, "{status} {error}")?;
                if let Some(code) = code {
                    write!(f, " {code}")?;
                }
                write!(f, ": {why}")
            }
            EventKind::HttpRequest { service, exchange } => {
                write!(f, "{:<18} {} {} -> {}", format!("{service}"), exchange.method, exchange.path, exchange.status)
            }
            EventKind::ProxyConnected { host } => {
                write!(f, "proxy              connected to {host}, which is the emulator")
            }
            EventKind::ProxyRefused { host, why } => write!(f, "proxy REFUSED      {host}: {why}"),
            EventKind::ConnectionOpened { connection, tls, server_name, shard } => {
                write!(f, "connection #{connection:<6} opened, {tls}")?;
                if let Some(shard) = shard {
                    write!(f, ", to shard {shard}")?;
                }
                match server_name {
                    Some(name) => write!(f, ", server name {name}"),
                    None => write!(f, ", no server name"),
                }
            }
            EventKind::TlsFailed { service, why } => write!(f, "TLS FAILED         {service}: {why}"),
            EventKind::SignInAccepted { connection, identity, object_id, token, command, nth, renewal, .. } => {
                let what = match (*renewal, *nth) {
                    (true, _) => "signed in again",
                    (false, 1) => "signed in",
                    (false, _) => "signed in again with the same token",
                };
                write!(
                    f,
                    "connection #{connection:<6} {what}: {identity} ({object_id}) by {command}  <token uti={token}>"
                )
            }
            EventKind::AccessKeyAccepted { connection, command, nth, .. } => {
                let again = if *nth > 1 { " again" } else { "" };
                write!(f, "connection #{connection:<6} signed in{again} with an access key by {command}")
            }
            EventKind::Control { action, detail } => write!(f, "control            {action}: {detail}"),
            EventKind::SignInRefused { connection, username, reason, why, .. } => {
                write!(f, "connection #{connection:<6} sign-in REFUSED for user name '{username}': {reason}: {why}")
            }
            EventKind::ErrorReply { connection, command, error } => {
                write!(f, "connection #{connection:<6} {command} answered with the error {error}")
            }
            EventKind::ConnectionExpired { connection, identity, token } => write!(
                f,
                "connection #{connection:<6} CUT: the token of {identity} ran out and no new one came  <token uti={token}>"
            ),
            EventKind::ConnectionClosed { connection, by, commands, error_replies, unanswered } => {
                let by = match by {
                    ClosedBy::Client => "by the client",
                    ClosedBy::Expiry => "at the token's expiry",
                    ClosedBy::NoSignIn => "because it did not sign in in time",
                    ClosedBy::Idle => "because it was idle for too long",
                    ClosedBy::Server => "by the server",
                    ClosedBy::AssignmentRemoved => "because its assignment was removed",
                    ClosedBy::AccessKeysOff => "because access keys were switched off",
                    ClosedBy::Failover => "because its shard failed over",
                    ClosedBy::Reset => "because the emulator was reset",
                    ClosedBy::Shutdown => "because the emulator stops",
                };
                write!(f, "connection #{connection:<6} closed {by};")?;
                if commands.is_empty() {
                    write!(f, " no command")?;
                }
                for (name, count) in commands {
                    write!(f, " {name} {count}")?;
                }
                if let Some(errors @ 1..) = error_replies {
                    write!(f, "; {errors} error replies")?;
                }
                if let Some(open @ 1..) = unanswered {
                    write!(f, "; {open} unanswered")?;
                }
                Ok(())
            }
        }
    }
}

/// Where events go besides memory.
#[derive(Default)]
pub(crate) struct Outputs {
    /// Human lines on standard error.
    pub(crate) stderr: bool,
    /// JSON lines.
    pub(crate) json_lines: Option<File>,
}

/// The ordered log that all parts of one emulator write to.
pub(crate) struct EventLog {
    state: Mutex<State>,
    changed: Condvar,
    /// Told of each event too, for readers that must not hold a thread; true once no more will come.
    news: watch::Sender<bool>,
}

struct State {
    next: u64,
    events: VecDeque<Event>,
    outputs: Outputs,
    colour: bool,
}

impl EventLog {
    pub(crate) fn new(outputs: Outputs) -> Self {
        let colour = outputs.stderr && std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        EventLog {
            state: Mutex::new(State { next: 1, events: VecDeque::new(), outputs, colour }),
            changed: Condvar::new(),
            news: watch::Sender::new(false),
        }
    }

    /// A panic while the lock was held can only have come from a broken output; the events are whole, so go on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn record(&self, kind: EventKind) {
        let mut state = self.lock();
        let event = Event { seq: state.next, time: now_to_the_microsecond(), kind };
        state.next += 1;
        // A full disk or a closed standard error must not take the emulator down: the log in memory stays complete.
        if state.outputs.stderr {
            let (dim, bold, end) = if state.colour { ("\x1b[2m", "\x1b[1;31m", "\x1b[0m") } else { ("", "", "") };
            let start = if event.kind.is_trouble() { bold } else { dim };
            let _ = writeln!(std::io::stderr().lock(), "{start}{event}{end}");
        }
        if let Some(file) = &mut state.outputs.json_lines
            && let Ok(mut line) = serde_json::to_vec(&event)
        {
            line.push(b'\n');
            let _ = file.write_all(&line);
        }
        if state.events.len() == KEPT {
            state.events.pop_front();
        }
        state.events.push_back(event);
        drop(state);
        self.changed.notify_all();
        self.news.send_modify(|_| {});
    }

    /// No more events come: whoever follows the log has then seen all of it.
    pub(crate) fn end(&self) {
        self.news.send_replace(true);
    }

    /// Wakes at each event. Holds true once no more will come.
    pub(crate) fn news(&self) -> watch::Receiver<bool> {
        self.news.subscribe()
    }

    /// Number of the last event; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.lock().next - 1
    }

    /// The events that came after the one with that number, at most `most` of them. What is not kept any more is left out, and
    /// the numbers show it.
    pub(crate) fn since(&self, seq: u64, most: usize) -> Vec<Event> {
        let state = self.lock();
        let kept = state.events.len();
        let before_first = state.next - 1 - kept as u64;
        let known = usize::try_from(seq.saturating_sub(before_first)).map_or(kept, |known| known.min(kept));
        state.events.range(known..).take(most).cloned().collect()
    }

    pub(crate) fn snapshot(&self) -> Vec<Event> {
        self.lock().events.iter().cloned().collect()
    }

    /// Waits until `enough` holds for the events so far; false if it does not within `timeout`.
    pub(crate) fn wait_for(&self, timeout: Duration, mut enough: impl FnMut(&[Event]) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if enough(state.events.make_contiguous()) {
                return true;
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl EventKind {
    fn is_trouble(&self) -> bool {
        matches!(
            self,
            EventKind::TokenRefused { .. }
                | EventKind::ProxyRefused { .. }
                | EventKind::TlsFailed { .. }
                | EventKind::SignInRefused { .. }
                | EventKind::ErrorReply { .. }
                | EventKind::ConnectionExpired { .. }
        )
    }
}

fn now_to_the_microsecond() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(now.nanosecond() / 1000 * 1000).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> EventKind {
        EventKind::SignInRefused {
            connection: 3,
            username: "app".into(),
            reason: Refusal::UsernameNotObjectId,
            why: "the user name is not the token's oid".into(),
            exchange: None,
        }
    }

    #[test]
    fn json_names_the_event_and_comes_back_the_same() {
        let log = EventLog::new(Outputs::default());
        log.record(refused());
        let event = &log.snapshot()[0];
        let json = serde_json::to_value(event).unwrap();
        assert_eq!(json["event"], "sign-in-refused");
        assert_eq!(json["reason"], "username-not-object-id");
        assert_eq!(json["seq"], 1);
        assert_eq!(&serde_json::from_value::<Event>(json).unwrap(), event);
    }

    #[test]
    fn events_since_a_number_begin_with_the_next_that_is_kept() {
        let log = EventLog::new(Outputs::default());
        let numbers = |seq, most| log.since(seq, most).iter().map(|event| event.seq).collect::<Vec<_>>();
        assert!(numbers(0, 9).is_empty());
        (0..3).for_each(|_| log.record(refused()));
        assert_eq!((numbers(0, 9), numbers(1, 9), numbers(1, 1)), (vec![1, 2, 3], vec![2, 3], vec![2]));
        assert_eq!((numbers(3, 9), numbers(u64::MAX, 9)), (vec![], vec![]));
        (0..KEPT).for_each(|_| log.record(refused()));
        assert_eq!((log.last(), numbers(0, 1), numbers(3, 1), numbers(4, 1)), (100_003, vec![4], vec![4], vec![5]));
    }

    #[test]
    fn waiting_ends_when_the_event_comes_and_when_it_does_not() {
        let log = EventLog::new(Outputs::default());
        std::thread::scope(|scope| {
            scope.spawn(|| log.record(refused()));
            assert!(log.wait_for(Duration::from_secs(10), |events| !events.is_empty()));
        });
        assert!(!log.wait_for(Duration::from_millis(10), |events| events.len() > 1));
    }
}
