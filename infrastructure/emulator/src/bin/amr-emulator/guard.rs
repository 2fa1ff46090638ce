//! The process between `exec` and its command. If `exec` is killed, even by `kill -9`, the pipe that it holds closes, and the
//! guard ends everything that runs below. It does nothing else.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Failure, exec};

/// As `env` and shells report a command that is not there, and one that can't be run.
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;

/// How `exec` calls it. No command for people: help and completions know nothing of it.
#[derive(Parser)]
pub(crate) struct Guard {
    /// The pipe whose other end the caller holds.
    #[arg(long)]
    watch: i32,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Its name on the command line.
pub(crate) const NAME: &str = "guard";

impl Guard {
    /// The guard, if this process is to be one.
    pub(crate) fn called() -> Option<Self> {
        let mut arguments = std::env::args_os().skip(1);
        arguments.next().is_some_and(|name| name == NAME).then(|| Self::parse_from(std::env::args_os().skip(1)))
    }
}

pub(crate) fn run(Guard { watch, command }: Guard) -> Result<ExitCode, Failure> {
    // SAFETY: `exec` opened this descriptor for us and nothing else in this process uses it.
    let watch = unsafe { OwnedFd::from_raw_fd(watch) };
    rustix::io::fcntl_setfd(&watch, rustix::io::FdFlags::CLOEXEC)
        .map_err(|_| "`guard` is a part of `exec` and can't be used by itself")?;
    let signals = exec::forwarded_signals()?;
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Pid::from_raw(1))?;

    let (program, arguments) = command.split_first().ok_or("no command")?;
    let mut below = Command::new(program);
    below.args(arguments);
    #[cfg(target_os = "linux")]
    die_with_the_guard(&mut below);
    let mut child = match below.spawn() {
        Ok(child) => child,
        Err(e) => {
            eprintln!("amr-emulator: {} can't be started: {e}", program.display());
            let missing = e.kind() == std::io::ErrorKind::NotFound;
            return Ok(ExitCode::from(if missing { NOT_FOUND } else { NOT_RUNNABLE }));
        }
    };
    let id = child.id();
    let abandoned = Arc::new(AtomicBool::new(false));
    let ends_everything = std::thread::spawn({
        let abandoned = abandoned.clone();
        move || {
            // Nothing is ever written: this returns when the other end is closed.
            let _ = File::from(watch).read(&mut [0]);
            abandoned.store(true, Ordering::SeqCst);
            kill_everything_below(id);
            std::process::exit(1);
        }
    });
    exec::forward(signals, id);
    let status = child.wait()?;
    if abandoned.load(Ordering::SeqCst) {
        // The command was only the first to be killed: the thread ends this process when nothing is left.
        let _ = ends_everything.join();
    }
    Ok(exec::exit_code(status))
}

/// For whoever kills the guard too.
#[cfg(target_os = "linux")]
fn die_with_the_guard(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: one system call between fork and exec; nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

/// Kills the command and all its descendants. Those whose own parent has died belong to the guard (it is their
/// subreaper), so none is missed; what forks meanwhile is found in the next round.
fn kill_everything_below(command: u32) {
    loop {
        let mut below = descendants(std::process::id());
        if below.is_empty() && !cfg!(target_os = "linux") {
            below.extend(i32::try_from(command).ok().and_then(Pid::from_raw));
        }
        let killed = below.into_iter().filter(|process| kill_process(*process, Signal::KILL).is_ok()).count();
        if killed == 0 || !cfg!(target_os = "linux") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// The living processes below `root`, from /proc; none where there is no /proc.
fn descendants(root: u32) -> Vec<Pid> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name, in parentheses, may hold spaces; state and parent follow it.
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let (state, parent) = (fields.next(), fields.next().and_then(|parent| parent.parse::<u32>().ok()));
        if let (Some(state), Some(parent)) = (state, parent)
            && state != "Z"
        {
            parents.push((id, parent));
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    found.into_iter().skip(1).filter_map(|id| i32::try_from(id).ok().and_then(Pid::from_raw)).collect()
}
