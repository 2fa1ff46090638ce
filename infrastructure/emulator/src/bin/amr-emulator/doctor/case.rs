//! What is to be examined: the target as it was written, checked, and how.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use azure_managed_redis_emulator::azure::client as azure;
use rustls::pki_types::ServerName;

use super::credential::Flow;
use super::trust::Trust;

/// Everything the steps are given.
pub(super) struct Case {
    pub(super) target: Target,
    /// Connect here, whatever the name's addresses are.
    pub(super) address: Option<IpAddr>,
    /// For each single wait: a connection, a handshake, an answer.
    pub(super) patience: Duration,
    pub(super) trust: Trust,
    /// The only way to a token that may be tried.
    pub(super) flow: Option<Flow>,
    /// Whether the address of Azure's virtual machines may be called.
    pub(super) imds: bool,
}

/// A host and a port.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    /// The host as a name that a certificate can be for.
    pub(super) server_name: ServerName<'static>,
}

impl Target {
    /// Reads `HOST[:PORT]`. The error says what is wrong without repeating what was given: a URL may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some((scheme, rest)) = text.split_once("://") {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            let host = authority.rsplit('@').next().unwrap_or(authority);
            return Err(format!("give the host alone, without {scheme}://{}", instead(host)));
        }
        if let Some((_, host)) = text.rsplit_once('@') {
            return Err(format!("give the host alone, without a user name or password{}", instead(host)));
        }
        if let Some((host, _)) = text.split_once('/') {
            let why = "give the host alone, without a path (Azure Managed Redis has only the database 0)";
            return Err(format!("{why}{}", instead(host)));
        }
        let (host, port) = split(text)?;
        let host = host.strip_suffix('.').unwrap_or(host);
        let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten();
        let port = match port.map(digits) {
            None => azure::PORT,
            Some(Some(port)) if port > 0 => port,
            Some(_) => return Err("the port is not a number between 1 and 65535".to_owned()),
        };
        if host.is_empty() {
            return Err("the host is missing".to_owned());
        }
        let server_name = ServerName::try_from(host.to_owned())
            .map_err(|_| "the host is neither a name (letters, digits, - and .) nor an address".to_owned())?;
        Ok(Target { host: host.to_owned(), port, server_name })
    }

    /// Whether the name is one of Azure Managed Redis.
    pub(super) fn is_azure(&self) -> bool {
        self.ends_with(azure::HOST_SUFFIX)
    }

    /// Whether the name is one of the older Azure Cache for Redis.
    pub(super) fn is_classic(&self) -> bool {
        self.ends_with(azure::CLASSIC_HOST_SUFFIX)
    }

    /// Whether the name means this machine.
    pub(super) fn is_local(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    fn ends_with(&self, suffix: &str) -> bool {
        self.host.to_ascii_lowercase().ends_with(suffix)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What to write instead, if that would do.
fn instead(host: &str) -> String {
    Target::parse(host).map(|target| format!(": {target}")).unwrap_or_default()
}

/// The host and, where there is one, the text of the port. IPv6 addresses have brackets if a port follows.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or("the bracket of the address is not closed")?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if after.is_empty() => Ok((address, None)),
            None => Err("only :PORT may follow the closing bracket".to_owned()),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    Ok(match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_perhaps_a_port() {
        for (text, shown) in [
            ("localhost", "localhost:10000"),
            ("localhost:6380", "localhost:6380"),
            ("cache.westeurope.redis.azure.net.", "cache.westeurope.redis.azure.net:10000"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("::1", "[::1]:10000"),
            ("[::1]:65535", "[::1]:65535"),
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_target_is_told_without_repeating_a_password() {
        for (text, says) in [
            ("rediss://user:hunter2@localhost:6380/0", "without rediss://: localhost:6380"),
            ("user:hunter2@localhost", "without a user name or password: localhost:10000"),
            ("localhost/0", "without a path"),
            ("localhost:", "not a number"),
            ("localhost:0", "not a number"),
            ("localhost:+1", "not a number"),
            ("localhost:65536", "not a number"),
            ("a:1,b:2", "not a number"),
            ("", "the host is missing"),
            (":10000", "the host is missing"),
            ("two words", "neither a name"),
            ("[::1", "not closed"),
            ("[::1]10000", "only :PORT"),
        ] {
            let error = Target::parse(text).unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
