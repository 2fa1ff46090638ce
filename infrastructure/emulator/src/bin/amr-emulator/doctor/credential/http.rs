//! Requests to token endpoints: with the trusted authorities of this examination, through the proxy that the environment
//! names, and never to the address of Azure's virtual machines unless that was asked for.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use azure_managed_redis_emulator::azure::client as azure;
use rustls::crypto::aws_lc_rs;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use super::super::case::Case;
use super::super::network::explain;
use super::super::secret::{Secret, Secrets};
use super::super::tls::in_words;

/// The largest answer that is read.
const MOST: u64 = 1024 * 1024;

/// A server's clock, beside this machine's.
pub(in super::super) struct ClockSeen {
    /// Whose clock.
    pub(in super::super) server: String,
    /// What its `Date` said.
    pub(in super::super) date: OffsetDateTime,
    /// This machine's time when the request went out, and when the answer came.
    pub(in super::super) sent: SystemTime,
    pub(in super::super) received: SystemTime,
}

/// What to ask for.
pub(super) struct Request<'a> {
    pub(super) url: &'a Uri,
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// Sent with POST; without, it is a GET.
    pub(super) form: Option<&'a [(&'a str, &'a str)]>,
}

/// An answer, whatever its status. Only `token` holds something secret.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) token: Option<Secret>,
    /// The whole, if it is JSON.
    pub(super) json: Option<Value>,
    /// The whole in a few words, for an answer that is not what was asked for.
    pub(super) words: String,
    pub(super) clock: Option<ClockSeen>,
}

/// Why there is no answer.
pub(super) enum Failure {
    Unreachable(String),
    /// It is the address of Azure's virtual machines, and nobody asked for that.
    NotPermitted,
    NotTrusted(String),
    /// The proxy, and what is wrong with it.
    Proxy(String, String),
    /// A variable, and what is wrong with its value.
    Setting(&'static str, String),
    /// It answers, but not in HTTP.
    NotHttp(String),
}

impl Reply {
    fn new(status: u16, body: &str, clock: Option<ClockSeen>, secrets: &Secrets) -> Self {
        let token = serde_json::from_str::<Value>(body).ok();
        let token = token.and_then(|json| Some(Secret::new(json["access_token"].as_str()?)));
        let clean = secrets.clean(body);
        let start: String = clean.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect();
        let words =
            if start.is_empty() { format!("HTTP {status} without a body") } else { format!("HTTP {status}, {start}") };
        Reply { status, token, json: serde_json::from_str(&clean).ok().filter(Value::is_object), words, clock }
    }
}

/// Sends a request and waits for the whole answer, in all for no longer than the case's patience.
pub(super) fn send(case: &Case, secrets: &Secrets, request: &Request<'_>) -> Result<Reply, Failure> {
    let host = request.url.host().unwrap_or_default().to_owned();
    if host == azure::IMDS_HOST && !case.imds {
        return Err(Failure::NotPermitted);
    }
    let proxy = proxy_for(request.url)?;
    let shown = proxy.as_ref().map(|proxy| format!("{}:{}", proxy.host(), proxy.port()));
    let roots = case.trust.certificates.iter().map(|der| Certificate::from_der(der).to_owned());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build();
    let agent: Agent = Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
        .timeout_global(Some(case.patience))
        .http_status_as_error(false)
        // A token request is never sent elsewhere than it was meant for.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("amr-emulator/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let sent = SystemTime::now();
    let result = match request.form {
        Some(form) => {
            let mut post = agent.post(request.url);
            for (name, value) in request.headers {
                post = post.header(*name, *value);
            }
            post.send_form(form.iter().copied())
        }
        None => {
            let mut get = agent.get(request.url);
            for (name, value) in request.headers {
                get = get.header(*name, *value);
            }
            get.call()
        }
    };
    let mut answer = result.map_err(|e| explained(e, shown.as_deref()))?;
    let received = SystemTime::now();
    let date = answer.headers().get("date").and_then(|date| OffsetDateTime::parse(date.to_str().ok()?, &Rfc2822).ok());
    let clock = date.map(|date| ClockSeen { server: host, date, sent, received });
    let status = answer.status().as_u16();
    let body =
        answer.body_mut().with_config().limit(MOST).read_to_string().map_err(|e| explained(e, shown.as_deref()))?;
    Ok(Reply::new(status, &body, clock, secrets))
}

fn explained(error: ureq::Error, proxy: Option<&str>) -> Failure {
    let tls = |error: &rustls::Error| match error {
        rustls::Error::InvalidCertificate(error) => Failure::NotTrusted(in_words(error)),
        rustls::Error::InvalidMessage(_) => Failure::NotHttp("it speaks no TLS".to_owned()),
        other => Failure::NotHttp(other.to_string()),
    };
    let unreachable = |why: String| match proxy {
        Some(proxy) => Failure::Proxy(proxy.to_owned(), why),
        None => Failure::Unreachable(why),
    };
    match error {
        ureq::Error::Rustls(error) => tls(&error),
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => tls(error),
            None if error.kind() == io::ErrorKind::InvalidData => Failure::NotHttp(error.to_string()),
            None => unreachable(explain(&error)),
        },
        ureq::Error::ConnectProxyFailed(why) => {
            // "proxy server responded 403/403"
            let why = why.replace("proxy server responded ", "it answers ");
            let why = why.split('/').next().unwrap_or_default().to_owned();
            Failure::Proxy(proxy.unwrap_or_default().to_owned(), why)
        }
        ureq::Error::Timeout(_) => unreachable("no answer in time".to_owned()),
        ureq::Error::HostNotFound => unreachable("the name has no address".to_owned()),
        ureq::Error::Protocol(error) => Failure::NotHttp(error.to_string()),
        other => unreachable(other.to_string()),
    }
}

/// The proxy for a URL, by `HTTPS_PROXY` (or `ALL_PROXY`) and `NO_PROXY`, in capital letters or small ones. A managed identity
/// endpoint is plain HTTP on the machine itself: for those no proxy is used.
fn proxy_for(url: &Uri) -> Result<Option<Proxy>, Failure> {
    if url.scheme_str() != Some("https") {
        return Ok(None);
    }
    const VARIABLES: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let Some((name, value)) = VARIABLES.iter().find_map(|name| Some((*name, super::variable(name)?))) else {
        return Ok(None);
    };
    let exceptions = super::variable("NO_PROXY").or_else(|| super::variable("no_proxy")).unwrap_or_default();
    if is_excepted(url.host().unwrap_or_default(), &exceptions) {
        return Ok(None);
    }
    let proxy =
        Proxy::new(&value).map_err(|_| Failure::Setting(name, "it is not the address of a proxy".to_owned()))?;
    if matches!(proxy.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https) {
        Ok(Some(proxy))
    } else {
        Err(Failure::Setting(name, "a proxy for HTTP is needed; this one is SOCKS".to_owned()))
    }
}

/// Whether `NO_PROXY` excepts a host: by its name, by a domain it belongs to, or with `*`.
fn is_excepted(host: &str, exceptions: &str) -> bool {
    let host = host.to_ascii_lowercase();
    exceptions.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        let entry = entry.split_once(':').map_or(entry.as_str(), |(host, _)| host);
        let domain = entry.trim_start_matches('*').trim_start_matches('.');
        entry == "*"
            || (!domain.is_empty()
                && (host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))))
    })
}

#[cfg(test)]
mod tests {
    use super::is_excepted;

    #[test]
    fn no_proxy_names_hosts_and_domains() {
        for exceptions in ["localhost", "example.com, localhost", "*", "LOCALHOST:443", ".localhost"] {
            assert!(is_excepted("localhost", exceptions), "{exceptions}");
        }
        assert!(is_excepted("login.microsoftonline.com", "microsoftonline.com"));
        assert!(is_excepted("login.microsoftonline.com", "*.microsoftonline.com"));
        for exceptions in ["", ",", "online.com", "login.microsoftonline.co"] {
            assert!(!is_excepted("login.microsoftonline.com", exceptions), "{exceptions}");
        }
    }
}
