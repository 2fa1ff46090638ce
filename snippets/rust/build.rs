//! Finds every Rust block of the book, listings and includes expanded, and lets skeptic write one
//! test for each; `tests/book.rs` runs them. A fault in a chapter fails that test, not this build,
//! because the listings are built here too and have to run while somebody writes.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, fs, io};

use anyhow::{Context, Result, ensure};
use listings::{ExpandedChapter, Table, load_expanded};

/// The blocks that are compiled and not run, by chapter and heading, each with its reason.
const NO_RUN: &[(&str, &str, &str)] = &[];

fn main() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let book = Path::new("../..");
    // Not the chapters one by one: a new one has to be noticed.
    for watched in ["../../src", "../../book.toml", "../scenarios.toml"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    let blocks = match load_expanded(book).and_then(|chapters| {
        check_no_run(&chapters)?;
        Ok(chapters)
    }) {
        Ok(chapters) => {
            watch(book, &chapters)?;
            generate(&out, &chapters)?
        }
        Err(fault) => {
            // What has to change to mend it may be any file: a path that does not exist makes
            // cargo look again each time.
            println!("cargo:rerun-if-changed=until-the-book-can-be-read");
            table(&format!("{fault:#}"), 0, 0, "")
        }
    };
    write_if_changed(&out.join("blocks.rs"), &blocks)?;
    Ok(())
}

fn watch(book: &Path, chapters: &[ExpandedChapter]) -> Result<()> {
    let table = Table::load(book)?;
    let listings = table.listings.iter().flat_map(|listing| {
        listing
            .files
            .iter()
            .map(|file| listing.directory.join(file))
    });
    let included = chapters.iter().flat_map(|chapter| chapter.includes.clone());
    for file in listings.chain(included) {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    Ok(())
}

/// Every `no_run` has a reason in the list, and every reason a block.
fn check_no_run(chapters: &[ExpandedChapter]) -> Result<()> {
    let mut used = vec![false; NO_RUN.len()];
    let mut faults = Vec::new();
    for chapter in chapters {
        for block in chapter.blocks.iter().filter(|block| block.no_run) {
            let section = block.section.as_deref().unwrap_or("");
            let entry = NO_RUN.iter().position(|(path, heading, _)| {
                chapter.path == Path::new(path) && *heading == section
            });
            match entry {
                Some(entry) => used[entry] = true,
                None => faults.push(format!(
                    "src/{}:{}: ```rust,no_run would be compiled and not run: write ```rust, or \
                     add (\"{}\", \"{section}\", \"the reason\") to NO_RUN in snippets/rust/build.rs",
                    chapter.path.display(),
                    line(block.line),
                    chapter.path.display(),
                )),
            }
        }
    }
    for ((chapter, heading, _), _) in NO_RUN.iter().zip(used).filter(|(_, used)| !used) {
        faults.push(format!(
            "NO_RUN in snippets/rust/build.rs names a block below \"{heading}\" of {chapter}, but \
             there is none: remove the entry"
        ));
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// skeptic's tests as plain functions, and a table of them with names that a reader knows.
fn generate(out: &Path, chapters: &[ExpandedChapter]) -> Result<String> {
    let folder = out.join("chapters");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&folder)?,
    }
    let mut files = Vec::new();
    for (number, chapter) in chapters.iter().enumerate() {
        // skeptic names its functions after the file, and two chapters may have the same name.
        let file = folder.join(format!("chapter_{number:03}.md"));
        fs::write(&file, &chapter.markdown)?;
        // skeptic asks cargo to watch these files, and cargo looks again at whatever is younger
        // than the start of this script.
        fs::File::options()
            .write(true)
            .open(&file)?
            .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1))?;
        files.push(file);
    }
    skeptic::generate_doc_tests(&files);
    let tests = match files.is_empty() {
        true => String::new(),
        false => fs::read_to_string(out.join("skeptic-tests.rs"))?,
    };

    let mut functions = String::new();
    let mut found = vec![0; chapters.len()];
    let mut total = 0;
    for text in tests.lines() {
        let name = text
            .strip_prefix("#[test] fn chapter_")
            .and_then(|rest| rest.strip_suffix("() {"));
        match name {
            Some(name) => {
                let chapter: usize = name[..3].parse().context("the number of a chapter")?;
                found[chapter] += 1;
                writeln!(functions, "fn block_{total}() {{")?;
                total += 1;
            }
            None => writeln!(functions, "{text}")?,
        }
    }

    let mut entries = String::new();
    let mut number = 0;
    for (chapter, found) in chapters.iter().zip(found) {
        ensure!(
            chapter.blocks.len() == found,
            "skeptic made {found} tests of the {} Rust blocks in src/{}",
            chapter.blocks.len(),
            chapter.path.display()
        );
        for block in &chapter.blocks {
            writeln!(
                entries,
                "Block {{ chapter: {chapter:?}, section: {section:?}, line: {line:?}, \
                 listing: {listing}, compiled_only: {compiled_only}, run: block_{number} }},",
                chapter = chapter.path.display().to_string(),
                section = block
                    .section
                    .as_deref()
                    .unwrap_or("before the first heading"),
                line = block.line,
                listing = block.listing,
                compiled_only = block.listing || block.no_run,
            )?;
            number += 1;
        }
    }
    let with_blocks = chapters
        .iter()
        .filter(|chapter| !chapter.blocks.is_empty())
        .count();
    Ok(functions + &table("", number, with_blocks, &entries))
}

fn table(fault: &str, fences: usize, chapters: usize, entries: &str) -> String {
    format!(
        "/// What is wrong with the book, if anything.\n\
         const FAULT: &str = {fault:?};\n\
         /// The Rust blocks that stand in the chapters.\n\
         const FENCES: usize = {fences};\n\
         /// The chapters that have any.\n\
         const CHAPTERS: usize = {chapters};\n\
         const BLOCKS: &[Block] = &[\n{entries}];\n"
    )
}

fn line(line: Option<usize>) -> String {
    line.map_or("in a file that it includes".to_owned(), |line| {
        line.to_string()
    })
}

fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
