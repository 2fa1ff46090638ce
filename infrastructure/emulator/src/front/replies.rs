//! Finds the replies in what the engine sends, RESP2 and RESP3, without copying: so that sign-ins are judged by the engine's
//! own answer, errors are counted, and a refused sign-in gets Azure's text.

/// A reply's first line is kept up to this length.
const LINE: usize = 256;
/// A line is waited for up to this length, which none of an engine's own has. Those that scripts make can be longer.
const LONGEST_LINE: usize = 4096;
/// Names of messages and confirmations (`punsubscribe` is the longest) are not longer.
const LONGEST_KIND: usize = 16;

/// What the scanner found next.
#[derive(Debug)]
pub(crate) enum Step<'s> {
    /// An error, anywhere in a reply: the bytes `start..position` of the buffer. The caller may pass something else in their
    /// place, if that is all of it.
    Error {
        /// Start of the line in the buffer.
        start: usize,
        /// Whether its end is there too.
        is_whole: bool,
        /// Which element of the outermost array it is in, from 0.
        element: Option<u64>,
    },
    /// A whole reply.
    Reply(&'s Reply),
    /// No whole reply is left.
    NeedMore,
}

/// A whole reply, as far as anybody needs to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Its first line without the line end, shortened.
    pub(crate) line: Vec<u8>,
    /// For arrays and pushes: the first element, if it is a short text.
    pub(crate) kind: Vec<u8>,
    /// For arrays and pushes: the last number among the elements.
    pub(crate) number: Option<i64>,
}

impl Reply {
    pub(super) fn is_push(&self) -> bool {
        self.line.first() == Some(&b'>')
    }

    pub(super) fn is_array(&self) -> bool {
        self.line.first() == Some(&b'*')
    }

    pub(super) fn is_error(&self) -> bool {
        self.line.first() == Some(&b'-')
    }

    pub(super) fn is_null(&self) -> bool {
        self.line.starts_with(b"_") || self.line.starts_with(b"*-1") || self.line.starts_with(b"$-1")
    }
}

/// Reads the engine's stream. As with requests, the caller keeps the bytes that have not passed yet.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    position: usize,
    /// Left of the blob that is being read, with its line end.
    blob: usize,
    /// In a line that was too long to wait for its end.
    in_line: bool,
    /// The aggregates that are open, outermost first.
    open: Vec<Aggregate>,
    reply: Reply,
    /// The error that was handed out last has still to be counted as a value.
    after_error: bool,
}

#[derive(Debug)]
struct Aggregate {
    size: u64,
    left: u64,
    /// Attributes come before the value that they belong to and are none themselves.
    is_attribute: bool,
}

impl Scanner {
    /// How many bytes at the front of the buffer have been read and may pass.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The first `count` bytes have left the buffer.
    pub(crate) fn passed(&mut self, count: usize) {
        self.position -= count;
    }

    pub(crate) fn next(&mut self, buffer: &[u8]) -> Step<'_> {
        if std::mem::take(&mut self.after_error) && self.value_complete() {
            return Step::Reply(&self.reply);
        }
        loop {
            let rest = &buffer[self.position..];
            if self.blob > 0 {
                let available = self.blob.min(rest.len());
                self.position += available;
                self.blob -= available;
                if self.blob > 0 {
                    return Step::NeedMore;
                }
                if self.value_complete() {
                    return Step::Reply(&self.reply);
                }
                continue;
            }
            if self.in_line {
                let end = memchr::memchr(b'\n', rest);
                self.position += end.map_or(rest.len(), |end| end + 1);
                if end.is_none() {
                    return Step::NeedMore;
                }
                self.in_line = false;
                if self.value_complete() {
                    return Step::Reply(&self.reply);
                }
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', &rest[..rest.len().min(LONGEST_LINE)]) else {
                if rest.len() < LONGEST_LINE {
                    return Step::NeedMore;
                }
                self.in_line = true;
                let start = self.position;
                self.position += LONGEST_LINE;
                self.begin(&rest[..LINE]);
                if rest[0] == b'-' {
                    return Step::Error { start, is_whole: false, element: self.element() };
                }
                continue;
            };
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            self.begin(line);
            let Some((&mark, text)) = line.split_first() else {
                // Never sent by an engine; skipping it keeps the stream readable.
                self.position += end + 1;
                continue;
            };
            let number = || std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
            match mark {
                b'$' | b'=' | b'!' => {
                    let length = number().and_then(|length| usize::try_from(length).ok());
                    if let Some(length) = length {
                        if self.is_first_element() && length <= LONGEST_KIND {
                            // Wait for the whole of it: it may say what the reply is.
                            let start = end + 1;
                            if rest.len() < start + length + 2 {
                                return Step::NeedMore;
                            }
                            self.reply.kind.extend_from_slice(&rest[start..start + length]);
                        }
                        self.position += end + 1;
                        self.blob = length + 2;
                        continue;
                    }
                    self.position += end + 1;
                }
                b'*' | b'~' | b'>' | b'%' | b'|' => {
                    self.position += end + 1;
                    let pairs = if matches!(mark, b'%' | b'|') { 2 } else { 1 };
                    let size = number().and_then(|count| u64::try_from(count).ok()).unwrap_or(0).saturating_mul(pairs);
                    let is_attribute = mark == b'|';
                    if size > 0 {
                        self.open.push(Aggregate { size, left: size, is_attribute });
                        continue;
                    }
                    if is_attribute {
                        continue;
                    }
                }
                b'-' => {
                    let start = self.position;
                    self.position += end + 1;
                    // The error first; the reply that it completes, if any, with the next call.
                    self.after_error = true;
                    return Step::Error { start, is_whole: true, element: self.element() };
                }
                b':' => {
                    if self.open.len() == 1 {
                        self.reply.number = number();
                    }
                    self.position += end + 1;
                }
                _ => self.position += end + 1,
            }
            if self.value_complete() {
                return Step::Reply(&self.reply);
            }
        }
    }

    fn is_first_element(&self) -> bool {
        matches!(self.open.as_slice(), [only] if only.left == only.size)
    }

    /// The number of the outermost array's element that is being read.
    fn element(&self) -> Option<u64> {
        self.open.first().map(|outermost| outermost.size - outermost.left)
    }

    /// A value begins, with that line. If it is none of a list, so does a reply.
    fn begin(&mut self, line: &[u8]) {
        if self.open.is_empty() {
            self.reply.line.clear();
            self.reply.line.extend_from_slice(&line[..line.len().min(LINE)]);
            self.reply.kind.clear();
            self.reply.number = None;
        }
    }

    /// Closes what the value that just ended closes. Whether that is the whole reply.
    fn value_complete(&mut self) -> bool {
        while let Some(aggregate) = self.open.last_mut() {
            aggregate.left -= 1;
            if aggregate.left > 0 {
                return false;
            }
            let is_attribute = aggregate.is_attribute;
            self.open.pop();
            if is_attribute {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a stream through the scanner in pieces of `size` bytes; gives the replies' first lines and the errors.
    fn run(input: &[u8], size: usize) -> (Vec<Reply>, Vec<String>) {
        let mut scanner = Scanner::default();
        let (mut buffer, mut replies, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for piece in input.chunks(size) {
            buffer.extend_from_slice(piece);
            loop {
                match scanner.next(&buffer) {
                    Step::NeedMore => break,
                    Step::Reply(reply) => replies.push(reply.clone()),
                    Step::Error { start, .. } => {
                        errors.push(String::from_utf8_lossy(&buffer[start..scanner.position()]).trim_end().to_owned());
                    }
                }
                let pass = scanner.position();
                buffer.drain(..pass);
                scanner.passed(pass);
            }
            let pass = scanner.position();
            buffer.drain(..pass);
            scanner.passed(pass);
        }
        assert!(buffer.is_empty());
        (replies, errors)
    }

    #[test]
    fn replies_of_every_type_are_told_apart_wherever_the_stream_is_cut() {
        let input = b"+OK\r\n$5\r\na\r\nb\r\r\n:1\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n$1\r\na\r\n*1\r\n:2\r\n%1\r\n+k\r\n+v\r\n_\r\n\
            #t\r\n,1.5\r\n(123\r\n=7\r\ntxt:abc\r\n!5\r\nERR x\r\n~1\r\n+a\r\n|1\r\n+a\r\n+b\r\n:9\r\n>3\r\n$7\r\nmessage\r\n+c\r\n+m\r\n-ERR no\r\n";
        for size in 1..=input.len() {
            let (replies, errors) = run(input, size);
            let marks: Vec<char> = replies.iter().map(|reply| char::from(reply.line[0])).collect();
            assert_eq!(marks.iter().collect::<String>(), "+$:$***%_#,(=!~:>-", "pieces of {size}");
            assert_eq!(errors, ["-ERR no"], "pieces of {size}");
            assert_eq!(replies[16].kind, b"message", "pieces of {size}");
        }
    }

    #[test]
    fn errors_inside_a_transaction_are_found_and_the_transaction_is_one_reply() {
        for size in 1..40 {
            let (replies, errors) = run(b"*3\r\n+OK\r\n-WRONGTYPE x\r\n*1\r\n-ERR y\r\n+OK\r\n", size);
            assert_eq!(replies.len(), 2, "pieces of {size}");
            assert_eq!(errors, ["-WRONGTYPE x", "-ERR y"], "pieces of {size}");
        }
    }

    #[test]
    fn a_confirmation_tells_how_many_channels_are_left() {
        let (replies, _) = run(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n", 7);
        assert_eq!((replies[0].kind.as_slice(), replies[0].number), (b"subscribe".as_slice(), Some(1)));
    }
}
