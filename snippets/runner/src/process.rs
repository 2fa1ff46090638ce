//! Child processes that cannot outlive this one. The runs and the toolchains start all their programs through here.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A started program, alone in its process group, with its output being collected.
pub(crate) struct Running {
    child: Child,
    output: Option<[JoinHandle<Vec<u8>>; 2]>,
}

/// What a program printed on standard output and standard error.
#[derive(Debug, Clone, Default)]
pub(crate) struct Printed {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Lets the kernel end the child when the thread that starts it ends. Only that covers a `kill -9` of this process.
pub(crate) fn ends_with_us(command: &mut Command) -> &mut Command {
    #[cfg(target_os = "linux")]
    {
        let parent = rustix::process::getpid();
        // SAFETY: the closure runs between fork and exec and makes two system calls, which are safe there.
        unsafe {
            command.pre_exec(move || {
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                // The parent may have ended before the line above.
                match rustix::process::getppid() == Some(parent) {
                    true => Ok(()),
                    false => Err(io::Error::other("the parent process has ended")),
                }
            });
        }
    }
    command
}

/// Runs a tool to its end. What it prints goes to standard error: standard output belongs to the test's own lines.
pub(crate) fn status(command: &mut Command) -> io::Result<ExitStatus> {
    ends_with_us(command).stdin(Stdio::null()).stdout(io::stderr()).status()
}

impl Running {
    /// Starts a program without standard input and collects what it prints.
    pub(crate) fn start(command: &mut Command) -> io::Result<Running> {
        ends_with_us(command).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = collect(child.stdout.take().expect("standard output is a pipe"));
        let stderr = collect(child.stderr.take().expect("standard error is a pipe"));
        Ok(Running { child, output: Some([stdout, stderr]) })
    }

    pub(crate) fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks the program to leave, as Ctrl-C in a terminal would.
    pub(crate) fn interrupt(&self) {
        // It may have left a moment ago.
        let _ = kill_process(self.pid(), Signal::INT);
    }

    /// Ends the program and everything it started. Its output so far stays readable.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        self.child.wait()
    }

    /// What was printed. To be called after the program has ended.
    pub(crate) fn printed(&mut self) -> Printed {
        // A grandchild that lives on would hold the pipes open for ever.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let Some([stdout, stderr]) = self.output.take() else {
            return Printed::default();
        };
        let text =
            |handle: JoinHandle<Vec<u8>>| String::from_utf8_lossy(&handle.join().unwrap_or_default()).into_owned();
        Printed { stdout: text(stdout), stderr: text(stderr) }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.kill();
        }
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// The exit status as a person says it.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "left with 0".to_string(),
        (Some(code), _) => format!("left with {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_string(),
    }
}

/// Runs a short program to its end, for its output.
pub(crate) fn output(command: &mut Command, limit: Duration) -> io::Result<(ExitStatus, Printed)> {
    let mut running = Running::start(command)?;
    let started = Instant::now();
    loop {
        if let Some(status) = running.exited()? {
            return Ok((status, running.printed()));
        }
        if started.elapsed() > limit {
            running.kill()?;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it had not ended after {} s", limit.as_secs()),
            ));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_leaves_a_child_behind_does_not_hold_us_up() {
        let started = Instant::now();
        let (status, printed) =
            output(Command::new("sh").args(["-c", "sleep 60 & echo done"]), Duration::from_secs(20)).unwrap();
        assert_eq!(status.code(), Some(0));
        assert_eq!(printed.stdout, "done\n");
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_program_that_never_ends_is_ended() {
        let error = output(Command::new("sleep").arg("60"), Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
