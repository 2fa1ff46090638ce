//! The second step: a TCP connection to each address.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::azure;
use super::case::Case;
use super::cause::Cause;
use super::name::is_private;
use super::report::{Examined, Fact, StepName};
use super::time::took;

const STEP: StepName = StepName::Network;

/// Finds the first address that takes a connection.
pub(super) fn examine(case: &Case, addresses: &[SocketAddr]) -> Examined<SocketAddr> {
    let attempts = all_at_once(addresses, |address| (address, attempt(address, case.patience)));
    let reached = attempts.iter().filter(|(_, attempt)| attempt.is_ok()).count();
    let facts = attempts
        .iter()
        .map(|(address, attempt)| match attempt {
            Ok(time) => Fact::new("address", address.to_string()).good(format!("answers in {}", took(*time))),
            Err(e) if reached > 0 => Fact::new("address", address.to_string()).remark(explain(e)),
            Err(e) => Fact::new("address", address.to_string()).bad(explain(e)),
        })
        .collect::<Vec<_>>();
    if let Some((address, _)) = attempts.iter().find(|(_, attempt)| attempt.is_ok()) {
        let summary = match facts.as_slice() {
            [Fact { value, note: Some(note), .. }] => format!("{value} {note}"),
            _ => format!("{reached} of {} addresses answer", attempts.len()),
        };
        return Examined::ok(STEP, summary, facts, *address);
    }
    let failures = attempts.into_iter().filter_map(|(address, attempt)| Some((address, attempt.err()?)));
    let Some((address, error)) = failures.min_by_key(|(_, error)| telling(error)) else {
        return Examined::skipped(STEP, "there is no address");
    };
    let target = &case.target;
    let why = explain(&error);
    let cause = if target.is_classic() && target.port != azure::CLASSIC_PORT {
        Cause::classic_port(target)
    } else if target.is_azure() && is_private(address.ip()) {
        Cause::private_endpoint(target, &address.ip().to_string())
    } else if error.kind() == io::ErrorKind::ConnectionRefused {
        Cause::port_closed(target, &why)
    } else {
        Cause::no_answer(target, &why)
    };
    Examined::failed(STEP, "no address answers", facts, cause)
}

fn attempt(address: SocketAddr, patience: Duration) -> io::Result<Duration> {
    let start = Instant::now();
    TcpStream::connect_timeout(&address, patience).map(|_| start.elapsed())
}

/// A refusal tells more than silence, and silence more than a protocol that this machine does not have.
fn telling(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => 0,
        io::ErrorKind::TimedOut => 1,
        _ => 2,
    }
}

/// What the system says, in plain words where they are known.
pub(super) fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection is refused".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "there is no way to that network".to_owned()
        }
        io::ErrorKind::ConnectionReset => "the connection is reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "the connection is closed".to_owned(),
        _ => error.to_string(),
    }
}

/// Does something for each, all at the same time, so that several that do not answer cost no more than one.
pub(super) fn all_at_once<T: Copy + Send, R: Send>(each: &[T], act: impl Fn(T) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = each.iter().map(|&item| scope.spawn(move || act(item))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
