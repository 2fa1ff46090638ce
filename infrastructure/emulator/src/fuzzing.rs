//! What must hold for any bytes at all, as functions that panic where it does not: of the scanners of both directions, and of the
//! checks of tokens and of assertions. The fuzz targets in `fuzz/` call them with bytes that libFuzzer finds, the tests below with
//! some that a generator makes, so that an ordinary test run covers the same.
//!
//! To add one: a function here, a target of three lines in `fuzz/fuzz_targets/`, its `[[bin]]` in `fuzz/Cargo.toml`, a seed in
//! `fuzz/seeds/`; `.ci/fuzz` runs what it finds.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::credentials::{Credentials, Folders};
use crate::directory::{Credential, Directory, Identity};
use crate::entra::Hosts;
use crate::entra::assertion::Check;
use crate::events::Flow;
use crate::front::{replies, requests};
use crate::keys::Keys;
use crate::tenant::Tenant;
use crate::token;

/// A test case: some flags, and a stream in pieces.
struct Case<'a> {
    flags: u8,
    pieces: Vec<&'a [u8]>,
    stream: &'a [u8],
}

/// The test case that these bytes mean.
fn cut(data: &[u8]) -> Option<Case<'_>> {
    let ([flags, size], stream) = data.split_first_chunk::<2>()?;
    // Small pieces and large ones by turns.
    let sizes = [usize::from(*size) + 1, usize::from(size % 7) + 1, 16_384];
    let (mut pieces, mut rest) = (Vec::new(), stream);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    Some(Case { flags: *flags, pieces, stream })
}

/// More than the scanner of requests may ever keep.
const MUCH: usize = 2 * 1024 * 1024;

type Arguments = Vec<Vec<u8>>;

/// A command as the engine would read it, slowly and whole.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Command(Arguments, usize),
    /// Skipped by the engine: so many bytes.
    Nothing(usize),
    Incomplete,
    /// The engine ends the connection, now or when more comes.
    Refused,
}

fn is_credentials(arguments: &[Vec<u8>]) -> bool {
    arguments.first().is_some_and(|name| name.eq_ignore_ascii_case(b"auth") || name.eq_ignore_ascii_case(b"hello"))
}

fn number(line: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(line).ok()?;
    let number: i64 = text.parse().ok()?;
    // As the engine writes it, and in no other way.
    (number.to_string() == text).then_some(number)
}

/// The line from its second byte on, and how long it is; the engine does not look at the byte behind the carriage return.
fn line(bytes: &[u8]) -> Result<(&[u8], usize), Read> {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\r') else {
        return Err(if bytes.len() < 32 { Read::Incomplete } else { Read::Refused });
    };
    match end {
        32.. => Err(Read::Refused),
        _ if bytes.len() < end + 2 => Err(Read::Incomplete),
        0 => Err(Read::Refused),
        _ => Ok((&bytes[1..end], end + 2)),
    }
}

fn read_one(bytes: &[u8], signed_in: bool) -> Read {
    match bytes.first() {
        None => Read::Incomplete,
        Some(b'*') => match read_array(bytes, signed_in) {
            Ok(read) | Err(read) => read,
        },
        Some(_) => read_inline(bytes),
    }
}

fn read_array(bytes: &[u8], signed_in: bool) -> Result<Read, Read> {
    let (count, mut at) = line(bytes)?;
    let count = number(count).filter(|count| *count <= i64::from(i32::MAX) && (signed_in || *count <= 10));
    let count = count.ok_or(Read::Refused)?;
    if count <= 0 {
        return Ok(Read::Nothing(at));
    }
    let mut arguments = Vec::new();
    for _ in 0..count {
        let rest = &bytes[at..];
        if rest.is_empty() {
            return Err(Read::Incomplete);
        }
        let (length, header) = line(rest)?;
        let length = number(length).filter(|length| (0..=512 * 1024 * 1024).contains(length));
        let length =
            length.filter(|length| rest[0] == b'$' && (signed_in || *length <= 16_384)).ok_or(Read::Refused)?;
        let length = usize::try_from(length).unwrap_or(0);
        let argument = rest.get(header..header + length + 2).ok_or(Read::Incomplete)?;
        arguments.push(argument[..length].to_vec());
        at += header + length + 2;
    }
    Ok(Read::Command(arguments, at))
}

fn read_inline(bytes: &[u8]) -> Read {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() > 64 * 1024 { Read::Refused } else { Read::Incomplete };
    };
    let line = &bytes[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if end > 64 * 1024 || line.contains(&0) {
        return Read::Refused;
    }
    match split(line) {
        Some(arguments) if arguments.is_empty() => Read::Nothing(end + 1),
        Some(arguments) => Read::Command(arguments, end + 1),
        None => Read::Refused,
    }
}

/// `sdssplitargs` of Redis, step by step.
fn split(line: &[u8]) -> Option<Arguments> {
    let at = |index: usize| line.get(index).copied().unwrap_or(0);
    let is_space = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r');
    let hex = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (mut arguments, mut p) = (Vec::new(), 0);
    loop {
        while is_space(at(p)) {
            p += 1;
        }
        if at(p) == 0 {
            return Some(arguments);
        }
        let (mut current, mut double, mut single, mut done) = (Vec::new(), false, false, false);
        while !done {
            let byte = at(p);
            if double {
                match (byte, at(p + 1)) {
                    (b'\\', b'x') if hex(at(p + 2)).is_some() && hex(at(p + 3)).is_some() => {
                        current.push(hex(at(p + 2))? * 16 + hex(at(p + 3))?);
                        p += 3;
                    }
                    (b'\\', next) if next != 0 => {
                        current.push(match next {
                            b'n' => b'\n',
                            b'r' => b'\r',
                            b't' => b'\t',
                            b'b' => 8,
                            b'a' => 7,
                            other => other,
                        });
                        p += 1;
                    }
                    (b'"', next) if next != 0 && !is_space(next) => return None,
                    (b'"', _) => done = true,
                    (0, _) => return None,
                    _ => current.push(byte),
                }
            } else if single {
                match (byte, at(p + 1)) {
                    (b'\\', b'\'') => {
                        current.push(b'\'');
                        p += 1;
                    }
                    (b'\'', next) if next != 0 && !is_space(next) => return None,
                    (b'\'', _) => done = true,
                    (0, _) => return None,
                    _ => current.push(byte),
                }
            } else {
                match byte {
                    b' ' | b'\n' | b'\r' | b'\t' | 0 => done = true,
                    b'"' => double = true,
                    b'\'' => single = true,
                    _ => current.push(byte),
                }
            }
            if at(p) != 0 {
                p += 1;
            }
        }
        arguments.push(current);
    }
}

/// All commands of a stream, until it ends or the engine would. A sign-in that is `accepted` ends the limits for strangers.
fn read_all(mut bytes: &[u8], mut signed_in: bool, accepted: bool) -> (Vec<Arguments>, Read) {
    let mut commands = Vec::new();
    loop {
        match read_one(bytes, signed_in) {
            Read::Command(arguments, length) => {
                signed_in |= accepted && is_credentials(&arguments);
                commands.push(arguments);
                bytes = &bytes[length..];
            }
            Read::Nothing(length) => bytes = &bytes[length..],
            end => return (commands, end),
        }
    }
}

/// Whether this is the beginning of a sign-in, and says that an argument will be longer than those that are held back, or that all
/// of them together will.
fn will_be_long(bytes: &[u8]) -> bool {
    let announced = |at: usize| -> Option<(i64, usize)> {
        let (length, header) = line(bytes.get(at..)?).ok()?;
        Some((number(length)?, at + header))
    };
    let Some((count, mut at)) = announced(0) else { return false };
    let mut together = 0;
    for n in 0..count {
        let Some((length, start)) = announced(at) else { return false };
        let length = usize::try_from(length).unwrap_or(0);
        together += length + size_of::<Vec<u8>>();
        if n > 0 && (length > 16_384 || together > 64 * 1024 - 32) {
            return true;
        }
        let argument = bytes.get(start..start + length);
        if n == 0 && !argument.is_some_and(|name| is_credentials(&[name.to_vec()])) {
            return false;
        }
        at = start + length + 2;
    }
    false
}

/// An argument as the front tells of it: a long one is left out.
fn short(arguments: &[Vec<u8>], at: usize) -> Vec<u8> {
    arguments.get(at).filter(|text| text.len() <= 64).cloned().unwrap_or_default()
}

/// What a stream comes to on its way through the front.
#[derive(Debug, Default, PartialEq, Eq)]
struct Passed {
    /// Everything that the engine is sent; a sign-in is replaced by `*0`.
    sent: Vec<u8>,
    /// What was held back or passed, in order: the stream itself.
    seen: Vec<u8>,
    /// The sign-ins, by how many commands had been seen before.
    sign_ins: Vec<(usize, Arguments)>,
    /// Name, second argument and number of arguments of each command.
    commands: Vec<(Vec<u8>, Vec<u8>, usize)>,
    is_over: bool,
}

fn pass(pieces: &[&[u8]], signed_in: bool, accepted: bool) -> Passed {
    // Some are held back to be checked, and may pass.
    let is_checked = |name: &[u8]| name.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'm'));
    let mut scanner = requests::Scanner::new();
    scanner.signed_in = signed_in;
    let (mut buffer, mut passed) = (Vec::new(), Passed::default());
    'pieces: for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let mut held = None;
            let mut go_on = true;
            match scanner.next(&buffer, is_checked) {
                requests::Step::Command { name, second, arguments } => {
                    passed.commands.push((name.to_vec(), second.to_vec(), arguments));
                }
                requests::Step::Checked(arguments) => {
                    passed.commands.push((short(&arguments, 0), short(&arguments, 1), arguments.len()));
                    scanner.release();
                }
                requests::Step::Credentials(arguments) => held = Some(arguments),
                requests::Step::Malformed(instead) => {
                    let pass = scanner.passable();
                    passed.sent.extend_from_slice(&buffer[..pass]);
                    passed.sent.extend(instead);
                    passed.seen.extend_from_slice(&buffer[..pass]);
                    passed.is_over = true;
                    break 'pieces;
                }
                requests::Step::NeedMore => go_on = false,
            }
            let pass = scanner.passable();
            passed.sent.extend_from_slice(&buffer[..pass]);
            passed.seen.extend(buffer.drain(..pass));
            scanner.passed(pass);
            if let Some(arguments) = held {
                let count = scanner.position();
                passed.sent.extend_from_slice(b"*0\r\n");
                passed.seen.extend(buffer.drain(..count));
                scanner.passed(count);
                scanner.release();
                passed.sign_ins.push((passed.commands.len() + passed.sign_ins.len(), arguments));
                scanner.signed_in |= accepted;
            }
            if !go_on {
                break;
            }
        }
        assert!(buffer.len() < MUCH, "{} bytes are kept", buffer.len());
    }
    if !passed.is_over {
        passed.seen.extend(buffer);
    }
    passed
}

/// The scanner of requests, with a stream that is cut in any way: what the engine reads of it is what it would read of the stream
/// itself, less the sign-ins; it never reads a sign-in, and it ends where the front gives up.
pub fn requests(data: &[u8]) {
    let Some(Case { flags, pieces, stream }) = cut(data) else { return };
    let (signed_in, accepted) = (flags & 1 != 0, flags & 2 != 0);
    let passed = pass(&pieces, signed_in, accepted);
    assert_eq!(passed, pass(&[stream], signed_in, accepted), "a cut makes a difference");
    assert!(stream.starts_with(&passed.seen) && (passed.is_over || passed.seen.len() == stream.len()));

    let (direct, direct_end) = read_all(stream, signed_in, accepted);
    // The engine knows whoever has signed in by then; to the sign-ins in between it is sent what skips.
    let (mut engine, engine_end) =
        read_all(&passed.sent, signed_in || (accepted && !passed.sign_ins.is_empty()), false);
    assert!(!engine.iter().any(|arguments| is_credentials(arguments)), "a sign-in passed");
    for (at, sign_in) in &passed.sign_ins {
        assert!(is_credentials(sign_in));
        engine.insert(*at, sign_in.clone());
    }
    assert!(direct.starts_with(&engine), "the engine reads another stream");
    if passed.is_over {
        assert_eq!(engine_end, Read::Refused, "the engine goes on where the front has given up");
        // The front gives up earlier only for what it will not hold back.
        assert!(
            direct_end == Read::Refused
                || direct.get(engine.len()).is_some_and(|next| is_credentials(next))
                || (direct.len() == engine.len() && will_be_long(&stream[passed.seen.len()..])),
            "the front gives up where the engine goes on"
        );
    } else {
        assert_eq!(direct.len(), engine.len(), "commands are kept back");
    }
    let told: Vec<_> = engine.iter().filter(|arguments| !is_credentials(arguments)).collect();
    assert_eq!(told.len(), passed.commands.len(), "commands are counted wrong");
    for (arguments, (name, second, count)) in told.iter().zip(&passed.commands) {
        assert_eq!((&short(arguments, 0), &short(arguments, 1), arguments.len()), (name, second, *count));
    }
}

/// What a stream of replies comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Replies {
    replies: Vec<replies::Reply>,
    errors: Vec<(Vec<u8>, Option<u64>)>,
    /// As many bytes as have passed.
    passed: usize,
}

fn scan(pieces: &[&[u8]]) -> Replies {
    let mut scanner = replies::Scanner::default();
    let (mut buffer, mut found) = (Vec::new(), Replies::default());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match scanner.next(&buffer) {
                replies::Step::Reply(reply) => found.replies.push(reply.clone()),
                replies::Step::Error { start, element, .. } => {
                    let line = buffer[start..scanner.position()].trim_ascii_end();
                    found.errors.push((line[..line.len().min(4000)].to_vec(), element));
                }
                replies::Step::NeedMore => break,
            }
        }
        let pass = scanner.position();
        buffer.drain(..pass);
        scanner.passed(pass);
        found.passed += pass;
        assert!(buffer.len() < 8192, "{} bytes are kept", buffer.len());
    }
    found
}

/// One value of a stream of replies, read slowly and whole: its length. `None` if it is not whole, or not well-formed.
fn read_value(bytes: &[u8], depth: usize, element: Option<u64>, into: &mut Replies) -> Option<usize> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let line = bytes[..end].strip_suffix(b"\r")?;
    let (mark, text) = line.split_first()?;
    if depth == 0 {
        into.replies.push(replies::Reply { line: line[..line.len().min(256)].to_vec(), ..Default::default() });
    }
    let count = || number(text).filter(|count| *count >= 0).map(|count| count as u64);
    match mark {
        b'$' | b'=' | b'!' => match count() {
            Some(length) => {
                let length = usize::try_from(length).ok()?.checked_add(2)?;
                bytes.get(end + 1..(end + 1).checked_add(length)?)?;
                Some(end + 1 + length)
            }
            None => (text == b"-1").then_some(end + 1),
        },
        b'*' | b'~' | b'>' | b'%' | b'|' if depth < 50 => {
            let count = match count() {
                Some(count) => count.checked_mul(if matches!(mark, b'%' | b'|') { 2 } else { 1 })?,
                None if text == b"-1" => 0,
                None => return None,
            };
            let mut at = end + 1;
            for n in 0..count {
                let item = bytes.get(at..)?;
                // An attribute before the item is none itself.
                at += read_value(item, depth + 1, element.or(Some(n)), into)?;
                if depth == 0 {
                    note(into, item, n);
                }
            }
            if *mark == b'|' {
                let value = bytes.get(at..)?;
                if depth == 0 {
                    into.replies.pop();
                }
                at += read_value(value, depth, element, into)?;
            }
            Some(at)
        }
        b'-' => {
            into.errors.push((line[..line.len().min(4000)].trim_ascii_end().to_vec(), element));
            Some(end + 1)
        }
        b'+' | b':' | b'_' | b'#' | b',' | b'(' => Some(end + 1),
        _ => None,
    }
}

/// What a reply's own elements say of it.
fn note(into: &mut Replies, item: &[u8], n: u64) {
    let Some(reply) = into.replies.last_mut() else { return };
    let Some(end) = item.iter().position(|&byte| byte == b'\n') else { return };
    let text = item[..end].strip_suffix(b"\r").unwrap_or(&item[..end]);
    match text.first() {
        Some(b':') => reply.number = std::str::from_utf8(&text[1..]).ok().and_then(|text| text.parse().ok()),
        Some(b'$' | b'=' | b'!') if n == 0 => {
            let length = number(&text[1..]).and_then(|length| usize::try_from(length).ok());
            if let Some(length @ 0..=16) = length {
                reply.kind = item[end + 1..][..length].to_vec();
            }
        }
        _ => {}
    }
}

/// The scanner of replies: any cut gives the same, everything passes, and of a well-formed stream it finds what a slow reader
/// finds.
pub fn replies(data: &[u8]) {
    let Some(Case { pieces, stream, .. }) = cut(data) else { return };
    let found = scan(&pieces);
    let whole = scan(&stream.chunks(4096).collect::<Vec<_>>());
    assert_eq!(found, whole, "a cut makes a difference");

    let (mut expected, mut rest) = (Replies::default(), stream);
    while !rest.is_empty() {
        match read_value(rest, 0, None, &mut expected) {
            Some(length) => rest = &rest[length..],
            None => return,
        }
    }
    expected.passed = stream.len();
    // Attributes make the numbers of elements another matter, which no engine's error depends on.
    if !stream.contains(&b'|') {
        assert_eq!(found, expected);
    }
}

struct Good {
    tenant: Tenant,
    username: String,
    token: String,
}

/// A token that is good for days, and whom it belongs to.
fn good() -> &'static Good {
    static GOOD: OnceLock<Good> = OnceLock::new();
    GOOD.get_or_init(|| {
        let tenant = Tenant::fixed(Keys::of_this_process().expect("keys"));
        tenant.change(|directory| {
            for identity in &mut directory.identities {
                identity.token_lifetime = Some(Duration::from_secs(1_000_000));
            }
        });
        let user = tenant.directory().identity("user").expect("the identity").clone();
        let token = tenant.issue(&user, Flow::ManagedIdentity, "https://redis.azure.com").jwt;
        Good { tenant, username: user.object_id.to_string(), token }
    })
}

fn must_be_refused(token: &str) {
    let Good { tenant, username, token: good } = good();
    let checked = token::check(tenant, username, token);
    assert_eq!(checked.is_ok(), token == good, "{token}");
    if let Err(refused) = checked {
        assert!(refused.why.len() < 1000, "{}", refused.why);
    }
}

/// The check of tokens, with any bytes as the token, or as its header or payload under a good signature.
pub fn token(data: &[u8]) {
    let Some((&how, text)) = data.split_first() else { return };
    must_be_refused(&with_a_part_replaced(&good().token, how, text));
}

/// These bytes as a token, or as one part of a good one.
fn with_a_part_replaced(good: &str, how: u8, bytes: &[u8]) -> String {
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let encoded = URL_SAFE_NO_PAD.encode(bytes);
    match how % 4 {
        0 => String::from_utf8_lossy(bytes).into_owned(),
        1 => format!("{encoded}.{payload}.{signature}"),
        2 => format!("{header}.{encoded}.{signature}"),
        _ => format!("{header}.{payload}.{encoded}"),
    }
}

/// The check of tokens, with a good token that is changed step by step: it is good only while it is the same.
pub fn changed_token(data: &[u8]) {
    must_be_refused(&changed(&good().token, data));
}

/// A token after some changes, each told by four bytes.
fn changed(good: &str, changes: &[u8]) -> String {
    let mut token = good.to_owned().into_bytes();
    for step in changes.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([step[0], step[1]]));
        let at = if token.is_empty() { 0 } else { at % token.len() };
        match step[2] % 8 {
            0 if !token.is_empty() => token[at] = step[3] & 0x7f,
            1 => token.insert(at, step[3] & 0x7f),
            2 if !token.is_empty() => drop(token.remove(at)),
            3 => token.truncate(at),
            4 => token.extend_from_within(at..),
            5 => token.rotate_left(at),
            6 if !token.is_empty() => token[at] ^= 1 << (step[3] % 7),
            7 => change_a_member(&mut token, step[3]),
            _ => {}
        }
        token.truncate(20_000);
    }
    String::from_utf8_lossy(&token).into_owned()
}

/// Changes a member of the header or the payload as an attacker would, under the signature that there is.
fn change_a_member(token: &mut Vec<u8>, how: u8) {
    let Ok(text) = std::str::from_utf8(token) else { return };
    let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    let at = usize::from(how & 1);
    let Some(part) = parts.get_mut(at) else { return };
    let Some(Value::Object(mut members)) =
        URL_SAFE_NO_PAD.decode(&*part).ok().and_then(|json| serde_json::from_slice(&json).ok())
    else {
        return;
    };
    let names = ["alg", "kid", "typ", "jku", "crit", "iss", "aud", "tid", "nbf", "exp", "oid", "uti"];
    let values = [
        Value::Null,
        Value::from("none"),
        Value::from("HS256"),
        Value::from(4_000_000_000_u64),
        Value::from("https://redis.azure.com"),
        Value::Array(Vec::new()),
    ];
    let name = names[usize::from(how >> 1) % names.len()];
    members.insert(name.to_owned(), values[usize::from(how) % values.len()].clone());
    *part = URL_SAFE_NO_PAD.encode(Value::Object(members).to_string());
    *token = parts.join(".").into_bytes();
}

/// An application that proves itself without a secret, what it sends, and when that is good.
struct Applicant {
    identity: Identity,
    registered: Vec<Credential>,
    flow: Flow,
    assertion: String,
    now: OffsetDateTime,
}

/// One applicant with a certificate, and one with a token of an issuer that it trusts.
fn applicants() -> &'static (Tenant, [Applicant; 2]) {
    static APPLICANTS: OnceLock<(Tenant, [Applicant; 2])> = OnceLock::new();
    APPLICANTS.get_or_init(|| {
        // Programs get their credentials as files. These are read at once.
        let folder = std::env::temp_dir().join(format!("emulator-assertions-{}", std::process::id()));
        let folders = Folders { state: None, run: folder.clone() };
        let credentials = Credentials::new(&folders, 0);
        let tenant = Tenant::new(Directory::fixed(), Keys::of_this_process().expect("keys"), credentials);
        let directory = tenant.directory();
        let now = OffsetDateTime::now_utc();
        let applicant = |name: &str, flow, assertion: &dyn Fn(&Identity, &Credential) -> String| {
            let client_id = directory.identity(name).expect("the identity").client_id;
            let (identity, registered) = directory.service_principal(client_id).expect("an application");
            let assertion = assertion(identity, &registered[0]);
            Applicant { identity: identity.clone(), registered: registered.to_vec(), flow, assertion, now }
        };
        let with_certificate = applicant("certificate", Flow::ClientCertificate, &|identity, registered| {
            let Credential::Certificate(source) = registered else { panic!("it has a certificate") };
            let certificate = tenant.credentials.certificates.get(&identity.name, source).expect("the certificate");
            let pem = std::fs::read(certificate.pem.as_ref().expect("its file")).expect("its key");
            let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::PS256);
            header.kid = Some(certificate.thumbprint());
            let claims = json!({
                "aud": format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", directory.tenant_id),
                "iss": identity.client_id.to_string(),
                "sub": identity.client_id.to_string(),
                "nbf": now.unix_timestamp(),
                "exp": now.unix_timestamp() + 600,
                "jti": "fuzz",
            });
            let key = jsonwebtoken::EncodingKey::from_rsa_pem(&pem).expect("its key");
            jsonwebtoken::encode(&header, &claims, &key).expect("an assertion")
        });
        let federated = applicant("workload", Flow::FederatedCredential, &|identity, registered| {
            let Credential::Federated(federated) = registered else { panic!("it trusts an issuer") };
            let file = tenant.credentials.issuer.token_file(&identity.name, federated).expect("a token");
            std::fs::read_to_string(file.expect("the emulator is its issuer")).expect("a token")
        });
        let _ = std::fs::remove_dir_all(&folder);
        (tenant, [with_certificate, federated])
    })
}

/// The check of what an application sends in place of a secret: any bytes, a part replaced, or changes step by step. It is good
/// only while it is the same, and only for the application that it was made for.
pub fn assertion(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    let (tenant, applicants) = applicants();
    let made_for = &applicants[usize::from(how & 1)];
    let sent = match how & 2 {
        0 => changed(&made_for.assertion, rest),
        _ => with_a_part_replaced(&made_for.assertion, how >> 2, rest),
    };
    let hosts = Hosts { port: 0 };
    for applicant in applicants {
        let check = Check {
            tenant_id: tenant.directory().tenant_id,
            hosts: &hosts,
            credentials: &tenant.credentials,
            application: &applicant.identity,
            registered: &applicant.registered,
            now: applicant.now,
        };
        let is_good = sent.trim_ascii() == applicant.assertion;
        match check.check(&sent) {
            Ok(flow) => assert!(is_good && flow == applicant.flow, "{} accepts {sent}", applicant.identity.name),
            Err(refused) => {
                assert!(!is_good, "{} refuses its own: {}", applicant.identity.name, refused.why);
                assert!(refused.why.len() < 2000, "{}", refused.why);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Numbers that look random and are the same in every run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % sides as u64) as usize
        }

        fn one_of<'a>(&mut self, of: &[&'a [u8]]) -> &'a [u8] {
            of[self.roll(of.len())]
        }

        /// A test case of some pieces, with a byte changed here and there.
        fn case(&mut self, pieces: &[&[u8]]) -> Vec<u8> {
            let mut case = vec![self.roll(256) as u8, self.roll(256) as u8];
            for _ in 0..self.roll(12) {
                case.extend_from_slice(self.one_of(pieces));
            }
            for _ in 0..self.roll(3) {
                let at = self.roll(case.len());
                match self.roll(3) {
                    0 => case[at] = self.roll(256) as u8,
                    1 => case[at] = self.one_of(&[b"*", b"$", b"\r", b"\n", b"0", b"1", b"\"", b"'", b"\\", b"-"])[0],
                    _ => case.truncate(at.max(2)),
                }
            }
            case
        }
    }

    /// The committed seeds of a fuzz target.
    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn the_engine_reads_what_the_client_sent_less_the_sign_ins() {
        seeds("requests").iter().for_each(|seed| requests(seed));
        let pieces: &[&[u8]] = &[
            b"*1\r\n$4\r\nPING\r\n",
            b"PING\r\n",
            b"ping x\n",
            b"\r\n",
            b"\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\r\n\r\n",
            b"*2\r\n$4\r\nAUTH\r\n$3\r\nabc\r\n",
            b"*3\r\n$4\r\nauth\r\n$1\r\nu\r\n$3\r\nabc\r\n",
            b"AUTH u abc\r\n",
            b"\"au\\x74h\" 'u' \"a\\\"c\"\n",
            b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
            b"hello 3 auth u p\n",
            b"*2\r\n$4\r\nMGET\r\n$1\r\na\r\n",
            b"mset a b\r\n",
            b"*1\r\n$0\r\n\r\n",
            b"*2\r\n$70\r\n0123456789012345678901234567890123456789012345678901234567890123456789\r\n$1\r\nx\r\n",
            b"*12\r\n",
            b"*3\r\n",
            b"$4\r\n",
            b"AUTH\r\n",
            b"*1\r\n$16385\r\n",
            b"*1\r\n$4\r\n*1\r\n\r\n",
            b"$-1\r\n",
            b"*01\r\n",
            b"*00\r\n",
            b"*-0\r\n",
            b"*+1\r\n",
            b"ECHO a\x0bb\x0cc d\n",
            b"\"",
            b"'",
            b"\\",
            b" ",
            b"\0",
            b"*2\r\n$4\r\nECHO\r\n$18\r\n*1\r\n$4\r\nAUTH\r\nx\r\n\r\n",
        ];
        let mut dice = Dice(0x5eed_0001);
        for _ in 0..20_000 {
            requests(&dice.case(pieces));
        }
        let long = [b"\x03\xff*20000\r\n$4\r\nAUTH\r\n".to_vec(), b"$1\r\nx\r\n".repeat(20_000)].concat();
        requests(&long);
        requests(&[b"\x03\xff".to_vec(), b"x".repeat(70_000)].concat());
        requests(&[b"\x03\xff*3\r\n$4\r\nMSET\r\n$1\r\nk\r\n$1100000\r\n".to_vec(), b"x".repeat(1_100_002)].concat());
        requests(&[b"\x03\xff*3\r\n$4\r\nAUTH\r\n$1\r\nk\r\n$20000\r\n".to_vec(), b"x".repeat(20_002)].concat());
    }

    #[test]
    fn replies_are_found_as_a_slow_reader_finds_them() {
        seeds("replies").iter().for_each(|seed| replies(seed));
        let long = [b"+".as_slice(), &[b'x'; 9000], b"\r\n"].concat();
        let error = [b"-".as_slice(), &[b'x'; 5000], b"\r\n"].concat();
        let pieces: &[&[u8]] = &[
            b"+OK\r\n",
            b":1\r\n",
            b":-7\r\n",
            b"-ERR no\r\n",
            b"-WRONGPASS x\r\n",
            b"$-1\r\n",
            b"$0\r\n\r\n",
            b"$5\r\nhello\r\n",
            b"$7\r\nmessage\r\n",
            b"$9\r\nsubscribe\r\n",
            b"$20\r\n\r\n+OK\r\n-ERR x\r\n$5\r\n.\r\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"*1\r\n",
            b"*2\r\n",
            b"*3\r\n",
            b"%1\r\n",
            b"~2\r\n",
            b">3\r\n",
            b"|1\r\n",
            b"_\r\n",
            b"#t\r\n",
            b",1.5\r\n",
            b"(12345678901234567890\r\n",
            b"=7\r\ntxt:abc\r\n",
            b"!5\r\nERR x\r\n",
            b"\r\n",
            b"$99999999999999999999\r\n",
            b"*9999999999999999999\r\n",
            &long,
            &error,
        ];
        let mut dice = Dice(0x5eed_0002);
        for _ in 0..20_000 {
            replies(&dice.case(pieces));
        }
    }

    #[test]
    fn no_changed_token_is_accepted() {
        for seed in seeds("token") {
            token(&seed);
        }
        for seed in seeds("changed_token") {
            changed_token(&seed);
        }
        changed_token(b"");
        let mut dice = Dice(0x5eed_0003);
        for _ in 0..2000 {
            let case: Vec<u8> = (0..1 + dice.roll(16)).map(|_| dice.roll(256) as u8).collect();
            token(&case);
            changed_token(&case);
        }
    }

    #[test]
    fn an_assertion_is_good_only_unchanged_and_for_its_own_application() {
        for seed in seeds("assertion") {
            assertion(&seed);
        }
        assertion(b"\0");
        assertion(b"\x01");
        let mut dice = Dice(0x5eed_0004);
        for _ in 0..2000 {
            let case: Vec<u8> = (0..1 + dice.roll(16)).map(|_| dice.roll(256) as u8).collect();
            assertion(&case);
        }
    }
}
