//! Tells replies to commands: which commands wait for one, what a transaction has queued, and what a subscriber is sent that
//! is no reply at all.

use std::collections::VecDeque;
use std::time::Instant;

use super::commands::{CommandId, Confirms};
use super::replies::Reply;
use super::sign_in::SignIn;

/// So much room is kept for commands while none waits.
const KEPT: usize = 64;

/// The commands of a connection that have no reply yet.
#[derive(Default)]
pub(super) struct Awaiting {
    /// The oldest first.
    commands: VecDeque<CommandId>,
    /// How many came before the oldest.
    answered: u64,
    /// What is to be done about the reply to some of them, by their number.
    notable: VecDeque<(u64, Kind)>,
    /// Opened by MULTI, as the engine answers it.
    transaction: Option<Queue>,
    channels: Channels,
    resp3: bool,
    /// From here on nobody can tell which reply belongs to which command.
    lost: bool,
}

/// What a reply means for a command that is not just answered.
#[derive(Debug)]
pub(super) enum Kind {
    /// SUBSCRIBE and its like, which get a confirmation for each channel. So many are still to come; `None` before the first if
    /// no channel was named, which means all.
    Subscription(Confirms, Option<u64>),
    Multi,
    Exec,
    /// What was queued is gone.
    Discard,
    /// HELLO without credentials, and whether it asks for RESP3.
    Hello(Option<bool>),
    /// Nobody may use it on Azure. As the client wrote it, or of a container its subcommand.
    Blocked(Vec<u8>),
    /// The engine gets something unknown in its place, and the client this line.
    Replaced(String),
    /// CLIENT REPLY OFF or SKIP: from here on there may be no replies.
    ReplyMode,
    SignIn(Waiting),
}

/// A sign-in on its way.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) sign_in: Box<SignIn>,
    pub(super) sent: Instant,
}

/// A sign-in, and the first line of the engine's answer to it; empty if none comes.
pub(super) type Settled = (Waiting, Vec<u8>);

/// What an open transaction has queued.
#[derive(Default)]
struct Queue {
    commands: u64,
    /// By their number in the queue.
    notable: Vec<(u64, Kind)>,
    /// The errors among the replies of those, while EXEC is answered.
    errors: Vec<(u64, Vec<u8>)>,
}

/// How many the connection has subscribed to.
#[derive(Default)]
struct Channels {
    channels: i64,
    patterns: i64,
    shard_channels: i64,
}

impl Channels {
    fn any(&self) -> bool {
        self.channels + self.patterns + self.shard_channels > 0
    }

    fn of(&self, confirms: Confirms) -> u64 {
        let count = match confirms {
            Confirms::Subscribe | Confirms::Unsubscribe => self.channels,
            Confirms::Psubscribe | Confirms::Punsubscribe => self.patterns,
            Confirms::Ssubscribe | Confirms::Sunsubscribe => self.shard_channels,
        };
        u64::try_from(count).unwrap_or(0)
    }

    /// The engine says how many there are now: of channels and patterns together.
    fn confirmed(&mut self, confirms: Confirms, number: i64) {
        match confirms {
            Confirms::Subscribe | Confirms::Unsubscribe => self.channels = number - self.patterns,
            Confirms::Psubscribe | Confirms::Punsubscribe => self.patterns = number - self.channels,
            Confirms::Ssubscribe | Confirms::Sunsubscribe => self.shard_channels = number,
        }
    }
}

impl Awaiting {
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether replies can't be told to commands any more: CLIENT REPLY hides some, or a transaction subscribed.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// A command was sent. Gives the sign-ins that will have no answer that anybody could tell.
    pub(super) fn push(&mut self, command: CommandId, kind: Option<Kind>) -> Vec<Settled> {
        if let Some(kind) = kind {
            self.notable.push_back((self.answered + self.commands.len() as u64, kind));
        }
        self.commands.push_back(command);
        self.lose_if_due()
    }

    /// The oldest command, and what is to be done about its reply.
    pub(super) fn head(&self) -> Option<(CommandId, Option<&Kind>)> {
        let command = *self.commands.front()?;
        let kind = self.notable.front().filter(|(number, _)| *number == self.answered).map(|(_, kind)| kind);
        Some((command, kind))
    }

    /// An error is on its way as that element of the reply. The sign-in that it answers, if EXEC ran one.
    pub(super) fn error_of_queued(&mut self, element: Option<u64>, line: &[u8]) -> Option<&SignIn> {
        if !matches!(self.head(), Some((_, Some(Kind::Exec)))) {
            return None;
        }
        let (element, queue) = (element?, self.transaction.as_mut()?);
        let (_, kind) = queue.notable.iter().find(|(number, _)| *number == element)?;
        queue.errors.push((element, line.to_vec()));
        match kind {
            Kind::SignIn(waiting) => Some(&waiting.sign_in),
            _ => None,
        }
    }

    /// A whole reply has come. Gives the sign-ins that it settles.
    pub(super) fn reply(&mut self, reply: &Reply) -> Vec<Settled> {
        if self.lost {
            return Vec::new();
        }
        self.resp3 |= reply.is_push();
        if self.is_confirmation(reply) || self.is_message(reply) {
            return Vec::new();
        }
        let Some(kind) = self.pop() else { return Vec::new() };
        let queued = reply.line == b"+QUEUED";
        let mut settled = Vec::new();
        match (kind, &mut self.transaction) {
            (kind, Some(queue)) if queued => {
                queue.notable.extend(kind.map(|kind| (queue.commands, kind)));
                queue.commands += 1;
            }
            (Some(Kind::Multi), None) if !reply.is_error() => self.transaction = Some(Queue::default()),
            (Some(Kind::Discard), _) if !reply.is_error() => self.transaction = None,
            // An EXEC that the engine would not even look at leaves the transaction open.
            (Some(Kind::Exec), _) if !reply.line.starts_with(b"-NOPERM") && !reply.line.starts_with(b"-ERR wrong") => {
                let queue = self.transaction.take().unwrap_or_default();
                if reply.is_array() && !reply.is_null() {
                    settled = self.executed(queue);
                }
            }
            (Some(Kind::Hello(resp3)), _) if !reply.is_error() => self.resp3 = resp3.unwrap_or(self.resp3),
            (Some(Kind::SignIn(waiting)), _) => {
                if !reply.is_error() {
                    self.resp3 = waiting.sign_in.resp3.unwrap_or(self.resp3);
                }
                settled.push((waiting, reply.line.clone()));
            }
            _ => {}
        }
        settled.extend(self.lose_if_due());
        settled
    }

    fn pop(&mut self) -> Option<Option<Kind>> {
        self.commands.pop_front()?;
        if self.commands.is_empty() && self.commands.capacity() > KEPT {
            self.commands = VecDeque::new();
        }
        let is_notable = self.notable.front().is_some_and(|(number, _)| *number == self.answered);
        let kind = if is_notable { self.notable.pop_front().map(|(_, kind)| kind) } else { None };
        self.answered += 1;
        Some(kind)
    }

    /// A transaction has run.
    fn executed(&mut self, queue: Queue) -> Vec<Settled> {
        let mut settled = Vec::new();
        for (number, kind) in queue.notable {
            let error = queue.errors.iter().find(|(element, _)| *element == number).map(|(_, line)| line.clone());
            match kind {
                Kind::SignIn(waiting) => {
                    if error.is_none() {
                        self.resp3 = waiting.sign_in.resp3.unwrap_or(self.resp3);
                    }
                    // What the engine says of it without an error is known.
                    settled.push((waiting, error.unwrap_or_else(|| b"+OK".to_vec())));
                }
                Kind::Hello(resp3) if error.is_none() => self.resp3 = resp3.unwrap_or(self.resp3),
                // Its confirmations are more than one element of the reply, or there are no replies from here on.
                Kind::Subscription(..) | Kind::ReplyMode => self.lost = true,
                _ => {}
            }
        }
        settled.extend(if self.lost { self.lose() } else { Vec::new() });
        settled
    }

    /// Once all replies before `CLIENT REPLY` are through, replies can't be told to commands any more.
    fn lose_if_due(&mut self) -> Vec<Settled> {
        let is_due = self.transaction.is_none() && matches!(self.head(), Some((_, Some(Kind::ReplyMode))));
        if is_due { self.lose() } else { Vec::new() }
    }

    fn lose(&mut self) -> Vec<Settled> {
        self.lost = true;
        self.commands = VecDeque::new();
        let rest = std::mem::take(&mut self.notable);
        rest.into_iter()
            .filter_map(|(_, kind)| match kind {
                Kind::SignIn(waiting) => Some((waiting, Vec::new())),
                _ => None,
            })
            .collect()
    }

    /// Whether it is the confirmation of a subscription, and if so, of which command.
    fn is_confirmation(&mut self, reply: &Reply) -> bool {
        let Some(confirms) = Confirms::named(&reply.kind) else { return false };
        if !reply.is_push() && (self.resp3 || !reply.is_array()) {
            return false;
        }
        let head = self.notable.front_mut().filter(|(number, _)| *number == self.answered);
        let is_asked_for = match head {
            Some((_, Kind::Subscription(asked, left))) if *asked == confirms => {
                // Without channels each that there was is confirmed, and one if there was none.
                let now = left.unwrap_or_else(|| self.channels.of(confirms).max(1)) - 1;
                *left = Some(now);
                if now == 0 {
                    self.pop();
                }
                true
            }
            // The engine ends subscriptions by itself when a slot moves.
            _ => reply.is_push() || self.channels.any(),
        };
        if is_asked_for && let Some(number) = reply.number {
            self.channels.confirmed(confirms, number);
        }
        is_asked_for
    }

    fn is_message(&self, reply: &Reply) -> bool {
        let kinds: [&[u8]; 3] = [b"message", b"pmessage", b"smessage"];
        reply.is_push()
            || !self.resp3 && self.channels.any() && reply.is_array() && kinds.contains(&reply.kind.as_slice())
    }
}
