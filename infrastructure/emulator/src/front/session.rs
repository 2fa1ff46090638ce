//! One connection's state: which commands wait for a reply, who is signed in and until when. Both directions of the
//! connection report to it, and it writes the event log.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::azure;
use crate::directory::ObjectId;
use crate::events::{ClosedBy, EventKind, RespExchange};
use crate::token::{self, CheckedToken, Refusal};

use super::Front;
use super::awaiting::{Awaiting, Kind, Settled, Waiting};
use super::commands::{CommandId, Counts, Role};
use super::connections::{Connection, Who};
use super::replies::Reply;
use super::sign_in::{SignIn, Verdict};
use super::slots::Transaction;

/// Error replies are told one by one up to this number a connection, then only counted.
const ERRORS_TOLD: u64 = 100;

/// What the engine is sent in place of a command that it must not run, with a word that tells why: no engine knows it, whoever
/// asks, and it spoils a transaction as any unknown command does.
const REFUSED: &str = "AMR-EMULATOR.REFUSED";

/// The state of one connection.
pub(super) struct Session<'a> {
    front: &'a Front,
    connection: &'a Connection,
    opened: Instant,
    awaiting: Awaiting,
    /// Replies pass unread, so nothing waits for one.
    is_raw: bool,
    counts: Counts,
    errors: u64,
    /// As the client's commands open it.
    transaction: Transaction,
    /// Where nothing waits for replies: sign-ins inside a transaction.
    queued: Vec<Waiting>,
    last_active: Instant,
    current: Option<Current>,
    sign_ins: u32,
    /// A sign-in that the engine should accept has been sent: what comes behind it is no stranger's.
    may_be_signed_in: bool,
    /// By whose token that was, the last time.
    sent_for: Option<ObjectId>,
    /// A word that is in the engine's answer to a refused sign-in and nowhere else, so that the answer can be replaced.
    nonce: String,
}

/// By what the connection has signed in.
enum Current {
    Token(CheckedToken),
    AccessKey,
}

/// A command that the engine must not run, and the line to answer with.
pub(super) struct Refused {
    command: CommandId,
    line: String,
    /// Why, in a word that the engine repeats.
    word: &'static str,
}

const RESET: &str = "RESET";
const CROSSSLOT: &str = "CROSSSLOT";

/// A command that a client sent.
pub(super) struct Sent<'a> {
    /// As it was written.
    pub(super) name: &'a [u8],
    /// What follows the name, as far as it is known; empty if not, or if there is none.
    pub(super) second: &'a [u8],
    pub(super) third: &'a [u8],
    /// Number of arguments, the name included.
    pub(super) arguments: usize,
}

impl<'a> Sent<'a> {
    /// One whose arguments are all known.
    pub(super) fn whole(arguments: &'a [Vec<u8>]) -> Self {
        let argument = |at: usize| arguments.get(at).map(Vec::as_slice).unwrap_or_default();
        Sent { name: argument(0), second: argument(1), third: argument(2), arguments: arguments.len() }
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(front: &'a Front, connection: &'a Connection) -> Self {
        Session {
            front,
            connection,
            opened: Instant::now(),
            awaiting: Awaiting::default(),
            is_raw: !front.limits.counts_replies && !front.checks_slots(),
            counts: Counts::default(),
            errors: 0,
            transaction: Transaction::default(),
            queued: Vec::new(),
            last_active: Instant::now(),
            current: None,
            sign_ins: 0,
            may_be_signed_in: false,
            sent_for: None,
            nonce: token::random_text(18),
        }
    }

    /// Whether what the client sends now may be carried out under a name: it has signed in, or will have by then.
    pub(super) fn may_be_signed_in(&self) -> bool {
        self.may_be_signed_in
    }

    /// Whether replies pass unread.
    pub(super) fn is_raw(&self) -> bool {
        self.is_raw
    }

    /// The word by which the engine's answer to a refused sign-in is found, if answers are read.
    pub(super) fn nonce(&self) -> Option<&str> {
        (!self.is_raw).then_some(self.nonce.as_str())
    }

    /// Something went to the client or came from it.
    pub(super) fn active(&mut self) {
        self.last_active = Instant::now();
    }

    /// Whether a command of that name must be seen whole.
    pub(super) fn must_be_checked(&self, name: &[u8]) -> bool {
        let id = self.front.commands.id(name, b"");
        match self.front.commands.role(id) {
            Role::Reset => true,
            // Whether CLIENT REPLY hides replies is in its third argument.
            Role::Client => !self.is_raw,
            _ => self.is_tied_to_a_slot() && self.front.commands.must_be_checked(id, self.transaction.is_open()),
        }
    }

    /// A stranger's commands are refused before anybody looks at their keys.
    fn is_tied_to_a_slot(&self) -> bool {
        self.front.checks_slots() && self.may_be_signed_in
    }

    /// Whether a command may run, as far as the engine would not refuse it itself. If so it has been sent.
    pub(super) fn check(&mut self, arguments: &[Vec<u8>]) -> Result<(), Refused> {
        let sent = Sent::whole(arguments);
        let command = self.front.commands.id(sent.name, sent.second);
        if self.front.commands.role(command) == Role::Reset {
            let line = azure::blocked(self.front.cache.policy, "reset", sent.name);
            return Err(Refused { command, line, word: RESET });
        }
        if self.is_tied_to_a_slot()
            && let Err(line) = self.transaction.check(self.front.commands.keys(command), arguments)
        {
            return Err(Refused { command, line, word: CROSSSLOT });
        }
        self.command(&sent);
        Ok(())
    }

    /// Answers a command in the engine's place, in its turn: gives what the engine is sent.
    pub(super) fn refuse(&mut self, refused: Refused) -> Vec<u8> {
        self.counts.add(refused.command);
        if !self.is_raw {
            self.push(refused.command, Some(Kind::Replaced(refused.line)));
        }
        let Refused { word, .. } = refused;
        format!("*2\r\n${}\r\n{REFUSED}\r\n${}\r\n{word}\r\n", REFUSED.len(), word.len()).into_bytes()
    }

    /// The client sent a command.
    pub(super) fn command(&mut self, sent: &Sent<'_>) {
        let commands = &self.front.commands;
        let command = commands.id(sent.name, sent.second);
        self.counts.add(command);
        let role = commands.role(command);
        if self.may_be_signed_in {
            self.transaction.command(role);
        }
        if self.is_raw {
            if matches!(role, Role::Exec | Role::Discard) {
                self.raw_transaction_ends(role == Role::Exec);
            }
            return;
        }
        let kind = match role {
            Role::Subscription(confirms) => {
                let channels = sent.arguments as u64 - 1;
                Some(Kind::Subscription(confirms, (channels > 0).then_some(channels)))
            }
            Role::Multi => Some(Kind::Multi),
            Role::Exec => Some(Kind::Exec),
            Role::Discard => Some(Kind::Discard),
            Role::Hello => Some(Kind::Hello(super::sign_in::resp3(sent.second))),
            // A stranger's is refused, and so is a malformed one.
            Role::ClientReply if self.may_be_signed_in && sent.arguments == 3 => {
                let hides = ["off", "skip"].iter().any(|mode| sent.third.eq_ignore_ascii_case(mode.as_bytes()));
                hides.then_some(Kind::ReplyMode)
            }
            _ if commands.is_blocked(command) => {
                let is_subcommand = commands.name(command).contains('|');
                Some(Kind::Blocked(if is_subcommand { sent.second } else { sent.name }.to_vec()))
            }
            _ => None,
        };
        self.push(command, kind);
    }

    fn push(&mut self, command: CommandId, kind: Option<Kind>) -> bool {
        if self.awaiting.is_lost() {
            return false;
        }
        let settled = self.awaiting.push(command, kind);
        self.settle_all(settled)
    }

    /// Whether it ran can't be seen where replies pass unread; most do.
    fn raw_transaction_ends(&mut self, ran: bool) {
        for waiting in std::mem::take(&mut self.queued) {
            if ran {
                self.settle(waiting, b"");
            }
        }
    }

    /// The client sent an `AUTH` or `HELLO` that signs in; something else goes to the engine in its place. True if the time
    /// that is left has changed.
    pub(super) fn sign_in(&mut self, sign_in: Box<SignIn>) -> bool {
        let command = self.front.commands.id(sign_in.command.as_bytes(), b"");
        self.counts.add(command);
        self.may_be_signed_in |= matches!(sign_in.verdict, Verdict::Accepted(_) | Verdict::AccessKey);
        if let Verdict::Accepted(token) = &sign_in.verdict {
            self.sent_for = Some(token.object_id);
        }
        let waiting = Waiting { sign_in, sent: Instant::now() };
        if self.is_raw && self.transaction.is_open() {
            self.queued.push(waiting);
            return false;
        }
        if self.is_raw || self.awaiting.is_lost() {
            return self.settle(waiting, b"");
        }
        self.push(command, Some(Kind::SignIn(waiting)))
    }

    /// An error line, without its end, is on its way to the client as that element of a reply. Gives the line to send in its
    /// place, if another.
    pub(super) fn error(&mut self, line: &[u8], element: Option<u64>) -> Option<Vec<u8>> {
        let is_refused_sign_in = line.windows(self.nonce.len()).any(|window| window == self.nonce.as_bytes())
            // Its assignment went away on the way, and the engine's text is not Azure's.
            || line.starts_with(b"-WRONGPASS");
        let wrongpass = || Some(azure::WRONGPASS.as_bytes().to_vec());
        if self.awaiting.is_lost() {
            return if is_refused_sign_in { wrongpass() } else { self.without_command(line).map(String::into_bytes) };
        }
        self.errors += 1;
        // Sign-ins have events of their own.
        if self.awaiting.error_of_queued(element, line).is_some() {
            return if is_refused_sign_in { wrongpass() } else { None };
        }
        let head = self.awaiting.head();
        let command = head.map_or("UNKNOWN", |(command, _)| self.front.commands.name(command));
        let replacement = match head.and_then(|(_, kind)| kind) {
            Some(Kind::SignIn(_)) if is_refused_sign_in => return wrongpass(),
            Some(Kind::SignIn(waiting)) => {
                let SignIn { command, verdict, .. } = &*waiting.sign_in;
                // The engine complains of the HELLO that took the place of an AUTH.
                return (matches!(verdict, Verdict::Refused(_)) && *command == "AUTH")
                    .then(|| String::from_utf8_lossy(line).replace("'hello'", "'auth'").into_bytes());
            }
            Some(Kind::Replaced(line)) => Some(line.clone()),
            Some(Kind::Blocked(sent)) => {
                Some(azure::blocked(self.front.cache.policy, &command.to_ascii_lowercase(), sent))
            }
            _ => self.without_command(line),
        };
        let replacement = replacement.map(String::into_bytes);
        if self.errors <= ERRORS_TOLD {
            let line = replacement.as_deref().unwrap_or(line);
            let error = line.strip_prefix(b"-").unwrap_or(line);
            let error: Vec<u8> = error.iter().copied().take_while(|byte| byte.is_ascii_uppercase()).take(32).collect();
            let error = String::from_utf8_lossy(&error).into_owned();
            let command = command.to_owned();
            self.front.log.record(EventKind::ErrorReply { connection: self.connection.number, command, error });
        }
        replacement
    }

    /// Azure's line in place of an error of the engine's, whichever command it answers.
    fn without_command(&self, line: &[u8]) -> Option<String> {
        let says = |text: &str| line.windows(text.len()).any(|window| window == text.as_bytes());
        if line.starts_with(b"-ERR SELECT is not allowed") {
            Some(azure::ONLY_DATABASE_0.to_owned())
        } else if !says(REFUSED) {
            None
        } else if says(CROSSSLOT) {
            Some(azure::cross_slot(false, b"", b"", b""))
        } else {
            Some(azure::blocked(self.front.cache.policy, "reset", RESET.as_bytes()))
        }
    }

    /// A whole reply is on its way to the client. True if the time that is left has changed.
    pub(super) fn reply(&mut self, reply: &Reply) -> bool {
        if reply.is_error() && matches!(self.awaiting.head(), Some((_, Some(Kind::Multi)))) {
            self.transaction.refused(&reply.line);
        }
        let settled = self.awaiting.reply(reply);
        self.settle_all(settled)
    }

    fn settle_all(&mut self, settled: Vec<Settled>) -> bool {
        settled.into_iter().fold(false, |changed, (waiting, line)| self.settle(waiting, &line) || changed)
    }

    /// The engine has answered a sign-in.
    fn settle(&mut self, waiting: Waiting, line: &[u8]) -> bool {
        let Waiting { sign_in, sent } = waiting;
        let SignIn { command, username, shown, verdict, .. } = *sign_in;
        let is_error = line.starts_with(b"-");
        let exchange = |reply: String| {
            let duration_us = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
            Some(RespExchange { request: shown, reply, duration_us })
        };
        let connection = self.connection.number;
        let reply = String::from_utf8_lossy(line).into_owned();
        match verdict {
            Verdict::Refused(refused) => {
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
            Verdict::Malformed => {
                let why = "the credentials are right, but the server refused the command itself".to_owned();
                let reason = Refusal::CommandRefused;
                let kind = EventKind::SignInRefused { connection, username, reason, why, exchange: exchange(reply) };
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
        let by = match (by, self.sent_for) {
            // The engine ends the connections of a user that it is to forget.
            (ClosedBy::Server, Some(principal)) if self.front.cache.password(principal).is_none() => {
                ClosedBy::AssignmentRemoved
            }
            _ => by,
        };
        let is_counted = !self.is_raw && !self.awaiting.is_lost();
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
            error_replies: is_counted.then_some(self.errors),
            unanswered: is_counted.then_some(self.awaiting.len() as u64),
        });
    }
}
