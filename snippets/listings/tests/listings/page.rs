//! What readers of the page and skeptic get for a directive, and what authors are told about a wrong one.

use std::fs;

use crate::fixture::{Fixture, PYTHON, RUST, recording};
use listings::{MissingRecordings, Recording, Target};

#[test]
fn a_listing_shows_a_panel_for_each_stack() {
    let page = Fixture::recorded().page("Before.\n\n{{#listing sign-in}}\n\nAfter.\n");
    assert!(page.starts_with("Before.\n") && page.ends_with("\n\nAfter.\n"), "{page}");
    for part in [
        "<figure class=\"listing\" id=\"listing-sign-in\"",
        "<figcaption class=\"listing-title\">Sign in &amp; out</figcaption>",
        "data-stack=\"rust\" data-name=\"rust-sync\" data-title=\"Rust (sync)\"",
        "data-stack=\"python\" data-name=\"python\" data-title=\"Python\"",
        "role=\"heading\" aria-level=\"4\">Python</div>",
        "href=\"https://example.com/owner/book/blob/HEAD/snippets/rust/examples/sign_in.rs\"",
        "cargo run --example sign_in",
        "[dependencies]\nredis = { version",
        "pip install 'redis-entraid[x]>=1.0 ; python_version > ",
        "Ran with redis 1.8.1, against Valkey 9.1.2",
    ] {
        assert!(page.contains(part), "no {part} in:\n{page}");
    }
    assert!(page.find("data-stack=\"rust\"") < page.find("data-stack=\"python\""));
}

#[test]
fn only_the_region_is_visible() {
    let page = Fixture::recorded().page("{{#listing sign-in}}\n");
    // mdBook hides what begins with `# ` in Rust; what the program itself begins so is escaped.
    assert!(
        page.contains(
            "```rust\n# //! Signs in.\n# fn main() -> anyhow::Result<()> {\n#     let host = \
             \"localhost\";\n#\n    let client = redis::Client::open(host)?;\n    println!(\n        \
             r#\"\n## a heading\n\"#\n    );\n#     Ok(())\n# }\n```\n"
        ),
        "{page}"
    );
    // A line of the program begins with `~`, so that alone cannot mark what is hidden.
    assert!(
        page.contains("```python,hidelines=~~\n~~import redis\n~~\n~~~x = 1\nclient = redis.Redis()\n```\n"),
        "{page}"
    );
    assert!(!page.contains("ANCHOR"), "{page}");
}

#[test]
fn a_file_without_a_region_is_shown_whole_and_cannot_end_its_fence() {
    let fixture = Fixture::new();
    fixture.write("snippets/python/sign_in.py", "x = '''\n````\n{{#include secret}}\n'''\n");
    let page =
        fixture.expand_with("{{#listing sign-in stack=python}}\n", Target::Html, MissingRecordings::Note).unwrap();
    assert!(page.contains("`````python\nx = '''\n````\n\\{{#include secret}}\n'''\n`````\n"), "{page}");
}

#[test]
fn the_run_is_told_in_words() {
    let page = Fixture::recorded().page("{{#listing sign-in stack=rust}}\n");
    for part in [
        "<samp>PONG &lt;&amp;&gt;\n\n&#123;&#123;#include x}}</samp>",
        "Token issued to <b>user</b> by the managed identity endpoint, valid for 1 hour",
        "Connection 1 opened over TLSv1.3 to <b>localhost</b>",
        "Connection 1 signed in as <b>user</b> by HELLO",
        "Connection 1 signed in again, with a new token, as <b>user</b> by AUTH",
        "<li class=\"event event-something-new\">something-new</li>",
        "Connection 1 closed by the client after GET (&lt;count&gt;), PING, SET (3×), 2 error replies",
    ] {
        assert!(page.contains(part), "no {part} in:\n{page}");
    }
}

#[test]
fn what_is_impossible_says_why() {
    let page = Fixture::recorded().page("{{#listing refresh}}\n");
    assert!(page.contains("**Not possible with this client.** It asks for a token *once*.\n\n</div>"), "{page}");
    assert!(!page.contains("```"), "{page}");
}

#[test]
fn an_error_shows_both_sides() {
    let page = Fixture::recorded().page("{{#error wrong-name}}\n");
    for part in [
        "<figure class=\"listing capture\" id=\"error-wrong-name\">",
        "The wrong &lt;name&gt;",
        "What the client printed",
        "<samp>Error: WRONGPASS &lt;x&gt;</samp>",
        "What the emulator logged",
        "<samp>sign-in REFUSED: username-not-object-id</samp>",
        "snippets/rust/mistakes/wrong_name.rs\"",
    ] {
        assert!(page.contains(part), "no {part} in:\n{page}");
    }
}

#[test]
fn one_stack_can_be_chosen_and_a_listing_shown_twice() {
    let page = Fixture::recorded().page("{{#listing sign-in stack=rust}}\n\n{{#listing sign-in stack=rust-sync}}\n");
    assert!(!page.contains("data-stack=\"python\""), "{page}");
    assert!(page.contains("id=\"listing-sign-in\"") && page.contains("id=\"listing-sign-in-2\""));
}

#[test]
fn a_listing_in_a_list_stays_in_it() {
    let page = Fixture::recorded().page("1. One\n\n   {{#listing sign-in stack=python}}\n\n2. Two\n");
    assert!(page.contains("\n   <figure "), "{page}");
    assert!(page.contains("\n   ```python"), "{page}");
    assert!(
        page.lines().all(|line| line.is_empty() || line.starts_with("   ") || line.starts_with(['1', '2'])),
        "{page}"
    );
}

#[test]
fn an_escaped_directive_is_left_to_mdbook() {
    let markdown = "`\\{{#listing sign-in}}`\n\n```text\n\\{{#error x}}\n{{#if x}}\n```\n\n{{#include x.md}}\n";
    assert_eq!(Fixture::new().page(markdown), markdown);
}

#[test]
fn skeptic_gets_the_whole_rust_program() {
    let markdown = "{{#listing sign-in}}\n\n{{#listing refresh}}\n\n{{#error wrong-name}}\n";
    let expanded = Fixture::new().expand(markdown, Target::Skeptic).unwrap();
    let program: String = RUST
        .lines()
        .filter(|line| !line.contains("ANCHOR"))
        // skeptic takes the first `# ` away.
        .map(|line| line.replace("# a heading", "# # a heading") + "\n")
        .collect();
    assert_eq!(expanded.trim(), format!("```rust,no_run,listing\n{program}```"));
    assert!(!expanded.contains(PYTHON.lines().next().unwrap()));
}

#[test]
fn a_wrong_directive_is_named_with_chapter_and_line() {
    let fixture = Fixture::recorded();
    for (line, said) in [
        ("{{#listing sign-on}}", "there is no scenario `sign-on` in snippets/scenarios.toml; it has sign-in, refresh"),
        (
            "{{#listing sign-in stack=go}}",
            "the scenario `sign-in` has no listing in the stack `go`; it has rust-sync, python",
        ),
        ("{{#error wrong-nmae}}", "there is no mistake `wrong-nmae` in snippets/scenarios.toml; it has wrong-name"),
        ("{{#listing}}", "names nothing: write {{#listing scenario}}"),
        ("{{#listing sign-in rust}}", "has `rust` too much"),
        ("{{#error wrong-name stack=rust}}", "has `stack=rust` too much: write {{#error mistake}}"),
        ("See {{#listing sign-in}}", "must stand alone on its line"),
        ("`{{#listing sign-in}}`", "stands in code, where it cannot be expanded: write `\\{{#listing"),
        ("    {{#listing sign-in}}", "stands in code"),
        ("{{#listings sign-in}}", "`#listings` is not known"),
    ] {
        for target in [Target::Html, Target::Skeptic] {
            let fault = fixture.expand(&format!("# One\n\nText.\n\n{line}\n"), target).unwrap_err().to_string();
            assert!(fault.starts_with("src/one.md:5: "), "{fault}");
            assert!(fault.contains(said), "for {line}:\n{fault}");
        }
    }
    let fault = fixture.expand("{{#listing a}}\n\n{{#listing b}}\n", Target::Html).unwrap_err().to_string();
    assert!(fault.contains("src/one.md:1: ") && fault.contains("\nsrc/one.md:3: "), "{fault}");
}

#[test]
fn a_listing_that_was_not_recorded_is_refused_or_noted() {
    let fixture = Fixture::new();
    for (directive, what) in [
        ("{{#listing sign-in}}", "the listing `sign-in/rust-sync` has never been recorded"),
        ("{{#error wrong-name}}", "the mistake `wrong-name` has never been recorded"),
    ] {
        let fault = fixture.expand(directive, Target::Html).unwrap_err().to_string();
        assert_eq!(
            fault,
            format!("src/one.md:1: {what}. Run `cargo book record`, which runs it and writes the recording")
        );
        let page = fixture.expand_with(directive, Target::Html, MissingRecordings::Note).unwrap();
        assert!(page.contains(&format!("Not as it will be published: {what}.")), "{page}");
    }
}

#[test]
fn a_listing_that_changed_since_is_refused_or_noted() {
    let fixture = Fixture::recorded();
    fixture.write("snippets/rust/examples/sign_in.rs", "fn main() {}\n");
    let fault = fixture.expand("{{#listing sign-in}}", Target::Html).unwrap_err().to_string();
    assert!(
        fault.contains("the recording of the listing `sign-in/rust-sync` is out of date: examples/sign_in.rs changed since it was recorded"),
        "{fault}"
    );
    let page = fixture.expand_with("{{#listing sign-in}}", Target::Html, MissingRecordings::Note).unwrap();
    assert!(page.contains("is out of date") && page.contains("PONG"), "{page}");
}

#[test]
fn a_broken_recording_says_how_to_renew_it() {
    let fixture = Fixture::recorded();
    let path = fixture.path("snippets/recorded/sign-in/python.json");
    let text = fs::read_to_string(&path).unwrap();
    for broken in [text.replace("\"exit\"", "\"exitt\""), text[..20].to_owned()] {
        fs::write(&path, broken).unwrap();
        let fault = fixture.expand("{{#listing sign-in}}", Target::Html).unwrap_err().to_string();
        assert!(fault.contains("python.json is not a recording: delete it and run `cargo book record`"), "{fault}");
    }
}

#[test]
fn what_does_not_run_everywhere_says_when_it_last_ran() {
    let fixture = Fixture::recorded();
    let table = fixture.table();
    let listing = table.listing("sign-in/rust-sync").unwrap();
    let dated = Recording { date: Some("2026-11-29".to_owned()), ..recording(&table, "sign-in/rust-sync") };
    dated.write(fixture.root(), listing).unwrap();
    let page = fixture.page("{{#listing sign-in}}\n");
    assert!(page.contains("Ran on 2026-11-29 with redis 1.8.1, against Valkey 9.1.2"), "{page}");
}

#[test]
fn several_stacks_can_be_chosen() {
    let page = Fixture::recorded().page("{{#listing sign-in stack=python,rust-sync}}\n");
    assert!(page.contains("data-stack=\"rust\"") && page.contains("data-stack=\"python\""), "{page}");
}
