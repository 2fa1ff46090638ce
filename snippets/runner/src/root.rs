//! Where the book is on this disk. Everything else in this crate is told, and asks here only through its caller.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The folder of `book.toml`: above the current folder, so that a copy of the repository serves itself; else the
/// repository that this program was compiled in.
pub fn book_root() -> Result<PathBuf> {
    let here = env::current_dir()?;
    let compiled_in = Path::new(env!("CARGO_MANIFEST_DIR"));
    match find(&here).or_else(|| find(compiled_in)) {
        Some(root) => Ok(root),
        None => bail!(
            "there is no book here: neither {} nor a folder above it has a book.toml beside snippets/scenarios.toml. \
             Run the command in a clone of the book's repository",
            here.display()
        ),
    }
}

fn find(from: &Path) -> Option<PathBuf> {
    from.ancestors()
        .find(|folder| folder.join("book.toml").is_file() && folder.join("snippets/scenarios.toml").is_file())
        .map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_any_folder_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("snippets/rust/examples");
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(find(&deep), None);
        std::fs::write(folder.path().join("book.toml"), "").unwrap();
        std::fs::write(folder.path().join("snippets/scenarios.toml"), "").unwrap();
        assert_eq!(find(&deep), Some(folder.path().to_path_buf()));
    }
}
