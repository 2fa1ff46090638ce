//! Recordings: made from a run, compared with the one under version control, and written by `cargo book record`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use azure_managed_redis_emulator::Event;
use listings::{
    ErrorCapture, Listing, Mistake, Recording, Scenario, Table, canonical_text, hash_sources, mistake_sources,
};
use serde::Serialize;
use serde_json::{Value, json};
use similar::TextDiff;

use crate::masks::{Masks, without_engine};
use crate::run::{Ending, Run};
use crate::stack::Ready;

/// Stands behind a line of the emulator's log that is there again and again.
const REPEATED: &str = "  (more than once)";

/// How many lines of the emulator's log a capture holds. A mistake that repeats itself would fill pages.
const LOG_LINES: usize = 5;

pub(crate) fn recording(listing: &Listing, scenario: &Scenario, stack: &dyn Ready, run: &Run) -> Result<Recording> {
    let masks = Masks::new(&run.events, &listing.masks);
    let shown = listing.shown_file().context("the listing has no file")?;
    Ok(Recording {
        scenario: listing.scenario.clone(),
        stack: listing.stack.clone(),
        variant: listing.variant.clone(),
        command: stack.typed(shown),
        sources: hash_sources(&listing.directory, &listing.files)?,
        date: None,
        verdict: "passed".to_string(),
        exit: exit(run),
        output: masks.lines(&run.printed.stdout),
        answers: answers(run, &masks),
        events: match listing.concurrent.unwrap_or(scenario.concurrent) {
            true => masks.event_set(&run.events),
            false => masks.events(&run.events, scenario.stop_after.is_none()),
        },
        versions: versions(stack, &listing.dependencies)?,
        engine: run.engine.clone(),
    })
}

/// Takes out how often these commands ran on each connection.
pub(crate) fn uncount(recording: &mut Recording, commands: &[String]) {
    for event in &mut recording.events {
        let Some(counts) = event.get_mut("commands").and_then(Value::as_object_mut) else { continue };
        for (_, count) in counts.iter_mut().filter(|(name, _)| commands.contains(name)) {
            *count = json!("<count>");
        }
    }
}

/// What a server answered, each different answer once.
fn answers(run: &Run, masks: &Masks) -> Vec<String> {
    let mut answers = Vec::new();
    for visit in run.visits.iter().flatten() {
        let answer = masks.text(&visit.body);
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    answers
}

/// `program` is the file that ran, and `dependencies` those whose versions matter for the error.
pub(crate) fn capture(
    table: &Table,
    mistake: &Mistake,
    program: &Path,
    dependencies: &[String],
    stack: &dyn Ready,
    run: &Run,
) -> Result<ErrorCapture> {
    let told: Vec<_> = run.events.iter().filter(|event| is_told(mistake, event)).cloned().collect();
    let masks = Masks::new(&told, &mistake.masks);
    let output = without_repetition(shown_lines(mistake, run).map(|line| masks.text(line)).collect());
    let (log, events) = said(&told, &masks);
    Ok(ErrorCapture {
        mistake: mistake.id.clone(),
        stack: mistake.stack.clone(),
        command: stack.typed(program),
        sources: mistake_sources(table, mistake)?,
        exit: exit(run),
        output,
        log,
        events,
        versions: versions(stack, dependencies)?,
        engine: run.engine.clone(),
    })
}

/// The lines of the output, standard error last, that belong into the book.
pub(crate) fn shown_lines<'a>(mistake: &'a Mistake, run: &'a Run) -> impl Iterator<Item = &'a str> {
    let printed = run.printed.stdout.lines().chain(run.printed.stderr.lines());
    printed
        .skip_while(|line| mistake.shows_from.as_ref().is_some_and(|first| !first.is_match(line)))
        .filter(|line| mistake.shows.iter().any(|pattern| pattern.is_match(line)))
}

/// A program that tries again and again says the same each time, which would fill the page.
fn without_repetition(lines: Vec<String>) -> Vec<String> {
    const MOST: usize = 3;
    let mut brief = Vec::new();
    for same in lines.chunk_by(|one, next| one == next) {
        if same.len() <= MOST {
            brief.extend_from_slice(same);
        } else {
            brief.push(same[0].clone());
            brief.push(format!("… the same {} times more", same.len() - 1));
        }
    }
    brief
}

/// What the emulator says about a mistake, for a person and for a machine. How often it says the same, of one connection
/// or of many, is chance: that depends on how quickly the client gives up.
fn said(told: &[Event], masks: &Masks) -> (Vec<String>, Vec<Value>) {
    let mut said: Vec<Said> = Vec::new();
    for event in told {
        let line = masks.text(&event.kind.to_string());
        let number = masks.event(event).get("connection").map(|number| format!("#{number}"));
        // Numbers are padded to a column, so blanks do not count either.
        let words = line.split_whitespace().filter(|word| Some(*word) != number.as_deref());
        let of_any = words.collect::<Vec<_>>().join(" ");
        match said.iter_mut().find(|known| known.of_any == of_any) {
            Some(known) => known.repeated = true,
            None => said.push(Said { line, of_any, event: masks.event(event), repeated: false }),
        }
    }
    let more = said.len() > LOG_LINES;
    said.truncate(LOG_LINES);
    let mut log = Vec::new();
    let mut events = Vec::new();
    for it in said {
        log.push(match it.repeated {
            true => it.line + REPEATED,
            false => it.line,
        });
        events.push(it.event);
    }
    if more {
        log.push("… and so on".to_string());
    }
    (log, events)
}

/// Whether an event says something about the mistake.
fn is_told(mistake: &Mistake, event: &Event) -> bool {
    let value = serde_json::to_value(event).unwrap_or_default();
    mistake.logs.iter().any(|wanted| wanted.matches(&value))
}

/// A line of the emulator's log that is captured.
struct Said {
    line: String,
    /// The same without the number of the connection.
    of_any: String,
    event: Value,
    repeated: bool,
}

/// What differs between a recording and a fresh run of this stack, as lines with `-` and `+`; `None` when nothing does.
pub(crate) fn drift(recorded: &impl Serialize, fresh: &impl Serialize, stack: &dyn Ready) -> Result<Option<String>> {
    let (toolchain, _) = stack.toolchain_version();
    let (before, after) = (comparable(recorded, &toolchain)?, comparable(fresh, &toolchain)?);
    if before == after {
        return Ok(None);
    }
    let diff = TextDiff::from_lines(&before, &after);
    let text = diff.unified_diff().context_radius(3).header("recorded", "this run").to_string();
    Ok(Some(text))
}

/// Everything that must be the same on every machine. Which compiler, interpreter and engine a machine has is recorded,
/// but is its own affair. So is the day.
fn comparable(recording: &impl Serialize, toolchain: &str) -> Result<String> {
    let mut value = serde_json::to_value(recording)?;
    if let Some(members) = value.as_object_mut() {
        members.remove("engine");
        members.remove("date");
        if let Some(versions) = members.get_mut("versions").and_then(Value::as_object_mut) {
            versions.remove(toolchain);
        }
        // Whether a client comes a second time before it is stopped is chance.
        for line in members.get_mut("log").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(once) = line.as_str().and_then(|text| text.strip_suffix(REPEATED)) {
                *line = json!(once);
            }
        }
        if let Some(events) = members.get("events").and_then(Value::as_array) {
            let events = without_engine(events);
            members.insert("events".to_string(), json!(events));
        }
    }
    canonical_text(&value)
}

fn versions(stack: &dyn Ready, dependencies: &[String]) -> Result<BTreeMap<String, String>> {
    let mut versions = stack.versions(dependencies)?;
    versions.extend([stack.toolchain_version()]);
    Ok(versions)
}

fn exit(run: &Run) -> i32 {
    match run.ending {
        Ending::Left(status) | Ending::LeftAsAsked(status) => status.code().unwrap_or(-1),
        Ending::NeverLeft(_) | Ending::NeverShown(_) | Ending::Ended => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_the_log_says_it_a_second_time_is_no_drift() {
        let capture = |line: &str| comparable(&json!({ "log": [line] }), "rustc").unwrap();
        assert_eq!(capture("TLS FAILED"), capture("TLS FAILED  (more than once)"));
        assert_ne!(capture("TLS FAILED"), capture("TLS FAILED  (never)"));
    }

    #[test]
    fn what_is_printed_again_and_again_is_captured_once() {
        let lines = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
        assert_eq!(without_repetition(lines("a b b b a")), lines("a b b b a"));
        assert_eq!(without_repetition(lines("a b b b b")), ["a", "b", "… the same 3 times more"]);
    }
}
