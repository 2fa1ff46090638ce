//! The table of everything that runs: `snippets/scenarios.toml`, read and checked.
//! The preprocessor takes from it what a chapter shows, the runner what has to be run and seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::ops::Deref;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use indexmap::IndexMap;
use regex::Regex;
use serde::{Deserialize, Deserializer, de};

use crate::region;

/// Where the table is, below the book's root.
pub const TABLE: &str = "snippets/scenarios.toml";

/// `snippets/scenarios.toml`, with every reference in it resolved.
#[derive(Debug, Clone)]
pub struct Table {
    /// The folder of `book.toml`.
    pub root: PathBuf,
    /// In the order of the file, which is the order of the tabs.
    pub stacks: Vec<Stack>,
    pub scenarios: Vec<Scenario>,
    pub listings: Vec<Listing>,
    pub mistakes: Vec<Mistake>,
    pub mutations: Vec<Mutation>,
}

/// A language with one client library: a project below `snippets/` that holds one program a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stack {
    #[serde(skip)]
    pub id: String,
    /// The label of the tab.
    pub title: String,
    /// The tag of a fenced code block.
    pub language: String,
    /// Below `snippets/`. Two stacks may share one.
    pub folder: PathBuf,
    /// When the client asks for the next token, in a few words.
    pub renews: Option<String>,
    /// The file in `folder` that declares the dependencies.
    pub manifest: PathBuf,
    /// The exit status, besides 0, of a program that was asked to leave and did: some languages decide that themselves.
    pub leaves_with: Option<i32>,
    /// A package that some feeds lack. Without it the stack is left out, and its pages say when it was last run.
    pub not_everywhere: Option<String>,
    /// Error replies to what the client library asks by itself when it connects. It goes on without.
    #[serde(default)]
    pub error_replies: Vec<ErrorReply>,
    /// Commands that the client library also sends by itself, now and then: how often they ran is chance.
    #[serde(default)]
    pub uncounted: Vec<String>,
    /// `folder`, from the root of the file system or the working directory.
    #[serde(skip)]
    pub directory: PathBuf,
}

/// An error reply by its command, as the emulator names it, and by the first word of the error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorReply {
    pub command: String,
    pub error: String,
}

/// Something to show in every stack, and how the judge knows that it happened.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    #[serde(skip)]
    pub id: String,
    pub title: String,
    /// The title in two or three words, for tables.
    short: Option<String>,
    /// Whose environment the program runs in, by the emulator's name for it.
    pub identity: String,
    #[serde(default)]
    pub kind: Kind,
    #[serde(default)]
    pub tier: Tier,
    /// The runner runs each listing once under each; the first is recorded.
    pub policies: Vec<Policy>,
    /// What happens on several connections at once has no order, so it is recorded as a set.
    #[serde(default)]
    pub concurrent: bool,
    /// Of the tokens that the emulator issues; its own default when absent.
    #[serde(default, deserialize_with = "seconds")]
    pub lifetime: Option<Duration>,
    /// What happens to the cache while the program runs.
    pub meanwhile: Option<Meanwhile>,
    /// When to ask the program to leave; one that has no such condition leaves by itself.
    pub stop_after: Option<StopAfter>,
    pub expect: Expect,
}

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Does its work and leaves.
    #[default]
    Program,
    /// Serves HTTP at the port that `PORT` names, until it is told to leave. The runner asks it for `/` again and again.
    Server,
}

/// How long a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    #[default]
    Quick,
    /// Waits for time to pass, a token's lifetime for example.
    Slow,
}

/// The clustering policy of the Azure Managed Redis instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    EnterpriseCluster,
    OssCluster,
    NoCluster,
}

/// A change of the cache that a program has to live through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meanwhile {
    /// Access keys work at first. They are turned off soon after the program has signed in, which drops every connection.
    AccessKeysOff,
}

/// What the event log must show before the runner sends SIGINT. All that is given must be reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StopAfter {
    /// Sign-ins with a new token on a connection that had signed in before.
    pub renewals: Option<u32>,
    pub sign_ins: Option<u32>,
    /// Connections that signed in. Each is given a moment to show that it is of use.
    pub connections: Option<u32>,
}

/// All that may happen in a run. Any event that this does not name fails it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    pub tokens: Vec<ExpectedTokens>,
    /// Connections opened to Redis.
    pub connections: CountRange,
    pub sign_ins: Vec<ExpectedSignIns>,
    /// Connections that signed in with an access key.
    #[serde(default)]
    pub access_keys: CountRange,
    /// Commands that must have run, none with an error.
    pub commands: Vec<String>,
    /// Each must match a line of the standard output.
    #[serde(default)]
    pub prints: Vec<Pattern>,
    /// Each answer of a server must match one.
    #[serde(default)]
    pub answers: Vec<Pattern>,
    /// Shards that must have been signed in to, each at its own address.
    #[serde(default)]
    pub shards: u64,
    /// Whether the client may ask Entra ID about itself, its discovery documents and keys.
    #[serde(default)]
    pub discovery: bool,
    /// Those of the stack.
    #[serde(skip)]
    pub error_replies: Vec<ErrorReply>,
}

/// What a listing is expected to do otherwise than its scenario says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ExpectChange {
    tokens: Option<Vec<ExpectedTokens>>,
    connections: Option<CountRange>,
    sign_ins: Option<Vec<ExpectedSignIns>>,
    access_keys: Option<CountRange>,
    commands: Option<Vec<String>>,
    prints: Option<Vec<Pattern>>,
    answers: Option<Vec<Pattern>>,
    discovery: Option<bool>,
}

impl ExpectChange {
    fn of(&self, expect: &Expect) -> Expect {
        let mut changed = expect.clone();
        let ExpectChange { tokens, connections, sign_ins, access_keys, commands, prints, answers, discovery } =
            self.clone();
        changed.tokens = tokens.unwrap_or(changed.tokens);
        changed.connections = connections.unwrap_or(changed.connections);
        changed.sign_ins = sign_ins.unwrap_or(changed.sign_ins);
        changed.access_keys = access_keys.unwrap_or(changed.access_keys);
        changed.commands = commands.unwrap_or(changed.commands);
        changed.prints = prints.unwrap_or(changed.prints);
        changed.answers = answers.unwrap_or(changed.answers);
        changed.discovery = discovery.unwrap_or(changed.discovery);
        changed
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExpectedTokens {
    pub identity: String,
    /// As in the event log: `managed-identity`, `client-secret`.
    pub flow: String,
    pub count: CountRange,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExpectedSignIns {
    pub identity: String,
    /// Connections on which this identity signed in.
    pub connections: CountRange,
    /// Sign-ins with a new token, on each of these connections.
    pub renewals: CountRange,
}

/// One scenario in one stack: the program to show and run, or the reason why there is none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Listing {
    pub scenario: String,
    pub stack: String,
    /// Tells several listings of one stack apart.
    pub variant: Option<String>,
    /// Relative to the stack's folder. The first is shown. Empty when `impossible`.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Names, as in the stack's manifest.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// Instead of the scenario's.
    #[serde(default, deserialize_with = "seconds")]
    pub lifetime: Option<Duration>,
    /// Instead of the scenario's: the client does at once what others do one after the other.
    pub concurrent: Option<bool>,
    /// What differs from run to run in the output, besides what the runner masks in all of them.
    #[serde(default)]
    pub masks: Vec<Mask>,
    pub impossible: Option<Impossible>,
    /// Instead of the scenario's.
    tier: Option<Tier>,
    /// How its environment differs from the identity's.
    #[serde(default)]
    pub environment: EnvironmentChange,
    /// The client knows Entra ID's host by heart: the emulator's proxy answers for it.
    #[serde(default)]
    pub proxy: bool,
    /// The client takes its certificate as PKCS#12 only, not as PEM.
    #[serde(default)]
    pub pfx: bool,
    /// What a server is asked for, in turn. `/` when empty.
    #[serde(default)]
    pub paths: Vec<String>,
    #[serde(default)]
    expect: ExpectChange,
    /// The stack's folder, for `files`.
    #[serde(skip)]
    pub directory: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mask {
    pub pattern: Pattern,
    /// Takes the place of every match; `$1` and `$name` stand for groups.
    pub with: String,
}

/// Why a client cannot do what the scenario shows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Impossible {
    /// Markdown, shown in place of the program.
    pub why: String,
    /// The test that fails as soon as it becomes possible.
    pub test: String,
}

/// A program or an environment that fails, for `{{#error id}}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mistake {
    pub id: String,
    pub title: String,
    pub stack: String,
    /// The failing program. Empty when a `listing` fails in this environment.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// The id of an ordinary listing, `scenario/stack`. The table may leave `/stack` away.
    pub listing: Option<String>,
    pub identity: String,
    #[serde(default)]
    pub environment: EnvironmentChange,
    pub trouble: Option<Trouble>,
    /// The scenario in which it is no fault of the program, but a limit of the client.
    pub limits: Option<String>,
    /// `NoCluster`, or that of the listing's scenario, when absent.
    pub policy: Option<Policy>,
    #[serde(default, deserialize_with = "seconds")]
    pub lifetime: Option<Duration>,
    pub stop_after: Option<StopAfter>,
    /// As a listing's.
    #[serde(default)]
    pub proxy: bool,
    pub exit: Exit,
    /// The lines of the output that match are the capture. Each must match one.
    pub shows: Vec<Pattern>,
    /// The capture begins with the first line that matches: what libraries log before that is no part of it.
    pub shows_from: Option<Pattern>,
    /// Each must be in the emulator's log.
    #[serde(default)]
    pub logs: Vec<LogMatch>,
    #[serde(default)]
    pub masks: Vec<Mask>,
    /// The stack's folder, for `files`.
    #[serde(skip)]
    pub directory: PathBuf,
}

/// How a mistaken environment differs from the identity's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EnvironmentChange {
    #[serde(default)]
    pub without: Vec<String>,
    #[serde(default)]
    pub with: BTreeMap<String, String>,
}

/// What the emulator does wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// Redis presents a certificate of an authority nobody trusts.
    RedisOtherAuthority,
    /// Redis presents a certificate for another name.
    RedisOtherName,
    /// Entra ID presents a certificate of an authority nobody trusts.
    EntraOtherAuthority,
    /// Nothing answers where tokens are issued.
    EntraUnreachable,
    /// Every token takes a second and a half.
    SlowTokens,
    /// Access keys are off when the program starts; the one that it was given worked until then.
    AccessKeysOff,
}

/// How a mistaken program must leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Success,
    Failure,
}

/// An event of this kind, with at least these fields.
#[derive(Debug, Clone, Deserialize)]
pub struct LogMatch {
    pub event: String,
    #[serde(flatten)]
    pub fields: BTreeMap<String, serde_json::Value>,
}

impl LogMatch {
    /// Whether `event`, an object of the event log, is what is looked for.
    pub fn matches(&self, event: &serde_json::Value) -> bool {
        event.get("event").and_then(|kind| kind.as_str()) == Some(&self.event)
            && self.fields.iter().all(|(name, value)| event.get(name) == Some(value))
    }
}

/// A changed copy of a listing, or the listing under trouble, that its judge must not let pass.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mutation {
    /// The id of the listing, `scenario/stack`.
    pub listing: String,
    /// `no-refresh`, `other-principal`, `static-token`, `no-certificate-check`, …
    pub name: String,
    /// The changed program. Empty when the listing itself runs under `trouble`.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    pub trouble: Option<Trouble>,
    /// The folder of the listing's stack, for `files`.
    #[serde(skip)]
    pub directory: PathBuf,
}

/// How many: `"1"`, `"1.."`, `"2..4"` (four included).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountRange {
    pub min: u64,
    /// Included; no limit when absent.
    pub max: Option<u64>,
}

impl Default for CountRange {
    /// None at all.
    fn default() -> Self {
        CountRange { min: 0, max: Some(0) }
    }
}

impl CountRange {
    pub fn contains(&self, count: u64) -> bool {
        count >= self.min && self.max.is_none_or(|max| count <= max)
    }
}

impl fmt::Display for CountRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            Some(max) if max == self.min => write!(out, "{max}"),
            Some(max) => write!(out, "{} to {max}", self.min),
            None => write!(out, "{} or more", self.min),
        }
    }
}

impl<'de> Deserialize<'de> for CountRange {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let number = |digits: &str| digits.parse::<u64>().ok();
        let range = match text.split_once("..") {
            None => number(&text).map(|exactly| (exactly, Some(exactly))),
            Some((min, "")) => number(min).map(|min| (min, None)),
            Some((min, max)) => number(min).zip(number(max)).map(|(min, max)| (min, Some(max))),
        };
        match range {
            Some((min, max)) if max.is_none_or(|max| min <= max) => Ok(CountRange { min, max }),
            _ => Err(de::Error::custom(format!(
                "`{text}` is not a count: write \"1\" for exactly one, \"1..\" for one or more, \
                 \"2..4\" for two to four"
            ))),
        }
    }
}

/// A regular expression that compiles.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Deref for Pattern {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let regex = Regex::new(&text).map_err(|error| {
            de::Error::custom(format!("`{text}` is not a regular expression of the regex crate: {error}"))
        })?;
        Ok(Pattern(regex))
    }
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    match u64::deserialize(from)? {
        0 => Err(de::Error::custom("a lifetime of 0 seconds would end every token at birth: write one of 1 or more")),
        seconds => Ok(Some(Duration::from_secs(seconds))),
    }
}

impl Scenario {
    /// What it is called in a table.
    pub fn name(&self) -> &str {
        self.short.as_deref().unwrap_or(&self.title)
    }
}

impl Policy {
    pub const ALL: [Policy; 3] = [Policy::NoCluster, Policy::EnterpriseCluster, Policy::OssCluster];

    /// Azure's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Policy::EnterpriseCluster => "EnterpriseCluster",
            Policy::OssCluster => "OSSCluster",
            Policy::NoCluster => "NoCluster",
        }
    }
}

impl Listing {
    /// The name among the listings of its scenario: `rust`, or `rust-sync` for a variant.
    pub fn name(&self) -> String {
        match &self.variant {
            Some(variant) => format!("{}-{variant}", self.stack),
            None => self.stack.clone(),
        }
    }

    /// `<scenario>/<stack>` or `<scenario>/<stack>-<variant>`, unique in the table.
    pub fn id(&self) -> String {
        format!("{}/{}", self.scenario, self.name())
    }

    /// How long it takes.
    pub fn tier(&self, scenario: &Scenario) -> Tier {
        self.tier.unwrap_or(scenario.tier)
    }

    /// The shown file, unless the listing is impossible.
    pub fn shown_file(&self) -> Option<&Path> {
        self.files.first().map(PathBuf::as_path)
    }
}

impl Mutation {
    /// Unique in the table.
    pub fn id(&self) -> String {
        format!("{}: {}", self.listing, self.name)
    }
}

/// The file as it is written; everything after this is checking.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    stacks: IndexMap<String, Stack>,
    #[serde(default)]
    scenarios: IndexMap<String, Scenario>,
    #[serde(default)]
    listings: Vec<Listing>,
    #[serde(default)]
    mistakes: Vec<Mistake>,
    #[serde(default)]
    mutations: Vec<Mutation>,
}

impl Table {
    /// Reads and checks `snippets/scenarios.toml` below the folder of `book.toml`.
    /// The error lists every fault that the table has, not only the first.
    pub fn load(book_root: impl AsRef<Path>) -> Result<Table> {
        let root = book_root.as_ref().to_path_buf();
        let path = root.join(TABLE);
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "cannot read {}, the table of listings: run the command in the repository of the \
                 book, where book.toml and snippets/ are",
                path.display()
            )
        })?;
        let written: Written = toml::from_str(&text).map_err(|error| {
            anyhow!(
                "{TABLE} is not a table of listings: {}\nThe comments at its top describe what \
                 may stand in it.",
                error.to_string().trim_end()
            )
        })?;

        let mut table = Table {
            stacks: Vec::new(),
            scenarios: Vec::new(),
            listings: written.listings,
            mistakes: written.mistakes,
            mutations: written.mutations,
            root,
        };
        for (id, stack) in written.stacks {
            let directory = table.root.join("snippets").join(&stack.folder);
            table.stacks.push(Stack { id, directory, ..stack });
        }
        for (id, scenario) in written.scenarios {
            table.scenarios.push(Scenario { id, ..scenario });
        }

        let mut faults = Vec::new();
        table.check_names(&mut faults);
        table.check_listings(&mut faults);
        table.check_mistakes(&mut faults);
        table.check_mutations(&mut faults);
        match &faults[..] {
            [] => Ok(table),
            [fault] => bail!("{TABLE}: {fault}"),
            faults => bail!("{TABLE} has {} faults:\n- {}", faults.len(), faults.join("\n- ")),
        }
    }

    pub fn stack(&self, id: &str) -> Option<&Stack> {
        self.stacks.iter().find(|stack| stack.id == id)
    }

    pub fn scenario(&self, id: &str) -> Option<&Scenario> {
        self.scenarios.iter().find(|scenario| scenario.id == id)
    }

    pub fn listing(&self, id: &str) -> Option<&Listing> {
        self.listings.iter().find(|listing| listing.id() == id)
    }

    pub fn mistake(&self, id: &str) -> Option<&Mistake> {
        self.mistakes.iter().find(|mistake| mistake.id == id)
    }

    /// What the emulator must see of a listing: what its scenario says, changed as the listing says.
    pub fn expect(&self, listing: &Listing) -> Option<Expect> {
        let expect = listing.expect.of(&self.scenario(&listing.scenario)?.expect);
        Some(Expect { error_replies: self.stack(&listing.stack)?.error_replies.clone(), ..expect })
    }

    /// How long a listing takes.
    pub fn tier(&self, listing: &Listing) -> Tier {
        self.scenario(&listing.scenario).map(|scenario| listing.tier(scenario)).unwrap_or_default()
    }

    /// The listings of a scenario in the order of their stacks, which is the order of the tabs.
    pub fn listings_of(&self, scenario: &str) -> Vec<&Listing> {
        let place = |listing: &&Listing| self.stacks.iter().position(|stack| stack.id == listing.stack);
        let mut listings: Vec<_> = self.listings.iter().filter(|listing| listing.scenario == scenario).collect();
        listings.sort_by_key(place);
        listings
    }

    fn check_names(&self, faults: &mut Vec<String>) {
        let stacks = self.stacks.iter().map(|stack| ("stack", &stack.id));
        let scenarios = self.scenarios.iter().map(|it| ("scenario", &it.id));
        let mistakes = self.mistakes.iter().map(|it| ("mistake", &it.id));
        for (kind, id) in stacks.chain(scenarios).chain(mistakes) {
            check_id(kind, id, faults);
        }
        for stack in &self.stacks {
            let what = format!("stack `{}`", stack.id);
            check_file(&what, &self.root.join("snippets"), &stack.folder, "folder", faults);
            check_file(&what, &stack.directory, &stack.manifest, "file", faults);
        }
        for scenario in &self.scenarios {
            if scenario.policies.is_empty() {
                faults.push(format!(
                    "scenario `{}` has no policies: name the clustering policies that it is for, \
                     `policies = [\"no-cluster\"]`",
                    scenario.id
                ));
            }
            let what = format!("scenario `{}`", scenario.id);
            check_stop(&what, scenario.stop_after.as_ref(), faults);
            if scenario.kind == Kind::Server && (scenario.stop_after.is_none() || scenario.expect.answers.is_empty()) {
                faults.push(format!(
                    "{what} is of a server, which needs `stop-after`, because it never leaves by itself, and \
                     `answers`, because that is what it is for"
                ));
            }
            if scenario.kind == Kind::Program && !scenario.expect.answers.is_empty() {
                faults.push(format!("{what} has `answers`, which only `kind = \"server\"` gives"));
            }
        }
    }

    fn check_listings(&mut self, faults: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        let mut directories = Vec::new();
        for listing in &self.listings {
            let what = format!("listing `{}`", listing.id());
            if !seen.insert(listing.id()) {
                faults.push(format!("{what} stands twice: remove one, or tell them apart by `variant`"));
            }
            if let Some(variant) = &listing.variant {
                check_id("variant", variant, faults);
            }
            if self.scenario(&listing.scenario).is_none() {
                faults.push(unknown(
                    &what,
                    "scenario",
                    &listing.scenario,
                    self.scenarios.iter().map(|it| it.id.as_str()),
                ));
            }
            let directory = self.directory(&what, &listing.stack, faults);
            match (&listing.impossible, listing.files.is_empty()) {
                (Some(_), false) => {
                    faults.push(format!("{what} has `files` and is `impossible`: keep the one that is true"));
                }
                (None, true) => faults.push(format!(
                    "{what} has no `files`: name the program, or say why there is none with \
                     `impossible = {{ why = \"…\", test = \"…\" }}`"
                )),
                _ => {}
            }
            if let Some(directory) = &directory {
                for file in &listing.files {
                    check_file(&what, directory, file, "file", faults);
                }
                if let Some(shown) = listing.shown_file()
                    && let Ok(source) = fs::read_to_string(directory.join(shown))
                    && let Err(fault) = region::lines(&source)
                {
                    faults.push(format!("{what}: {}: {fault}", shown.display()));
                }
            }
            directories.push(directory.unwrap_or_default());
        }
        for (listing, directory) in self.listings.iter_mut().zip(directories) {
            listing.directory = directory;
        }
    }

    fn check_mistakes(&mut self, faults: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        let mut resolved = Vec::new();
        for mistake in &self.mistakes {
            let what = format!("mistake `{}`", mistake.id);
            if !seen.insert(&mistake.id) {
                faults.push(format!("{what} stands twice: give one of them another `id`"));
            }
            let directory = self.directory(&what, &mistake.stack, faults);
            if mistake.listing.is_some() != mistake.files.is_empty() {
                faults.push(format!(
                    "{what} needs either `files`, a program that fails, or `listing`, an ordinary \
                     one in an environment where it fails"
                ));
            }
            if mistake.shows.is_empty() {
                faults.push(format!(
                    "{what} has no `shows`, so there would be nothing to put into the book: name \
                     the lines to capture"
                ));
            }
            if let Some(directory) = &directory {
                for file in &mistake.files {
                    check_file(&what, directory, file, "file", faults);
                }
            }
            check_stop(&what, mistake.stop_after.as_ref(), faults);
            if let Some(id) = &mistake.limits
                && self.scenario(id).is_none()
            {
                faults.push(unknown(&what, "scenario", id, self.scenarios.iter().map(|it| it.id.as_str())));
            }
            let listing = mistake.listing.as_ref().map(|name| match name.contains('/') {
                true => name.clone(),
                false => format!("{name}/{}", mistake.stack),
            });
            if let Some(id) = &listing {
                self.check_program(&what, id, faults);
            }
            resolved.push((directory.unwrap_or_default(), listing));
        }
        for (mistake, (directory, listing)) in self.mistakes.iter_mut().zip(resolved) {
            mistake.directory = directory;
            mistake.listing = listing;
        }
    }

    fn check_mutations(&mut self, faults: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        let mut directories = Vec::new();
        for mutation in &self.mutations {
            let what = format!("mutation `{}`", mutation.id());
            check_id("mutation", &mutation.name, faults);
            if !seen.insert(mutation.id()) {
                faults.push(format!("{what} stands twice: give one of them another `name`"));
            }
            if mutation.files.is_empty() && mutation.trouble.is_none() {
                faults.push(format!(
                    "{what} changes nothing: name the changed program in `files`, or the `trouble` \
                     that the listing must not survive"
                ));
            }
            self.check_program(&what, &mutation.listing, faults);
            let directory =
                self.listing(&mutation.listing).map(|listing| listing.directory.clone()).unwrap_or_default();
            if !directory.as_os_str().is_empty() {
                for file in &mutation.files {
                    check_file(&what, &directory, file, "file", faults);
                }
            }
            directories.push(directory);
        }
        for (mutation, directory) in self.mutations.iter_mut().zip(directories) {
            mutation.directory = directory;
        }
    }

    /// The folder of a stack that a listing or mistake names.
    fn directory(&self, what: &str, stack: &str, faults: &mut Vec<String>) -> Option<PathBuf> {
        let found = self.stack(stack);
        if found.is_none() {
            faults.push(unknown(what, "stack", stack, self.stacks.iter().map(|it| it.id.as_str())));
        }
        found.map(|stack| stack.directory.clone())
    }

    /// A mistake or mutation stands on a listing that can run.
    fn check_program(&self, what: &str, id: &str, faults: &mut Vec<String>) {
        match self.listing(id) {
            None => {
                let ids: Vec<_> = self.listings.iter().map(Listing::id).collect();
                faults.push(unknown(what, "listing", id, ids.iter().map(String::as_str)));
            }
            Some(listing) if listing.impossible.is_some() => faults.push(format!(
                "{what} stands on the listing `{id}`, which is impossible and so has no program: \
                 choose another"
            )),
            Some(_) => {}
        }
    }
}

fn unknown<'a>(what: &str, kind: &str, id: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.collect();
    let known = match known.is_empty() {
        true => format!("the table has no {kind}"),
        false => format!("the table has {}", known.join(", ")),
    };
    format!("{what} names the {kind} `{id}`, which does not exist; {known}")
}

/// Ids become file names, addresses and HTML ids, so they keep to what is safe in all three.
fn check_id(kind: &str, id: &str, faults: &mut Vec<String>) {
    let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if id.is_empty() || !id.chars().all(safe) || id.starts_with('-') || id.ends_with('-') {
        faults.push(format!(
            "the {kind} id `{id}` is not usable: write lower-case letters, digits and `-`, \
             because ids become file names and addresses"
        ));
    }
}

fn check_file(what: &str, below: &Path, file: &Path, kind: &str, faults: &mut Vec<String>) {
    let inside = file.components().all(|part| matches!(part, Component::Normal(_)));
    let path = below.join(file);
    if !inside || file.as_os_str().is_empty() {
        faults.push(format!(
            "{what} names the {kind} `{}`, which is not below {}: write a path relative to it, \
             without `..`",
            file.display(),
            below.display()
        ));
    } else if (kind == "file" && !path.is_file()) || (kind == "folder" && !path.is_dir()) {
        faults.push(format!(
            "{what} names the {kind} `{}`, but there is no {}: create it or correct the name",
            file.display(),
            path.display()
        ));
    }
}

fn check_stop(what: &str, stop: Option<&StopAfter>, faults: &mut Vec<String>) {
    if stop.is_some_and(|stop| stop.renewals.is_none() && stop.sign_ins.is_none() && stop.connections.is_none()) {
        faults
            .push(format!("{what} has an empty `stop-after`: say what to wait for, `stop-after = {{ renewals = 2 }}`"));
    }
}
