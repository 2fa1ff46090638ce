//! Recordings as they stand under version control: where, in what form, and when they no longer fit.

use std::fs;

use crate::fixture::{Fixture, capture, recording};
use listings::{ErrorCapture, Recording, orphans};

#[test]
fn a_recording_comes_back_as_it_was_written() {
    let fixture = Fixture::new();
    let table = fixture.table();
    let listing = table.listing("sign-in/rust-sync").unwrap();
    assert_eq!(Recording::read(fixture.root(), listing).unwrap(), None);

    let written = recording(&table, "sign-in/rust-sync");
    written.write(fixture.root(), listing).unwrap();
    assert_eq!(Recording::read(fixture.root(), listing).unwrap(), Some(written));
    let path = fixture.path("snippets/recorded/sign-in/rust-sync.json");
    let text = fs::read_to_string(path).unwrap();
    assert!(text.starts_with("{\n  \"command\": \"cargo run"), "{text}");
    assert!(text.ends_with("\n}\n"), "{text}");
    // The fields of an event are sorted, so that no build of serde_json makes another file of it.
    assert!(text.find("\"event\": \"token-issued\"") < text.find("\"flow\""), "{text}");

    let mistake = table.mistake("wrong-name").unwrap();
    let written = capture(&table, "wrong-name");
    written.write(fixture.root(), mistake).unwrap();
    assert_eq!(ErrorCapture::read(fixture.root(), mistake).unwrap(), Some(written));
    assert!(fixture.path("snippets/recorded/errors/wrong-name.json").is_file());
}

#[test]
fn a_changed_source_makes_it_stale() {
    let fixture = Fixture::recorded();
    let table = fixture.table();
    let listing = table.listing("sign-in/rust-sync").unwrap();
    let recording = Recording::read(fixture.root(), listing).unwrap().unwrap();
    assert_eq!(recording.stale(listing).unwrap(), None);

    let mut more = listing.clone();
    more.files.push("mistakes/wrong_name.rs".into());
    assert_eq!(recording.stale(&more).unwrap().unwrap(), "mistakes/wrong_name.rs is new since it was recorded");
    let other = table.listing("sign-in/python").unwrap();
    assert!(recording.stale(other).unwrap().unwrap().contains("not of sign-in/python"));

    fixture.write("snippets/rust/examples/sign_in.rs", "fn main() {}\n");
    assert_eq!(recording.stale(listing).unwrap().unwrap(), "examples/sign_in.rs changed since it was recorded");

    let mistake = table.mistake("wrong-name").unwrap();
    let capture = ErrorCapture::read(fixture.root(), mistake).unwrap().unwrap();
    assert_eq!(capture.stale(&table, mistake).unwrap(), None);
    fixture.write("snippets/rust/mistakes/wrong_name.rs", "fn main() { }\n");
    assert!(capture.stale(&table, mistake).unwrap().is_some());
}

#[test]
fn recordings_of_nothing_are_found() {
    let fixture = Fixture::recorded();
    assert!(orphans(&fixture.table()).unwrap().is_empty());
    fixture.write("snippets/recorded/sign-in/ruby.json", "{}").write("snippets/recorded/errors/old.json", "{}");
    let found: Vec<_> =
        orphans(&fixture.table()).unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(found, ["old.json", "ruby.json"]);
}
