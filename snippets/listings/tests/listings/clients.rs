//! The tables of what each client can do.

use std::path::{Path, PathBuf};

use crate::fixture::Fixture;
use listings::{MissingRecordings, Pages, Places, Sources, Target};

#[test]
fn a_cell_leads_to_the_listing_that_ran() {
    let page = Fixture::recorded().page("{{#listing sign-in}}\n\n{{#clients identities}}\n");
    assert!(
        page.contains(
            "|  | Sign in & out |\n|---|---|\n\
             | Rust | [✓ sync](one.md#listing-sign-in) |\n| Python | [✓](one.md#listing-sign-in) |\n"
        ),
        "{page}"
    );
}

#[test]
fn what_a_client_cannot_do_and_what_limits_it_is_said() {
    let page = Fixture::recorded()
        .page("{{#listing refresh}}\n\n{{#error wrong-name}}\n\n{{#clients time}}\n\n{{#clients limits}}\n");
    assert!(page.contains("|  | fresh | asks for the next token |\n"), "{page}");
    assert!(page.contains("| Rust | [limits](#limits-rust) | in time |\n"), "{page}");
    assert!(page.contains("| Python | [no](one.md#listing-refresh) |  |\n"), "{page}");
    assert!(page.contains("<a id=\"limits-rust\"></a>"), "{page}");
    assert!(page.contains("- fresh: [The wrong <name>](one.md#error-wrong-name)\n"), "{page}");
}

#[test]
fn a_policy_is_shown_by_a_listing_that_ran_under_it() {
    let page = Fixture::recorded().page("{{#clients policies}}\n");
    assert!(page.contains("|  | `NoCluster` | `EnterpriseCluster` | `OSSCluster` |\n"), "{page}");
    assert!(page.contains("| Rust | ✓ sync |  | ✓ sync |\n| Python | ✓ |  | ✓ |\n"), "{page}");
}

#[test]
fn the_versions_are_those_of_the_recordings() {
    let page = Fixture::recorded().page("{{#clients versions}}\n");
    assert!(page.contains("- **Rust**: redis 1.8.1, against Valkey 9.1.2\n"), "{page}");
}

#[test]
fn nothing_counts_that_did_not_run() {
    let fixture = Fixture::recorded();
    fixture.write("snippets/python/sign_in.py", "changed = True\n");
    let error = fixture.expand("{{#clients identities}}\n", Target::Html).unwrap_err().to_string();
    assert!(error.contains("`sign-in/python`") && error.contains("cargo book record"), "{error}");
    let page = fixture.expand_with("{{#clients identities}}\n", Target::Html, MissingRecordings::Note).unwrap();
    assert!(page.contains("| Rust | ✓ sync |\n| Python | not recorded |\n"), "{page}");
}

#[test]
fn a_link_finds_its_way_between_folders_and_prefers_a_page_of_one_client() {
    let fixture = Fixture::recorded();
    let table = fixture.table();
    let chapters = [
        ("src/all.md", "{{#listing sign-in}}"),
        ("src/deep/rust.md", "{{#listing sign-in stack=rust}}"),
        ("src/deep/table.md", "{{#clients identities}}"),
    ];
    let places = Places::of(chapters.map(|(path, markdown)| (PathBuf::from(path), markdown)));
    let pages = Pages {
        table: &table,
        sources: Sources::Nowhere,
        missing_recordings: MissingRecordings::Error,
        places: &places,
    };
    let page = pages.expand(chapters[2].1, Path::new(chapters[2].0), Target::Html).unwrap();
    assert!(page.contains("[✓ sync](rust.md#listing-sign-in) |\n| Python | [✓](../all.md#listing-sign-in)"), "{page}");
}

#[test]
fn a_part_that_there_is_not_is_named() {
    let error = Fixture::recorded().expand("{{#clients prices}}\n", Target::Html).unwrap_err().to_string();
    assert!(error.contains("`prices`") && error.contains("identities, time, policies"), "{error}");
}
