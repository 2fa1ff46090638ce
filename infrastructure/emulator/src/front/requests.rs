//! Finds the commands in what a client sends, without copying: everything passes as it is, but an `AUTH` or `HELLO` is held
//! back whole, so that its token can be checked before the engine sees anything of it, and so is a command whose keys have to
//! be checked. What the engine would not understand does not pass either, but something short that it refuses alike, and
//! nothing passes after that: a stream that is read in two ways could carry a command that only one of the readers sees.

/// Longest header line (`*3`, `$10`) that can be right; the engine refuses longer numbers too.
const LONGEST_HEADER: usize = 32;
/// The engine's limit for an inline command.
const LONGEST_INLINE: usize = 64 * 1024;
/// The engine's limits before a client has signed in.
const UNAUTHENTICATED_ARGUMENTS: i64 = 10;
const UNAUTHENTICATED_BULK: i64 = 16_384;
/// Longest argument of an `AUTH` or `HELLO` that is looked at; Entra's tokens have one to four kilobytes.
const LONGEST_CREDENTIAL: i64 = 16_384;
/// Longest `AUTH` or `HELLO`: more than two of the longest arguments.
const LONGEST_CREDENTIALS: usize = 64 * 1024;
/// What an argument takes that is held back, besides its own bytes.
const ARGUMENT: usize = size_of::<Vec<u8>>();
/// The engine's limits for the number of arguments and for one of them (`proto-max-bulk-len`).
const MOST_ARGUMENTS: i64 = i32::MAX as i64;
const LONGEST_BULK: i64 = 512 * 1024 * 1024;
/// A command that is held back for its keys passes unchecked when it gets longer than this: nobody is to fill our memory.
const LONGEST_CHECKED: usize = 1024 * 1024;
/// No command has a longer name.
const LONGEST_NAME: i64 = 64;

/// What the scanner found next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'s> {
    /// A whole command, which passes.
    Command {
        /// First argument, as sent; empty if it is too long to be a command.
        name: &'s [u8],
        /// Second argument; empty if it is too long to be a subcommand.
        second: &'s [u8],
        /// Number of arguments, the name included.
        arguments: usize,
    },
    /// A whole `AUTH` or `HELLO`: the bytes from [`Scanner::passable`] to [`Scanner::position`], which must not pass.
    Credentials(Vec<Vec<u8>>),
    /// A whole command to be checked: the same bytes, which pass after [`Scanner::release`].
    Checked(Vec<Vec<u8>>),
    /// Something that the engine would end the connection for, or that is too long to be held back. Behind what is passable
    /// the engine is sent these bytes, which it refuses alike, and nothing ever after.
    Malformed(Vec<u8>),
    /// No whole command is left.
    NeedMore,
}

/// Reads a client's stream. The caller keeps the bytes that have not passed yet in one buffer, and tells with
/// [`Scanner::passed`] how many it has taken from its front.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// Whether the client may have signed in: before that the engine's limits for strangers hold.
    pub(crate) signed_in: bool,
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
    /// Behind something malformed. Nothing passes any more.
    Over,
}

impl Scanner {
    pub(crate) fn new() -> Self {
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
    pub(crate) fn passable(&self) -> usize {
        self.hold.unwrap_or(self.position)
    }

    /// How far the buffer has been read.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The first `count` bytes have left the buffer.
    pub(crate) fn passed(&mut self, count: usize) {
        self.position -= count;
        self.hold = self.hold.map(|hold| hold.saturating_sub(count));
    }

    /// Lets go of what was just handed out: it has left the buffer, or it may pass.
    pub(crate) fn release(&mut self) {
        self.hold = None;
    }

    /// The next command in `buffer`, whose front is where the last [`Scanner::passed`] left it. Commands whose name `is_checked`
    /// are held back.
    pub(crate) fn next(&mut self, buffer: &[u8], is_checked: impl Fn(&[u8]) -> bool) -> Step<'_> {
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
                        wrong => return self.give_up(wrong.refused_alike(rest)),
                    }
                }
                State::Start => {
                    self.hold = Some(self.position);
                    let (end, arguments) = match inline(rest) {
                        Inline::Incomplete => return Step::NeedMore,
                        Inline::TooLong => return self.give_up(vec![b'x'; LONGEST_INLINE + 1]),
                        Inline::Wrong => return self.give_up(b"\"\r\n".to_vec()),
                        Inline::Line(end, arguments) => (end, arguments),
                    };
                    self.position += end;
                    let Some(name) = arguments.first() else {
                        // An empty line: the engine skips it.
                        self.hold = None;
                        continue;
                    };
                    if is_held_back(name) {
                        return Step::Credentials(arguments);
                    }
                    if is_checked(name) {
                        return Step::Checked(arguments);
                    }
                    self.hold = None;
                    let count = arguments.len();
                    self.keep_names(arguments);
                    return Step::Command { name: &self.name, second: &self.second, arguments: count };
                }
                State::Length => match header(rest) {
                    Header::Incomplete => return Step::NeedMore,
                    Header::Number(length, line) if rest[0] == b'$' && self.may_be_long(length) => {
                        let whole = usize::try_from(length).unwrap_or(0) + 2;
                        if self.is_too_long_to_hold(length, whole) {
                            // The engine might take it, and see the token.
                            return self.give_up(b"*1\r\n$-1\r\n".to_vec());
                        }
                        self.position += line;
                        self.let_pass_if_too_long(whole);
                        let short = length <= LONGEST_NAME && self.complete < 2;
                        if self.held.is_some() || short {
                            self.state = State::Whole(whole);
                        } else {
                            // Too long for a name: the command is none that is held back.
                            self.hold = None;
                            self.state = State::Passing(whole);
                        }
                    }
                    wrong => {
                        let start: &[u8] = if self.hold.is_some() { b"*1\r\n" } else { b"" };
                        return self.give_up([start, &wrong.refused_alike(rest)].concat());
                    }
                },
                State::Whole(length) => {
                    if rest.len() < length {
                        return Step::NeedMore;
                    }
                    self.take(&rest[..length - 2], &is_checked);
                    self.position += length;
                    if self.is_complete() {
                        return self.complete();
                    }
                }
                State::Passing(left) => {
                    let available = left.min(rest.len());
                    self.position += available;
                    if available < left {
                        self.state = State::Passing(left - available);
                        return Step::NeedMore;
                    }
                    if self.is_complete() {
                        return self.complete();
                    }
                }
                State::Over => {
                    self.hold = Some(0);
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
        (0..=LONGEST_BULK).contains(&length) && (self.signed_in || length <= UNAUTHENTICATED_BULK)
    }

    fn is_too_long_to_hold(&self, length: i64, whole: usize) -> bool {
        self.held.as_ref().is_some_and(|held| {
            held.is_credentials && (length > LONGEST_CREDENTIAL || held.size + whole + ARGUMENT > LONGEST_CREDENTIALS)
        })
    }

    fn let_pass_if_too_long(&mut self, next: usize) {
        let is_too_long = |held: &mut Held| !held.is_credentials && held.size + next + ARGUMENT > LONGEST_CHECKED;
        if let Some(held) = self.held.take_if(is_too_long) {
            self.keep_names(held.arguments);
            self.hold = None;
        }
    }

    fn give_up(&mut self, instead: Vec<u8>) -> Step<'_> {
        self.state = State::Over;
        self.hold.get_or_insert(self.position);
        self.held = None;
        Step::Malformed(instead)
    }

    fn keep_names(&mut self, arguments: Vec<Vec<u8>>) {
        let short = |argument: &Vec<u8>| argument.len() as i64 <= LONGEST_NAME;
        let mut arguments = arguments.into_iter();
        self.name = arguments.next().filter(short).unwrap_or_default();
        self.second = arguments.next().filter(short).unwrap_or_default();
    }

    fn take(&mut self, argument: &[u8], is_checked: &impl Fn(&[u8]) -> bool) {
        if let Some(held) = &mut self.held {
            held.size += argument.len() + ARGUMENT;
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

    /// An argument has ended. Whether it was the last.
    fn is_complete(&mut self) -> bool {
        self.complete += 1;
        self.state = if self.complete < self.arguments { State::Length } else { State::Start };
        self.state == State::Start
    }

    fn complete(&mut self) -> Step<'_> {
        match self.held.take() {
            Some(Held { arguments, is_credentials: true, .. }) => Step::Credentials(arguments),
            Some(Held { arguments, .. }) => Step::Checked(arguments),
            None => Step::Command {
                name: &self.name,
                second: &self.second,
                arguments: usize::try_from(self.arguments).unwrap_or(usize::MAX),
            },
        }
    }
}

fn is_held_back(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"auth") || name.eq_ignore_ascii_case(b"hello")
}

enum Header {
    Incomplete,
    /// The length of its line, as far as it has to be seen.
    Wrong(usize),
    /// The number, and the length of its line.
    Number(i64, usize),
}

impl Header {
    /// What the engine is sent in place of a line that it would refuse: the same, ended so that it is refused at once. It looks
    /// for the end of the line before anything else, in some versions up to a zero byte only.
    fn refused_alike(&self, rest: &[u8]) -> Vec<u8> {
        let line = match self {
            Header::Number(_, length) => return rest[..*length].to_vec(),
            Header::Wrong(length) => &rest[..*length],
            Header::Incomplete => b"",
        };
        let plain = line.iter().take_while(|byte| !matches!(byte, b'\r' | 0)).copied();
        plain.chain(*b"x\r\n").collect()
    }
}

/// Reads the number in `*3\r\n` or `$10\r\n` as strictly as the engine: no plus, no zero in front. Like the engine it does not
/// look at the byte after the carriage return.
fn header(rest: &[u8]) -> Header {
    let line = &rest[1..rest.len().min(LONGEST_HEADER)];
    let Some(end) = memchr::memchr(b'\r', line) else {
        return if rest.len() < LONGEST_HEADER { Header::Incomplete } else { Header::Wrong(LONGEST_HEADER) };
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
        _ => Header::Wrong(end + 1),
    }
}

/// A command without RESP, as a person types it.
enum Inline {
    Incomplete,
    TooLong,
    Wrong,
    /// The length of its line, and its arguments.
    Line(usize, Vec<Vec<u8>>),
}

fn inline(rest: &[u8]) -> Inline {
    let searched = &rest[..rest.len().min(LONGEST_INLINE + 1)];
    let Some(end) = memchr::memchr(b'\n', searched) else {
        return if rest.len() > LONGEST_INLINE { Inline::TooLong } else { Inline::Incomplete };
    };
    let line = &rest[..end];
    match split_inline(line.strip_suffix(b"\r").unwrap_or(line)) {
        Some(arguments) => Inline::Line(end + 1, arguments),
        None => Inline::Wrong,
    }
}

/// Splits an inline command as the engine does: quotes, `\xNN` and the usual escapes. `None` for unbalanced quotes, and for a
/// zero byte, which ends the line for some engines and hides its end from others.
fn split_inline(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    if memchr::memchr(0, line).is_some() {
        return None;
    }
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
                // Of all spaces these end an argument; the others are part of it unless they come first.
                (None, b' ' | b'\t' | b'\r' | b'\n') => break,
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
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step that outlives the scanner's next one.
    #[derive(Debug, PartialEq, Eq)]
    enum Found {
        Command(String, String, usize),
        Credentials(Vec<Vec<u8>>),
        Checked(Vec<Vec<u8>>),
        Malformed(String),
    }

    /// Runs a whole conversation through the scanner in pieces of `size` bytes; gives what passed and what was found.
    /// Commands called MSETNX are checked, and all of them may pass.
    fn run(input: &[u8], size: usize, signed_in: bool) -> (Vec<u8>, Vec<Found>) {
        let is_checked = |name: &[u8]| name.eq_ignore_ascii_case(b"msetnx");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut scanner = Scanner::new();
        scanner.signed_in = signed_in;
        let (mut buffer, mut passed, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for piece in input.chunks(size) {
            buffer.extend_from_slice(piece);
            loop {
                let step = match scanner.next(&buffer, is_checked) {
                    Step::Command { name, second, arguments } => {
                        Some(Found::Command(text(name), text(second), arguments))
                    }
                    Step::Credentials(arguments) => Some(Found::Credentials(arguments)),
                    Step::Checked(arguments) => Some(Found::Checked(arguments)),
                    Step::Malformed(instead) => Some(Found::Malformed(text(&instead))),
                    Step::NeedMore => None,
                };
                if matches!(step, Some(Found::Checked(_))) {
                    scanner.release();
                }
                let pass = scanner.passable();
                passed.extend(buffer.drain(..pass));
                scanner.passed(pass);
                if matches!(step, Some(Found::Credentials(_))) {
                    let held = scanner.position();
                    buffer.drain(..held);
                    scanner.passed(held);
                    scanner.release();
                }
                match step {
                    None => break,
                    Some(step) => found.push(step),
                }
            }
        }
        (passed, found)
    }

    fn command(name: &str, second: &str, arguments: usize) -> Found {
        Found::Command(name.into(), second.into(), arguments)
    }

    fn credentials(arguments: &[&str]) -> Found {
        Found::Credentials(arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect())
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
    fn what_the_engine_would_refuse_does_not_pass_but_something_that_it_refuses_alike() {
        for (wrong, passes, instead) in [
            ("*01\r\n$4\r\nPING\r\n", "", "*01x\r\n"),
            ("*+3\r\n$4\r\nAUTH\r\n", "", "*+3x\r\n"),
            ("*\x003\r\n$4\r\nAUTH\r\n", "", "*x\r\n"),
            ("*2\r\n$-1\r\n$1\r\nx\r\n", "", "*1\r\n$-1\r\n"),
            ("*1\r\n+PING\r\n", "", "*1\r\n+PINGx\r\n"),
            ("*2\r\n$4\r\nECHO\r\n:7\r\n", "*2\r\n$4\r\nECHO\r\n", ":7\r\n"),
            ("*11\r\n$4\r\nAUTH\r\n", "", "*11\r\n"),
            ("*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$16385\r\n", "", "*1\r\n$16385\r\n"),
            ("AUTH \"unbalanced\n", "", "\"\r\n"),
            ("AUTH \"\0\"\n", "", "\"\r\n"),
            ("*99999999999999999999999999999999999\r\n", "", "*9999999999999999999999999999999x\r\n"),
        ] {
            for size in 1..=wrong.len() {
                let behind = "PING\r\n*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n";
                let (passed, found) = run(format!("PING\r\n{wrong}{behind}").as_bytes(), size, false);
                assert_eq!(String::from_utf8_lossy(&passed), format!("PING\r\n{passes}"), "pieces of {size}");
                assert_eq!(
                    found,
                    [command("PING", "", 1), Found::Malformed(instead.into())],
                    "{wrong:?}, pieces of {size}"
                );
            }
        }
        let (passed, found) = run("x".repeat(LONGEST_INLINE + 1).as_bytes(), 1000, false);
        assert_eq!((passed.len(), found.len()), (0, 1));
        assert!(run("x".repeat(LONGEST_INLINE).as_bytes(), 1000, false).1.is_empty());
    }

    /// The engine would take these from whom it knows; here nobody is to fill our memory, nor is a token to pass.
    #[test]
    fn a_sign_in_that_gets_too_long_does_not_pass() {
        let long = format!("*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$16385\r\n{}\r\n", "x".repeat(16_385));
        let many = format!("*200001\r\n$5\r\nHELLO\r\n{}", "$1\r\nx\r\n".repeat(200_000));
        for input in [long, many] {
            let (passed, found) = run(input.as_bytes(), 4096, true);
            assert_eq!((passed.len(), found), (0, vec![Found::Malformed("*1\r\n$-1\r\n".into())]));
        }
        let longest = "x".repeat(16_384);
        let input = format!("*3\r\n$4\r\nAUTH\r\n$16384\r\n{longest}\r\n$16384\r\n{longest}\r\n");
        for signed_in in [false, true] {
            assert_eq!(run(input.as_bytes(), 4096, signed_in).1, [credentials(&["AUTH", &longest, &longest])]);
        }
    }

    #[test]
    fn an_inline_command_is_split_as_the_engine_splits_it() {
        let split = |line: &str| {
            split_inline(line.as_bytes()).map(|words| {
                words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>().join("|")
            })
        };
        for (line, words) in [
            ("", ""),
            (" \t\x0b\x0c", ""),
            ("a\x0bb\x0cc d", "a\x0bb\x0cc|d"),
            ("a\rb", "a|b"),
            ("\"\\x41\\n\\q\\\\\" 'it\\'s' ''", "A\nq\\|it's|"),
            ("\"\\x4\"", "x4"),
            ("'\\x41'", "\\x41"),
            ("A\"UT\"", "AUT"),
        ] {
            assert_eq!(split(line).as_deref(), Some(words), "{line:?}");
        }
        for line in ["\"", "'a", "\"a\"b", "'a'b", "\"a\0\"", "\"a\\", "\0PING", "PING\0"] {
            assert_eq!(split(line), None, "{line:?}");
        }
    }

    #[test]
    fn limits_for_strangers_end_with_the_sign_in() {
        let long = format!("*2\r\n$3\r\nGET\r\n$20000\r\n{}\r\n", "x".repeat(20_000));
        assert_eq!(run(long.as_bytes(), 1000, false).1, [Found::Malformed("$20000\r\n".into())]);
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
        let words = |line: &str| Found::Checked(line.split(' ').map(|word| word.as_bytes().to_vec()).collect());
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
