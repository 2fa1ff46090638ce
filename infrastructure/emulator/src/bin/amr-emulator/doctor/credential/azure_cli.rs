//! The Azure CLI's own sign-in: a developer's.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use azure_managed_redis_emulator::azure::client as azure;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::super::cause::Cause;
use super::super::secret::Secret;
use super::super::time::roughly;
use super::entra::{self, Proof};
use super::{Attempt, Outcome, sentence};

/// The Azure CLI takes seconds to start, where a server takes none.
const SLOWER: u32 = 2;

impl Attempt<'_> {
    pub(super) fn azure_cli(&mut self) -> Outcome {
        let Some(program) = on_path("az") else {
            return Outcome::skipped("az is not on PATH");
        };
        let patience = self.case.patience * SLOWER;
        let mut command = Command::new(&program);
        command
            .args(["account", "get-access-token", "--resource", azure::REDIS_RESOURCE, "--output", "json"])
            .env("AZURE_CORE_NO_COLOR", "true")
            // As Azure's libraries do: nothing in the folder we were started from is to be taken for a part of it.
            .current_dir("/");
        let (status, printed, complained) = match output(command, patience) {
            Ok(output) => output,
            Err(why) => return Outcome::failed(Cause::azure_cli_failed(&sentence(&why))),
        };
        if let Ok(json) = serde_json::from_str::<Value>(&printed)
            && let (true, Some(token)) = (status.success(), json["accessToken"].as_str())
        {
            let tenant = json["tenant"].as_str().unwrap_or("unknown");
            return Outcome::Token {
                text: Secret::new(token),
                note: format!("tenant {tenant}, from {}", program.display()),
            };
        }
        let complained: Vec<String> = complained.lines().map(|line| self.secrets.clean(line)).collect();
        Outcome::failed(refused(&complained.join("\n"), status))
    }
}

fn refused(complained: &str, status: ExitStatus) -> Cause {
    let line = complained.lines().find_map(|line| line.trim().strip_prefix("ERROR: ")).unwrap_or(complained).trim();
    let said =
        if line.is_empty() { format!("it ended with {status} and without the token.") } else { entra::said(line) };
    match entra::code_in(complained) {
        Some(code) => entra::refused(Some(code), &said, "that az is signed in to", "the Azure CLI", Proof::Person),
        None if complained.contains("az login") => Cause::not_logged_in(&said),
        None => Cause::azure_cli_failed(&said),
    }
}

/// The program of that name in an absolute folder of `PATH`.
fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|program| program.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0))
}

/// Runs a command to its end, or to the end of our patience. Nothing of it is left running.
fn output(mut command: Command, patience: Duration) -> Result<(ExitStatus, String, String), String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let group = Pid::from_child(&child);
    let end = Instant::now() + patience;
    let streams = (child.stdout.take().map(reading), child.stderr.take().map(reading));
    let (printed, complained) = (streams.0.map(|all| received(&all, end)), streams.1.map(|all| received(&all, end)));
    let status = ended(&mut child, end);
    if let (Some(status), Some(printed), Some(complained)) = (status, printed.flatten(), complained.flatten()) {
        return Ok((status, printed, complained));
    }
    // The group: `az` is a script, and what it starts would live on.
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
    Err(format!("it gave no answer within {}", roughly(patience)))
}

/// Reads to the end in a thread of its own.
fn reading(mut stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.by_ref().take(1024 * 1024).read_to_end(&mut bytes);
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}

fn received(all: &mpsc::Receiver<String>, end: Instant) -> Option<String> {
    all.recv_timeout(end.saturating_duration_since(Instant::now())).ok()
}

fn ended(child: &mut Child, end: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            _ => return None,
        }
    }
}
