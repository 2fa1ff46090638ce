//! The preprocessor in a whole book: rendered by mdBook's own renderer, run as a command, and
//! expanded for skeptic.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::fixture::Fixture;
use listings::{Listings, MissingRecordings, load_expanded};
use mdbook_driver::MDBook;
use mdbook_preprocessor::PreprocessorContext;
use mdbook_preprocessor::config::Config;

const BOOK: &str = "[book]\ntitle = \"A book\"\n\n[preprocessor.listings]\ncommand = \"false\"\nbefore = [\"links\"]\n";

fn build(fixture: &Fixture, listings: Listings) -> anyhow::Result<String> {
    let mut book = MDBook::load(fixture.root())?;
    book.with_preprocessor(listings);
    book.build()?;
    Ok(fs::read_to_string(fixture.path("book/one.html"))?)
}

#[test]
fn mdbook_renders_a_listing_with_its_hidden_lines() {
    let fixture = Fixture::recorded();
    fixture.write("book.toml", BOOK);
    let html = build(&fixture, Listings::new()).unwrap();
    for part in [
        "<span class=\"boring\">//! Signs in.\n</span>",
        "    println!(\n        r#\"\n# a heading\n\"#\n",
        "<code class=\"language-python hidelines=~~\"><span class=\"boring\">import redis\n</span>",
        "<span class=\"boring\">~x = 1\n</span>client = redis.Redis()\n",
        "<samp>PONG &lt;&amp;&gt;\n\n{{#include x}}</samp>",
    ] {
        assert!(html.contains(part), "no {part} in:\n{html}");
    }
    // Panels stand side by side in their figure, whatever the Markdown in them was.
    let figure = &html[html.find("<figure").unwrap()..html.find("</figure>").unwrap()];
    assert_eq!(figure.matches("<div").count(), figure.matches("</div>").count());
}

#[test]
fn the_policy_comes_from_the_settings_or_from_the_program() {
    let fixture = Fixture::new();
    fixture.write("book.toml", BOOK);
    let fault = build(&fixture, Listings::new()).unwrap_err();
    assert!(format!("{fault:#}").contains("src/one.md:3: the listing `sign-in/rust-sync` has never"), "{fault:#}");

    let note = Listings::new().missing_recordings(MissingRecordings::Note);
    assert!(build(&fixture, note).unwrap().contains("listing-note"));

    fixture.write("book.toml", &format!("{BOOK}missing-recordings = \"note\"\n"));
    assert!(build(&fixture, Listings::new()).unwrap().contains("listing-note"));

    fixture.write("book.toml", &format!("{BOOK}missing-recordings = \"yes\"\n"));
    let fault = build(&fixture, Listings::new()).unwrap_err();
    assert!(format!("{fault:#}").contains("is `yes`: write \"error\""), "{fault:#}");
}

#[test]
fn the_command_speaks_mdbooks_protocol() {
    let supports = |renderer: &str| {
        let output = command(&["supports", renderer], "");
        output.status.success()
    };
    assert!(supports("html") && !supports("not-supported"));

    let fixture = Fixture::recorded();
    let book = MDBook::load(fixture.root()).unwrap();
    let context = PreprocessorContext::new(fixture.root().to_path_buf(), Config::default(), "html".to_owned());
    let input = serde_json::to_string(&(&context, &book.book)).unwrap();
    let output = command(&[], &input);
    assert!(output.status.success());
    let expanded: mdbook_preprocessor::book::Book = serde_json::from_slice(&output.stdout).unwrap();
    let chapter = expanded.chapters().next().unwrap();
    assert!(chapter.content.contains("<figure class=\"listing\""), "{}", chapter.content);

    fixture.write("src/one.md", "{{#listing nothing}}\n");
    let book = MDBook::load(fixture.root()).unwrap();
    let output = command(&[], &serde_json::to_string(&(&context, &book.book)).unwrap());
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("src/one.md:1: there is no scenario `nothing`"), "{said}");

    for (arguments, input) in [(&["--help"][..], ""), (&[], "no book")] {
        let output = command(arguments, input);
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("run `cargo book` or `mdbook build` instead"), "{said}");
    }
}

fn command(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mdbook-listings"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have left without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn skeptic_gets_every_block_with_the_line_that_its_author_wrote() {
    let fixture = Fixture::new();
    // Neither recordings nor the other preprocessors take part.
    fixture
        .write("book.toml", "[preprocessor.mermaid]\ncommand = \"false\"\n")
        .write("src/SUMMARY.md", "# Summary\n\n- [One](one.md)\n  - [Two](two.md)\n- [Draft]()\n")
        .write(
            "src/one.md",
            "# One\n\n{{#include part.md}}\n\n{{#listing sign-in}}\n\n## A `b`\n\n```rust\n{{#rustdoc_include x.rs:2}}\n```\n",
        )
        .write("src/part.md", "Part.\n\nIn lines.\n")
        .write("src/x.rs", "fn main() {\n    let x = 1;\n}\n")
        .write("src/two.md", "```rust,no_run\nfn main() {}\n```\n\n{{#include blocks.md}}\n")
        .write("src/blocks.md", "```rust\nfn main() {}\n```\n");
    let chapters = load_expanded(fixture.root()).unwrap();
    let found: Vec<_> = chapters
        .iter()
        .flat_map(|chapter| {
            chapter.blocks.iter().map(|block| {
                let path = chapter.path.display();
                let section = block.section.as_deref().unwrap_or("-");
                format!("{path} {section} {:?} {} {}", block.line, block.listing, block.no_run)
            })
        })
        .collect();
    assert_eq!(
        found,
        [
            "one.md One Some(5) true false",
            "one.md A b Some(9) false false",
            "two.md - None false true",
            "two.md - None false false",
        ]
    );
    assert!(chapters[0].markdown.contains("# fn main() {\n    let x = 1;\n# }"));
    assert!(chapters[0].includes[1].ends_with("src/x.rs"));
}

#[test]
fn rust_that_would_escape_is_refused() {
    let fixture = Fixture::new();
    for (fence, said) in [
        ("rust,ignore", "would not even be compiled"),
        ("rust,should_panic", "would pass although it does not compile"),
        ("rust, compile_fail", "would not be compiled"),
        ("rust,edition2021", "would leave the book's one edition"),
        ("rust,skt-main", "would need a template"),
        ("rust,editable", "has a tag that this book does not use"),
        ("rust,no_run,listing", "is what a listing becomes"),
        ("rs", "would neither be compiled nor run"),
        ("Rust", "would neither be compiled nor run"),
        ("rust_foo", "would neither be compiled nor run"),
        ("text,rust", "would neither be compiled nor run"),
        ("", "a code block without a language"),
    ] {
        fixture.write("src/one.md", &format!("# One\n\n```{fence}\nfn main() {{}}\n```\n"));
        let fault = load_expanded(fixture.root()).unwrap_err().to_string();
        assert!(fault.starts_with("src/one.md:3: ") && fault.contains(said), "for {fence}:\n{fault}");

        fixture
            .write("src/part.md", &format!("```{fence}\nfn main() {{}}\n```\n"))
            .write("src/one.md", "{{#include part.md}}\n");
        let fault = load_expanded(fixture.root()).unwrap_err().to_string();
        assert!(fault.starts_with("src/one.md: in a file that it includes: "), "{fault}");
    }
    fixture.write("src/one.md", "# One\n\n{{#include gone.md}}\n");
    let fault = load_expanded(fixture.root()).unwrap_err().to_string();
    assert!(fault.starts_with("src/one.md:3: it includes gone.md, but there is no src/gone.md"), "{fault}");
}

#[test]
fn a_chapter_that_nobody_wrote_is_a_fault() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.path("src/one.md")).unwrap();
    let fault = format!("{:#}", load_expanded(fixture.root()).unwrap_err());
    assert!(fault.contains("one.md"), "{fault}");
    assert!(!fixture.path("src/one.md").exists());
}
