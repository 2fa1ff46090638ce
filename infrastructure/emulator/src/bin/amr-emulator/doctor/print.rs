//! How the report looks: for a person as it grows, or as one JSON document at the end.

use std::io::{self, Write};

use anstream::stdout;
use anstyle::{AnsiColor, Style};

use super::report::{Fact, Report, Status, Step, Verdict};

/// Where the report goes, and in which form.
pub(super) enum Output {
    /// For a person: each step as soon as it is done.
    Text,
    Json,
}

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const PLAIN: Style = Style::new();

/// Column of a step's summary: behind the status and the step's name.
const SUMMARY: usize = 21;
/// Lines are broken here, and values wider than this have their note on the next line.
const LINE: usize = 110;
const VALUE: usize = 40;

impl Output {
    pub(super) fn begin(&self, host: &str, port: u16) {
        if let Output::Text = self {
            // Whoever reads may have gone; the exit code still tells.
            let _ = writeln!(stdout(), "Examining {BOLD}{host}{BOLD:#}, port {port}\n");
        }
    }

    pub(super) fn step(&self, step: &Step) {
        if let Output::Text = self {
            let _ = stdout().write_all(text(step).as_bytes());
        }
    }

    pub(super) fn end(&self, report: &Report) -> io::Result<()> {
        let mut out = stdout();
        let written = match self {
            Output::Json => {
                serde_json::to_string_pretty(report).map_err(io::Error::from).and_then(|json| writeln!(out, "{json}"))
            }
            Output::Text => out.write_all(ending(report).as_bytes()),
        };
        match written.and_then(|()| out.flush()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e),
            _ => Ok(()),
        }
    }
}

fn text(step: &Step) -> String {
    let (word, style) = match step.status {
        Status::Ok => ("ok", GREEN),
        Status::Failed => ("failed", RED),
        Status::Skipped => ("skipped", DIM),
    };
    let of_summary = if step.status == Status::Skipped { DIM } else { BOLD };
    let mut text =
        format!("{style}{word:<8}{style:#} {:<11} {of_summary}{}{of_summary:#}\n", step.step.title(), step.summary);
    if let [fact] = step.facts.as_slice()
        && [Some(&fact.value), fact.note.as_ref()].into_iter().flatten().all(|told| step.summary.contains(told))
    {
        return text;
    }
    let name = step.facts.iter().map(|fact| width(&fact.name)).max().unwrap_or(0);
    let value = step
        .facts
        .iter()
        .filter(|fact| fact.note.is_some() && width(&fact.value) <= VALUE)
        .map(|fact| width(&fact.value))
        .max()
        .unwrap_or(0);
    for fact in &step.facts {
        line(&mut text, fact, name, value);
    }
    text
}

/// One fact: mark, name, value, note, each in its column.
fn line(text: &mut String, fact: &Fact, name: usize, value: usize) {
    let (mark, style) = match fact.verdict {
        Some(Verdict::Bad) => ("x", RED),
        Some(Verdict::Remark) => ("!", YELLOW),
        _ => (" ", PLAIN),
    };
    let padded = |text: &str, to: usize| format!("{text}{}", " ".repeat(to.saturating_sub(width(text))));
    let start = SUMMARY + name + 2;
    text.push_str(&format!("{}{style}{mark}{style:#} {}  ", " ".repeat(SUMMARY - 2), padded(&fact.name, name)));
    let broken = wrapped(&fact.value, LINE.saturating_sub(start));
    let Some(note) = &fact.note else {
        text.push_str(&lines_at(&broken, start, PLAIN));
        return;
    };
    if width(&fact.value) <= value {
        text.push_str(&format!("{}  ", padded(&fact.value, value)));
        let column = start + value + 2;
        text.push_str(&lines_at(&wrapped(note, LINE.saturating_sub(column)), column, style));
    } else {
        text.push_str(&lines_at(&broken, start, PLAIN));
        text.push_str(&" ".repeat(start));
        text.push_str(&lines_at(&wrapped(note, LINE.saturating_sub(start)), start, style));
    }
}

fn ending(report: &Report) -> String {
    let mut text = String::from("\n");
    match report.cause() {
        None => text.push_str(&format!("{GREEN}All well.{GREEN:#}\n")),
        Some(cause) => {
            text.push_str(&format!("{RED}Cause{RED:#}  "));
            text.push_str(&lines_at(&wrapped(&cause.what, LINE - 7), 7, BOLD));
            text.push_str(&format!("{GREEN}Fix{GREEN:#}    "));
            text.push_str(&lines_at(&wrapped(&cause.fix, LINE - 7), 7, PLAIN));
            for command in &cause.commands {
                // Not broken: it is there to be copied.
                text.push_str(&format!("         {command}\n"));
            }
        }
    }
    for remark in report.remarks() {
        text.push_str("     - ");
        text.push_str(&lines_at(&wrapped(remark, LINE - 7), 7, PLAIN));
    }
    text
}

/// The lines, all but the first pushed to `column`.
fn lines_at(lines: &[String], column: usize, style: Style) -> String {
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            text.push_str(&" ".repeat(column));
        }
        text.push_str(&format!("{style}{line}{style:#}\n"));
    }
    text
}

/// The words of `text` in lines of at most `room` characters; a longer word stays whole.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let room = room.max(20);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            last.push_str(word);
        } else if width(last) + 1 + width(word) <= room {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn width(text: &str) -> usize {
    text.chars().count()
}
