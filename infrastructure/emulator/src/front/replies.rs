//! Finds the replies in what the engine sends, RESP2 and RESP3, without copying: so that sign-ins are judged by the engine's
//! own answer, errors are counted, and a refused sign-in gets Azure's text.

/// A reply's first line is kept up to this length.
const LINE: usize = 256;
/// Names of messages and confirmations (`punsubscribe` is the longest) are not longer.
const LONGEST_KIND: usize = 16;

/// What the scanner found next.
#[derive(Debug)]
pub(super) enum Step {
    /// An error, anywhere in a reply: the bytes `start..position` of the buffer, line end included. The caller may pass
    /// something else in their place.
    Error {
        /// Start of the line in the buffer.
        start: usize,
    },
    /// A whole reply.
    Reply(Reply),
    /// No whole reply is left.
    NeedMore,
}

/// A whole reply, as far as anybody needs to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// Its first line without the line end, shortened.
    pub(super) line: Vec<u8>,
    /// For arrays and pushes: the first element, if it is a short text.
    pub(super) kind: Vec<u8>,
    /// For arrays and pushes: the last number among the elements.
    pub(super) number: Option<i64>,
}

impl Reply {
    pub(super) fn is_push(&self) -> bool {
        self.line.first() == Some(&b'>')
    }

    pub(super) fn is_array(&self) -> bool {
        self.line.first() == Some(&b'*')
    }

    pub(super) fn is_null(&self) -> bool {
        self.line.starts_with(b"_") || self.line.starts_with(b"*-1") || self.line.starts_with(b"$-1")
    }
}

/// Reads the engine's stream. As with requests, the caller keeps the bytes that have not passed yet.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    position: usize,
    /// Left of the blob that is being read, with its line end.
    blob: usize,
    /// The aggregates that are open, outermost first.
    open: Vec<Aggregate>,
    reply: Reply,
    /// The error that was handed out last has still to be counted as a value.
    after_error: bool,
}

#[derive(Debug)]
struct Aggregate {
    left: u64,
    /// Attributes come before the value that they belong to and are none themselves.
    is_attribute: bool,
}

impl Scanner {
    /// How many bytes at the front of the buffer have been read and may pass.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The first `count` bytes have left the buffer.
    pub(super) fn passed(&mut self, count: usize) {
        self.position -= count;
    }

    pub(super) fn next(&mut self, buffer: &[u8]) -> Step {
        if std::mem::take(&mut self.after_error)
            && let Some(reply) = self.value_complete()
        {
            return Step::Reply(reply);
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
                match self.value_complete() {
                    Some(reply) => return Step::Reply(reply),
                    None => continue,
                }
            }
            let Some(end) = memchr::memchr(b'\n', rest) else { return Step::NeedMore };
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            if self.open.is_empty() {
                self.reply = Reply { line: line[..line.len().min(LINE)].to_vec(), ..Reply::default() };
            }
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
                            self.reply.kind = rest[start..start + length].to_vec();
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
                    let left = number().and_then(|count| u64::try_from(count).ok()).unwrap_or(0) * pairs;
                    let is_attribute = mark == b'|';
                    if left > 0 {
                        self.open.push(Aggregate { left, is_attribute });
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
                    return Step::Error { start };
                }
                b':' => {
                    if self.open.len() == 1 {
                        self.reply.number = number();
                    }
                    self.position += end + 1;
                }
                _ => self.position += end + 1,
            }
            if let Some(reply) = self.value_complete() {
                return Step::Reply(reply);
            }
        }
    }

    fn is_first_element(&self) -> bool {
        self.open.len() == 1 && self.reply.kind.is_empty() && self.reply.number.is_none()
    }

    /// Closes what the value that just ended closes.
    fn value_complete(&mut self) -> Option<Reply> {
        while let Some(aggregate) = self.open.last_mut() {
            aggregate.left -= 1;
            if aggregate.left > 0 {
                return None;
            }
            let is_attribute = aggregate.is_attribute;
            self.open.pop();
            if is_attribute {
                return None;
            }
        }
        Some(std::mem::take(&mut self.reply))
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
                    Step::Reply(reply) => replies.push(reply),
                    Step::Error { start } => {
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
