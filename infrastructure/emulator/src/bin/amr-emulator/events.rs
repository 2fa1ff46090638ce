//! `amr-emulator events`: prints what the emulator that runs, or ran last, has seen, and with `--follow` what it sees.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use azure_managed_redis_emulator::Event;
use clap::Args;

use crate::running::Running;
use crate::{Failure, State};

/// The file in the state folder that holds the events of the emulator that runs or ran last.
const FILE: &str = "events.jsonl";

#[derive(Args)]
pub(crate) struct Events {
    /// Keep printing until Ctrl-C; below `exec`, until its emulator stops
    #[arg(long, short)]
    follow: bool,
    /// As JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: State,
}

/// Where an emulator with that state folder is to write its events. If they are wanted elsewhere, the usual place leads there.
pub(crate) fn file_in(state: &Path, elsewhere: Option<&Path>) -> Result<PathBuf, Failure> {
    let usual = state.join(FILE);
    let Some(elsewhere) = elsewhere else {
        // What is there may lead elsewhere, and what is there is not this emulator's to change.
        if usual.is_symlink() {
            fs::remove_file(&usual)?;
        }
        return Ok(usual);
    };
    let elsewhere = std::path::absolute(elsewhere)?;
    if usual.symlink_metadata().is_ok() {
        fs::remove_file(&usual)?;
    }
    std::os::unix::fs::symlink(&elsewhere, &usual)?;
    Ok(elsewhere)
}

/// Prints events as they come in.
struct Printer {
    json: bool,
    /// Number of the last one.
    last: u64,
}

/// Whoever read our output has gone.
struct Unread;

pub(crate) fn run(options: &Events) -> Result<ExitCode, Failure> {
    let mut printer = Printer { json: options.json, last: 0 };
    let read_to_the_end = if Running::is_given() {
        let running = Running::find(&options.state)?;
        printer.print_all(running.events(0, options.follow)?, "the emulator")?
    } else {
        from_state_folder(&mut printer, &options.state.folder()?, options.follow)?
    };
    // Nobody minds if `head` has seen enough.
    let (Ok(()) | Err(Unread)) = read_to_the_end;
    Ok(ExitCode::SUCCESS)
}

fn from_state_folder(printer: &mut Printer, folder: &Path, follow: bool) -> Result<Result<(), Unread>, Failure> {
    let path = folder.join(FILE);
    // Looked for before the file is read, so that nothing falls between.
    let mut of_the_file = Running::announced(folder).ok();
    let file = fs::File::open(&path).map_err(|e| {
        format!(
            "there are no events in {}: {e}. Has `amr-emulator` been started with this state folder?",
            path.display()
        )
    })?;
    // Of the emulator that runs too: the file goes back to its start, the stream only so far.
    if printer.print_all(BufReader::new(file), &path.display().to_string())?.is_err() {
        return Ok(Err(Unread));
    }
    if !follow {
        return Ok(Ok(()));
    }
    let mut followed = String::new();
    loop {
        // An emulator that started later counts from 1 again.
        let (found, seen) = match of_the_file.take() {
            Some(running) => (Some(running), printer.last),
            None => (Running::announced(folder).ok(), 0),
        };
        let Some(running) = found.filter(|running| running.token() != followed) else {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        if let Ok(events) = running.events(seen, true)
            && printer.print_all(events, "the emulator")?.is_err()
        {
            return Ok(Err(Unread));
        }
        followed = running.token().to_owned();
    }
}

impl Printer {
    /// Prints all that `lines` holds.
    fn print_all(&mut self, mut lines: impl BufRead, source: &str) -> Result<Result<(), Unread>, Failure> {
        let mut line = String::new();
        // The last line of a file may be half written; the stream has it whole.
        while matches!(lines.read_line(&mut line), Ok(1..)) && line.ends_with('\n') {
            let event: Event = serde_json::from_str(&line)
                .map_err(|e| format!("{source} has a line that is no event of this version: {e}"))?;
            self.last = event.seq;
            let mut out = io::stdout().lock();
            let written = match self.json {
                true => out.write_all(line.as_bytes()),
                false => writeln!(out, "{event}"),
            };
            match written {
                Ok(()) => line.clear(),
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(Err(Unread)),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Ok(()))
    }
}
