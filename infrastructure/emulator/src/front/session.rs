//! One connection's state: which commands wait for a reply, who is signed in and until when. Both directions of the
//! connection report to it, and it writes the event log.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::azure;
use crate::events::{ClosedBy, EventKind, RespExchange};
use crate::token::{CheckedToken, Refusal};

use super::Front;
use super::commands::{CommandId, Counts};
use super::connections::{Connection, Who};
use super::replies::Reply;
use super::sign_in::{SignIn, Verdict};
use super::slots::Transaction;

/// Error replies are told one by one up to this number a connection, then only counted.
const ERRORS_TOLD: u64 = 100;

/// The state of one connection.
pub(super) struct Session<'a> {
    front: &'a Front,
    connection: &'a Connection,
    opened: Instant,
    pending: VecDeque<Pending>,
    /// `CLIENT REPLY` was used, or replies are not counted at all: replies can't be told to commands.
    blind: bool,
    counts: Counts,
    errors: u64,
    /// Channels that a RESP2 connection has subscribed to; its messages look like replies.
    subscriptions: i64,
    /// Sign-ins inside MULTI, waiting for EXEC.
    queued: Vec<Waiting>,
    /// Only followed where keys have to be of one slot.
    transaction: Transaction,
    last_active: Instant,
    current: Option<Current>,
    sign_ins: u32,
}

/// By what the connection has signed in.
enum Current {
    Token(CheckedToken),
    AccessKey,
}

struct Pending {
    command: CommandId,
    kind: Kind,
}

/// A command that the engine must not run, and the line to answer with.
pub(super) struct Refused {
    command: CommandId,
    line: String,
}

enum Kind {
    Plain,
    /// So many confirmations are still to come.
    Subscribe(usize),
    Exec,
    /// What was queued is gone.
    Discard,
    /// Nobody may use it on Azure. As the client wrote it, or of a container its subcommand.
    Blocked(Vec<u8>),
    /// The engine gets something unknown in its place, and the client this line.
    Replaced(String),
    /// CLIENT REPLY: from here on there may be no replies.
    ReplyMode,
    SignIn(Waiting),
}

struct Waiting {
    sign_in: Box<SignIn>,
    sent: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(front: &'a Front, connection: &'a Connection) -> Self {
        Session {
            front,
            connection,
            opened: Instant::now(),
            pending: VecDeque::new(),
            blind: !front.limits.counts_replies && !front.checks_slots(),
            counts: Counts::default(),
            errors: 0,
            subscriptions: 0,
            queued: Vec::new(),
            transaction: Transaction::default(),
            last_active: Instant::now(),
            current: None,
            sign_ins: 0,
        }
    }

    pub(super) fn is_signed_in(&self) -> bool {
        self.current.is_some()
    }

    /// Whether replies pass unread.
    pub(super) fn is_blind(&self) -> bool {
        self.blind
    }

    /// Whether a command of that name must be seen whole.
    pub(super) fn must_be_checked(&self, name: &[u8]) -> bool {
        is_reset(name)
            || self.front.checks_slots() && self.front.commands.must_be_checked(name, self.transaction.is_open())
    }

    /// Whether a command may run, as far as the engine would not refuse it itself. If so it has been sent.
    pub(super) fn check(&mut self, arguments: &[Vec<u8>]) -> Result<(), Refused> {
        let name = &arguments[0];
        let second = arguments.get(1).map(Vec::as_slice).unwrap_or_default();
        let command = self.front.commands.id(name, second);
        let checked = match is_reset(name) {
            true => Err(azure::blocked(self.front.cache.policy, "reset", name)),
            false => self.transaction.check(self.front.commands.keys(command), arguments),
        };
        match checked {
            Ok(()) => {
                self.command_with(arguments);
                Ok(())
            }
            Err(line) => Err(Refused { command, line }),
        }
    }

    /// Answers a command in the engine's place, in its turn: gives what the engine is sent.
    pub(super) fn refuse(&mut self, refused: Refused) -> Vec<u8> {
        self.last_active = Instant::now();
        self.counts.add(refused.command);
        if !self.blind {
            self.pending.push_back(Pending { command: refused.command, kind: Kind::Replaced(refused.line) });
        }
        // No engine knows it, whoever asks, and it spoils a transaction as any unknown command does.
        b"*1\r\n$20\r\nAMR-EMULATOR.REFUSED\r\n".to_vec()
    }

    /// The client sent the command with these arguments.
    pub(super) fn command_with(&mut self, arguments: &[Vec<u8>]) {
        let second = arguments.get(1).map(Vec::as_slice).unwrap_or_default();
        self.command(&arguments[0], second, arguments.len());
    }

    /// The client sent a command.
    pub(super) fn command(&mut self, name: &[u8], second: &[u8], arguments: usize) {
        let command = self.front.commands.id(name, second);
        self.counts.add(command);
        self.last_active = Instant::now();
        if self.front.checks_slots() {
            self.transaction.command(name);
        }
        if self.blind {
            return;
        }
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        let kind = match name.len() {
            9..=12 if name.to_ascii_lowercase().ends_with(b"subscribe") => {
                // Without channels UNSUBSCRIBE confirms each that there was, and one if there was none: the first settles it.
                Kind::Subscribe(arguments.saturating_sub(1).max(1))
            }
            4 if is(b"exec") => Kind::Exec,
            7 if is(b"discard") => Kind::Discard,
            6 if is(b"client") && second.eq_ignore_ascii_case(b"reply") => Kind::ReplyMode,
            _ if self.front.commands.is_blocked(command) => {
                let is_subcommand = self.front.commands.name(command).contains('|');
                Kind::Blocked(if is_subcommand { second } else { name }.to_vec())
            }
            _ => Kind::Plain,
        };
        self.pending.push_back(Pending { command, kind });
        self.go_blind_if_due();
    }

    /// Once all replies before `CLIENT REPLY` are through, replies can't be told to commands any more.
    fn go_blind_if_due(&mut self) -> bool {
        if !matches!(self.pending.front(), Some(Pending { kind: Kind::ReplyMode, .. })) {
            return false;
        }
        self.blind = true;
        let rest = std::mem::take(&mut self.pending);
        rest.into_iter().fold(false, |changed, pending| match pending.kind {
            Kind::SignIn(waiting) => self.settle(waiting, b"") || changed,
            _ => changed,
        })
    }

    /// The client sent an `AUTH` or `HELLO` that signs in; something else goes to the engine in its place. True if the time
    /// that is left has changed.
    pub(super) fn sign_in(&mut self, sign_in: Box<SignIn>) -> bool {
        let command = self.front.commands.id(sign_in.command.as_bytes(), b"");
        self.counts.add(command);
        self.last_active = Instant::now();
        let waiting = Waiting { sign_in, sent: self.last_active };
        if self.blind {
            return self.settle(waiting, b"");
        }
        self.pending.push_back(Pending { command, kind: Kind::SignIn(waiting) });
        false
    }

    /// An error line, without its end, is on its way to the client. Gives the line to send in its place, if another.
    pub(super) fn error(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        if self.blind {
            return None;
        }
        self.errors += 1;
        let refused = |waiting: &Waiting| match &waiting.sign_in.verdict {
            Verdict::Refused { nonce, .. } => line.windows(nonce.len()).any(|window| window == nonce.as_bytes()),
            Verdict::Accepted(_) | Verdict::AccessKey => false,
        };
        let replacement = match self.pending.front() {
            Some(Pending { kind: Kind::SignIn(waiting), .. }) => {
                // Those have events of their own.
                if refused(waiting) || line.starts_with(b"-WRONGPASS") {
                    // The second: its assignment went away on the way, and the engine's text is not Azure's.
                    return Some(azure::WRONGPASS.as_bytes().to_vec());
                }
                // The engine complains of the HELLO that took the place of an AUTH.
                if matches!(waiting.sign_in.verdict, Verdict::Refused { .. }) && waiting.sign_in.command == "AUTH" {
                    return Some(String::from_utf8_lossy(line).replace("'hello'", "'auth'").into_bytes());
                }
                return None;
            }
            _ if self.queued.iter().any(refused) => return Some(azure::WRONGPASS.as_bytes().to_vec()),
            Some(Pending { kind: Kind::Replaced(line), .. }) => Some(line.clone()),
            Some(Pending { kind: Kind::Blocked(sent), command }) => {
                let name = self.front.commands.name(*command).to_ascii_lowercase();
                Some(azure::blocked(self.front.cache.policy, &name, sent))
            }
            _ if line.starts_with(b"-ERR SELECT is not allowed") => Some(azure::ONLY_DATABASE_0.to_owned()),
            _ => None,
        };
        let replacement = replacement.map(String::into_bytes);
        if self.errors <= ERRORS_TOLD {
            let head = self.pending.front();
            let command = head.map_or("UNKNOWN", |pending| self.front.commands.name(pending.command)).to_owned();
            let line = replacement.as_deref().unwrap_or(line);
            let error = line.strip_prefix(b"-").unwrap_or(line);
            let error: Vec<u8> = error.iter().copied().take_while(|byte| byte.is_ascii_uppercase()).take(32).collect();
            let error = String::from_utf8_lossy(&error).into_owned();
            self.front.log.record(EventKind::ErrorReply { connection: self.connection.number, command, error });
        }
        replacement
    }

    /// A whole reply is on its way to the client. True if the time that is left has changed.
    pub(super) fn reply(&mut self, reply: &Reply) -> bool {
        self.last_active = Instant::now();
        if self.blind {
            return false;
        }
        let subscribed = self.subscriptions > 0;
        if (reply.is_push() || reply.is_array()) && reply.kind.ends_with(b"subscribe") {
            let head = self.pending.front_mut().map(|pending| &mut pending.kind);
            if let Some(Kind::Subscribe(left)) = head {
                *left -= 1;
                if *left == 0 {
                    self.pending.pop_front();
                }
            } else if !reply.is_push() && !subscribed {
                // Not a confirmation: a list that begins with that word.
                return self.answered(reply);
            }
            self.subscriptions = reply.number.unwrap_or(self.subscriptions);
            return false;
        }
        if reply.is_push() || (subscribed && reply.is_array() && reply.kind.ends_with(b"message")) {
            return false;
        }
        self.answered(reply)
    }

    fn answered(&mut self, reply: &Reply) -> bool {
        let Some(pending) = self.pending.pop_front() else { return false };
        let changed = self.answered_by(pending, reply);
        self.go_blind_if_due() || changed
    }

    fn answered_by(&mut self, pending: Pending, reply: &Reply) -> bool {
        match pending.kind {
            Kind::Plain | Kind::Subscribe(_) | Kind::ReplyMode | Kind::Blocked(_) | Kind::Replaced(_) => false,
            Kind::SignIn(waiting) if reply.line.starts_with(b"+QUEUED") => {
                self.queued.push(waiting);
                false
            }
            Kind::SignIn(waiting) => self.settle(waiting, &reply.line),
            Kind::Exec => {
                let queued = std::mem::take(&mut self.queued);
                let ran = reply.is_array() && !reply.is_null();
                // What is in the array is known by the check: an accepted token's password is right.
                let mut changed = false;
                for waiting in queued.into_iter().filter(|_| ran) {
                    changed |= self.settle(waiting, b"+OK");
                }
                changed
            }
            Kind::Discard => {
                self.queued.clear();
                false
            }
        }
    }

    /// The engine has answered a sign-in.
    fn settle(&mut self, waiting: Waiting, line: &[u8]) -> bool {
        let Waiting { sign_in, sent } = waiting;
        let SignIn { command, username, shown, verdict } = *sign_in;
        let is_error = line.starts_with(b"-");
        let exchange = |reply: String| {
            let duration_us = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
            Some(RespExchange { request: shown, reply, duration_us })
        };
        let connection = self.connection.number;
        let reply = String::from_utf8_lossy(line).into_owned();
        match verdict {
            Verdict::Refused { refused, .. } => {
                let reply = if reply.contains("Can't execute") { reply } else { azure::WRONGPASS.to_owned() };
                let kind = EventKind::SignInRefused {
                    connection,
                    username,
                    reason: refused.reason,
                    why: refused.why,
                    exchange: exchange(reply),
                };
                self.front.log.record(kind);
                false
            }
            Verdict::AccessKey if is_error => {
                let why = "the access key is right, but the server refused the command itself".to_owned();
                let reason = Refusal::CommandRefused;
                let kind = EventKind::SignInRefused { connection, username, reason, why, exchange: exchange(reply) };
                self.front.log.record(kind);
                false
            }
            Verdict::AccessKey => {
                self.sign_ins += 1;
                let (command, nth) = (command.to_owned(), self.sign_ins);
                let kind = EventKind::AccessKeyAccepted { connection, command, nth, exchange: exchange(reply) };
                self.front.log.record(kind);
                self.connection.belongs_to(Who::AccessKey);
                self.current = Some(Current::AccessKey);
                true
            }
            Verdict::Accepted(token) if is_error => {
                let (reason, why) = if reply.contains("Can't execute") {
                    let why = "the connection has subscribed, and with RESP2 it can then not sign in again: it will be cut at expiry. Use RESP3";
                    (Refusal::Resp2Subscriber, why.to_owned())
                } else if reply.starts_with("-WRONGPASS") {
                    let why = format!("the principal {} has no access policy assignment any more", token.object_id);
                    (Refusal::NoAssignment, why)
                } else {
                    (Refusal::CommandRefused, "the token is good, but the server refused the command itself".to_owned())
                };
                let kind = EventKind::SignInRefused { connection, username, reason, why, exchange: exchange(reply) };
                self.front.log.record(kind);
                false
            }
            Verdict::Accepted(token) => {
                self.sign_ins += 1;
                let renewal = match &self.current {
                    Some(Current::Token(current)) => current.uti != token.uti,
                    Some(Current::AccessKey) | None => false,
                };
                let kind = EventKind::SignInAccepted {
                    connection,
                    identity: token.identity.clone(),
                    object_id: token.object_id.to_string(),
                    token: token.uti.clone(),
                    expires: token.expires,
                    command: command.to_owned(),
                    nth: self.sign_ins,
                    renewal,
                    exchange: exchange(reply),
                };
                self.front.log.record(kind);
                let who = Who::Principal { object_id: token.object_id, identity: token.identity.clone() };
                self.connection.belongs_to(who);
                self.current = Some(Current::Token(token));
                true
            }
        }
    }

    /// How long the connection may stay as it is, and what to say when that time is over.
    pub(super) fn time_left(&self) -> (Duration, ClosedBy) {
        let limits = &self.front.limits;
        let until_idle = limits.idle_time.saturating_sub(self.last_active.elapsed());
        match &self.current {
            Some(Current::Token(token)) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let until_expiry = Duration::from_secs(token.expires).saturating_sub(now);
                if until_expiry <= until_idle { (until_expiry, ClosedBy::Expiry) } else { (until_idle, ClosedBy::Idle) }
            }
            Some(Current::AccessKey) => (until_idle, ClosedBy::Idle),
            None => (limits.sign_in_time.saturating_sub(self.opened.elapsed()), ClosedBy::NoSignIn),
        }
    }

    /// The connection has ended.
    pub(super) fn closed(&self, by: ClosedBy) {
        let connection = self.connection.number;
        if let (ClosedBy::Expiry, Some(Current::Token(token))) = (by, &self.current) {
            self.front.log.record(EventKind::ConnectionExpired {
                connection,
                identity: token.identity.clone(),
                token: token.uti.clone(),
            });
        }
        self.front.log.record(EventKind::ConnectionClosed {
            connection,
            by,
            commands: self.front.commands.named(&self.counts),
            error_replies: (!self.blind).then_some(self.errors),
            unanswered: (!self.blind).then_some(self.pending.len() as u64),
        });
    }
}

/// Azure does not know RESET, and no ACL can take it from a user.
fn is_reset(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"reset")
}
