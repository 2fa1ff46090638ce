//! Starting processes so that they end when we end, even by `kill -9`: on Linux the kernel sees to it, elsewhere a shell
//! waits at the other end of a pipe.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};

use crate::Error;

/// An engine's process. Dropping it ends it.
pub(super) struct EngineProcess {
    child: Child,
    program: PathBuf,
    log: PathBuf,
}

impl EngineProcess {
    /// Starts `program` with `config` on its standard input; what it prints goes to `log`.
    pub(super) fn start(program: &Path, config: String, log: &Path) -> Result<Self, Error> {
        let error = |why: io::Error| Error::EngineStart { path: program.to_owned(), why: why.to_string() };
        let output = File::create(log).map_err(error)?;
        let mut command = if cfg!(target_os = "linux") {
            let mut command = Command::new(program);
            command.arg("-");
            command
        } else {
            watched_by_a_shell(program)
        };
        command
            .stdin(Stdio::piped())
            .stdout(output.try_clone().map_err(error)?)
            .stderr(output)
            // The engine must not stop at the terminal's Ctrl-C: the command that runs below us may need it for longer.
            .process_group(0);
        let mut child = on_the_starting_thread(command, |command| command.spawn()).map_err(error)?;
        let sent = match child.stdin.as_mut() {
            Some(stdin) => stdin.write_all(config.as_bytes()).and_then(|()| stdin.write_all(END_OF_CONFIG)),
            None => Ok(()),
        };
        if cfg!(target_os = "linux") {
            drop(child.stdin.take());
        }
        let mut process = EngineProcess { child, program: program.to_owned(), log: log.to_owned() };
        match sent {
            Ok(()) => Ok(process),
            Err(e) => Err(process
                .ended()
                .map_or_else(|| error(e), |why| Error::EngineStart { path: program.to_owned(), why })),
        }
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// If it has ended, why: its last words.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        Some(format!("it ended at once ({status}): {}", last.join(" / ")))
    }
}

impl EngineProcess {
    /// Kills it: it keeps nothing that would need a clean end.
    pub(super) fn stop(&mut self) {
        if cfg!(target_os = "linux") {
            let _ = self.child.kill();
        } else {
            drop(self.child.stdin.take());
        }
        let _ = self.child.wait();
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        self.stop();
    }
}

/// On Linux the configuration ends with the pipe, elsewhere with this line: there the pipe stays open as the watch.
const END_OF_CONFIG: &[u8] = if cfg!(target_os = "linux") { b"" } else { b"#END\n" };

/// A shell that reads the configuration up to `#END`, starts the engine with it, and kills it when our end of the pipe
/// closes, whatever closed it. If the engine ends first, so does the shell.
fn watched_by_a_shell(program: &Path) -> Command {
    const WATCH: &str = r##"
config=
while IFS= read -r line && [ "$line" != "#END" ]; do config="$config$line
"; done
printf %s "$config" | "$0" - &
engine=$!
(while kill -0 $engine; do sleep 1; done; kill $$) </dev/null >/dev/null 2>&1 &
read -r _
kill -9 $engine
"##;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(WATCH).arg(program);
    command
}

/// Runs `start` on the one thread of this process that never ends. On Linux the process that it starts is killed when its
/// parent *thread* ends, so it must not be a thread of a test or of a runtime.
pub(crate) fn on_the_starting_thread<T: Send + 'static>(
    mut command: Command,
    start: impl FnOnce(&mut Command) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    type Job = Box<dyn FnOnce() + Send>;
    static THREAD: OnceLock<Option<Mutex<Sender<Job>>>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| {
        let (sender, jobs) = channel::<Job>();
        std::thread::Builder::new()
            .name("amr-engines".to_owned())
            .spawn(move || jobs.into_iter().for_each(|job| job()))
            .ok()
            .map(|_| Mutex::new(sender))
    });
    let gone = || io::Error::other("the thread that starts engines is gone");
    let (sender, result) = channel();
    let job: Job = Box::new(move || {
        die_with_this_thread(&mut command);
        let _ = sender.send(start(&mut command));
    });
    thread
        .as_ref()
        .ok_or_else(gone)?
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .send(job)
        .map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
fn die_with_this_thread(command: &mut Command) {
    use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
    let parent: Pid = getpid();
    // SAFETY: between fork and exec only system calls are made, no memory is allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // Killed between fork and the line above, the parent would never be waited for.
            if getppid() == Some(parent) {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(rustix::io::Errno::CHILD.raw_os_error()))
            }
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_this_thread(_command: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    /// The way of the other systems, tried here: the shell's engine must end with our end of the pipe.
    #[test]
    fn the_watching_shell_kills_its_engine_when_the_pipe_closes() {
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("engine");
        std::fs::write(&engine, "#!/bin/sh\ncat >\"$(dirname \"$0\")/config\"\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&engine, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut shell = watched_by_a_shell(&engine)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        shell.stdin.as_mut().unwrap().write_all(b"port 0\nsave \"\"\n#END\n").unwrap();
        let config = folder.path().join("config");
        let started = Instant::now();
        while std::fs::read_to_string(&config).unwrap_or_default() != "port 0\nsave \"\"\n" {
            assert!(started.elapsed() < Duration::from_secs(10), "the engine did not get its configuration");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(shell.try_wait().unwrap().is_none());
        drop(shell.stdin.take());
        assert!(shell.wait().is_ok());
        let children = format!("/proc/{}", shell.id());
        assert!(!Path::new(&children).exists());
    }
}
