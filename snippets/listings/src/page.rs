//! Turns `{{#listing …}}`, `{{#error …}}` and `{{#clients …}}` of a chapter into what a renderer takes: a component
//! for the page, which `theme/listings.css` and `theme/listings.js` know, or the program for skeptic.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, bail};

use crate::chapter::{self, Directive, DirectiveKind, Fault, LISTING_TAG};
use crate::clients::Places;
use crate::events;
use crate::html::{escape, fence};
use crate::manifest;
use crate::recording::{ErrorCapture, Recording};
use crate::region;
use crate::table::{Listing, Mistake, Stack, Table};

/// What the expanded Markdown is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The page that people read.
    Html,
    /// The programs, whole, for compiling.
    Skeptic,
}

/// What to do about a listing that was never recorded, or that changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingRecordings {
    /// Refuse to build the book.
    Error,
    /// Say so on the page, for an author who is still writing.
    Note,
}

/// Where the page's links to whole files lead.
#[derive(Debug, Clone)]
pub enum Sources {
    /// To a public repository, `https://github.com/owner/name`.
    Repository(String),
    /// To copies beside the pages, in the folder [`Sources::FOLDER`]. Holds the way from the chapter to the book's first
    /// page: nothing, or `../`.
    BesidePages(String),
    /// Nowhere: the file's name must do.
    Nowhere,
}

impl Sources {
    /// Holds the copies, as `snippets/<stack's folder>/<file>.txt`, which every browser shows as text.
    pub const FOLDER: &str = "source";
}

/// Expands the directives of chapters.
#[derive(Debug)]
pub struct Pages<'a> {
    pub table: &'a Table,
    pub sources: Sources,
    pub missing_recordings: MissingRecordings,
    /// Where listings and errors stand, for tables that lead there.
    pub places: &'a Places,
}

impl Pages<'_> {
    /// Expands one chapter. `chapter` is its path from the book's root; every fault in it is
    /// reported with that path and its line.
    pub fn expand(&self, markdown: &str, chapter: &Path, target: Target) -> Result<String> {
        let faults = match chapter::directives(markdown) {
            Err(faults) => faults,
            Ok(directives) => match self.replace(markdown, &directives, chapter, target) {
                Ok(expanded) => return Ok(expanded),
                Err(faults) => faults,
            },
        };
        bail!(report(chapter, &faults))
    }

    fn replace(
        &self,
        markdown: &str,
        directives: &[Directive],
        chapter: &Path,
        target: Target,
    ) -> Result<String, Vec<Fault>> {
        let mut expanded = String::new();
        let mut faults = Vec::new();
        let mut copied = 0;
        for directive in directives {
            expanded.push_str(&markdown[copied..directive.range.start]);
            copied = directive.range.end;
            let block = match (directive.kind, target) {
                (DirectiveKind::Listing, _) => self.listing(directive, target),
                (DirectiveKind::Error, Target::Html) => self.error(directive),
                (DirectiveKind::Error, Target::Skeptic) => self.mistake(directive).map(|_| String::new()),
                (DirectiveKind::Clients, Target::Html) => self.clients(&directive.id, chapter),
                (DirectiveKind::Clients, Target::Skeptic) => Ok(String::new()),
            };
            match block {
                Ok(block) => {
                    for line in block.lines() {
                        if !line.is_empty() {
                            expanded.push_str(&directive.indent);
                            expanded.push_str(line);
                        }
                        expanded.push('\n');
                    }
                }
                Err(error) => faults.push(Fault { line: Some(directive.line), what: format!("{error:#}") }),
            }
        }
        expanded.push_str(&markdown[copied..]);
        match faults.is_empty() {
            true => Ok(expanded),
            false => Err(faults),
        }
    }

    /// The listings that a directive shows, in the order of their tabs.
    pub(crate) fn shown(&self, directive: &Directive) -> Result<Vec<&Listing>> {
        let id = &directive.id;
        let Some(scenario) = self.table.scenario(id) else {
            let known: Vec<_> = self.table.scenarios.iter().map(|it| &*it.id).collect();
            bail!("there is no scenario `{id}` in snippets/scenarios.toml; it has {}", list(&known));
        };
        let all = self.table.listings_of(&scenario.id);
        let shown: Vec<_> = match &directive.stack {
            None => all.clone(),
            Some(stacks) => all.iter().copied().filter(|listing| is_one_of(stacks, listing)).collect(),
        };
        if shown.is_empty() {
            let known: Vec<_> = all.iter().map(|listing| listing.name()).collect();
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            match &directive.stack {
                Some(stack) => {
                    bail!("the scenario `{id}` has no listing in the stack `{stack}`; it has {}", list(&known))
                }
                None => bail!(
                    "the scenario `{id}` has no listing: add one under [[listings]] in \
                     snippets/scenarios.toml"
                ),
            }
        }
        Ok(shown)
    }

    fn listing(&self, directive: &Directive, target: Target) -> Result<String> {
        let listings = self.shown(directive)?;
        match target {
            Target::Html => self.component(directive, &listings),
            Target::Skeptic => {
                let mut blocks = String::new();
                for listing in listings {
                    if let Some(program) = self.rust_program(listing)? {
                        writeln!(blocks, "{program}")?;
                    }
                }
                Ok(blocks)
            }
        }
    }

    /// How many Rust programs a directive brings into a chapter.
    pub(crate) fn rust_programs(&self, directive: &Directive) -> Result<usize> {
        if directive.kind != DirectiveKind::Listing {
            return Ok(0);
        }
        let listings = self.shown(directive)?;
        Ok(listings
            .iter()
            .filter(|listing| listing.impossible.is_none() && self.stack(listing).language == "rust")
            .count())
    }

    fn rust_program(&self, listing: &Listing) -> Result<Option<String>> {
        let Some(file) = listing.shown_file() else {
            return Ok(None);
        };
        if self.stack(listing).language != "rust" {
            return Ok(None);
        }
        let source = read_source(listing, file)?;
        let mut program = String::new();
        for line in region::lines(&source).map_err(anyhow::Error::msg)? {
            // skeptic takes a leading `# ` away, in multi-line strings too.
            if line.text.trim_start().starts_with("# ") || line.text.trim() == "#" {
                program.push_str("# ");
            }
            program.push_str(line.text);
            program.push('\n');
        }
        Ok(Some(fence(&format!("rust,no_run,{LISTING_TAG}"), &program)))
    }

    fn stack(&self, listing: &Listing) -> &Stack {
        self.table.stack(&listing.stack).expect("the table has checked its stacks")
    }

    fn component(&self, directive: &Directive, listings: &[&Listing]) -> Result<String> {
        let scenario = self.table.scenario(&directive.id).expect("the scenario was found");
        let id = directive.anchor();
        let mut page = format!(
            "\n<figure class=\"listing\" id=\"{id}\" data-listing=\"{scenario}\">\n\
             <figcaption class=\"listing-title\">{title}</figcaption>\n\n",
            scenario = escape(&scenario.id),
            title = escape(&scenario.title),
        );
        for listing in listings {
            let stack = self.stack(listing);
            let title = match &listing.variant {
                Some(variant) => format!("{} ({variant})", stack.title),
                None => stack.title.clone(),
            };
            write!(
                page,
                "<div class=\"listing-panel\" data-stack=\"{stack}\" data-name=\"{name}\" \
                 data-title=\"{title}\">\n\
                 <div class=\"listing-stack\" role=\"heading\" aria-level=\"4\">{title}</div>\n\n",
                stack = escape(&stack.id),
                name = escape(&listing.name()),
                title = escape(&title),
            )?;
            match (&listing.impossible, listing.shown_file()) {
                (Some(impossible), _) => write!(
                    page,
                    "<div class=\"listing-impossible\">\n\n**Not possible with this client.** \
                     {}\n\n</div>\n\n",
                    impossible.why.trim()
                )?,
                (None, Some(file)) => {
                    page.push_str(&self.program(listing, stack, file)?);
                    page.push_str(&self.run(listing, stack)?);
                }
                (None, None) => unreachable!("the table has checked that a listing has files"),
            }
            page.push_str("</div>\n\n");
        }
        page.push_str("</figure>\n\n");
        Ok(page)
    }

    /// File name, link, and the code: the region visible, the rest folded.
    fn program(&self, listing: &Listing, stack: &Stack, file: &Path) -> Result<String> {
        let source = read_source(listing, file)?;
        let lines = region::lines(&source).map_err(anyhow::Error::msg)?;
        let mut html = "<div class=\"listing-files\">".to_owned();
        for file in &listing.files {
            html.push_str(&self.file_link(stack, file));
        }
        html.push_str("</div>\n\n");
        html.push_str(&folded(&stack.language, &lines));
        html.push('\n');
        Ok(html)
    }

    fn file_link(&self, stack: &Stack, file: &Path) -> String {
        let name = escape(&file.display().to_string());
        let folder = escape(&stack.folder.display().to_string());
        let address = match &self.sources {
            Sources::Repository(repository) => {
                format!("{}/blob/HEAD/snippets/{folder}/{name}", escape(repository.trim_end_matches('/')))
            }
            Sources::BesidePages(root) => format!("{root}{}/snippets/{folder}/{name}.txt", Sources::FOLDER),
            Sources::Nowhere => return format!("<span class=\"listing-file\">{name}</span>"),
        };
        format!("<a class=\"listing-file\" href=\"{address}\" title=\"The whole file\">{name}</a>")
    }

    /// What the last run printed and did, what it needs and what it ran with.
    fn run(&self, listing: &Listing, stack: &Stack) -> Result<String> {
        let (recording, fault) = self.recording(listing)?;
        let mut html = "<div class=\"listing-run\">\n\n".to_owned();
        html.push_str(&note(fault));
        if let Some(recording) = &recording {
            write!(
                html,
                "<div class=\"listing-label\">What it printed \
                 <span class=\"listing-command\">{}</span></div>\n\n{}\n",
                escape(&recording.command),
                output("listing-output", &recording.output),
            )?;
            if !recording.answers.is_empty() {
                write!(
                    html,
                    "<div class=\"listing-label\">What it answered <span class=\"listing-command\">{}</span></div>\
                     \n\n{}\n",
                    escape(&requests(listing)),
                    output("listing-output", &recording.answers),
                )?;
            }
            html.push_str("<details class=\"listing-saw\"><summary>What the emulator saw</summary>\n<ol>\n");
            for event in &recording.events {
                writeln!(html, "{}", events::item(event))?;
            }
            html.push_str("</ol>\n</details>\n\n");
        }
        if let Some(needs) = manifest::instruction(stack, &listing.dependencies)? {
            write!(
                html,
                "<details class=\"listing-needs\"><summary>{}</summary>\n\n{}\n</details>\n\n",
                needs.caption,
                fence(needs.language, &needs.text),
            )?;
        }
        if let Some(recording) = &recording {
            let ran = ran_with(&recording.versions, &recording.engine);
            let day = recording.date.as_ref().map(|date| format!(" on {}", escape(date))).unwrap_or_default();
            write!(html, "<div class=\"listing-versions\">Ran{day} with {ran}</div>\n\n")?;
        }
        html.push_str("</div>\n\n");
        Ok(html)
    }

    fn mistake(&self, directive: &Directive) -> Result<&Mistake> {
        let id = &directive.id;
        self.table.mistake(id).ok_or_else(|| {
            let known: Vec<_> = self.table.mistakes.iter().map(|it| &*it.id).collect();
            anyhow::anyhow!("there is no mistake `{id}` in snippets/scenarios.toml; it has {}", list(&known))
        })
    }

    fn error(&self, directive: &Directive) -> Result<String> {
        let mistake = self.mistake(directive)?;
        let (capture, fault) = self.capture(mistake)?;
        let mut html = format!(
            "\n<figure class=\"listing capture\" id=\"{}\">\n\
             <figcaption class=\"listing-title\">{}</figcaption>\n\n{}",
            directive.anchor(),
            escape(&mistake.title),
            note(fault),
        );
        if let Some(capture) = &capture {
            write!(
                html,
                "<div class=\"listing-label\">What the client printed \
                 <span class=\"listing-command\">{}</span></div>\n\n{}\n",
                escape(&capture.command),
                output("capture-output", &capture.output),
            )?;
            if !capture.log.is_empty() {
                write!(
                    html,
                    "<div class=\"listing-label\">What the emulator logged</div>\n\n{}\n",
                    output("capture-log", &capture.log),
                )?;
            }
            let (stack, files) = match mistake.listing.as_deref().and_then(|id| self.table.listing(id)) {
                Some(listing) => (&listing.stack, &listing.files),
                None => (&mistake.stack, &mistake.files),
            };
            let stack = self.table.stack(stack).expect("the table has checked its stacks");
            let program = match files.first() {
                Some(file) => format!("{} ran", self.file_link(stack, file)),
                None => "Ran".to_owned(),
            };
            write!(
                html,
                "<div class=\"listing-versions\">{program} with {}</div>\n\n",
                ran_with(&capture.versions, &capture.engine),
            )?;
        }
        html.push_str("</figure>\n\n");
        Ok(html)
    }

    /// The recording of a listing, and what an author who previews has to know about it.
    pub(crate) fn recording(&self, listing: &Listing) -> Result<(Option<Recording>, Option<String>)> {
        let recording = Recording::read(&self.table.root, listing)?;
        let stale = recording.as_ref().map(|recording| recording.stale(listing)).transpose()?;
        let fault = self.fault(stale, &format!("listing `{}`", listing.id()))?;
        Ok((recording, fault))
    }

    /// The same for a mistake.
    pub(crate) fn capture(&self, mistake: &Mistake) -> Result<(Option<ErrorCapture>, Option<String>)> {
        let capture = ErrorCapture::read(&self.table.root, mistake)?;
        let stale = capture.as_ref().map(|capture| capture.stale(self.table, mistake)).transpose()?;
        let fault = self.fault(stale, &format!("mistake `{}`", mistake.id))?;
        Ok((capture, fault))
    }

    /// What is wrong with the recording of `what`: nothing, an error, or something to say for an author who previews. `stale` is
    /// `None` if there is no recording.
    fn fault(&self, stale: Option<Option<String>>, what: &str) -> Result<Option<String>> {
        let fault = match stale {
            Some(None) => return Ok(None),
            None => format!("the {what} has never been recorded"),
            Some(Some(why)) => format!("the recording of the {what} is out of date: {why}"),
        };
        match self.missing_recordings {
            MissingRecordings::Error => {
                bail!("{fault}. Run `cargo book record`, which runs it and writes the recording")
            }
            MissingRecordings::Note => Ok(Some(fault)),
        }
    }
}

/// For an author who previews.
fn note(fault: Option<String>) -> String {
    let text = |fault: String| {
        format!(
            "<div class=\"listing-note\" role=\"note\">Not as it will be published: {}. \
             <kbd>cargo book record</kbd> runs it and renews this.</div>\n\n",
            escape(&fault)
        )
    };
    fault.map(text).unwrap_or_default()
}

/// Everything that is wrong in a chapter, one line each, with the place that editors jump to.
pub(crate) fn report(chapter: &Path, faults: &[Fault]) -> String {
    faults
        .iter()
        .map(|fault| match fault.line {
            Some(line) => format!("{}:{line}: {}", chapter.display(), fault.what),
            None => format!("{}: in a file that it includes: {}", chapter.display(), fault.what),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// A code block in which only the shown lines are visible, in mdBook's own notation.
fn folded(language: &str, lines: &[region::Line<'_>]) -> String {
    let mut code = String::new();
    if language == "rust" {
        for line in lines {
            let text = line.text;
            let trimmed = text.trim_start();
            if !line.shown {
                code.push_str(if text.is_empty() { "#" } else { "# " });
                code.push_str(text);
            } else if trimmed.starts_with("# ") || trimmed.starts_with("##") || trimmed == "#" {
                // mdBook would hide it; a second `#` is its escape.
                code.push_str(&text[..text.len() - trimmed.len()]);
                code.push('#');
                code.push_str(trimmed);
            } else {
                code.push_str(text);
            }
            code.push('\n');
        }
        return fence("rust", &code);
    }
    let mut hide = "~".to_owned();
    while lines.iter().any(|line| line.text.trim_start().starts_with(&hide)) {
        hide.push('~');
    }
    for line in lines {
        if !line.shown {
            code.push_str(&hide);
        }
        code.push_str(line.text);
        code.push('\n');
    }
    match lines.iter().all(|line| line.shown) {
        true => fence(language, &code),
        false => fence(&format!("{language},hidelines={hide}"), &code),
    }
}

fn read_source(listing: &Listing, file: &Path) -> Result<String> {
    let path = listing.directory.join(file);
    std::fs::read_to_string(&path).map_err(|error| {
        anyhow::anyhow!("cannot read {}, the source of the listing `{}`: {error}", path.display(), listing.id())
    })
}

fn output(class: &str, lines: &[String]) -> String {
    let lines = match lines.is_empty() {
        true => "<span class=\"nothing\">(nothing)</span>".to_owned(),
        false => lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("\n"),
    };
    format!("<pre class=\"{class}\"><samp>{lines}</samp></pre>\n")
}

/// What a server was asked for, each path once.
fn requests(listing: &Listing) -> String {
    let mut requests: Vec<String> = Vec::new();
    for path in &listing.paths {
        let request = format!("GET {path}");
        if !requests.contains(&request) {
            requests.push(request);
        }
    }
    match requests.is_empty() {
        true => "GET /".to_owned(),
        false => requests.join(", "),
    }
}

fn ran_with(versions: &std::collections::BTreeMap<String, String>, engine: &str) -> String {
    let versions: Vec<_> =
        versions.iter().map(|(name, version)| format!("{} {}", escape(name), escape(version))).collect();
    format!("{}, against {}", versions.join(", "), escape(engine))
}

/// Whether `stack=…` of a directive means this listing.
pub(crate) fn is_one_of(stacks: &str, listing: &Listing) -> bool {
    stacks.split(',').any(|stack| listing.stack == stack || listing.name() == stack)
}

fn list(names: &[&str]) -> String {
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}
