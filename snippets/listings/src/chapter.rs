//! What stands in the Markdown of a chapter: the directives to expand, and the Rust blocks that
//! have to be compiled and run. Only here is Markdown parsed.

use std::ops::Range;
use std::sync::LazyLock;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use regex::Regex;

/// Something wrong in a chapter, with the line that an author has to look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// From 1; absent when the place is in a file that the chapter includes.
    pub(crate) line: Option<usize>,
    pub(crate) what: String,
}

/// `{{#listing …}}`, `{{#error …}}` or `{{#clients …}}`.
#[derive(Debug)]
pub(crate) struct Directive {
    pub(crate) kind: DirectiveKind,
    pub(crate) id: String,
    /// `stack=…`: one or several, with commas between them.
    pub(crate) stack: Option<String>,
    /// Its place among those of the chapter that show the same, from 1.
    nth: usize,
    pub(crate) line: usize,
    /// The whole line, without its end.
    pub(crate) range: Range<usize>,
    /// White space before it, so that it can stand in a list item.
    pub(crate) indent: String,
}

impl Directive {
    /// The HTML id of what it becomes, unique on the page.
    pub(crate) fn anchor(&self) -> String {
        let kind = match self.kind {
            DirectiveKind::Listing => "listing",
            DirectiveKind::Error => "error",
            DirectiveKind::Clients => "clients",
        };
        match self.nth {
            1 => format!("{kind}-{}", self.id),
            nth => format!("{kind}-{}-{nth}", self.id),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirectiveKind {
    Listing,
    Error,
    /// A table of all clients.
    Clients,
}

/// A fence of any language, as it is written.
#[derive(Debug)]
pub(crate) struct Fence {
    pub(crate) line: usize,
    pub(crate) info: String,
    /// The last heading above it.
    pub(crate) section: Option<String>,
}

/// What mdBook itself expands; it reports their mistakes itself.
const OF_MDBOOK: [&str; 6] = ["include", "rustdoc_include", "playground", "playpen", "title", "template"];

/// The directives of a chapter in order, or all that is wrong with them.
pub(crate) fn directives(markdown: &str) -> Result<Vec<Directive>, Vec<Fault>> {
    static DIRECTIVE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(\\?)\{\{\s*#\s*([A-Za-z_][A-Za-z0-9_-]*)([^}\n]*)\}\}").expect("a pattern"));

    let code = code_ranges(markdown);
    let mut directives: Vec<Directive> = Vec::new();
    let mut faults = Vec::new();
    for found in DIRECTIVE.captures_iter(markdown) {
        let whole = found.get(0).expect("the match");
        if !found[1].is_empty() {
            continue;
        }
        let line = line_of(markdown, whole.start());
        let mut fault = |what: String| {
            faults.push(Fault { line: Some(line), what });
        };
        let in_code = code.iter().any(|range| range.contains(&whole.start()));
        let kind = match &found[2] {
            "listing" => DirectiveKind::Listing,
            "error" => DirectiveKind::Error,
            "clients" => DirectiveKind::Clients,
            name if in_code || OF_MDBOOK.contains(&name) => continue,
            name => {
                fault(format!(
                    "`{}` is no directive: `#{name}` is not known, only #listing, #error, #clients and \
                     mdBook's own are. Correct it, or write `\\{}` to show it as it is",
                    whole.as_str(),
                    whole.as_str()
                ));
                continue;
            }
        };
        if in_code {
            fault(format!(
                "`{}` stands in code, where it cannot be expanded: write `\\{}` to show it as it \
                 is, or move it out; a listing brings its own code block",
                whole.as_str(),
                whole.as_str()
            ));
            continue;
        }
        let start = markdown[..whole.start()].rfind('\n').map_or(0, |at| at + 1);
        let end = markdown[whole.end()..].find('\n').map_or(markdown.len(), |at| whole.end() + at);
        let before = &markdown[start..whole.start()];
        let after = &markdown[whole.end()..end];
        if !before.trim().is_empty() || !after.trim().is_empty() {
            fault(format!("`{}` must stand alone on its line, because it becomes a block of its own", whole.as_str()));
            continue;
        }
        match arguments(kind, found[3].trim()) {
            Ok((id, stack)) => {
                let nth = 1 + directives.iter().filter(|other| other.kind == kind && other.id == id).count();
                directives.push(Directive { kind, id, stack, nth, line, range: start..end, indent: before.to_owned() });
            }
            Err(what) => fault(format!("`{}` {what}", whole.as_str())),
        }
    }
    match faults.is_empty() {
        true => Ok(directives),
        false => Err(faults),
    }
}

fn arguments(kind: DirectiveKind, text: &str) -> Result<(String, Option<String>), String> {
    let usage = match kind {
        DirectiveKind::Listing => "write {{#listing scenario}} or {{#listing scenario stack=rust}}",
        DirectiveKind::Error => "write {{#error mistake}}",
        DirectiveKind::Clients => "write {{#clients part}}",
    };
    let mut id = None;
    let mut stack = None;
    for word in text.split_whitespace() {
        match word.split_once('=') {
            None if id.is_none() => id = Some(word.to_owned()),
            Some(("stack", value)) if kind == DirectiveKind::Listing && stack.is_none() && !value.is_empty() => {
                stack = Some(value.to_owned());
            }
            _ => return Err(format!("has `{word}` too much: {usage}")),
        }
    }
    match id {
        Some(id) => Ok((id, stack)),
        None => Err(format!("names nothing: {usage}")),
    }
}

/// The fences of a chapter in order.
pub(crate) fn fences(markdown: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut section: Option<String> = None;
    let mut heading: Option<String> = None;
    for (event, range) in Parser::new_ext(markdown, Options::empty()).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => section = heading.take(),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => fences.push(Fence {
                line: line_of(markdown, range.start),
                info: info.into_string(),
                section: section.clone(),
            }),
            _ => {}
        }
    }
    fences
}

/// How a Rust fence is to be treated.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum RustFence {
    Run,
    NoRun,
    /// The program of a listing. Only the expansion writes such a tag.
    Listing,
}

/// What the expansion adds to the tag of a listing, to tell it from a block that an author wrote.
pub(crate) const LISTING_TAG: &str = "listing";

/// `None` when the block is not Rust; an error when it is Rust that would escape being run.
pub(crate) fn rust_fence(info: &str) -> Result<Option<RustFence>, String> {
    let tags: Vec<_> = info.split([',', ' ', '\t', '{', '}']).filter(|tag| !tag.is_empty()).collect();
    let Some((&language, rest)) = tags.split_first() else {
        return Err("a code block without a language could hide Rust that nobody compiles: tag it, \
             ```rust for Rust and ```text for no language"
            .to_owned());
    };
    if language != "rust" {
        let lower = language.to_ascii_lowercase();
        if lower == "rs" || lower.starts_with("rust") || rest.contains(&"rust") {
            return Err(format!("```{info} would neither be compiled nor run: write ```rust, nothing more"));
        }
        return Ok(None);
    }
    match rest {
        [] => Ok(Some(RustFence::Run)),
        ["no_run"] => Ok(Some(RustFence::NoRun)),
        ["no_run", LISTING_TAG] => Ok(Some(RustFence::Listing)),
        rest => {
            let why = match rest.iter().find(|tag| **tag != "no_run") {
                Some(&"ignore") => "would not even be compiled",
                Some(&"should_panic") => "would pass although it does not compile",
                Some(&"compile_fail") => "would not be compiled; show a compiler's error with {{#error …}}",
                Some(tag) if tag.starts_with("edition") => "would leave the book's one edition, 2024",
                Some(tag) if tag.starts_with("skt-") || *tag == "skeptic-template" => {
                    "would need a template; use hidden lines, which begin with `# `"
                }
                _ => "has a tag that this book does not use",
            };
            Err(format!(
                "```{info} {why}: write ```rust, so that it is compiled and run, or \
                 ```rust,no_run with a reason in snippets/rust/build.rs"
            ))
        }
    }
}

/// Code blocks and inline code.
fn code_ranges(markdown: &str) -> Vec<Range<usize>> {
    Parser::new_ext(markdown, Options::empty())
        .into_offset_iter()
        .filter_map(|(event, range)| match event {
            Event::Start(Tag::CodeBlock(_)) | Event::Code(_) => Some(range),
            _ => None,
        })
        .collect()
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// The files that mdBook is asked to include, with the lines that ask.
pub(crate) fn includes(markdown: &str) -> Vec<(usize, String)> {
    static INCLUDE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(\\?)\{\{\s*#(?:include|rustdoc_include|playground|playpen)\s+([^}\s:]+)").expect("a pattern")
    });
    INCLUDE
        .captures_iter(markdown)
        .filter(|found| found[1].is_empty())
        .map(|found| {
            let at = found.get(0).expect("the match").start();
            (line_of(markdown, at), found[2].to_owned())
        })
        .collect()
}
