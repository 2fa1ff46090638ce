//! The first step: which addresses the name has, and what they tell.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

use super::case::{Case, Target};
use super::cause::Cause;
use super::report::{Examined, Fact, StepName};

const STEP: StepName = StepName::Name;

/// More than this many addresses are not tried.
const MOST: usize = 16;

pub(super) fn examine(case: &Case) -> Examined<Vec<SocketAddr>> {
    let target = &case.target;
    if let Some(address) = case.address {
        let summary = format!("{address} is used for {}, as --address says", target.host);
        return Examined::skipped(STEP, summary).leaving(vec![SocketAddr::new(address, target.port)]);
    }
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Examined::ok(
            STEP,
            format!("{address} is an address, not a name"),
            vec![],
            vec![SocketAddr::new(address, target.port)],
        );
    }
    let mut addresses = match resolve(&target.host, target.port, case.patience) {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) => return unknown(target, "the system's resolver finds none"),
        Err(why) => return unknown(target, &why),
    };
    addresses.truncate(MOST);
    let mut facts = addresses.iter().map(|address| fact(target, address.ip())).collect::<Vec<_>>();
    if target.is_classic() {
        let note = format!("the older service, whose TLS port is {}", super::azure::CLASSIC_PORT);
        facts.push(Fact::new("service", "Azure Cache for Redis").remark(note));
    }
    let summary = match (addresses.as_slice(), facts.as_slice()) {
        ([address], [fact]) => {
            let note = fact.note.as_ref().map(|note| format!(", {note}")).unwrap_or_default();
            format!("{} is {}{note}", target.host, address.ip())
        }
        _ => format!("{} has {} addresses", target.host, addresses.len()),
    };
    Examined::ok(STEP, summary, facts, addresses)
}

fn unknown(target: &Target, why: &str) -> Examined<Vec<SocketAddr>> {
    Examined::failed(STEP, format!("{} has no address", target.host), vec![], Cause::name_unknown(target, why))
}

/// The addresses of a name, or why there are none. The system's resolver knows no time limit: it may go on in a thread of its
/// own.
pub(super) fn resolve(host: &str, port: u16, patience: Duration) -> Result<Vec<SocketAddr>, String> {
    let (send, receive) = mpsc::channel();
    let host = host.to_owned();
    std::thread::spawn(move || send.send((host.as_str(), port).to_socket_addrs().map(Vec::from_iter)));
    match receive.recv_timeout(patience) {
        Ok(Ok(mut addresses)) => {
            let mut seen = Vec::new();
            addresses.retain(|address| {
                !seen.contains(address) && {
                    seen.push(*address);
                    true
                }
            });
            Ok(addresses)
        }
        // The system's own words end the message.
        Ok(Err(e)) => Err(e.to_string().trim_start_matches("failed to lookup address information: ").to_lowercase()),
        Err(_) => Err(format!("the system's resolver did not answer within {} s", patience.as_secs())),
    }
}

fn fact(target: &Target, address: IpAddr) -> Fact {
    let fact = Fact::new("address", address.to_string());
    if address.is_loopback() {
        return if target.is_azure() {
            fact.remark("this machine itself: a tunnel, or an entry in the hosts file")
        } else {
            fact.note("this machine")
        };
    }
    match (is_private(address), target.is_azure()) {
        (true, true) => fact.remark("private: the cache's private endpoint"),
        (true, false) => fact.note("private"),
        (false, true) => fact.note("public"),
        (false, false) => fact,
    }
}

/// Whether an address belongs to a private network.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        // 100.64.0.0/10 is for providers; some networks in Azure use it.
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        for address in ["10.0.0.4", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::4", "::ffff:10.0.0.4"] {
            assert!(is_private(address.parse().unwrap()), "{address}");
        }
        for address in ["20.50.1.1", "172.32.0.1", "127.0.0.1", "100.128.0.1", "2603:1020::1", "::1"] {
            assert!(!is_private(address.parse().unwrap()), "{address}");
        }
    }
}
