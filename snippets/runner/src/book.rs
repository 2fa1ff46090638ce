//! Builds the book with mdBook as a library and our preprocessors in this process. `cargo book` and `cargo book build`
//! call it; `mdbook build` gives the same from the same book.toml.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use listings::{Listings, MissingRecordings, Sources, Table};
use mdbook_driver::MDBook;
use mdbook_mermaid::Mermaid;

use crate::diagnostics;

/// Builds the book into the folder that book.toml names, and returns where its index.html is.
pub fn build(root: &Path) -> Result<PathBuf> {
    build_with(MDBook::load(root).context("cannot load the book")?, Listings::new())
}

/// Builds the book into `into` for an author who is still writing: a listing that was changed and not run since has a
/// note on its page.
pub(crate) fn build_draft(root: &Path, into: &Path) -> Result<PathBuf> {
    let mut book = MDBook::load(root).context("cannot load the book")?;
    book.config.build.build_dir = into.to_path_buf();
    build_with(book, Listings::new().missing_recordings(MissingRecordings::Note))
}

fn build_with(mut book: MDBook, listings: Listings) -> Result<PathBuf> {
    diagnostics::errors_since_last_asked();
    // Each takes the place of the command that book.toml names for it, so that nothing has to be installed, and no
    // Cargo waits for another.
    book.with_preprocessor(listings.sources_beside_pages());
    book.with_preprocessor(Mermaid);
    book.build().context("cannot build the book")?;
    if diagnostics::errors_since_last_asked() > 0 {
        bail!("mdBook reported what is above: the book is not complete");
    }
    // With one renderer the pages are in the folder itself, with several in a folder for each.
    let pages = book.build_dir_for("html");
    if !pages.join("index.html").is_file() {
        bail!("mdBook wrote no index.html into {}", pages.display());
    }
    copy_sources(&book.root, &pages)?;
    Ok(pages)
}

/// Puts every file that a page links to beside the pages, as text that a browser shows instead of saving it.
fn copy_sources(root: &Path, pages: &Path) -> Result<()> {
    let table = Table::load(root)?;
    let of_listings = table.listings.iter().map(|listing| (&listing.stack, &listing.files));
    let of_mistakes = table.mistakes.iter().map(|mistake| (&mistake.stack, &mistake.files));
    for (stack, files) in of_listings.chain(of_mistakes) {
        let folder = Path::new("snippets").join(&table.stack(stack).context("a stack of the table")?.folder);
        for file in files {
            let source = root.join(&folder).join(file);
            let copy = pages.join(Sources::FOLDER).join(&folder).join(format!("{}.txt", file.display()));
            let cannot = || format!("cannot copy {} to {}", source.display(), copy.display());
            fs::create_dir_all(copy.parent().expect("the copy is in a folder")).with_context(cannot)?;
            fs::copy(&source, &copy).with_context(cannot)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_to_a_whole_file_leads_to_its_text() {
        let root = crate::book_root().expect("the tests run in the book's repository");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pages = build_draft(&root, folder.path()).expect("the book builds");
        let mut links = 0;
        for page in fs::read_dir(&pages).expect("the pages").flatten().map(|entry| entry.path()) {
            if page.extension().is_none_or(|extension| extension != "html") {
                continue;
            }
            let html = fs::read_to_string(&page).expect("a page");
            for link in html.split("class=\"listing-file\" href=\"").skip(1) {
                let link = link.split('"').next().expect("the link's end");
                let text = fs::read_to_string(pages.join(link))
                    .unwrap_or_else(|_| panic!("{link} in {} is broken", page.display()));
                assert!(!text.is_empty());
                links += 1;
            }
        }
        assert!(links > 10, "{links} links");
    }
}
