//! What `cargo book list`, `run` and `record` do.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use listings::{ErrorCapture, Listing, Recording, Table, orphans};
use tokio::signal::unix::{SignalKind, signal};

use crate::process;
use crate::run::{self, engine, hosting};
use crate::verify::{Verification, Verifier, situation, verifications};

/// Everything that `run` and `record` know, one a line.
pub fn list(root: &Path) -> Result<String> {
    let table = Table::load(root)?;
    let mut text = String::from("Listings\n");
    for scenario in &table.scenarios {
        for listing in table.listings_of(&scenario.id) {
            let _ = match &listing.impossible {
                None => writeln!(text, "  {:<34} {}", listing.id(), scenario.title),
                Some(_) => writeln!(text, "  {:<34} impossible with this client", listing.id()),
            };
        }
    }
    text.push_str("\nMistakes\n");
    for mistake in &table.mistakes {
        let _ = writeln!(text, "  {:<34} {}", mistake.id, mistake.title);
    }
    Ok(text)
}

/// Runs one listing in the environment of its scenario, with this terminal as its own. What the emulator sees goes to
/// standard error.
pub fn run(root: &Path, id: &str, show_environment: bool) -> Result<ExitStatus> {
    let table = Table::load(root)?;
    let Some(listing) = table.listing(id).cloned() else {
        let known: Vec<_> = table.listings.iter().map(Listing::id).collect();
        bail!("there is no listing `{id}`; there are {}", known.join(", "));
    };
    let wanted: Vec<_> = verifications(&table, false)
        .into_iter()
        .filter(|it| it.listing(&table).is_some_and(|of| of.id() == id))
        .collect();
    let verifier = Verifier::prepare(table, &wanted, None)?;
    let program = verifier.program(&listing)?;
    let situation = situation(verifier.table(), verifier.scenario(&listing)?, &listing);
    let emulator = run::emulator(&situation).log_to_stderr(true).start().context("cannot start the emulator")?;
    eprintln!("{id} against {}", engine(&emulator));
    if show_environment {
        for (name, value) in hosting(&emulator, &situation)? {
            eprintln!("  {name}={value}");
        }
    }

    let mut command = program.command();
    run::surround(&mut command, &emulator, &situation)?;
    // Ctrl-C is for the listing, which is in our process group and gets it too. We stay to see how it leaves.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _stay = runtime.block_on(async { signal(SignalKind::interrupt()) })?;
    let status = run::meanwhile(&emulator, situation.meanwhile, || process::ends_with_us(&mut command).status())?
        .with_context(|| format!("cannot start {}", program.executable.display()))?;
    // What the program's end looks like from the other side.
    emulator.wait_for(Duration::from_secs(1), run::all_closed);
    eprintln!("{id} {}", process::describe(status));
    Ok(status)
}

/// Runs everything that leaves a recording, or what `ids` name, and writes what it did. Removes recordings that belong to
/// nothing when everything is renewed. `ids` are of listings, scenarios or mistakes.
pub fn record(root: &Path, ids: &[String]) -> Result<()> {
    let table = Table::load(root)?;
    let recorded = |it: &Verification| it.kind() == "mistake" || it.is_recorded(&table);
    let all: Vec<_> = verifications(&table, false).into_iter().filter(recorded).collect();
    let name = |it: &Verification| it.listing(&table).map_or_else(|| it.name(&table), |listing| listing.id());
    let names: BTreeMap<String, Verification> = all.iter().map(|it| (name(it), *it)).collect();
    let named = |id: &String| -> Vec<Verification> {
        let of_scenario = format!("{id}/");
        names.iter().filter(|(name, _)| *name == id || name.starts_with(&of_scenario)).map(|(_, it)| *it).collect()
    };
    let unknown: Vec<_> = ids.iter().filter(|id| named(id).is_empty()).map(String::as_str).collect();
    if !unknown.is_empty() {
        let known: Vec<_> = names.keys().map(String::as_str).collect();
        bail!("nothing is called {}; there are {}", unknown.join(", "), known.join(", "));
    }
    let chosen = match ids.is_empty() {
        true => all,
        false => ids.iter().flat_map(named).collect(),
    };
    let verifier = Verifier::prepare(table, &chosen, None)?;

    // A stack that is not ready is told once, not for each of its listings.
    let failed = Mutex::new(verifier.not_ready());
    let ready: VecDeque<_> = chosen.into_iter().filter(|it| verifier.is_ready(it)).collect();
    let waiting = Mutex::new(ready);
    thread::scope(|scope| {
        for _ in 0..Verifier::at_once() {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no recording panics").pop_front();
                    let Some(it) = next else { break };
                    let table = verifier.table();
                    let name = it.listing(table).map_or_else(|| it.name(table), |listing| listing.id());
                    match renew(&verifier, &it, &name) {
                        Ok(true) => println!("{name}: renewed"),
                        Ok(false) => println!("{name}: unchanged"),
                        Err(error) => {
                            println!("{name}: FAILED");
                            failed.lock().expect("no recording panics").push(format!("{name}: {error:#}"));
                        }
                    }
                }
            });
        }
    });
    if ids.is_empty() {
        for orphan in orphans(verifier.table())? {
            fs::remove_file(&orphan).with_context(|| format!("cannot remove {}", orphan.display()))?;
            println!("{}: removed, for it belongs to nothing", orphan.display());
        }
    }
    let failed = failed.into_inner().expect("no recording panics");
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("not recorded:\n\n{}", failed.join("\n\n")),
    }
}

/// Runs one and writes its recording. Returns whether the file is another one than before.
fn renew(verifier: &Verifier, it: &Verification, name: &str) -> Result<bool> {
    let table = verifier.table();
    let path;
    let before;
    if it.kind() == "listing" {
        let listing = table.listing(name).context("the listing is gone")?;
        path = Recording::path(&table.root, listing);
        before = fs::read(&path).ok();
        verifier.fresh_recording(listing, None)?.write(&table.root, listing)?;
    } else {
        let mistake = table.mistake(name).context("the mistake is gone")?;
        path = ErrorCapture::path(&table.root, mistake);
        before = fs::read(&path).ok();
        verifier.fresh_capture(mistake)?.write(&table.root, mistake)?;
    }
    Ok(before != fs::read(&path).ok())
}
