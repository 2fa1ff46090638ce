//! What a chapter says of the emulator is what the emulator is.

use std::fs;
use std::path::Path;

use azure_managed_redis_emulator::{Configuration, azure};

fn chapter() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/emulator.md");
    fs::read_to_string(path).expect("the chapter about the emulator")
}

/// Text without Markdown's marks for code and links.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once('[') {
        text.push_str(before);
        match link.split_once("](").and_then(|(name, after)| Some((name, after.split_once(')')?.1))) {
            Some((name, after)) => {
                text.push_str(name);
                rest = after;
            }
            None => {
                text.push('[');
                rest = link;
            }
        }
    }
    text.push_str(rest);
    text.replace('`', "")
}

#[test]
fn the_table_of_uncertainties_is_the_emulators_own() {
    let chapter = chapter();
    let (_, table) = chapter.split_once("| not known | the emulator |\n|---|---|\n").expect("the table");
    let rows: Vec<String> = table.lines().take_while(|line| line.starts_with('|')).map(plain).collect();
    let expected: Vec<String> =
        azure::UNCERTAIN.iter().map(|(what, does)| plain(&format!("| {what} | {does} |"))).collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_table_of_differences_is_the_emulators_own() {
    let chapter = chapter();
    let (_, table) = chapter.split_once("| | Azure | the emulator |\n|---|---|---|\n").expect("the table");
    let rows: Vec<String> = table.lines().take_while(|line| line.starts_with('|')).map(plain).collect();
    let mut before = "";
    let expected = azure::DIFFERENCES.iter().map(|(about, azure, emulator)| {
        let title = if *about == before { "" } else { about };
        before = about;
        plain(&format!("| {title} | {azure} | {emulator} |"))
    });
    assert_eq!(rows, expected.collect::<Vec<_>>());
}

#[test]
fn the_directory_in_the_chapter_is_the_emulators_own() {
    let chapter = chapter();
    let Configuration { directory, assignments, .. } = Configuration::fixed();
    assert!(chapter.contains(&format!("`{}`", directory.tenant_id)));
    for identity in &directory.identities {
        let is_assigned = assignments.iter().any(|assignment| assignment.object_id == identity.object_id);
        let assigned = if is_assigned { "yes" } else { "none" };
        let row = format!("| `{}` | `{}` | `{}` | {assigned} |", identity.name, identity.object_id, identity.client_id);
        assert!(chapter.contains(&row), "the chapter has no row\n{row}");
    }
}
