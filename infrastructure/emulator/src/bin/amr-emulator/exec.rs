//! `amr-emulator exec`: a command inside an emulator of its own. Its exit code and the signals for it are passed on.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus};

use azure_managed_redis_emulator::{Emulator, Environment};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;

use crate::{CertificateFormat, Exec, Failure, Surroundings, guard, running};

/// Signals that are meant for the command.
const FORWARDED: &[i32] = &[SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

pub(crate) fn run(options: Exec) -> Result<ExitCode, Failure> {
    // From here on signals wait for the command instead of ending us.
    let signals = SignalsInfo::<WithOrigin>::new(FORWARDED)?;
    let mut builder = options.common.apply(Emulator::builder())?.redis_port(options.port);
    if options.identity == Environment::ACCESS_KEY {
        builder = builder.access_keys(true);
    }
    let emulator = builder.start()?;
    let environment = environment(&options, &emulator)?;
    options.surroundings.warn();

    // The command runs below a guard, which outlives us and ends everything below it if we are killed.
    let (watched, held) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut guard = Command::new(std::env::current_exe()?);
    guard.arg(guard::NAME).arg("--watch").arg(watched.as_raw_fd().to_string()).arg("--").args(&options.command);
    for name in Environment::of_other_identities() {
        guard.env_remove(name);
    }
    guard.envs(&environment);
    // This variable is not for one thing only. Options that its user has for Java stay, and ours come after them.
    let java = Environment::JAVA_OPTIONS;
    if let (Ok(theirs), Some(ours)) = (std::env::var(java), environment.get(java)) {
        guard.env(java, format!("{theirs} {ours}"));
    }
    guard.env(running::ADDRESS, emulator.control_address()).env(running::TOKEN, emulator.control_token());
    // SAFETY: one system call between fork and exec; nothing is allocated and no lock is taken.
    unsafe {
        guard.pre_exec(move || Ok(fcntl_setfd(&watched, FdFlags::empty())?));
    }
    let mut guard = guard.spawn().map_err(|e| format!("the guard process can't be started: {e}"))?;
    forward(signals, guard.id());
    let status = guard.wait()?;
    drop(held);
    drop(emulator);
    Ok(exit_code(status))
}

fn environment(options: &Exec, emulator: &Emulator) -> Result<Environment, Failure> {
    let Surroundings { hosting, proxy, certificate_format } = options.surroundings;
    let mut environment = emulator.environment_in(hosting, &options.identity)?;
    if proxy {
        environment = environment.through_proxy();
    }
    if certificate_format == CertificateFormat::Pfx {
        environment = environment.with_pfx()?;
    }
    Ok(environment)
}

/// Passes signals on to the process with that id, in a thread. A signal of the terminal has reached it already.
pub(crate) fn forward(mut signals: SignalsInfo<WithOrigin>, to: u32) {
    std::thread::spawn(move || {
        for origin in signals.forever() {
            let from_a_process = origin.process.is_some();
            let signal = Signal::from_named_raw(origin.signal);
            let to = i32::try_from(to).ok().and_then(Pid::from_raw);
            if let (true, Some(signal), Some(to)) = (from_a_process, signal, to) {
                let _ = kill_process(to, signal);
            }
        }
    });
}

/// As a shell reports it: the command's own code, or 128 and the signal that ended it.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

pub(crate) fn forwarded_signals() -> io::Result<SignalsInfo<WithOrigin>> {
    SignalsInfo::new(FORWARDED)
}

/// Waits for Ctrl-C or a polite end.
pub(crate) struct Termination(SignalsInfo);

pub(crate) fn termination_signals() -> io::Result<Termination> {
    Ok(Termination(SignalsInfo::new([SIGINT, SIGTERM, SIGHUP])?))
}

impl Termination {
    pub(crate) fn wait(mut self) {
        let _ = self.0.forever().next();
    }
}
