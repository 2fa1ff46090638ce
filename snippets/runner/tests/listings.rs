//! `cargo test` runs every listing here, judges it by the emulator's event log, and compares it with its recording; runs
//! what must fail; and says at the end how much was verified.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Trial};
use runner::{
    REQUIRE_ALL, SLOW, Table, Verdict, Verification, Verifier, answer_engine_warm_up, answer_probe, book_root, isolate,
    switched_on, verifications, warm_up_engine,
};

/// How many were verified and how many skipped, by kind.
type Counts = BTreeMap<&'static str, (u32, u32)>;

fn main() -> ExitCode {
    answer_probe();
    answer_engine_warm_up();
    match run(Arguments::from_args()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let slow = switched_on(SLOW);
    let require_all = switched_on(REQUIRE_ALL);
    let table = Table::load(book_root()?)?;
    let all = verifications(&table, slow);

    // Only what will run is made ready, so that one listing can be tried without the tools of the others.
    let counts = Arc::new(Mutex::new(Counts::new()));
    let will_run: Vec<_> = all
        .into_iter()
        .filter(|it| {
            let trial = Trial::test(it.name(&table), || Ok(())).with_kind(it.kind());
            !arguments.is_filtered_out(&trial)
        })
        .collect();
    let verifier = match arguments.list {
        true => Verifier::prepare(table, &[], None)?,
        false => {
            let verifier = Verifier::prepare(table, &will_run, Some(target()))?;
            warm_up_engine()?;
            if let Err(why) = isolate() {
                let text = format!("the listings are not cut off from the network: {why:#}");
                anyhow::ensure!(!require_all, "{text}. {REQUIRE_ALL} is set, so this is a failure");
                eprintln!("note: {text}");
            }
            verifier
        }
    };

    let verifier = Arc::new(verifier);
    let trials = will_run.into_iter().map(|it| trial(it, &verifier, &counts)).collect();
    arguments.test_threads.get_or_insert(Verifier::at_once());
    let filtered = arguments.filter.is_some() || !arguments.skip.is_empty() || arguments.ignored;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if arguments.list {
        return Ok(ExitCode::SUCCESS);
    }

    let counts = counts.lock().expect("no trial panics while it counts");
    println!("{}\n", summary(&counts, slow));
    if conclusion.num_passed + conclusion.num_failed == 0 && !filtered {
        eprintln!("error: not one listing was verified, and that proves nothing");
        return Ok(ExitCode::FAILURE);
    }
    Ok(conclusion.exit_code())
}

fn trial(it: Verification, verifier: &Arc<Verifier>, counts: &Arc<Mutex<Counts>>) -> Trial {
    let (name, kind) = (it.name(verifier.table()), it.kind());
    let (verifier, counts) = (Arc::clone(verifier), Arc::clone(counts));
    Trial::ignorable_test(name, move || {
        let verdict = verifier.verify(&it);
        let mut counts = counts.lock().expect("no trial panics while it counts");
        let (verified, skipped) = counts.entry(kind).or_default();
        match verdict {
            Verdict::Verified => {
                *verified += 1;
                Ok(Completion::Completed)
            }
            Verdict::Skipped(why) => {
                *skipped += 1;
                Ok(Completion::ignored_with(why))
            }
            Verdict::Failed(why) => Err(why.into()),
        }
    })
    .with_kind(kind)
}

fn summary(counts: &Counts, slow: bool) -> String {
    let of = |kind, one: &str, many: &str| {
        let (verified, _) = counts.get(kind).copied().unwrap_or_default();
        format!("{verified} {}", if verified == 1 { one } else { many })
    };
    let skipped: u32 = counts.values().map(|(_, skipped)| skipped).sum();
    let mut text = [
        of("listing", "listing verified", "listings verified"),
        of("certificate", "false certificate refused", "false certificates refused"),
        of("mutation", "mutation caught", "mutations caught"),
        of("mistake", "mistake went wrong as the book says", "mistakes went wrong as the book says"),
    ]
    .join("; ");
    text += &match slow {
        true => format!("; {} built and run from the dependency lines alone", of("alone", "listing", "listings")),
        false => format!(". Not tried: each listing built from its dependency lines alone ({SLOW}=1 does)"),
    };
    if skipped > 0 {
        text += &format!(". {skipped} skipped, see above");
    }
    text + "."
}

/// Cargo's target folder: where it built this test.
fn target() -> &'static std::path::Path {
    let own = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    own.parent().unwrap_or(own)
}
