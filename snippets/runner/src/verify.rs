//! Everything that has to hold for the listings, one verification a line of the test's output. `tests/listings.rs` runs
//! them, and `cargo book record` those that leave a recording.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use azure_managed_redis_emulator::Service;
use listings::{
    ErrorCapture, Exit, Expect, Kind, Listing, Mistake, Mutation, Policy, Recording, Scenario, Table, Tier, Trouble,
    orphans,
};

use crate::judge::{Complaint, caught, judge, judge_distrust, let_pass};
use crate::process;
use crate::record;
use crate::run::{Ending, Run, Situation, Stop, run};
use crate::stack::{NotReady, Program, Ready, toolchain};
use crate::turns::Turns;

/// Set to 1, every stack of the table must be there, and the listings must be cut off from the network: for CI. Set to
/// [`EVERYTHING`], a stack must be there too that needs a package which some feeds lack.
pub const REQUIRE_ALL: &str = "AMR_BOOK_REQUIRE_ALL";

/// For a machine that fetches its packages from where everybody does.
const EVERYTHING: &str = "everything";

/// Set to 1, what takes minutes on a cold machine is verified too: for CI.
pub const SLOW: &str = "AMR_BOOK_SLOW";

/// How long a listing has for what its scenario waits for.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

/// The same for one that takes minutes.
const SLOWLY_SHOWN_WITHIN: Duration = Duration::from_secs(600);

/// The same for a mutation, which is expected never to show it. A listing takes less than six seconds, or two lives of its
/// tokens, where these end so soon that its client renews by their share.
const NEVER_SHOWN_WITHIN: Duration = Duration::from_secs(8);

/// Tokens that end sooner than this are renewed by a share of their life, others a time before they end.
const SHORT_LIFE: Duration = Duration::from_secs(60);

/// Whether a switch of the environment is on.
pub fn switched_on(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Something that has to hold, by its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification {
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A listing passes its judge under a policy, and did when it was recorded.
    Listing(usize, Policy),
    /// A listing does not trust a server that it must not trust.
    Certificate(usize, Trouble),
    /// A changed listing does not pass its judge.
    Mutation(usize),
    /// A mistake fails as recorded.
    Mistake(usize),
    /// A listing needs nothing but its file and the dependency lines that the book shows.
    Alone(usize),
    /// No recording is left over.
    Recordings,
}

/// How a verification went.
#[derive(Debug)]
pub enum Verdict {
    Verified,
    /// This machine cannot tell. The text says why, and how to change that.
    Skipped(String),
    Failed(String),
}

/// Everything that has to hold for the table, in the order in which it is best read.
pub fn verifications(table: &Table, slow: bool) -> Vec<Verification> {
    let possible = || table.listings.iter().enumerate().filter(|(_, listing)| listing.impossible.is_none());
    let mut all = Vec::new();
    // The longest first: they mostly wait, and the others run beside them.
    let scenario_of = |place: usize| table.scenario(&table.listings[place].scenario);
    let mut listings: Vec<_> = possible()
        .flat_map(|(place, _)| {
            let policies = scenario_of(place).map(|scenario| scenario.policies.clone()).unwrap_or_default();
            policies.into_iter().map(move |policy| (place, policy))
        })
        .collect();
    let waits = |place: usize| {
        let slow = table.tier(&table.listings[place]) == Tier::Slow;
        (slow, scenario_of(place).is_some_and(|scenario| scenario.stop_after.is_some()))
    };
    listings.sort_by_key(|(place, _)| std::cmp::Reverse(waits(*place)));
    all.extend(listings.into_iter().map(|(place, policy)| What::Listing(place, policy)));
    all.extend((0..table.mutations.len()).map(What::Mutation));
    all.extend((0..table.mistakes.len()).map(What::Mistake));
    for (place, listing) in possible() {
        let mut troubles = vec![Trouble::RedisOtherAuthority, Trouble::RedisOtherName];
        if table.expect(listing).is_some_and(|expect| asks_entra(&expect)) {
            troubles.push(Trouble::EntraOtherAuthority);
        }
        all.extend(troubles.into_iter().map(|trouble| What::Certificate(place, trouble)));
    }
    if slow {
        all.extend(possible().map(|(place, _)| What::Alone(place)));
    }
    all.push(What::Recordings);
    all.into_iter().map(|what| Verification { what }).collect()
}

/// Tokens of managed identities come over plain HTTP on loopback, where there is no certificate to check.
fn asks_entra(expect: &Expect) -> bool {
    const OF_ENTRA: &[&str] = &["client-secret", "client-certificate", "federated-credential"];
    expect.tokens.iter().any(|tokens| OF_ENTRA.contains(&tokens.flow.as_str()))
}

impl Verification {
    /// The name in the test's output. Unique together with [`kind`](Self::kind).
    pub fn name(&self, table: &Table) -> String {
        match self.what {
            What::Alone(place) => table.listings[place].id(),
            What::Listing(place, policy) => {
                let listing = &table.listings[place];
                let policies = table.scenario(&listing.scenario).map_or(0, |scenario| scenario.policies.len());
                match policies {
                    0 | 1 => listing.id(),
                    _ => format!("{} with {}", listing.id(), policy.name()),
                }
            }
            What::Certificate(place, trouble) => {
                format!("{} with {}", table.listings[place].id(), told(trouble))
            }
            What::Mutation(place) => table.mutations[place].id(),
            What::Mistake(place) => table.mistakes[place].id.clone(),
            What::Recordings => "none is left over".to_string(),
        }
    }

    pub fn kind(&self) -> &'static str {
        match self.what {
            What::Listing(..) => "listing",
            What::Certificate(..) => "certificate",
            What::Mutation(_) => "mutation",
            What::Mistake(_) => "mistake",
            What::Alone(_) => "alone",
            What::Recordings => "recordings",
        }
    }

    /// The listing that it runs as its scenario says, if it does.
    pub(crate) fn listing<'a>(&self, table: &'a Table) -> Option<&'a Listing> {
        match self.what {
            What::Listing(place, _) => Some(&table.listings[place]),
            _ => None,
        }
    }

    /// Whether it runs a listing under the policy that is recorded.
    pub(crate) fn is_recorded(&self, table: &Table) -> bool {
        let What::Listing(place, policy) = self.what else { return false };
        let scenario = table.scenario(&table.listings[place].scenario);
        scenario.is_some_and(|scenario| scenario.policies.first() == Some(&policy))
    }

    fn stack<'a>(&self, table: &'a Table) -> Option<&'a str> {
        match self.what {
            What::Listing(place, _) | What::Certificate(place, _) | What::Alone(place) => {
                Some(&table.listings[place].stack)
            }
            What::Mutation(place) => {
                let listing = table.listing(&table.mutations[place].listing)?;
                Some(&listing.stack)
            }
            What::Mistake(place) => Some(&table.mistakes[place].stack),
            What::Recordings => None,
        }
    }
}

fn told(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::RedisOtherAuthority => "a Redis certificate of another authority",
        Trouble::RedisOtherName => "a Redis certificate for another name",
        Trouble::EntraOtherAuthority => "an Entra ID certificate of another authority",
        Trouble::EntraUnreachable => "an unreachable Entra ID",
        Trouble::SlowTokens => "tokens that take long",
        Trouble::AccessKeysOff => "access keys turned off",
    }
}

/// The table with its stacks made ready.
pub struct Verifier {
    table: Table,
    stacks: BTreeMap<String, Result<Box<dyn Ready>, NotReady>>,
    alone: BTreeMap<String, Result<Program>>,
    turns: Turns,
    require_all: bool,
    require_everything: bool,
    slow: bool,
}

impl Verifier {
    /// Makes ready what these verifications need. Everything that may use the network happens here.
    /// `target` is Cargo's target folder, where it is known.
    pub fn prepare(table: Table, verifications: &[Verification], target: Option<&Path>) -> Result<Verifier> {
        let wanted: BTreeSet<_> = verifications.iter().filter_map(|verification| verification.stack(&table)).collect();
        let mut stacks = BTreeMap::new();
        for stack in table.stacks.iter().filter(|stack| wanted.contains(stack.id.as_str())) {
            let ready = toolchain(stack)?.prepare(stack, target);
            stacks.insert(stack.id.clone(), ready);
        }
        let mut alone = BTreeMap::new();
        for verification in verifications {
            if let What::Alone(place) = verification.what {
                let listing = &table.listings[place];
                if let Some(Ok(ready)) = stacks.get(&listing.stack) {
                    alone.insert(listing.id(), made_alone(&table, listing, ready.as_ref()));
                }
            }
        }
        Ok(Verifier {
            table,
            stacks,
            alone,
            turns: Turns::new(cores()),
            require_all: switched_on(REQUIRE_ALL),
            require_everything: env::var_os(REQUIRE_ALL).is_some_and(|value| value == EVERYTHING),
            slow: switched_on(SLOW),
        })
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    /// How many verifications are best run at once. Most of the time a listing waits: for a token to be due, or for a client to
    /// give up.
    pub fn at_once() -> usize {
        6 * cores()
    }

    /// Never panics on account of the listing: whatever goes wrong is in the verdict.
    pub fn verify(&self, verification: &Verification) -> Verdict {
        if let Some(stack) = verification.stack(&self.table)
            && let Some(Err(error)) = self.stacks.get(stack)
        {
            return match error {
                NotReady::Missing { .. } if !self.require_all => Verdict::Skipped(error.to_string()),
                NotReady::Missing { .. } => {
                    Verdict::Failed(format!("{error}\n{REQUIRE_ALL} is set, so it may not be skipped"))
                }
                NotReady::NotOffered { .. } if !self.require_everything => {
                    Verdict::Skipped(format!("{error}. {REQUIRE_ALL}={EVERYTHING} makes this a failure"))
                }
                NotReady::NotOffered { .. } => {
                    Verdict::Failed(format!("{error}\n{REQUIRE_ALL} is {EVERYTHING}, so it may not be skipped"))
                }
                NotReady::Failed(_) => Verdict::Failed(error.to_string()),
            };
        }
        if let What::Listing(place, _) = verification.what
            && self.table.tier(&self.table.listings[place]) == Tier::Slow
            && !self.slow
        {
            return Verdict::Skipped(format!("it takes minutes; {SLOW}=1 runs it"));
        }
        let verified = match verification.what {
            What::Listing(place, policy) => self.listing(&self.table.listings[place], policy),
            What::Certificate(place, trouble) => self.certificate(&self.table.listings[place], trouble),
            What::Mutation(place) => self.mutation(&self.table.mutations[place]),
            What::Mistake(place) => self.mistake(&self.table.mistakes[place]),
            What::Alone(place) => self.alone(&self.table.listings[place]),
            What::Recordings => self.recordings(),
        };
        match verified {
            Ok(()) => Verdict::Verified,
            Err(error) => Verdict::Failed(format!("{error:#}")),
        }
    }

    /// The stacks that cannot run, and why.
    pub(crate) fn not_ready(&self) -> Vec<String> {
        self.stacks
            .iter()
            .filter_map(|(stack, ready)| Some(format!("stack {stack}: {}", ready.as_ref().err()?)))
            .collect()
    }

    pub(crate) fn is_ready(&self, verification: &Verification) -> bool {
        let stack = verification.stack(&self.table).and_then(|stack| self.stacks.get(stack));
        stack.is_none_or(|ready| ready.is_ok())
    }

    fn ready(&self, stack: &str) -> Result<&dyn Ready> {
        match self.stacks.get(stack) {
            Some(Ok(ready)) => Ok(ready.as_ref()),
            Some(Err(error)) => bail!("{error}"),
            None => bail!("the stack `{stack}` was not prepared"),
        }
    }

    pub(crate) fn scenario(&self, listing: &Listing) -> Result<&Scenario> {
        self.table.scenario(&listing.scenario).with_context(|| format!("there is no scenario `{}`", listing.scenario))
    }

    pub(crate) fn program(&self, listing: &Listing) -> Result<Program> {
        let shown = listing.shown_file().context("the listing has no file")?;
        self.ready(&listing.stack)?.program(shown)
    }

    /// Runs a listing as its scenario says, and returns what is to be recorded if the judge lets it pass.
    pub(crate) fn fresh_recording(&self, listing: &Listing, policy: Option<Policy>) -> Result<Recording> {
        let scenario = self.scenario(listing)?;
        let policy = policy.or_else(|| scenario.policies.first().copied());
        let situation = Situation { policy, ..situation(&self.table, scenario, listing) };
        let run = run(&self.program(listing)?, &situation, &self.turns)?;
        let complaints = judge(&self.expect(listing)?, &run);
        if !complaints.is_empty() {
            bail!("{}", report("it did not do what its scenario says", &complaints, &run));
        }
        let ready = self.ready(&listing.stack)?;
        let mut recording = record::recording(listing, scenario, ready, &run)?;
        let stack = self.table.stack(&listing.stack).context("the listing has no stack")?;
        record::uncount(&mut recording, &stack.uncounted);
        // Where it does not run every time, its page says when it last did.
        let date = run.events.first().map(|event| event.time.date().to_string());
        Ok(Recording { date: date.filter(|_| stack.not_everywhere.is_some()), ..recording })
    }

    /// Runs a mistake, and returns what is to be captured if it fails as the table says.
    pub(crate) fn fresh_capture(&self, mistake: &Mistake) -> Result<ErrorCapture> {
        let ready = self.ready(&mistake.stack)?;
        let listing = mistake.listing.as_deref().and_then(|id| self.table.listing(id));
        let file = match listing {
            Some(listing) => listing.shown_file(),
            None => mistake.files.first().map(PathBuf::as_path),
        }
        .context("the mistake has no file")?;
        let situation = Situation {
            identity: &mistake.identity,
            lifetime: mistake.lifetime,
            trouble: mistake.trouble,
            changes: match listing {
                Some(listing) => vec![&listing.environment, &mistake.environment],
                None => vec![&mistake.environment],
            },
            policy: mistake.policy.or_else(|| {
                self.table.scenario(&listing?.scenario).and_then(|scenario| scenario.policies.first().copied())
            }),
            is_server: false,
            meanwhile: None,
            paths: &[],
            proxy: mistake.proxy || listing.is_some_and(|listing| listing.proxy),
            pfx: listing.is_some_and(|listing| listing.pfx),
            leaves_with: self.table.stack(&mistake.stack).and_then(|stack| stack.leaves_with),
            stop: match &mistake.stop_after {
                Some(condition) => Stop::After(condition, SHOWN_WITHIN),
                None => Stop::Never,
            },
        };
        let run = run(&ready.program(file)?, &situation, &self.turns)?;
        let faults = not_as_told(mistake, &run);
        if !faults.is_empty() {
            bail!("{}", report("it did not go wrong in the way that the table tells", &faults, &run));
        }
        // The versions of what the error comes from: the listing's, or those of the stack's first listing.
        let dependencies = listing
            .or_else(|| self.table.listings.iter().find(|it| it.stack == mistake.stack))
            .map(|listing| listing.dependencies.as_slice())
            .unwrap_or_default();
        record::capture(&self.table, mistake, file, dependencies, ready, &run)
    }

    fn expect(&self, listing: &Listing) -> Result<Expect> {
        self.table.expect(listing).with_context(|| format!("there is no scenario `{}`", listing.scenario))
    }

    fn listing(&self, listing: &Listing, policy: Policy) -> Result<()> {
        let fresh = self.fresh_recording(listing, Some(policy))?;
        if self.scenario(listing)?.policies.first() != Some(&policy) {
            return Ok(());
        }
        let recorded = Recording::read(&self.table.root, listing)?;
        let stale = match &recorded {
            Some(recorded) => recorded.stale(listing)?,
            None => None,
        };
        compare(recorded.as_ref(), &fresh, stale, &listing.id(), self.ready(&listing.stack)?)
    }

    fn mistake(&self, mistake: &Mistake) -> Result<()> {
        let fresh = self.fresh_capture(mistake)?;
        let recorded = ErrorCapture::read(&self.table.root, mistake)?;
        let stale = match &recorded {
            Some(recorded) => recorded.stale(&self.table, mistake)?,
            None => None,
        };
        compare(recorded.as_ref(), &fresh, stale, &mistake.id, self.ready(&mistake.stack)?)
    }

    fn certificate(&self, listing: &Listing, trouble: Trouble) -> Result<()> {
        let (complaints, run) = self.distrust(self.program(listing)?, listing, trouble)?;
        if complaints.is_empty() {
            return Ok(());
        }
        let headline = format!("it must stop before it signs in, for it met {}", told(trouble));
        bail!("{}", report(&headline, &complaints, &run));
    }

    fn distrust(&self, program: Program, listing: &Listing, trouble: Trouble) -> Result<(Vec<Complaint>, Run)> {
        let scenario = self.scenario(listing)?;
        let situation =
            Situation { trouble: Some(trouble), stop: Stop::TlsFailure, ..situation(&self.table, scenario, listing) };
        let run = run(&program, &situation, &self.turns)?;
        let untrusted = match trouble {
            Trouble::RedisOtherAuthority | Trouble::RedisOtherName => Service::Redis,
            Trouble::EntraOtherAuthority | Trouble::EntraUnreachable | Trouble::SlowTokens => Service::Entra,
            Trouble::AccessKeysOff => bail!("turning access keys off has nothing to do with certificates"),
        };
        Ok((judge_distrust(untrusted, &run), run))
    }

    fn mutation(&self, mutation: &Mutation) -> Result<()> {
        let listing = self
            .table
            .listing(&mutation.listing)
            .with_context(|| format!("there is no listing `{}`", mutation.listing))?;
        let scenario = self.scenario(listing)?;
        let program = match mutation.files.first() {
            Some(file) => self.ready(&listing.stack)?.program(file)?,
            None => self.program(listing)?,
        };
        let (complaints, run) = match mutation.trouble {
            Some(trouble) => self.distrust(program, listing, trouble)?,
            None => {
                let mut situation = situation(&self.table, scenario, listing);
                if let Stop::After(condition, _) = situation.stop {
                    let lives = situation.lifetime.filter(|life| *life < SHORT_LIFE).map(|life| 2 * life);
                    situation.stop = Stop::After(condition, NEVER_SHOWN_WITHIN + lives.unwrap_or_default());
                }
                let run = run(&program, &situation, &self.turns)?;
                (judge(&self.expect(listing)?, &run), run)
            }
        };
        if complaints.is_empty() {
            bail!("{}", report("the judge let it pass, so it would let a broken listing pass too", &complaints, &run));
        }
        match caught(&mutation.name, &complaints)? {
            true => Ok(()),
            false => bail!(
                "{}",
                report(&format!("the judge failed it, but not for what `{}` does", mutation.name), &complaints, &run)
            ),
        }
    }

    fn alone(&self, listing: &Listing) -> Result<()> {
        let program = match self.alone.get(&listing.id()) {
            Some(Ok(program)) => program,
            Some(Err(error)) => bail!("{error:#}"),
            None => bail!("it was not prepared"),
        };
        let scenario = self.scenario(listing)?;
        let run = run(program, &situation(&self.table, scenario, listing), &self.turns)?;
        let complaints = judge(&self.expect(listing)?, &run);
        match complaints.is_empty() {
            true => Ok(()),
            false => {
                bail!("{}", report("in a project of its own it does not do what its scenario says", &complaints, &run))
            }
        }
    }

    fn recordings(&self) -> Result<()> {
        let orphans = orphans(&self.table)?;
        if orphans.is_empty() {
            return Ok(());
        }
        let mut text =
            "these recordings belong to no listing and no mistake; `cargo book record` removes them:".to_string();
        for orphan in orphans {
            let _ = write!(text, "\n  {}", orphan.display());
        }
        bail!(text)
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

fn made_alone(table: &Table, listing: &Listing, ready: &dyn Ready) -> Result<Program> {
    let stack = table.stack(&listing.stack).context("the listing has no stack")?;
    let lines = listings::dependency_lines(stack, &listing.dependencies)?;
    ready.alone(listing, &lines)
}

/// What a listing runs in when nothing is wrong.
pub(crate) fn situation<'a>(table: &Table, scenario: &'a Scenario, listing: &'a Listing) -> Situation<'a> {
    Situation {
        identity: &scenario.identity,
        lifetime: listing.lifetime.or(scenario.lifetime),
        trouble: None,
        changes: vec![&listing.environment],
        policy: scenario.policies.first().copied(),
        meanwhile: scenario.meanwhile,
        is_server: scenario.kind == Kind::Server,
        paths: &listing.paths,
        proxy: listing.proxy,
        pfx: listing.pfx,
        leaves_with: table.stack(&listing.stack).and_then(|stack| stack.leaves_with),
        stop: match &scenario.stop_after {
            Some(condition) => Stop::After(condition, shown_within(listing.tier(scenario))),
            None => Stop::Never,
        },
    }
}

fn shown_within(tier: Tier) -> Duration {
    match tier {
        Tier::Quick => SHOWN_WITHIN,
        Tier::Slow => SLOWLY_SHOWN_WITHIN,
    }
}

fn not_as_told(mistake: &Mistake, run: &Run) -> Vec<String> {
    let mut faults = Vec::new();
    match (run.ending, mistake.exit) {
        (Ending::Left(status), Exit::Success) if status.success() => {}
        (Ending::LeftAsAsked(_), Exit::Success) => {}
        (Ending::Left(status), Exit::Failure) if !status.success() => {}
        (Ending::Left(status) | Ending::LeftAsAsked(status), _) => {
            faults.push(format!("the program {}", process::describe(status)));
        }
        (Ending::NeverLeft(limit) | Ending::NeverShown(limit), _) => {
            faults.push(format!("it was ended after {} s", limit.as_secs()));
        }
        (Ending::Ended, _) => faults.push("it was ended".to_string()),
    }
    let shown: Vec<_> = record::shown_lines(mistake, run).collect();
    for pattern in &mistake.shows {
        if !shown.iter().any(|line| pattern.is_match(line)) {
            let from = mistake.shows_from.as_ref().map(|first| format!(", from /{}/ on", first.as_str()));
            let from = from.unwrap_or_default();
            faults.push(format!("it printed no line that matches /{}/{from}", pattern.as_str()));
        }
    }
    let events: Vec<_> = run.events.iter().filter_map(|event| serde_json::to_value(event).ok()).collect();
    for wanted in &mistake.logs {
        if !events.iter().any(|event| wanted.matches(event)) {
            let fields: Vec<_> = wanted.fields.iter().map(|(name, value)| format!(" {name} = {value}")).collect();
            faults.push(format!("the emulator's log has no {}{}", wanted.event, fields.concat()));
        }
    }
    faults
}

fn compare<T: serde::Serialize>(
    recorded: Option<&T>,
    fresh: &T,
    stale: Option<String>,
    id: &str,
    ready: &dyn Ready,
) -> Result<()> {
    let Some(recorded) = recorded else {
        bail!("it does what it should, but has never been recorded: run `cargo book record {id}`");
    };
    let Some(diff) = record::drift(recorded, fresh, ready)? else {
        return Ok(());
    };
    let why = stale.map(|why| format!(" ({why})")).unwrap_or_default();
    bail!(
        "it does what it should, but not what the book shows{why}. If that is meant, run \
         `cargo book record {id}` and commit the result.\n\n{diff}"
    )
}

/// A failure as a person wants to read it: what was wrong, what was printed, what the emulator saw.
fn report<F: fmt::Display>(headline: &str, faults: &[F], run: &Run) -> String {
    let mut text = format!("{headline}:\n");
    for fault in faults {
        let _ = writeln!(text, "  - {fault}");
    }
    if faults.is_empty() {
        text.push_str("  (no complaint)\n");
    }
    section(&mut text, "It printed", &run.printed.stdout, "");
    section(&mut text, "Its standard error", &run.printed.stderr, "");
    let log: Vec<_> = run.events.iter().map(ToString::to_string).collect();
    section(&mut text, "The emulator's log", &log.join("\n"), &run.engine);
    let passed = let_pass(&run.events);
    if !passed.is_empty() {
        section(&mut text, "Let pass", &passed.join("\n"), "");
    }
    let ending = match run.ending {
        Ending::Left(status) | Ending::LeftAsAsked(status) => process::describe(status),
        Ending::NeverLeft(_) | Ending::NeverShown(_) | Ending::Ended => "was ended by the runner".to_string(),
    };
    let _ = write!(text, "The program {ending} after {:.1} s.", run.elapsed.as_secs_f32());
    text
}

fn section(text: &mut String, title: &str, content: &str, remark: &str) {
    const SHOWN: usize = 40;

    let lines: Vec<_> = content.lines().collect();
    let hidden = lines.len().saturating_sub(SHOWN);
    let _ = match (lines.is_empty(), remark) {
        (true, _) => writeln!(text, "{title}: nothing"),
        (false, "") => writeln!(text, "{title}:"),
        (false, remark) => writeln!(text, "{title} ({remark}):"),
    };
    if hidden > 0 {
        let _ = writeln!(text, "    … {hidden} lines before these");
    }
    for line in &lines[hidden..] {
        let _ = writeln!(text, "    {line}");
    }
}
