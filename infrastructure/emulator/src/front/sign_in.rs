//! `AUTH` and `HELLO … AUTH`: what they ask for, and what the engine is sent in their place. The token stays here; the engine
//! gets a password that only it and this process know.

use crate::azure::ACCESS_KEY_USER;
use crate::http::cut_long;
use crate::token::{self, CheckedToken, Refusal, Refused};

use super::Front;

/// A sign-in on its way through the engine.
#[derive(Debug)]
pub(super) struct SignIn {
    /// `AUTH` or `HELLO`.
    pub(super) command: &'static str,
    /// The user name that was sent, shortened for the log.
    pub(super) username: String,
    /// The arguments for the log, without the token.
    pub(super) shown: Vec<String>,
    /// Whether it switches to RESP3, or back.
    pub(super) resp3: Option<bool>,
    pub(super) verdict: Verdict,
}

/// What the check said.
#[derive(Debug)]
pub(super) enum Verdict {
    Accepted(CheckedToken),
    /// One of the two access keys, while they are on.
    AccessKey,
    /// The credentials are right, but the engine will not understand the rest. It does not see them.
    Malformed,
    Refused(Refused),
}

/// What to do with an `AUTH` or `HELLO`.
pub(super) enum Handled {
    /// It carries no credentials, or not in the right form: the engine sees it as it is, less what might be a token.
    Plain(Vec<u8>),
    /// It signs in: the bytes for the engine.
    SignIn(Box<SignIn>, Vec<u8>),
}

/// Checks the credentials in `arguments`, whose first is `AUTH` or `HELLO`. With a `nonce` the engine's answer to a refused
/// sign-in bears it, to be replaced.
pub(super) fn handle(front: &Front, arguments: &[Vec<u8>], nonce: Option<&str>) -> Handled {
    let is_auth = arguments[0].eq_ignore_ascii_case(b"auth");
    let credentials = if is_auth { auth(arguments) } else { hello(arguments) };
    let command = if is_auth { "AUTH" } else { "HELLO" };
    let (user, passwords, verdict, bytes) = match credentials {
        Credentials::None => return Handled::Plain(encode(arguments.iter().map(|argument| without_token(argument)))),
        Credentials::Repeated => {
            let refused = Refused { reason: Refusal::RepeatedAuth, why: "HELLO holds more than one AUTH".to_owned() };
            let user = ACCESS_KEY_USER.as_bytes();
            (user, (1..arguments.len()).collect(), Verdict::Refused(refused), refuse(nonce, user))
        }
        Credentials::Password { user, password, is_whole } => {
            let username = user.map_or(ACCESS_KEY_USER.as_bytes(), |user| arguments[user].as_slice());
            let accepted = match key(front, username, &arguments[password]) {
                Some(Ok(secret)) => Ok((Verdict::AccessKey, secret)),
                Some(Err(refused)) => Err(refused),
                None => token(front, username, &arguments[password]),
            };
            let (verdict, bytes) = match accepted {
                Ok((verdict, secret)) if is_auth => {
                    let sent = arguments.iter().enumerate();
                    let sent = sent.map(|(at, argument)| if at == password { secret.as_bytes() } else { argument });
                    (verdict, encode(sent))
                }
                // Some engines sign in at once when they come to AUTH, and then refuse what stands behind it: so it comes last,
                // and not at all where something will be refused.
                Ok((verdict, secret)) => {
                    let others = arguments.iter().enumerate().filter(|(at, _)| !(password - 2..=password).contains(at));
                    let others = others.map(|(_, argument)| argument.as_slice());
                    let last: [&[u8]; 3] = [b"AUTH", username, secret.as_bytes()];
                    if is_whole { (verdict, encode(others.chain(last))) } else { (Verdict::Malformed, encode(others)) }
                }
                Err(refused) => (Verdict::Refused(refused), refuse(nonce, username)),
            };
            (username, vec![password], verdict, bytes)
        }
    };
    let uti = match &verdict {
        Verdict::Accepted(token) => Some(token.uti.as_str()),
        _ => None,
    };
    let shown = shown(arguments, &passwords, uti);
    let username = cut_long(&String::from_utf8_lossy(user), 64);
    let resp3 = if is_auth { None } else { arguments.get(1).and_then(|version| resp3(version)) };
    Handled::SignIn(Box::new(SignIn { command, username, shown, resp3, verdict }), bytes)
}

/// Whether the version that HELLO asks for is RESP3. `None` for one that there is not.
pub(super) fn resp3(version: &[u8]) -> Option<bool> {
    match version {
        b"2" => Some(false),
        b"3" => Some(true),
        _ => None,
    }
}

/// A sign-in with an access key: the engine's password for it, or why not. `None` if it is none.
fn key(front: &Front, username: &[u8], password: &[u8]) -> Option<Result<String, Refused>> {
    if username != ACCESS_KEY_USER.as_bytes() || without_token(password) != password {
        return None;
    }
    Some(front.cache.password_for_key(password).ok_or_else(|| {
        let why = match front.cache.access_keys() {
            Some(_) => "it is none of the two access keys",
            None => {
                "no user name was sent, or 'default'. Access keys sign in that way, and they are disabled; with Entra ID the user name is the object id"
            }
        };
        Refused { reason: Refusal::AccessKey, why: why.to_owned() }
    }))
}

/// A sign-in with a token: the verdict, and the engine's password for its principal.
fn token(front: &Front, username: &[u8], token: &[u8]) -> Result<(Verdict, String), Refused> {
    let as_text = |bytes| std::str::from_utf8(bytes).unwrap_or("\u{fffd}");
    let token = token::check(&front.tenant, as_text(username), as_text(token))?;
    match front.cache.password(token.object_id) {
        Some(secret) => Ok((Verdict::Accepted(token), secret)),
        None => Err(Refused {
            reason: Refusal::NoAssignment,
            why: format!(
                "the principal {} ({}) has no access policy assignment on this cache. Create one for that object id",
                token.identity, token.object_id
            ),
        }),
    }
}

/// What might be a token is nothing for the engine, even where it will look at no credentials.
fn without_token(argument: &[u8]) -> &[u8] {
    const START: &[u8] = b"eyJ";
    if argument.starts_with(START) { START } else { argument }
}

/// What the engine is sent in place of a sign-in that is refused.
fn refuse(nonce: Option<&str>, username: &[u8]) -> Vec<u8> {
    match nonce {
        // Some engines drop the answer to a wrong password when other replies are waiting (redis/redis#15640). They never drop
        // the answer to a malformed HELLO, and it changes nothing, so that is what they get; the answer is replaced.
        Some(nonce) => encode([b"HELLO".as_slice(), b"3", nonce.as_bytes()]),
        None => encode([b"AUTH".as_slice(), username, token::random_text(18).as_bytes()]),
    }
}

fn shown(arguments: &[Vec<u8>], passwords: &[usize], uti: Option<&str>) -> Vec<String> {
    let show = |(at, argument): (usize, &Vec<u8>)| match (passwords.contains(&at), uti) {
        (true, Some(uti)) => format!("<token uti={uti}>"),
        (true, None) => "<password>".to_owned(),
        _ => cut_long(&String::from_utf8_lossy(argument), 64),
    };
    arguments.iter().enumerate().map(show).collect()
}

enum Credentials {
    None,
    Repeated,
    /// Indices into the arguments.
    Password {
        user: Option<usize>,
        password: usize,
        /// Nothing stands beside them that the engine would not understand.
        is_whole: bool,
    },
}

fn auth(arguments: &[Vec<u8>]) -> Credentials {
    match arguments.len() {
        2 => Credentials::Password { user: None, password: 1, is_whole: true },
        3 => Credentials::Password { user: Some(1), password: 2, is_whole: true },
        // `AUTH` alone or with too much: the engine complains of the number of arguments and looks at none.
        _ => Credentials::None,
    }
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`, read as the engine reads it.
fn hello(arguments: &[Vec<u8>]) -> Credentials {
    let mut found = Credentials::None;
    let mut at = 2;
    while at < arguments.len() {
        let left = arguments.len() - at - 1;
        if arguments[at].eq_ignore_ascii_case(b"auth") && left >= 2 {
            if matches!(found, Credentials::Password { .. }) {
                return Credentials::Repeated;
            }
            found = Credentials::Password { user: Some(at + 1), password: at + 2, is_whole: true };
            at += 3;
        } else if arguments[at].eq_ignore_ascii_case(b"setname") && left >= 1 {
            at += 2;
        } else {
            // The engine names this option in its complaint.
            if let Credentials::Password { is_whole, .. } = &mut found {
                *is_whole = false;
            }
            return found;
        }
    }
    found
}

/// A command in RESP.
fn encode<'a>(arguments: impl IntoIterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.clone().into_iter().count()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn found(line: &str) -> Option<(Option<usize>, usize)> {
        match hello(&words(line)) {
            Credentials::Password { user, password, is_whole: true } => Some((user, password)),
            _ => None,
        }
    }

    #[test]
    fn hello_is_read_as_the_engine_reads_it() {
        assert_eq!(found("HELLO"), None);
        assert_eq!(found("HELLO 3"), None);
        assert_eq!(found("HELLO 3 AUTH u p"), Some((Some(3), 4)));
        assert_eq!(found("HELLO 3 SETNAME auth AUTH u p"), Some((Some(5), 6)));
        assert_eq!(found("HELLO 3 auth u p setname n"), Some((Some(3), 4)));
        assert_eq!(found("HELLO 3 AUTH u"), None);
        assert!(matches!(hello(&words("HELLO 3 AUTH u p AUTH u p")), Credentials::Repeated));
        let broken = hello(&words("HELLO 3 AUTH u p SETNAME"));
        assert!(matches!(broken, Credentials::Password { password: 4, is_whole: false, .. }));
    }

    #[test]
    fn a_command_is_written_as_resp() {
        assert_eq!(encode([b"AUTH".as_slice(), b"a\r\nb"]), b"*2\r\n$4\r\nAUTH\r\n$4\r\na\r\nb\r\n");
    }
}
