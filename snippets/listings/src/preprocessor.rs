//! The preprocessor `listings` of mdBook, and the book expanded for skeptic. `cargo book` runs it in
//! its own process, the ordinary mdbook through the command `mdbook-listings`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail};
use mdbook_driver::MDBook;
use mdbook_driver::builtin_renderers::MarkdownRenderer;
use mdbook_preprocessor::book::{Book, BookItem};
use mdbook_preprocessor::config::Config;
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

use crate::chapter::{self, Fault, Fence, RustFence};
use crate::clients::Places;
use crate::page::{MissingRecordings, Pages, Sources, Target, report};
use crate::table::Table;

/// Expands `{{#listing …}}`, `{{#error …}}` and `{{#clients …}}` in a whole book.
#[derive(Debug)]
pub struct Listings {
    target: Target,
    missing_recordings: Option<MissingRecordings>,
    sources_beside_pages: bool,
}

impl Listings {
    pub const NAME: &'static str = "listings";

    /// For the page, with the setting `missing-recordings` of book.toml.
    pub fn new() -> Listings {
        Listings { target: Target::Html, missing_recordings: None, sources_beside_pages: false }
    }

    /// Instead of the setting in book.toml.
    pub fn missing_recordings(self, policy: MissingRecordings) -> Listings {
        Listings { missing_recordings: Some(policy), ..self }
    }

    /// Links to whole files lead to copies beside the pages, unless book.toml names a repository. Whoever builds the book
    /// makes the copies: see [`Sources`].
    pub fn sources_beside_pages(self) -> Listings {
        Listings { sources_beside_pages: true, ..self }
    }

    fn policy(&self, config: &Config) -> Result<MissingRecordings> {
        const KEY: &str = "preprocessor.listings.missing-recordings";
        if let Some(policy) = self.missing_recordings {
            return Ok(policy);
        }
        match config.get::<String>(KEY)?.as_deref() {
            None | Some("error") => Ok(MissingRecordings::Error),
            Some("note") => Ok(MissingRecordings::Note),
            Some(other) => bail!(
                "`{KEY}` in book.toml is `{other}`: write \"error\", to refuse a book whose \
                 listings were not recorded, or \"note\", to say so on the page"
            ),
        }
    }
}

impl Default for Listings {
    fn default() -> Self {
        Listings::new()
    }
}

impl Preprocessor for Listings {
    fn name(&self) -> &str {
        Listings::NAME
    }

    fn run(&self, context: &PreprocessorContext, mut book: Book) -> Result<Book> {
        let table = Table::load(&context.root)?;
        let repository: Option<String> = context.config.get("output.html.git-repository-url")?;
        let missing_recordings = self.policy(&context.config)?;
        let mut faults = Vec::new();
        let src = &context.config.book.src;
        let places = Places::of(book.chapters().filter_map(|chapter| {
            let source = chapter.source_path.as_ref()?;
            Some((src.join(source), chapter.content.as_str()))
        }));
        book.for_each_chapter_mut(|chapter| {
            let Some(source) = &chapter.source_path else {
                return;
            };
            let path = src.join(source);
            let sources = match (&repository, self.sources_beside_pages) {
                (Some(repository), _) => Sources::Repository(repository.clone()),
                (None, true) => Sources::BesidePages("../".repeat(source.components().count() - 1)),
                (None, false) => Sources::Nowhere,
            };
            let pages = Pages { table: &table, sources, missing_recordings, places: &places };
            match pages.expand(&chapter.content, &path, self.target) {
                Ok(expanded) => chapter.content = expanded,
                Err(fault) => faults.push(fault.to_string()),
            }
        });
        match faults.is_empty() {
            true => Ok(book),
            false => bail!("{}", faults.join("\n")),
        }
    }

    fn supports_renderer(&self, renderer: &str) -> Result<bool> {
        Ok(self.target == Target::Skeptic || matches!(renderer, "html" | "linkcheck" | "linkcheck2"))
    }
}

/// A chapter with all its Rust, as skeptic takes it.
#[derive(Debug)]
pub struct ExpandedChapter {
    /// Below the book's `src`.
    pub path: PathBuf,
    pub markdown: String,
    /// The Rust blocks of `markdown`, in order.
    pub blocks: Vec<RustBlock>,
    /// The files that it includes.
    pub includes: Vec<PathBuf>,
}

/// A Rust block of a chapter.
#[derive(Debug)]
pub struct RustBlock {
    /// The heading above it.
    pub section: Option<String>,
    /// In the chapter's own file; absent when the block stands in a file that the chapter includes.
    pub line: Option<usize>,
    /// It is a listing: compiled here, run by the runner.
    pub listing: bool,
    /// An author asked for it not to be run.
    pub no_run: bool,
}

/// The whole book with includes and listings expanded, every Rust block in it found and allowed.
/// Nothing but this process takes part, so that a build script can call it.
pub fn load_expanded(book_root: &Path) -> Result<Vec<ExpandedChapter>> {
    let mut config = Config::from_disk(book_root.join("book.toml"))?;
    // Other preprocessors are commands, and cargo is holding its lock. This one must come before
    // mdBook's includes, as it does in book.toml.
    config.set("preprocessor", BTreeMap::from([(Listings::NAME, BTreeMap::from([("before", vec!["links"])]))]))?;
    // A chapter that the summary names and nobody wrote is a mistake, not a page to create.
    config.build.create_missing = false;
    let src = config.book.src.clone();
    let mut book = MDBook::load_with_config(book_root, config)
        .with_context(|| format!("cannot load the book in {}", book_root.display()))?;
    book.with_preprocessor(Listings { target: Target::Skeptic, ..Listings::new() });
    let (expanded, _) = book.preprocess_book(&MarkdownRenderer::new())?;

    let table = Table::load(book_root)?;
    let pages = Pages {
        table: &table,
        sources: Sources::Nowhere,
        missing_recordings: MissingRecordings::Note,
        // What leads from page to page is not compiled.
        places: &Places::default(),
    };
    let mut chapters = Vec::new();
    let mut faults = Vec::new();
    for (written, expanded) in book.book.iter().zip(expanded.iter()) {
        let (BookItem::Chapter(written), BookItem::Chapter(expanded)) = (written, expanded) else {
            continue;
        };
        let Some(path) = &written.source_path else {
            continue;
        };
        let name = src.join(path);
        let includes = includes(&written.content, &book_root.join(&name), &name, &mut faults);
        match rust_blocks(&written.content, &expanded.content, &pages) {
            Ok(blocks) => chapters.push(ExpandedChapter {
                path: path.clone(),
                markdown: expanded.content.clone(),
                blocks,
                includes,
            }),
            Err(found) => faults.push(report(&name, &found)),
        }
    }
    match faults.is_empty() {
        true => Ok(chapters),
        false => Err(Error::msg(faults.join("\n"))),
    }
}

/// The files that a chapter includes. mdBook only logs a missing one and goes on with the directive
/// as text, so that is a fault here.
fn includes(markdown: &str, chapter: &Path, name: &Path, faults: &mut Vec<String>) -> Vec<PathBuf> {
    let folder = chapter.parent().unwrap_or(Path::new(""));
    let mut included = Vec::new();
    for (line, target) in chapter::includes(markdown) {
        let path = folder.join(&target);
        if !path.is_file() {
            faults.push(format!(
                "{}:{line}: it includes {target}, but there is no {}: correct the path, which is \
                 relative to the chapter",
                name.display(),
                name.with_file_name(&target).display()
            ));
        }
        included.push(path);
    }
    included
}

/// The Rust blocks of a chapter, with the lines of the file that its author wrote.
fn rust_blocks(written: &str, expanded: &str, pages: &Pages<'_>) -> Result<Vec<RustBlock>, Vec<Fault>> {
    // Where each block of the expanded chapter comes from: a fence or a directive that was written.
    let mut origins = Vec::new();
    let mut programs = 0;
    let mut faults = Vec::new();
    for fence in chapter::fences(written) {
        match chapter::rust_fence(&fence.info) {
            Ok(Some(RustFence::Listing)) => {
                faults.push(Fault { line: Some(fence.line), what: written_listing(&fence.info) });
            }
            Ok(Some(_)) => origins.push(fence.line),
            Ok(None) => {}
            Err(what) => faults.push(Fault { line: Some(fence.line), what }),
        }
    }
    for directive in chapter::directives(written)? {
        match pages.rust_programs(&directive) {
            Ok(count) => {
                programs += count;
                origins.extend(std::iter::repeat_n(directive.line, count));
            }
            Err(error) => faults.push(Fault { line: Some(directive.line), what: format!("{error:#}") }),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    origins.sort_unstable();

    let mut blocks = Vec::new();
    for Fence { info, section, .. } in chapter::fences(expanded) {
        match chapter::rust_fence(&info) {
            Ok(Some(kind)) => blocks.push(RustBlock {
                section,
                line: None,
                listing: kind == RustFence::Listing,
                no_run: kind == RustFence::NoRun,
            }),
            Ok(None) => {}
            Err(what) => faults.push(Fault { line: None, what }),
        }
    }
    if blocks.iter().filter(|block| block.listing).count() != programs {
        faults.push(Fault { line: None, what: written_listing("rust,no_run,listing") });
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    // An include can bring whole blocks; then which is which cannot be told.
    if blocks.len() == origins.len() {
        for (block, line) in blocks.iter_mut().zip(origins) {
            block.line = Some(line);
        }
    }
    Ok(blocks)
}

fn written_listing(info: &str) -> String {
    format!("```{info} is what a listing becomes: show one with {{{{#listing scenario}}}}")
}
