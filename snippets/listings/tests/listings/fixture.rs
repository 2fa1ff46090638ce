//! A small repository of a book in a temporary folder, for the tests of this crate: two stacks, two
//! scenarios, three listings, one mistake, one mutation.

use std::fs;
use std::path::{Path, PathBuf};

use listings::{
    ErrorCapture, MissingRecordings, Pages, Places, Recording, Sources, Table, Target, hash_sources, mistake_sources,
};
use serde_json::json;

pub(crate) const TABLE: &str = r#"
[stacks.rust]
title = "Rust"
language = "rust"
renews = "in time"
folder = "rust"
manifest = "Cargo.toml"

[stacks.python]
title = "Python"
language = "python"
folder = "python"
manifest = "pyproject.toml"

[scenarios.sign-in]
title = "Sign in & out"
identity = "user"
kind = "program"
tier = "quick"
policies = ["no-cluster", "oss-cluster"]
[scenarios.sign-in.expect]
tokens = [{ identity = "user", flow = "managed-identity", count = "1" }]
connections = "1"
sign-ins = [{ identity = "user", connections = "1", renewals = "0" }]
commands = ["PING"]
prints = ["PONG"]

[scenarios.refresh]
title = "Refresh"
short = "fresh"
identity = "system"
kind = "server"
tier = "slow"
policies = ["enterprise-cluster"]
lifetime = 243
stop-after = { renewals = 2 }
[scenarios.refresh.expect]
tokens = [{ identity = "system", flow = "managed-identity", count = "3.." }]
connections = "1..2"
sign-ins = [{ identity = "system", connections = "1", renewals = "2..4" }]
commands = ["SET", "GET"]
answers = ["^hello$"]

# The order of the tabs is that of the stacks, not this one.
[[listings]]
scenario = "sign-in"
stack = "python"
files = ["sign_in.py"]
dependencies = ["redis_entraid"]

[[listings]]
scenario = "sign-in"
stack = "rust"
variant = "sync"
files = ["examples/sign_in.rs"]
dependencies = ["redis", "anyhow"]

[[listings]]
scenario = "refresh"
stack = "python"
impossible = { why = "It asks for a token *once*.", test = "test_refresh" }

[[mistakes]]
id = "wrong-name"
title = "The wrong <name>"
stack = "rust"
files = ["mistakes/wrong_name.rs"]
identity = "user"
environment = { without = ["SSL_CERT_FILE"], with = { REDIS_PORT = "1" } }
trouble = "redis-other-name"
limits = "refresh"
lifetime = 240
exit = "failure"
shows = ['WRONGPASS.*']
logs = [{ event = "sign-in-refused", reason = "username-not-object-id" }]

[[mutations]]
listing = "sign-in/rust-sync"
name = "static-token"
files = ["mutations/static_token.rs"]
"#;

pub(crate) const RUST: &str = r##"//! Signs in.
fn main() -> anyhow::Result<()> {
    let host = "localhost";

    // ANCHOR: shown
    let client = redis::Client::open(host)?;
    println!(
        r#"
# a heading
"#
    );
    // ANCHOR_END: shown
    Ok(())
}
"##;

pub(crate) const PYTHON: &str = "import redis

~x = 1
# ANCHOR: shown
client = redis.Redis()
# ANCHOR_END: shown
";

pub(crate) struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let fixture = Fixture { folder: tempfile::tempdir().unwrap() };
        fixture
            .write("book.toml", "[book]\ntitle = \"A book\"\n")
            .write("src/SUMMARY.md", "# Summary\n\n- [One](one.md)\n")
            .write("src/one.md", "# One\n\n{{#listing sign-in}}\n")
            .write("snippets/scenarios.toml", TABLE)
            .write("snippets/rust/examples/sign_in.rs", RUST)
            .write("snippets/rust/mistakes/wrong_name.rs", "fn main() {}\n")
            .write("snippets/rust/mutations/static_token.rs", "fn main() {}\n")
            .write(
                "snippets/rust/Cargo.toml",
                "[dependencies]\nanyhow = \"1\"\nlocal = { path = \"../local\" }\n\n[dev-dependencies]\n\
                 redis = { version = \"1.8.1\", default-features = false, features = [\"entra-id\", \"x\"] }\n",
            )
            .write("snippets/python/sign_in.py", PYTHON)
            .write(
                "snippets/python/pyproject.toml",
                "[project]\nname = \"x\"\ndependencies = [\"redis==7.0.1\", \"redis-entraid[x]>=1.0 ; python_version > '3.9'\"]\n",
            );
        fixture
    }

    /// The fixture with a recording for everything that can have one.
    pub(crate) fn recorded() -> Fixture {
        let fixture = Fixture::new();
        let table = fixture.table();
        for listing in table.listings.iter().filter(|it| it.impossible.is_none()) {
            recording(&table, &listing.id()).write(fixture.root(), listing).unwrap();
        }
        for mistake in &table.mistakes {
            capture(&table, &mistake.id).write(fixture.root(), mistake).unwrap();
        }
        fixture
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> &Fixture {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn table(&self) -> Table {
        Table::load(self.root()).unwrap()
    }

    /// What is said about the table after one change to it.
    pub(crate) fn fault(&self, from: &str, to: &str) -> String {
        assert!(TABLE.contains(from), "{from}");
        self.write("snippets/scenarios.toml", &TABLE.replace(from, to));
        Table::load(self.root()).unwrap_err().to_string()
    }

    pub(crate) fn expand(&self, markdown: &str, target: Target) -> anyhow::Result<String> {
        self.expand_with(markdown, target, MissingRecordings::Error)
    }

    pub(crate) fn expand_with(
        &self,
        markdown: &str,
        target: Target,
        missing_recordings: MissingRecordings,
    ) -> anyhow::Result<String> {
        let table = self.table();
        let pages = Pages {
            table: &table,
            sources: Sources::Repository("https://example.com/owner/book/".to_owned()),
            missing_recordings,
            places: &Places::of([(PathBuf::from("src/one.md"), markdown)]),
        };
        pages.expand(markdown, Path::new("src/one.md"), target)
    }

    pub(crate) fn page(&self, markdown: &str) -> String {
        self.expand(markdown, Target::Html).unwrap()
    }
}

pub(crate) fn recording(table: &Table, id: &str) -> Recording {
    let listing = table.listing(id).unwrap();
    Recording {
        scenario: listing.scenario.clone(),
        stack: listing.stack.clone(),
        variant: listing.variant.clone(),
        command: "cargo run --example sign_in".to_owned(),
        sources: hash_sources(&listing.directory, &listing.files).unwrap(),
        date: None,
        verdict: "passed".to_owned(),
        exit: 0,
        output: vec!["PONG <&>".to_owned(), String::new(), "{{#include x}}".to_owned()],
        answers: Vec::new(),
        events: vec![
            json!({"seq": 1, "event": "token-issued", "identity": "user", "flow": "managed-identity", "lifetime": 3600}),
            json!({"seq": 2, "event": "connection-opened", "connection": 1, "tls": "TLSv1.3", "server_name": "localhost"}),
            json!({"seq": 3, "event": "sign-in-accepted", "connection": 1, "identity": "user", "command": "HELLO", "nth": 1, "renewal": false}),
            json!({"seq": 4, "event": "sign-in-accepted", "connection": 1, "identity": "user", "command": "AUTH", "nth": 2, "renewal": true}),
            json!({"seq": 5, "event": "something-new"}),
            json!({"seq": 6, "event": "connection-closed", "connection": 1, "by": "client", "commands": {"PING": 1, "SET": 3, "GET": "<count>"}, "error_replies": 2}),
        ],
        versions: [("redis".to_owned(), "1.8.1".to_owned())].into(),
        engine: "Valkey 9.1.2".to_owned(),
    }
}

pub(crate) fn capture(table: &Table, id: &str) -> ErrorCapture {
    let mistake = table.mistake(id).unwrap();
    ErrorCapture {
        mistake: mistake.id.clone(),
        stack: mistake.stack.clone(),
        command: "cargo run --example wrong_name".to_owned(),
        sources: mistake_sources(table, mistake).unwrap(),
        exit: 1,
        output: vec!["Error: WRONGPASS <x>".to_owned()],
        log: vec!["sign-in REFUSED: username-not-object-id".to_owned()],
        events: Vec::new(),
        versions: [("redis".to_owned(), "1.8.1".to_owned())].into(),
        engine: "Valkey 9.1.2".to_owned(),
    }
}
