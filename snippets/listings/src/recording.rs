//! What the last run of a listing or a mistake printed and did, under `snippets/recorded/`.
//! The runner writes these files, the page shows them, and a test fails when they no longer fit.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::table::{Listing, Mistake, Table};

/// Where all recordings are, below the book's root.
pub const RECORDED: &str = "snippets/recorded";

/// A run of a listing. Volatile values are masked before it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    pub scenario: String,
    pub stack: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// As a reader would type it in the stack's folder.
    pub command: String,
    /// File, relative to the stack's folder, and its SHA-256.
    pub sources: BTreeMap<String, String>,
    /// The day, in UTC, of a run that is not repeated everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// `passed`: only such runs are recorded.
    pub verdict: String,
    pub exit: i32,
    /// Standard output, line by line.
    pub output: Vec<String>,
    /// What a server answered, each different answer once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
    /// The emulator's event log.
    pub events: Vec<Value>,
    /// What it ran with: compiler or interpreter, and the dependencies.
    pub versions: BTreeMap<String, String>,
    /// `Valkey 9.1.2`.
    pub engine: String,
}

/// A run of a mistake: what the client printed, and what the emulator knew about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorCapture {
    pub mistake: String,
    pub stack: String,
    pub command: String,
    pub sources: BTreeMap<String, String>,
    pub exit: i32,
    /// The captured lines of standard output and standard error.
    pub output: Vec<String>,
    /// The lines of the emulator's log that say why, as a person reads them.
    pub log: Vec<String>,
    #[serde(default)]
    pub events: Vec<Value>,
    pub versions: BTreeMap<String, String>,
    pub engine: String,
}

impl Recording {
    /// `snippets/recorded/<scenario>/<stack>[-<variant>].json`, below the book's root.
    pub fn path(book_root: &Path, listing: &Listing) -> PathBuf {
        book_root.join(RECORDED).join(&listing.scenario).join(format!("{}.json", listing.name()))
    }

    /// The recording of a listing, or `None` when it has never been recorded.
    pub fn read(book_root: &Path, listing: &Listing) -> Result<Option<Recording>> {
        read(&Recording::path(book_root, listing))
    }

    pub fn write(&self, book_root: &Path, listing: &Listing) -> Result<()> {
        write(&Recording::path(book_root, listing), self)
    }

    /// Why this recording is not one of `listing` as it stands on the disk, or `None` when it is.
    pub fn stale(&self, listing: &Listing) -> Result<Option<String>> {
        if (&self.scenario, &self.stack, &self.variant) != (&listing.scenario, &listing.stack, &listing.variant) {
            return Ok(Some(format!("it is a recording of {}/{}, not of {}", self.scenario, self.stack, listing.id())));
        }
        let now = hash_sources(&listing.directory, &listing.files)?;
        Ok(changed(&self.sources, &now))
    }
}

impl ErrorCapture {
    /// `snippets/recorded/errors/<id>.json`, below the book's root.
    pub fn path(book_root: &Path, mistake: &Mistake) -> PathBuf {
        book_root.join(RECORDED).join("errors").join(format!("{}.json", mistake.id))
    }

    /// The capture of a mistake, or `None` when it has never been recorded.
    pub fn read(book_root: &Path, mistake: &Mistake) -> Result<Option<ErrorCapture>> {
        read(&ErrorCapture::path(book_root, mistake))
    }

    pub fn write(&self, book_root: &Path, mistake: &Mistake) -> Result<()> {
        write(&ErrorCapture::path(book_root, mistake), self)
    }

    /// Why this capture is not one of `mistake` as it stands on the disk, or `None` when it is.
    pub fn stale(&self, table: &Table, mistake: &Mistake) -> Result<Option<String>> {
        if self.mistake != mistake.id || self.stack != mistake.stack {
            return Ok(Some(format!(
                "it is a capture of {} in {}, not of {} in {}",
                self.mistake, self.stack, mistake.id, mistake.stack
            )));
        }
        let now = mistake_sources(table, mistake)?;
        Ok(changed(&self.sources, &now))
    }
}

/// The SHA-256 of each file of a mistake: its own program, or the listing that it stands on.
pub fn mistake_sources(table: &Table, mistake: &Mistake) -> Result<BTreeMap<String, String>> {
    match mistake.listing.as_deref().and_then(|id| table.listing(id)) {
        Some(listing) => hash_sources(&listing.directory, &listing.files),
        None => hash_sources(&mistake.directory, &mistake.files),
    }
}

/// The SHA-256 of each file, by its path relative to `directory`.
pub fn hash_sources(directory: &Path, files: &[PathBuf]) -> Result<BTreeMap<String, String>> {
    files
        .iter()
        .map(|file| {
            let path = directory.join(file);
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}, a source of a listing", path.display()))?;
            Ok((file.display().to_string(), hash(&bytes)))
        })
        .collect()
}

/// The files below `snippets/recorded/` that belong to no listing and no mistake of the table.
pub fn orphans(table: &Table) -> Result<Vec<PathBuf>> {
    let known: Vec<_> = table
        .listings
        .iter()
        .filter(|listing| listing.impossible.is_none())
        .map(|listing| Recording::path(&table.root, listing))
        .chain(table.mistakes.iter().map(|mistake| ErrorCapture::path(&table.root, mistake)))
        .collect();
    let mut orphans = Vec::new();
    let mut folders = vec![table.root.join(RECORDED)];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("cannot list {}", folder.display()))?,
        };
        for entry in entries {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false if !known.contains(&path) => orphans.push(path),
                false => {}
            }
        }
    }
    orphans.sort();
    Ok(orphans)
}

fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut hex = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn changed(recorded: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Option<String> {
    for (file, hash) in now {
        match recorded.get(file) {
            None => return Some(format!("{file} is new since it was recorded")),
            Some(before) if before != hash => {
                return Some(format!("{file} changed since it was recorded"));
            }
            Some(_) => {}
        }
    }
    recorded
        .keys()
        .find(|file| !now.contains_key(*file))
        .map(|file| format!("{file} was part of it when it was recorded"))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read the recording {}", path.display()))?,
    };
    let recording = serde_json::from_str(&text).with_context(|| {
        format!("{} is not a recording: delete it and run `cargo book record`, which writes it anew", path.display())
    })?;
    Ok(Some(recording))
}

fn write<T: Serialize>(path: &Path, recording: &T) -> Result<()> {
    let cannot = || format!("cannot write the recording {}", path.display());
    let folder = path.parent().expect("a recording is in a folder");
    fs::create_dir_all(folder).with_context(cannot)?;
    // Written aside and renamed, so that a book that is being served never reads half of one.
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    file.write_all(canonical_text(recording)?.as_bytes()).with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}

/// JSON with sorted names and a line end: two runs that did the same give the same bytes, whatever features serde_json was
/// built with.
pub fn canonical_text<T: Serialize>(recording: &T) -> Result<String> {
    struct Ordered<'a>(&'a Value);

    impl Serialize for Ordered<'_> {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                Value::Object(map) => {
                    let sorted: BTreeMap<_, _> = map.iter().map(|(name, value)| (name, Ordered(value))).collect();
                    sorted.serialize(to)
                }
                Value::Array(items) => to.collect_seq(items.iter().map(Ordered)),
                plain => plain.serialize(to),
            }
        }
    }

    let value = serde_json::to_value(recording)?;
    Ok(serde_json::to_string_pretty(&Ordered(&value))? + "\n")
}
