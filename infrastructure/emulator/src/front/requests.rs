//! Finds the commands in what a client sends, without copying: everything passes as it is, but an `AUTH` or `HELLO` is held
//! back whole, so that its token can be checked before the engine sees anything of it, and so is a command whose keys have to
//! be checked.

/// Longest header line (`*3`, `$10`) that can be right; the engine refuses longer numbers too.
const LONGEST_HEADER: usize = 32;
/// The engine's limit for an inline command.
const LONGEST_INLINE: usize = 64 * 1024;
/// The engine's limits before a client has signed in.
const UNAUTHENTICATED_ARGUMENTS: i64 = 10;
const UNAUTHENTICATED_BULK: i64 = 16_384;
/// Longest argument of an `AUTH` or `HELLO` that is looked at; Entra's tokens have one to four kilobytes.
const LONGEST_CREDENTIAL: i64 = 16_384;
/// The engine's limits for the number of arguments and for one of them (`proto-max-bulk-len`).
const MOST_ARGUMENTS: i64 = i32::MAX as i64;
const LONGEST_BULK: i64 = 512 * 1024 * 1024;
/// A command that is held back for its keys passes unchecked when it gets longer than this: nobody is to fill our memory.
const LONGEST_CHECKED: usize = 1024 * 1024;
/// No command has a longer name.
const LONGEST_NAME: i64 = 64;

/// What the scanner found next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A whole command, which passes.
    Command {
        /// First argument, as sent; empty if it is too long to be a command.
        name: Vec<u8>,
        /// Second argument, if it is short enough to be a subcommand.
        second: Vec<u8>,
        /// Number of arguments, the name included.
        arguments: usize,
    },
    /// A whole `AUTH` or `HELLO`: the bytes from [`Scanner::passable`] to [`Scanner::position`], which must not pass.
    Credentials(Vec<Vec<u8>>),
    /// A whole command to be checked: the same bytes, which pass after [`Scanner::release`].
    Checked(Vec<Vec<u8>>),
    /// No whole command is left.
    NeedMore,
}

/// Reads a client's stream. The caller keeps the bytes that have not passed yet in one buffer, and tells with
/// [`Scanner::passed`] how many it has taken from its front.
#[derive(Debug)]
pub(super) struct Scanner {
    /// Whether the engine's limits for strangers hold.
    pub(super) signed_in: bool,
    position: usize,
    /// Start of a command of which it is not known yet whether it may pass.
    hold: Option<usize>,
    state: State,
    name: Vec<u8>,
    second: Vec<u8>,
    arguments: i64,
    complete: i64,
    held: Option<Held>,
}

/// The arguments of a command that is held back.
#[derive(Debug)]
struct Held {
    arguments: Vec<Vec<u8>>,
    /// Together, in bytes.
    size: usize,
    /// It is an `AUTH` or `HELLO`, not just to be checked.
    is_credentials: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a command.
    Start,
    /// Before the `$` line of an argument.
    Length,
    /// In an argument that must be seen whole; its length with the line end.
    Whole(usize),
    /// In an argument that just passes; what is left of it, with the line end.
    Passing(usize),
    /// Not understood. The engine will say what is wrong and hang up. Until then all bytes pass unseen, which is safe: the
    /// engine accepts no token, only passwords that nobody knows.
    Broken,
}

impl Scanner {
    pub(super) fn new() -> Self {
        Scanner {
            signed_in: false,
            position: 0,
            hold: None,
            state: State::Start,
            name: Vec::new(),
            second: Vec::new(),
            arguments: 0,
            complete: 0,
            held: None,
        }
    }

    /// How many bytes at the front of the buffer may go to the engine.
    pub(super) fn passable(&self) -> usize {
        self.hold.unwrap_or(self.position)
    }

    /// How far the buffer has been read.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The first `count` bytes have left the buffer.
    pub(super) fn passed(&mut self, count: usize) {
        self.position -= count;
        self.hold = self.hold.map(|hold| hold.saturating_sub(count));
    }

    /// Lets go of what was just handed out: it has left the buffer, or it may pass.
    pub(super) fn release(&mut self) {
        self.hold = None;
    }

    /// The next command in `buffer`, whose front is where the last [`Scanner::passed`] left it. Commands whose name `is_checked`
    /// are held back.
    pub(super) fn next(&mut self, buffer: &[u8], is_checked: impl Fn(&[u8]) -> bool) -> Step {
        loop {
            let rest = &buffer[self.position..];
            if rest.is_empty() {
                return Step::NeedMore;
            }
            match self.state {
                State::Start if rest[0] == b'*' => {
                    self.hold = Some(self.position);
                    match header(rest) {
                        Header::Incomplete => return Step::NeedMore,
                        Header::Number(count, length) if count <= MOST_ARGUMENTS && self.may_have(count) => {
                            self.position += length;
                            if count > 0 {
                                self.arguments = count;
                                self.complete = 0;
                                self.name.clear();
                                self.second.clear();
                                self.state = State::Length;
                            } else {
                                // `*0` and `*-1` are no commands, the engine skips them.
                                self.hold = None;
                            }
                        }
                        _ => self.give_up(),
                    }
                }
                State::Start => {
                    self.hold = Some(self.position);
                    match self.inline(rest, &is_checked) {
                        Some(step) => return step,
                        None => continue,
                    }
                }
                State::Length => match header(rest) {
                    Header::Incomplete => return Step::NeedMore,
                    Header::Number(length, line) if rest[0] == b'$' && self.may_be_long(length) => {
                        self.position += line;
                        let whole = usize::try_from(length).unwrap_or(0) + 2;
                        let short = length <= LONGEST_NAME && self.complete < 2;
                        self.let_pass_if_too_long(whole);
                        if self.held.is_some() || short {
                            self.state = State::Whole(whole);
                        } else {
                            // Too long for a name: the command is none that is held back.
                            self.hold = None;
                            self.state = State::Passing(whole);
                        }
                    }
                    _ => self.give_up(),
                },
                State::Whole(length) => {
                    if rest.len() < length {
                        return Step::NeedMore;
                    }
                    self.take(&rest[..length - 2], &is_checked);
                    self.position += length;
                    if let Some(step) = self.argument_complete() {
                        return step;
                    }
                }
                State::Passing(left) => {
                    let available = left.min(rest.len());
                    self.position += available;
                    if available < left {
                        self.state = State::Passing(left - available);
                        return Step::NeedMore;
                    }
                    if let Some(step) = self.argument_complete() {
                        return step;
                    }
                }
                State::Broken => {
                    self.position = buffer.len();
                    return Step::NeedMore;
                }
            }
        }
    }

    fn may_have(&self, arguments: i64) -> bool {
        self.signed_in || arguments <= UNAUTHENTICATED_ARGUMENTS
    }

    fn may_be_long(&self, length: i64) -> bool {
        (0..=LONGEST_BULK).contains(&length)
            && (self.signed_in || length <= UNAUTHENTICATED_BULK)
            && (!self.held.as_ref().is_some_and(|held| held.is_credentials) || length <= LONGEST_CREDENTIAL)
    }

    fn let_pass_if_too_long(&mut self, next: usize) {
        if let Some(held) = self.held.take_if(|held| !held.is_credentials && held.size + next > LONGEST_CHECKED) {
            let mut arguments = held.arguments.into_iter();
            self.name = arguments.next().unwrap_or_default();
            self.second = arguments.next().filter(|second| second.len() as i64 <= LONGEST_NAME).unwrap_or_default();
            self.hold = None;
        }
    }

    fn give_up(&mut self) {
        self.state = State::Broken;
        self.hold = None;
        self.held = None;
    }

    fn take(&mut self, argument: &[u8], is_checked: &impl Fn(&[u8]) -> bool) {
        if let Some(held) = &mut self.held {
            held.size += argument.len();
            held.arguments.push(argument.to_vec());
        } else if self.complete == 0 {
            let is_credentials = is_held_back(argument);
            if is_credentials || is_checked(argument) {
                self.held = Some(Held { arguments: vec![argument.to_vec()], size: argument.len(), is_credentials });
            } else {
                self.hold = None;
                self.name.extend_from_slice(argument);
            }
        } else {
            self.second.extend_from_slice(argument);
        }
    }

    fn argument_complete(&mut self) -> Option<Step> {
        self.complete += 1;
        if self.complete < self.arguments {
            self.state = State::Length;
            return None;
        }
        self.state = State::Start;
        Some(match self.held.take() {
            Some(Held { arguments, is_credentials: true, .. }) => Step::Credentials(arguments),
            Some(Held { arguments, .. }) => Step::Checked(arguments),
            None => Step::Command {
                name: std::mem::take(&mut self.name),
                second: std::mem::take(&mut self.second),
                arguments: usize::try_from(self.arguments).unwrap_or(usize::MAX),
            },
        })
    }

    /// A command without RESP, as a person types it. `None`: nothing to tell, go on.
    fn inline(&mut self, rest: &[u8], is_checked: &impl Fn(&[u8]) -> bool) -> Option<Step> {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            if rest.len() > LONGEST_INLINE {
                self.give_up();
                return None;
            }
            return Some(Step::NeedMore);
        };
        let line = &rest[..end];
        let Some(arguments) = split_inline(line.strip_suffix(b"\r").unwrap_or(line)) else {
            self.give_up();
            return None;
        };
        self.position += end + 1;
        if arguments.first().is_some_and(|name| is_held_back(name)) {
            return Some(Step::Credentials(arguments));
        }
        if arguments.first().is_some_and(|name| is_checked(name)) {
            return Some(Step::Checked(arguments));
        }
        self.hold = None;
        let count = arguments.len();
        let mut arguments = arguments.into_iter();
        let name = arguments.next()?;
        let second = arguments.next().filter(|second| second.len() as i64 <= LONGEST_NAME).unwrap_or_default();
        Some(Step::Command { name, second, arguments: count })
    }
}

fn is_held_back(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"auth") || name.eq_ignore_ascii_case(b"hello")
}

enum Header {
    Incomplete,
    Wrong,
    /// The number, and the length of its line.
    Number(i64, usize),
}

/// Reads the number in `*3\r\n` or `$10\r\n` as strictly as the engine: no plus, no zero in front. Like the engine it does not
/// look at the byte after the carriage return.
fn header(rest: &[u8]) -> Header {
    let line = &rest[1..rest.len().min(LONGEST_HEADER)];
    let Some(end) = memchr::memchr(b'\r', line) else {
        return if rest.len() < LONGEST_HEADER { Header::Incomplete } else { Header::Wrong };
    };
    if rest.len() < end + 3 {
        return Header::Incomplete;
    }
    let digits = line[..end].strip_prefix(b"-").unwrap_or(&line[..end]);
    let strict = match digits {
        [b'0'] => end == 1,
        [first, ..] => (b'1'..=b'9').contains(first) && digits.iter().all(u8::is_ascii_digit),
        [] => false,
    };
    match std::str::from_utf8(&line[..end]).ok().and_then(|text| text.parse().ok()) {
        Some(number) if strict => Header::Number(number, end + 3),
        _ => Header::Wrong,
    }
}

/// Splits an inline command as the engine does: quotes, `\xNN` and the usual escapes. `None` for unbalanced quotes.
fn split_inline(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut arguments = Vec::new();
    let mut bytes = line.iter().copied().peekable();
    loop {
        while bytes.peek().is_some_and(|byte| is_space(*byte)) {
            bytes.next();
        }
        if bytes.peek().is_none() {
            return Some(arguments);
        }
        let mut argument = Vec::new();
        let mut quote = None;
        while let Some(byte) = bytes.next() {
            match (quote, byte) {
                (Some(b'"'), b'\\') => argument.push(escape(&mut bytes)?),
                (Some(b'\''), b'\\') if bytes.peek() == Some(&b'\'') => argument.extend(bytes.next()),
                (Some(open), byte) if byte == open => {
                    // A closing quote ends the argument; anything right behind it is an error.
                    if bytes.peek().is_some_and(|next| !is_space(*next)) {
                        return None;
                    }
                    quote = None;
                    break;
                }
                (Some(_), byte) => argument.push(byte),
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, byte) if is_space(byte) => break,
                (None, byte) => argument.push(byte),
            }
        }
        if quote.is_some() {
            return None;
        }
        arguments.push(argument);
    }
}

fn escape(bytes: &mut std::iter::Peekable<impl Iterator<Item = u8> + Clone>) -> Option<u8> {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = bytes.next()?;
    if byte == b'x' {
        let mut ahead = bytes.clone();
        if let (Some(high), Some(low)) = (ahead.next().and_then(hex), ahead.next().and_then(hex)) {
            *bytes = ahead;
            return Some(high << 4 | low);
        }
    }
    Some(match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    })
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b || byte == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a whole conversation through the scanner in pieces of `size` bytes; gives what passed and what was found.
    /// Commands called MSETNX are checked, and all of them may pass.
    fn run(input: &[u8], size: usize, signed_in: bool) -> (Vec<u8>, Vec<Step>) {
        let is_checked = |name: &[u8]| name.eq_ignore_ascii_case(b"msetnx");
        let mut scanner = Scanner::new();
        scanner.signed_in = signed_in;
        let (mut buffer, mut passed, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for piece in input.chunks(size) {
            buffer.extend_from_slice(piece);
            loop {
                let step = scanner.next(&buffer, is_checked);
                if matches!(step, Step::Checked(_)) {
                    scanner.release();
                }
                let is_credentials = matches!(step, Step::Credentials(_));
                let pass = scanner.passable();
                passed.extend(buffer.drain(..pass));
                scanner.passed(pass);
                if is_credentials {
                    let held = scanner.position();
                    buffer.drain(..held);
                    scanner.passed(held);
                    scanner.release();
                }
                match step {
                    Step::NeedMore => break,
                    step => found.push(step),
                }
            }
        }
        (passed, found)
    }

    fn command(name: &str, second: &str, arguments: usize) -> Step {
        Step::Command { name: name.into(), second: second.into(), arguments }
    }

    fn credentials(arguments: &[&str]) -> Step {
        Step::Credentials(arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect())
    }

    #[test]
    fn commands_pass_and_credentials_do_not_wherever_the_stream_is_cut() {
        let before = b"*1\r\n$4\r\nPING\r\n";
        let auth = b"*3\r\n$4\r\nauth\r\n$3\r\noid\r\n$9\r\neyJ.e30.s\r\n";
        let after = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\r\n\r\n*0\r\n";
        let inline = b"hello 3 auth \"o\\x69d\" 'to ken'\nPING x\r\n\r\n";
        let input = [before.as_slice(), auth, after, inline].concat();
        let expected = [before.as_slice(), after, b"PING x\r\n\r\n"].concat();
        for size in 1..=input.len() {
            let (passed, found) = run(&input, size, false);
            assert_eq!(String::from_utf8_lossy(&passed), String::from_utf8_lossy(&expected), "pieces of {size}");
            assert_eq!(
                found,
                [
                    command("PING", "", 1),
                    credentials(&["auth", "oid", "eyJ.e30.s"]),
                    command("SET", "k", 3),
                    credentials(&["hello", "3", "auth", "oid", "to ken"]),
                    command("PING", "x", 2),
                ],
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn what_the_engine_would_refuse_passes_to_be_refused_by_it() {
        for wrong in [
            "*01\r\n$4\r\nPING\r\n",
            "*+3\r\n$4\r\nAUTH\r\n",
            "*2\r\n$-1\r\n$1\r\nx\r\n",
            "*1\r\n+PING\r\n",
            "*11\r\n$4\r\nAUTH\r\n",
            "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$16385\r\n",
            "AUTH \"unbalanced\n",
            "*99999999999999999999999999999999999\r\n",
        ] {
            let (passed, found) = run(wrong.as_bytes(), 3, false);
            assert_eq!(String::from_utf8_lossy(&passed), wrong);
            assert_eq!(found, []);
        }
    }

    #[test]
    fn limits_for_strangers_end_with_the_sign_in() {
        let long = format!("*2\r\n$3\r\nGET\r\n$20000\r\n{}\r\n", "x".repeat(20_000));
        assert_eq!(run(long.as_bytes(), 1000, false).1, []);
        assert_eq!(run(long.as_bytes(), 1000, true).1, [command("GET", "", 2)]);
    }

    #[test]
    fn a_long_value_passes_while_it_comes() {
        let mut scanner = Scanner::new();
        scanner.signed_in = true;
        let start = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$300000\r\nxxxxxxxx";
        assert_eq!(scanner.next(start, |_| false), Step::NeedMore);
        assert_eq!(scanner.passable(), start.len());
    }

    #[test]
    fn a_checked_command_is_held_until_it_is_whole_wherever_the_stream_is_cut() {
        let input = b"*3\r\n$6\r\nmsetnx\r\n$1\r\nk\r\n$1\r\nv\r\nMSETNX a b\r\n*1\r\n$4\r\nPING\r\n";
        let words = |line: &str| Step::Checked(line.split(' ').map(|word| word.as_bytes().to_vec()).collect());
        for size in 1..=input.len() {
            let (passed, found) = run(input, size, true);
            assert_eq!(String::from_utf8_lossy(&passed), String::from_utf8_lossy(input), "pieces of {size}");
            assert_eq!(found, [words("msetnx k v"), words("MSETNX a b"), command("PING", "", 1)], "pieces of {size}");
        }
    }

    #[test]
    fn a_checked_command_that_gets_too_long_passes() {
        let long = "x".repeat(LONGEST_CHECKED);
        let input = format!("*3\r\n$6\r\nMSETNX\r\n$1\r\nk\r\n${}\r\n{long}\r\n*1\r\n$4\r\nPING\r\n", long.len());
        let (passed, found) = run(input.as_bytes(), 65_536, true);
        assert_eq!(passed.len(), input.len());
        assert_eq!(found, [command("MSETNX", "k", 3), command("PING", "", 1)]);
    }
}
