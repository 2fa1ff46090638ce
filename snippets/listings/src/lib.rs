//! The listings of the book: the table that names them, their recordings, and the preprocessor
//! that shows both. The runner and the build script of `snippets/rust` call it; it knows no emulator.

mod chapter;
mod clients;
mod events;
mod html;
mod manifest;
mod page;
mod preprocessor;
mod recording;
mod region;
mod table;

pub use clients::Places;
pub use manifest::{dependency_lines, file_based_package, maven_project};
pub use page::{MissingRecordings, Pages, Sources, Target};
pub use preprocessor::{ExpandedChapter, Listings, RustBlock, load_expanded};
pub use recording::{ErrorCapture, RECORDED, Recording, canonical_text, hash_sources, mistake_sources, orphans};
pub use table::{
    CountRange, EnvironmentChange, ErrorReply, Exit, Expect, ExpectedSignIns, ExpectedTokens, Impossible, Kind,
    Listing, LogMatch, Mask, Meanwhile, Mistake, Mutation, Pattern, Policy, Scenario, Stack, StopAfter, TABLE, Table,
    Tier, Trouble,
};
