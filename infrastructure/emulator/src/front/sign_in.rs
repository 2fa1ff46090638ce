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
    pub(super) verdict: Verdict,
}

/// What the check said.
#[derive(Debug)]
pub(super) enum Verdict {
    Accepted(CheckedToken),
    /// One of the two access keys, while they are on.
    AccessKey,
    Refused {
        refused: Refused,
        /// A word that is in the engine's answer and nowhere else, so that the answer can be replaced.
        nonce: String,
    },
}

/// What to do with an `AUTH` or `HELLO`.
pub(super) enum Handled {
    /// It carries no credentials, or not in the right form: the engine sees it as it is, less what might be a token.
    Plain(Vec<u8>),
    /// It signs in: the bytes for the engine.
    SignIn(Box<SignIn>, Vec<u8>),
}

/// Checks the credentials in `arguments`, whose first is `AUTH` or `HELLO`. `replies_are_read` tells whether the engine's answer
/// can be replaced.
pub(super) fn handle(front: &Front, arguments: &[Vec<u8>], replies_are_read: bool) -> Handled {
    let is_auth = arguments[0].eq_ignore_ascii_case(b"auth");
    let credentials = if is_auth { auth(arguments) } else { hello(arguments) };
    match credentials {
        Credentials::None => Handled::Plain(encode(arguments.iter().map(Vec::as_slice))),
        Credentials::Repeated => {
            let refused = Refused { reason: Refusal::RepeatedAuth, why: "HELLO holds more than one AUTH".to_owned() };
            refuse(replies_are_read, if is_auth { "AUTH" } else { "HELLO" }, b"default", arguments, &[], refused)
        }
        Credentials::Password { user, password } => {
            let command = if is_auth { "AUTH" } else { "HELLO" };
            let username = user.map_or(ACCESS_KEY_USER.as_bytes(), |user| arguments[user].as_slice());
            let accepted = match key(front, username, &arguments[password]) {
                Some(Ok(secret)) => Ok((Verdict::AccessKey, secret)),
                Some(Err(refused)) => Err(refused),
                None => token(front, username, &arguments[password]),
            };
            match accepted {
                Ok((verdict, secret)) => {
                    let bytes =
                        encode(arguments.iter().enumerate().map(|(at, argument)| {
                            if at == password { secret.as_bytes() } else { argument.as_slice() }
                        }));
                    let uti = match &verdict {
                        Verdict::Accepted(token) => Some(token.uti.as_str()),
                        _ => None,
                    };
                    let shown = shown(arguments, &[password], uti);
                    let username = cut_long(&String::from_utf8_lossy(username), 64);
                    Handled::SignIn(Box::new(SignIn { command, username, shown, verdict }), bytes)
                }
                Err(refused) => refuse(replies_are_read, command, username, arguments, &[password], refused),
            }
        }
    }
}

/// A sign-in with an access key: the engine's password for it, or why not. `None` if it is none.
fn key(front: &Front, username: &[u8], password: &[u8]) -> Option<Result<String, Refused>> {
    if username != ACCESS_KEY_USER.as_bytes() || password.starts_with(b"eyJ") {
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

fn refuse(
    replies_are_read: bool,
    command: &'static str,
    username: &[u8],
    arguments: &[Vec<u8>],
    passwords: &[usize],
    refused: Refused,
) -> Handled {
    let nonce = token::random_text(18);
    let bytes = if replies_are_read {
        // Some engines drop the answer to a wrong password when other replies are waiting (redis/redis#15640). They never drop
        // the answer to a malformed HELLO, and it changes nothing, so that is what they get; the answer is replaced.
        encode([b"HELLO".as_slice(), b"3", nonce.as_bytes()])
    } else {
        encode([b"AUTH".as_slice(), username, nonce.as_bytes()])
    };
    let passwords: Vec<usize> = if passwords.is_empty() { (1..arguments.len()).collect() } else { passwords.to_vec() };
    let shown = shown(arguments, &passwords, None);
    let username = cut_long(&String::from_utf8_lossy(username), 64);
    Handled::SignIn(Box::new(SignIn { command, username, shown, verdict: Verdict::Refused { refused, nonce } }), bytes)
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
    },
}

fn auth(arguments: &[Vec<u8>]) -> Credentials {
    match arguments.len() {
        2 => Credentials::Password { user: None, password: 1 },
        3 => Credentials::Password { user: Some(1), password: 2 },
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
            found = Credentials::Password { user: Some(at + 1), password: at + 2 };
            at += 3;
        } else if arguments[at].eq_ignore_ascii_case(b"setname") && left >= 1 {
            at += 2;
        } else {
            // The engine names this option in its complaint and looks at no credentials.
            return if matches!(found, Credentials::Password { .. }) { found } else { Credentials::None };
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
            Credentials::Password { user, password } => Some((user, password)),
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
    }

    #[test]
    fn a_command_is_written_as_resp() {
        assert_eq!(encode([b"AUTH".as_slice(), b"a\r\nb"]), b"*2\r\n$4\r\nAUTH\r\n$4\r\na\r\nb\r\n");
    }
}
