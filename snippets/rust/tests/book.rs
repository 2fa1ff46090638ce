//! Every Rust block of the book: listings compiled (the runner runs them), all others compiled and
//! run in the environment of a system-assigned identity. `build.rs` finds the blocks, skeptic builds
//! them, and `cargo test` shows each by its chapter, heading and line.
//!
//! This program plays three parts. As the test it hands blocks to workers; as a worker, it runs one
//! block after the other, so that what a block prints is caught and belongs to it; and as `rustc`
//! it calls the real one with the edition of the book, because skeptic knows none after 2021.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::os::unix::process::CommandExt;
use std::panic;
use std::process::{Child, ChildStdin, Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::{env, io};

use anyhow::{Context, Result, ensure};
use azure_managed_redis_emulator::Emulator;
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};

/// A Rust block, and skeptic's function that builds and runs it.
struct Block {
    chapter: &'static str,
    section: &'static str,
    line: Option<usize>,
    listing: bool,
    compiled_only: bool,
    run: fn(),
}

include!(concat!(env!("OUT_DIR"), "/blocks.rs"));

/// The edition that book.toml names.
const EDITION: &str = "--edition=2024";
/// Set for workers and all that they start: the real compiler.
const REAL_RUSTC: &str = "BOOK_BLOCKS_RUSTC";
const WORKER: &str = "--book-blocks-worker";
/// Begins the line with which a worker reports. No text of a block begins with a record separator.
const DONE: &str = "\u{1e}";

fn main() -> ExitCode {
    let done = match (env::var_os(REAL_RUSTC), env::args_os().nth(1)) {
        (Some(_), Some(first)) if first == WORKER => work(),
        (Some(rustc), _) => Err(compile(&rustc)),
        (None, _) => return test(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

// The test

fn test() -> ExitCode {
    let arguments = Arguments::from_args();
    let workers = Arc::new(Workers::default());
    let mut trials = vec![Trial::test("every chapter can be read", || match FAULT {
        "" => Ok(()),
        fault => Err(Failed::from(fault)),
    })];
    for (number, block) in BLOCKS.iter().enumerate() {
        let workers = Arc::clone(&workers);
        trials.push(
            Trial::test(name(block), move || workers.run(number, block))
                .with_kind(if block.listing { "listing" } else { "" }),
        );
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    workers.stop();

    let chosen = arguments.filter.is_some() || !arguments.skip.is_empty() || arguments.ignored;
    if FAULT.is_empty() && !arguments.list && !chosen {
        if let Err(error) = all_ran(&conclusion) {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
        let listings = BLOCKS.iter().filter(|block| block.listing).count();
        println!(
            "{FENCES} Rust blocks in {CHAPTERS} chapters ({listings} are listings, compiled here and run by the \
             runner)\n"
        );
    }
    conclusion.exit_code()
}

fn name(block: &Block) -> String {
    let line = match block.line {
        Some(line) => format!("line {line}"),
        None => "from an include".to_owned(),
    };
    format!("{}: {} ({line})", block.chapter, block.section)
}

/// A test that quietly runs nothing looks like one that passes.
fn all_ran(conclusion: &Conclusion) -> Result<()> {
    ensure!(
        FENCES > 0,
        "the book has no Rust block, so this test proves nothing: are the chapters in src/?"
    );
    ensure!(
        BLOCKS.len() == FENCES,
        "the chapters have {FENCES} Rust blocks, but only {} became tests",
        BLOCKS.len()
    );
    let ran = (conclusion.num_passed + conclusion.num_failed) as usize;
    ensure!(
        ran == FENCES + 1,
        "the chapters have {FENCES} Rust blocks, but only {} ran",
        ran.saturating_sub(1)
    );
    Ok(())
}

/// As many workers as there are tests at once, and the emulator behind them.
#[derive(Default)]
struct Workers {
    idle: Mutex<Vec<Worker>>,
    emulator: Mutex<Option<Emulator>>,
}

impl Workers {
    fn run(&self, number: usize, block: &Block) -> Result<(), Failed> {
        let idle = self.idle.lock().expect("no worker panics").pop();
        let mut worker = match idle {
            Some(worker) => worker,
            None => self.start().map_err(|error| format!("{error:#}"))?,
        };
        let (passed, printed) = worker
            .run(number)
            .map_err(|error| format!("the worker for blocks died: {error:#}"))?;
        self.idle.lock().expect("no worker panics").push(worker);
        match passed {
            true => Ok(()),
            false => Err(in_the_chapter(&printed, block).into()),
        }
    }

    fn start(&self) -> Result<Worker> {
        let this = env::current_exe().context("the path of this test")?;
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
        let mut command = Command::new(&this);
        command
            .arg(WORKER)
            .env(REAL_RUSTC, rustc)
            .env("RUSTC", &this);
        // A block must not find an identity that was set around us for somebody else.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if ["AZURE_", "IDENTITY_", "MSI_", "REDIS_"]
                .iter()
                .any(|prefix| text.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        if BLOCKS.iter().any(|block| !block.compiled_only) {
            let mut emulator = self.emulator.lock().expect("no worker panics");
            let emulator = match &mut *emulator {
                Some(emulator) => emulator,
                empty => empty.insert(Emulator::start().context("the emulator does not start")?),
            };
            command.envs(emulator.environment("system")?.iter());
        }
        let (output, for_worker) = io::pipe()?;
        let mut child = command
            .stdin(std::process::Stdio::piped())
            .stdout(for_worker.try_clone()?)
            .stderr(for_worker)
            .spawn()
            .context("a worker for blocks does not start")?;
        // The command holds the writing end, and the end of the output has to be seen.
        drop(command);
        let orders = child.stdin.take().context("the worker's standard input")?;
        Ok(Worker {
            child,
            orders,
            output: BufReader::new(output),
        })
    }

    fn stop(&self) {
        for worker in self.idle.lock().expect("no worker panics").drain(..) {
            worker.stop();
        }
        self.emulator.lock().expect("no worker panics").take();
    }
}

struct Worker {
    child: Child,
    orders: ChildStdin,
    output: BufReader<PipeReader>,
}

impl Worker {
    /// Whether the block passed, and what it printed.
    fn run(&mut self, number: usize) -> Result<(bool, String)> {
        writeln!(self.orders, "{number}")?;
        let mut printed = String::new();
        loop {
            let mut line = Vec::new();
            let read = self.output.read_until(b'\n', &mut line)?;
            let line = String::from_utf8_lossy(&line);
            ensure!(
                read > 0,
                "it ended without a report, after printing: {printed}"
            );
            match line.strip_prefix(DONE) {
                Some(verdict) => return Ok((verdict.trim_end() == "passed", printed)),
                None => printed.push_str(&line),
            }
        }
    }

    fn stop(mut self) {
        drop(self.orders);
        let _ = self.child.wait();
    }
}

/// Names the chapter where the compiler and panics name skeptic's file, so that editors find it.
fn in_the_chapter(printed: &str, block: &Block) -> String {
    const FILE: &str = "/test.rs:";
    // A listing has a file of its own, and lines that came with an include have theirs.
    let fence = match block.line {
        Some(line) if !block.listing => line,
        _ => return printed.to_owned(),
    };
    let mut text = String::new();
    for line in printed.lines() {
        let place = line.find(FILE).and_then(|at| {
            let start = line[..at].rfind(' ').map_or(0, |space| space + 1);
            let rest = &line[at + FILE.len()..];
            let (number, rest) = rest.split_once(':')?;
            // skeptic's file begins with an empty line, the block with its fence.
            let number = number.parse::<usize>().ok()? + fence - 1;
            line[start..at]
                .contains("rust-skeptic")
                .then(|| format!("{}src/{}:{number}:{rest}", &line[..start], block.chapter))
        });
        text.push_str(place.as_deref().unwrap_or(line));
        text.push('\n');
    }
    text
}

// The worker

fn work() -> Result<()> {
    // A failure is told in the report; skeptic's panic would only add the compiler's command line.
    panic::set_hook(Box::new(|_| ()));
    for order in io::stdin().lines() {
        let number: usize = order?.parse().context("the number of a block")?;
        let verdict = match panic::catch_unwind(BLOCKS[number].run) {
            Ok(()) => "passed",
            Err(why) => {
                let why = why
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or(why.downcast_ref::<&str>().copied())
                    .unwrap_or("a panic without words");
                println!();
                match why.strip_prefix("Command failed:") {
                    Some(command) if command.contains("--crate-type=bin") => {
                        println!("The block does not compile.");
                    }
                    Some(_) => println!("The block compiles, but its program failed."),
                    None => println!("{why}"),
                }
                "failed"
            }
        };
        // What a block printed may lack its last line end.
        println!("\n{DONE}{verdict}");
        io::stdout().flush()?;
    }
    Ok(())
}

// The compiler

/// Becomes the real compiler; returns only if that fails.
fn compile(rustc: &OsString) -> anyhow::Error {
    let mut arguments: Vec<_> = env::args_os().skip(1).collect();
    if arguments
        .iter()
        .any(|argument| argument == "--crate-type=bin")
    {
        arguments.retain(|argument| !argument.to_string_lossy().starts_with("--edition="));
        arguments.insert(0, OsString::from(EDITION));
    }
    let error = Command::new(rustc).args(arguments).exec();
    anyhow::Error::new(error).context(format!("cannot run {}", rustc.display()))
}
