//! One run of one program against an emulator of its own. The verifications, `cargo book record` and `cargo book run`
//! all go through here.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use azure_managed_redis_emulator::{
    Builder, ClusteringPolicy, Directory, Emulator, Environment, Event, EventKind, Fault, Presented, Service,
};
use listings::{EnvironmentChange, Meanwhile, Policy, StopAfter, Trouble};

use crate::process::{Printed, Running};
use crate::stack::Program;
use crate::turns::{Turn, Turns};
use crate::visits::{Visit, Visits};

/// How long a program may run that leaves by itself.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a program may take to leave after it was asked to. A server answers the visits that have begun, and Lettuce below
/// Spring waits for two seconds of quiet before it lets its threads go.
const LEAVING: Duration = Duration::from_secs(10);

/// How long a token takes where that is the trouble.
const SLOW_TOKEN: Duration = Duration::from_millis(1500);

/// What stays in a program's environment from ours. The rest would make a run depend on who starts it.
const KEPT: &[&str] = &["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH"];

/// What surrounds a program when it runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Situation<'a> {
    /// Whose environment, by the emulator's name for the identity.
    pub(crate) identity: &'a str,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) trouble: Option<Trouble>,
    /// How the environment differs from the identity's; the later ones win.
    pub(crate) changes: Vec<&'a EnvironmentChange>,
    pub(crate) stop: Stop<'a>,
    pub(crate) meanwhile: Option<Meanwhile>,
    pub(crate) policy: Option<Policy>,
    /// It serves HTTP and is to be visited.
    pub(crate) is_server: bool,
    /// What a server is asked for, in turn; `/` when empty.
    pub(crate) paths: &'a [String],
    /// Its client knows Entra ID's host by heart, and comes to the emulator through a proxy.
    pub(crate) proxy: bool,
    /// Its client takes a certificate as PKCS#12 only.
    pub(crate) pfx: bool,
    /// The exit status, besides 0, with which it may leave when it is asked to.
    pub(crate) leaves_with: Option<i32>,
}

/// When a program has shown enough.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Stop<'a> {
    /// It leaves by itself.
    #[default]
    Never,
    /// It is asked to leave when the event log has this, which must happen within the time.
    After(&'a StopAfter, Duration),
    /// It is ended a moment after the emulator has seen a TLS handshake fail: if it has not given up by itself, it
    /// tries again and again.
    TlsFailure,
}

/// What happened in a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) ending: Ending,
    /// The event log had what the program was to show, if it was to show anything.
    pub(crate) shown: bool,
    pub(crate) printed: Printed,
    /// What a server answered, or why a visit failed.
    pub(crate) visits: Vec<Result<Visit, String>>,
    pub(crate) events: Vec<Event>,
    /// `Valkey 9.1.2`.
    pub(crate) engine: String,
    pub(crate) elapsed: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// It left, by itself or because it was asked to.
    Left(ExitStatus),
    /// It was asked to leave, and did so in the way of its language, with another status than 0.
    LeftAsAsked(ExitStatus),
    /// What it was to show did not come in time, so it was ended.
    NeverShown(Duration),
    /// It did not leave in time, so it was ended.
    NeverLeft(Duration),
    /// It had shown enough and was ended.
    Ended,
}

impl Ending {
    /// How a program left that was `asked` to or not, and may leave with this status besides 0 if it was.
    fn of(status: ExitStatus, asked: bool, leaves_with: Option<i32>) -> Ending {
        match status.code() {
            Some(code) if asked && leaves_with == Some(code) => Ending::LeftAsAsked(status),
            _ => Ending::Left(status),
        }
    }
}

/// Runs it as soon as there is a turn, which it gives back when it has signed in, or could not: from then on it mostly waits.
pub(crate) fn run(program: &Program, situation: &Situation, turns: &Turns) -> Result<Run> {
    let mut turn = Some(turns.take());
    let emulator = emulator(situation).start().context("cannot start the emulator")?;
    if situation.trouble == Some(Trouble::SlowTokens) {
        for service in [Service::Entra, Service::ManagedIdentity] {
            emulator.control().set_fault(service, Fault::Slow { delay: SLOW_TOKEN }, None)?;
        }
    }
    let mut command = program.command();
    surround(&mut command, &emulator, situation)?;
    if situation.trouble == Some(Trouble::AccessKeysOff) {
        emulator.control().switch_access_keys(false)?;
    }
    let mut visits = None;
    if situation.is_server {
        let port = free_port().context("there is no free port for the server")?;
        command.env("PORT", port.to_string());
        visits = Some(Visits::begin(port, situation.paths));
    }

    let started = Instant::now();
    let mut running =
        Running::start(&mut command).with_context(|| format!("cannot start {}", program.executable.display()))?;
    let mut seen = Vec::new();
    let ending = meanwhile(&emulator, situation.meanwhile, || {
        watch(&mut running, &emulator, situation, started, &mut visits, &mut seen, &mut turn)
    })??;
    seen.extend(visits.map(Visits::end).unwrap_or_default());
    let elapsed = started.elapsed();
    let printed = running.printed();
    // The program's end reaches the emulator a moment after it reaches us, and so does a handshake that it broke off.
    let settled = |events: &[Event]| match situation.stop {
        Stop::TlsFailure => all_closed(events) && shook_hands(situation.trouble, events),
        Stop::Never | Stop::After(..) => all_closed(events),
    };
    emulator.wait_for(Duration::from_secs(3), settled);
    let events = emulator.events();
    let shown = match situation.stop {
        Stop::After(condition, _) => reached(condition, &events),
        Stop::Never | Stop::TlsFailure => true,
    };
    Ok(Run { ending, shown, printed, visits: seen, events, engine: engine(&emulator), elapsed })
}

/// A port that nobody listens on at this moment.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// An emulator as the situation wants it.
pub(crate) fn emulator(situation: &Situation) -> Builder {
    let keys = situation.identity == Environment::ACCESS_KEY || situation.meanwhile == Some(Meanwhile::AccessKeysOff);
    let mut builder = Emulator::builder().access_keys(keys);
    if let Some(lifetime) = situation.lifetime {
        for identity in &Directory::fixed().identities {
            builder = builder.token_lifetime(&identity.name, lifetime);
        }
    }
    builder = match situation.policy {
        None | Some(Policy::NoCluster) => builder,
        Some(Policy::EnterpriseCluster) => builder.clustering_policy(ClusteringPolicy::EnterpriseCluster),
        Some(Policy::OssCluster) => builder.clustering_policy(ClusteringPolicy::OssCluster),
    };
    match situation.trouble {
        None => builder,
        Some(Trouble::RedisOtherAuthority) => builder.redis_certificate(Presented::OtherAuthority),
        Some(Trouble::RedisOtherName) => builder.redis_certificate(Presented::OtherName),
        Some(Trouble::EntraOtherAuthority) => builder.entra_certificate(Presented::OtherAuthority),
        Some(Trouble::EntraUnreachable) => builder.entra_unreachable(true),
        // These begin when it runs.
        Some(Trouble::SlowTokens | Trouble::AccessKeysOff) => builder,
    }
}

/// Gives a command the environment of the hosting, and little else.
pub(crate) fn surround(command: &mut Command, emulator: &Emulator, situation: &Situation) -> Result<()> {
    command.env_clear();
    for (name, value) in environment(emulator, situation)? {
        command.env(name, value);
    }
    Ok(())
}

/// The whole environment of a program in this situation.
pub(crate) fn environment(emulator: &Emulator, situation: &Situation) -> Result<Vec<(OsString, OsString)>> {
    let mut environment: Vec<(OsString, OsString)> =
        KEPT.iter().filter_map(|name| Some((OsString::from(name), env::var_os(name)?))).collect();
    environment.extend(hosting(emulator, situation)?.into_iter().map(|(name, value)| (name.into(), value.into())));
    for name in ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"] {
        // Without both, client libraries ask the address that Azure's virtual machines have for managed identities.
        anyhow::ensure!(
            environment.iter().any(|(set, value)| set == name && !value.is_empty()),
            "{name} is not in the program's environment, so it might call an address outside this machine: leave it there"
        );
    }
    Ok(environment)
}

/// What the emulator sets for the identity, changed as the situation says.
pub(crate) fn hosting(emulator: &Emulator, situation: &Situation) -> Result<Vec<(String, String)>> {
    let mut identity = emulator.environment(situation.identity)?;
    if situation.pfx {
        identity = identity.with_pfx()?;
    }
    if situation.proxy {
        identity = identity.through_proxy();
    }
    let mut settings: Vec<(String, String)> =
        identity.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    for change in &situation.changes {
        settings.retain(|(name, _)| !change.without.contains(name) && !change.with.contains_key(name));
        settings.extend(change.with.clone());
    }
    Ok(settings)
}

pub(crate) fn engine(emulator: &Emulator) -> String {
    let engine = emulator.engine();
    format!("{} {}", engine.name, engine.version)
}

/// How long a connection is left alone that has just signed in, so that it is in use.
const IN_USE_AFTER: Duration = Duration::from_millis(500);

const GLANCE: Duration = Duration::from_millis(15);

/// Does something, and changes the cache beside it.
pub(crate) fn meanwhile<T>(
    emulator: &Emulator,
    change: Option<Meanwhile>,
    what: impl FnOnce() -> T,
) -> Result<T, azure_managed_redis_emulator::Error> {
    let Some(Meanwhile::AccessKeysOff) = change else { return Ok(what()) };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let changed = scope.spawn(|| {
            while !emulator.wait_for(GLANCE, |events| signed_in(events) > 0) {
                if over.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
            thread::sleep(IN_USE_AFTER);
            emulator.control().switch_access_keys(false).map(drop)
        });
        let done = what();
        over.store(true, Ordering::Relaxed);
        let changed = changed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        changed.map(|()| done)
    })
}

fn watch(
    running: &mut Running,
    emulator: &Emulator,
    situation: &Situation,
    started: Instant,
    visits: &mut Option<Visits>,
    seen: &mut Vec<Result<Visit, String>>,
    turn: &mut Option<Turn>,
) -> Result<Ending> {
    let stop = situation.stop;
    let limit = match stop {
        Stop::After(_, limit) => limit,
        Stop::Never | Stop::TlsFailure => LIMIT,
    };
    let mut asked: Option<Instant> = None;
    loop {
        if let Some(status) = running.exited()? {
            return Ok(Ending::of(status, asked.is_some(), situation.leaves_with));
        }
        if let Some(asked) = asked {
            if asked.elapsed() > LEAVING {
                running.kill()?;
                return Ok(Ending::NeverLeft(LEAVING));
            }
            thread::sleep(GLANCE);
            continue;
        }
        if started.elapsed() > limit {
            running.kill()?;
            return Ok(match stop {
                Stop::After(..) => Ending::NeverShown(limit),
                Stop::Never | Stop::TlsFailure => Ending::NeverLeft(limit),
            });
        }
        if turn.is_some() && emulator.wait_for(Duration::ZERO, has_begun) {
            *turn = None;
        }
        match stop {
            Stop::Never => thread::sleep(GLANCE),
            Stop::After(condition, _) => {
                if emulator.wait_for(GLANCE, |events| reached(condition, events)) {
                    // A server is left alone before it is asked to leave: what it would refuse then is no fault.
                    if let Some(ended) = visits.take().map(Visits::end) {
                        *seen = ended;
                    }
                    if condition.connections.is_some() {
                        thread::sleep(IN_USE_AFTER);
                    }
                    running.interrupt();
                    asked = Some(Instant::now());
                }
            }
            Stop::TlsFailure => {
                if emulator.wait_for(GLANCE, tls_failed) {
                    *turn = None;
                    // Long enough for a client that goes on in spite of the certificate to be seen doing so.
                    let moment = Instant::now() + Duration::from_secs(2);
                    while Instant::now() < moment {
                        if let Some(status) = running.exited()? {
                            return Ok(Ending::Left(status));
                        }
                        thread::sleep(GLANCE);
                    }
                    running.kill()?;
                    return Ok(Ending::Ended);
                }
            }
        }
    }
}

fn reached(condition: &StopAfter, events: &[Event]) -> bool {
    let sign_ins = events.iter().filter(|event| matches!(event.kind, EventKind::SignInAccepted { .. }));
    let renewals = events.iter().filter(|event| matches!(event.kind, EventKind::SignInAccepted { renewal: true, .. }));
    let enough = |wanted: Option<u32>, seen: usize| wanted.is_none_or(|wanted| seen >= wanted as usize);
    enough(condition.sign_ins, sign_ins.count())
        && enough(condition.renewals, renewals.count())
        && enough(condition.connections, signed_in(events))
}

/// Connections that have signed in, with a token.
fn signed_in(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event.kind, EventKind::SignInAccepted { nth: 1, .. })).count()
}

/// Whether a program has come to the cache, and knows whether it is let in.
fn has_begun(events: &[Event]) -> bool {
    events.iter().any(|event| {
        matches!(
            event.kind,
            EventKind::SignInAccepted { .. }
                | EventKind::AccessKeyAccepted { .. }
                | EventKind::SignInRefused { .. }
                | EventKind::TlsFailed { .. }
        )
    })
}

fn tls_failed(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event.kind, EventKind::TlsFailed { .. }))
}

/// Whether a program has come to the certificate that it must not trust.
fn shook_hands(trouble: Option<Trouble>, events: &[Event]) -> bool {
    events.iter().any(|event| match event.kind {
        EventKind::TlsFailed { .. } | EventKind::ConnectionOpened { .. } => true,
        EventKind::ProxyConnected { .. } => trouble == Some(Trouble::EntraOtherAuthority),
        _ => false,
    })
}

pub(crate) fn all_closed(events: &[Event]) -> bool {
    let opened = events.iter().filter(|event| matches!(event.kind, EventKind::ConnectionOpened { .. }));
    let closed = events.iter().filter(|event| matches!(event.kind, EventKind::ConnectionClosed { .. }));
    opened.count() == closed.count()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn only_who_was_asked_may_leave_with_the_status_of_its_language() {
        let interrupted = ExitStatus::from_raw(130 << 8);
        assert!(matches!(Ending::of(interrupted, true, Some(130)), Ending::LeftAsAsked(_)));
        assert!(matches!(Ending::of(interrupted, false, Some(130)), Ending::Left(_)));
        assert!(matches!(Ending::of(interrupted, true, None), Ending::Left(_)));
        assert!(matches!(Ending::of(ExitStatus::from_raw(1 << 8), true, Some(130)), Ending::Left(_)));
        assert!(matches!(Ending::of(ExitStatus::from_raw(2), true, Some(130)), Ending::Left(_)));
    }
}
