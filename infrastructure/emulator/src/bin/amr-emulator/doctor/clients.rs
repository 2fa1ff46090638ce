//! What the client libraries of this book do by themselves: how each maps the addresses of a cluster, and when each signs in
//! again. Measured or read in their source; the book's chapters say which.

use std::time::Duration;

/// How a cluster client is told that the certificate is for the host name and not for the addresses that nodes announce.
pub(super) const MAPPINGS: &[(&str, &str)] = &[
    ("Rust: redis", "ClusterClientBuilder::node_address_map (1.5.0 and later)"),
    ("Python: redis", "RedisCluster(address_remap=…)"),
    ("Node.js: redis", "createCluster({ nodeAddressMap: … })"),
    ("Java: Jedis", "hostAndPortMapper"),
    ("Java: Lettuce", "MappingSocketAddressResolver"),
    ("Go: go-redis", "ClusterOptions.Dialer, and tls.Config.ServerName"),
    (".NET: StackExchange.Redis", "nothing: it uses the host name by itself"),
];

/// When a client asks for the next token.
pub(super) enum Renewal {
    /// This long before the end.
    Before(Duration),
    /// When this share of the time from receiving to the end is over, in percent.
    Share(u32),
    /// Whichever of the two comes first.
    Earlier(Duration, u32),
}

/// The libraries of the mappings above with Redis's own packages for Entra ID, and Microsoft's for .NET.
pub(super) const RENEWALS: &[(&str, Renewal)] = &[
    ("Rust", Renewal::Before(Duration::from_secs(240))),
    ("Python, Node.js, Go", Renewal::Share(70)),
    ("Java", Renewal::Earlier(Duration::from_secs(120), 75)),
    (".NET", Renewal::Before(Duration::from_secs(300))),
];

impl Renewal {
    /// How long from now a token that was received now and ends in `left` is renewed; `None` if at once and again and again.
    pub(super) fn due(&self, left: Duration) -> Option<Duration> {
        let share = |percent: u32| left * percent / 100;
        let due = match self {
            Renewal::Before(lead) => left.checked_sub(*lead)?,
            Renewal::Share(percent) => share(*percent),
            Renewal::Earlier(lead, percent) => left.checked_sub(*lead)?.min(share(*percent)),
        };
        Some(due).filter(|due| !due.is_zero())
    }
}
