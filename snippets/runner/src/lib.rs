//! Makes the listings of the book ready, runs each against an emulator of its own, judges and records what happened, and
//! serves the book. The command `cargo book` and the test `listings` are its two callers.

mod book;
mod commands;
mod diagnostics;
mod isolation;
mod judge;
mod masks;
mod process;
mod record;
mod root;
mod run;
mod serve;
mod stack;
mod turns;
mod verify;
mod visits;
mod warm_up;

pub use book::build;
pub use commands::{list, record, run};
pub use diagnostics::show_diagnostics;
pub use isolation::{answer_probe, isolate};
pub use listings::Table;
pub use root::book_root;
pub use serve::{Address, serve};
pub use verify::{REQUIRE_ALL, SLOW, Verdict, Verification, Verifier, switched_on, verifications};
pub use warm_up::{answer_engine_warm_up, warm_up_engine};
