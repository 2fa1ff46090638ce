//! What the client libraries of this book do by themselves: how each maps the addresses of a cluster, and when each signs in
//! again. Measured or read in their source; the book's chapters say which.

use std::time::Duration;

/// How a cluster client is told that the certificate is for the host name and not for the addresses that nodes announce.
pub(super) const MAPPINGS: &[(&str, &str)] = &[
    ("redis for Rust", "ClusterClientBuilder::node_address_map (1.5.0 and later)"),
    ("redis-py", "RedisCluster(address_remap=…)"),
    ("node-redis", "createCluster({ nodeAddressMap: … })"),
    ("Jedis", "hostAndPortMapper"),
    ("Lettuce", "MappingSocketAddressResolver"),
    ("go-redis", "ClusterOptions.Dialer, and tls.Config.ServerName"),
    ("StackExchange.Redis", "nothing: it uses the host name by itself"),
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

pub(super) const RENEWALS: &[(&str, Renewal)] = &[
    ("redis for Rust", Renewal::Before(Duration::from_secs(240))),
    ("redis-entraid (Python)", Renewal::Share(70)),
    ("@redis/entraid (Node.js)", Renewal::Share(70)),
    ("go-redis-entraid", Renewal::Share(70)),
    ("Jedis, Lettuce", Renewal::Earlier(Duration::from_secs(120), 75)),
    ("StackExchange.Redis", Renewal::Before(Duration::from_secs(300))),
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
