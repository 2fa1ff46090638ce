//! Shows mdBook's own warnings and errors on the terminal. mdBook goes on after some errors, a missing include for
//! example, so they are counted too: a book with errors is not a good one.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static ERRORS: AtomicUsize = AtomicUsize::new(0);

/// To be called once, by the program.
pub fn show_diagnostics() {
    // It fails only when somebody else shows them already.
    let _ = tracing::subscriber::set_global_default(Terminal);
}

/// How many errors were shown since this was last asked.
pub(crate) fn errors_since_last_asked() -> usize {
    ERRORS.swap(0, Ordering::Relaxed)
}

struct Terminal;

impl Subscriber for Terminal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates report what is none of the reader's business.
        *metadata.level() <= Level::WARN && metadata.target().starts_with("mdbook")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let word = if *event.metadata().level() == Level::ERROR {
            ERRORS.fetch_add(1, Ordering::Relaxed);
            "error"
        } else {
            "warning"
        };
        eprintln!("{word}: {}", line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
