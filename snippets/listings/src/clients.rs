//! What each client can do, for `{{#clients …}}`: tables made from the table of listings and their recordings. A cell stands
//! for a run, and leads to the listing that ran or to the program that shows the limit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};

use crate::chapter::{self, DirectiveKind};
use crate::html::escape;
use crate::page::{MissingRecordings, Pages, anchor, is_one_of};
use crate::recording::{ErrorCapture, Recording};
use crate::table::{Listing, Mistake, Policy, Scenario, Stack};

/// The parts, by the word that asks for them.
pub(crate) const PARTS: [&str; 5] = ["identities", "time", "policies", "limits", "versions"];

/// Where in the book each listing and each error stands.
#[derive(Debug, Default)]
pub struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    chapter: PathBuf,
    kind: DirectiveKind,
    id: String,
    stack: Option<String>,
    anchor: String,
}

impl Places {
    /// From all chapters, by their paths from the book's root. What is wrong in one is told when it is expanded.
    pub fn of<'a>(chapters: impl IntoIterator<Item = (PathBuf, &'a str)>) -> Places {
        let mut places = Vec::new();
        for (chapter, markdown) in chapters {
            let mut times_shown = HashMap::new();
            for directive in chapter::directives(markdown).unwrap_or_default() {
                let nth = times_shown.entry((directive.kind, directive.id.clone())).or_insert(0);
                *nth += 1;
                let kind = match directive.kind {
                    DirectiveKind::Listing => "listing",
                    DirectiveKind::Error => "error",
                    DirectiveKind::Clients => continue,
                };
                places.push(Place {
                    chapter: chapter.clone(),
                    kind: directive.kind,
                    anchor: anchor(kind, &directive.id, *nth),
                    id: directive.id,
                    stack: directive.stack,
                });
            }
        }
        Places(places)
    }

    /// The page that shows this listing alone, or else one that shows it among others.
    fn listing(&self, listing: &Listing) -> Option<&Place> {
        let of_scenario = || self.0.iter().filter(|it| it.kind == DirectiveKind::Listing && it.id == listing.scenario);
        let alone = |it: &&Place| it.stack.as_deref().is_some_and(|stacks| is_one_of(stacks, listing));
        of_scenario().find(alone).or_else(|| of_scenario().find(|it| it.stack.is_none()))
    }

    fn error(&self, mistake: &Mistake) -> Option<&Place> {
        self.0.iter().find(|it| it.kind == DirectiveKind::Error && it.id == mistake.id)
    }
}

impl Place {
    /// A link's address, as it is written in `from`.
    fn from(&self, from: &Path) -> String {
        let here: Vec<_> = from.parent().unwrap_or(Path::new("")).components().collect();
        let there: Vec<_> = self.chapter.components().collect();
        let common = here.iter().zip(&there).take_while(|(one, other)| one == other).count();
        let up = here[common..].iter().map(|_| "..");
        let down = there[common..].iter().filter_map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
        format!("{}#{}", up.chain(down).collect::<Vec<_>>().join("/"), self.anchor)
    }
}

/// A column of a table: a cell for each stack, in their order.
struct Column {
    name: String,
    cells: Vec<String>,
}

impl Pages<'_> {
    /// One of the parts, as Markdown in the chapter at that path.
    pub(crate) fn clients(&self, part: &str, chapter: &Path) -> Result<String> {
        let markdown = match part {
            "identities" => {
                let columns = self.scenarios(chapter, |it| it.stop_after.is_none() && !is_for_cluster(it))?;
                Ok(self.table(&columns))
            }
            "time" => self.over_time(chapter),
            "policies" => self.policies(chapter),
            "limits" => self.limits(chapter),
            "versions" => self.versions(),
            other => bail!("there is no part `{other}`; there are {}", PARTS.join(", ")),
        }?;
        Ok(format!("\n{markdown}\n"))
    }

    fn column(&self, name: &str, cell: impl Fn(&Stack) -> Result<String>) -> Result<Column> {
        let cells = self.table.stacks.iter().map(cell).collect::<Result<_>>()?;
        Ok(Column { name: name.to_owned(), cells })
    }

    /// A line for each client, but none for one that has nothing in any column.
    fn table(&self, columns: &[Column]) -> String {
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        let mut markdown = format!("|  | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(columns.len()));
        for (at, stack) in self.table.stacks.iter().enumerate() {
            let cells: Vec<_> = columns.iter().map(|column| column.cells[at].as_str()).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                markdown += &format!("| {} | {} |\n", stack.title, cells.join(" | "));
            }
        }
        markdown
    }

    fn scenarios(&self, chapter: &Path, which: impl Fn(&Scenario) -> bool) -> Result<Vec<Column>> {
        let scenarios = self.table.scenarios.iter().filter(|it| which(it));
        scenarios.map(|it| self.column(it.name(), |stack| self.cell(chapter, stack, it))).collect()
    }

    fn over_time(&self, chapter: &Path) -> Result<String> {
        let mut columns = self.scenarios(chapter, |it| it.stop_after.is_some() && !is_for_cluster(it))?;
        columns.push(self.column("asks for the next token", |stack| Ok(stack.renews.clone().unwrap_or_default()))?);
        Ok(self.table(&columns))
    }

    /// Under which policies listings of a client ran, and what a client of a cluster did.
    fn policies(&self, chapter: &Path) -> Result<String> {
        let mut columns = Vec::new();
        for policy in Policy::ALL {
            columns.push(self.column(&format!("`{}`", policy.name()), |stack| {
                let ran = |listing: &&Listing| {
                    let scenario = self.table.scenario(&listing.scenario);
                    listing.stack == stack.id
                        && listing.impossible.is_none()
                        && scenario.is_some_and(|scenario| scenario.policies.contains(&policy))
                };
                match self.table.listings.iter().find(ran).and_then(|it| self.table.scenario(&it.scenario)) {
                    Some(scenario) => {
                        let ran = self.ran(chapter, stack, scenario)?;
                        Ok(if is_for_cluster(scenario) {
                            self.with_limits(ran, stack, scenario)
                        } else {
                            ran.join(", ")
                        })
                    }
                    None => Ok(String::new()),
                }
            })?);
        }
        Ok(self.table(&columns))
    }

    fn cell(&self, chapter: &Path, stack: &Stack, scenario: &Scenario) -> Result<String> {
        Ok(self.with_limits(self.ran(chapter, stack, scenario)?, stack, scenario))
    }

    /// What the listings of one client in one scenario came to.
    fn ran(&self, chapter: &Path, stack: &Stack, scenario: &Scenario) -> Result<Vec<String>> {
        let listings = self.table.listings_of(&scenario.id).into_iter().filter(|it| it.stack == stack.id);
        let mut said = Vec::new();
        for listing in listings {
            let mark = match &listing.impossible {
                Some(_) => "no",
                None if self.is_recorded(listing)? => "✓",
                None => "not recorded",
            };
            let mark = match &listing.variant {
                Some(variant) => format!("{mark} {variant}"),
                None => mark.to_owned(),
            };
            said.push(match self.places.listing(listing) {
                Some(place) => format!("[{mark}]({})", place.from(chapter)),
                None => mark,
            });
        }
        Ok(said)
    }

    fn with_limits(&self, mut said: Vec<String>, stack: &Stack, scenario: &Scenario) -> String {
        if self.table.mistakes.iter().any(|it| it.stack == stack.id && it.limits.as_ref() == Some(&scenario.id)) {
            said.push(format!("[limits](#limits-{})", stack.id));
        }
        said.join(", ")
    }

    /// Whether the listing ran as it is now. It counts as such only with a recording that passed.
    fn is_recorded(&self, listing: &Listing) -> Result<bool> {
        let fault = match Recording::read(&self.table.root, listing)? {
            None => Some("it has never been recorded".to_owned()),
            Some(recording) => recording.stale(listing)?,
        };
        self.known(fault, &listing.id())
    }

    fn known(&self, fault: Option<String>, id: &str) -> Result<bool> {
        match (fault, self.missing_recordings) {
            (None, _) => Ok(true),
            (Some(_), MissingRecordings::Note) => Ok(false),
            (Some(why), MissingRecordings::Error) => {
                bail!("`{id}` has no place among what ran: {why}. Run `cargo book record`")
            }
        }
    }

    /// What goes wrong with each client, whoever writes the program.
    fn limits(&self, chapter: &Path) -> Result<String> {
        let mut list = String::new();
        for stack in &self.table.stacks {
            let of_stack = |it: &&Mistake| it.stack == stack.id && it.limits.is_some();
            let limits: Vec<_> = self.table.mistakes.iter().filter(of_stack).collect();
            if limits.is_empty() {
                continue;
            }
            writeln!(list, "<a id=\"limits-{}\"></a>\n\n**{}**\n", escape(&stack.id), stack.title)?;
            for mistake in limits {
                let fault = match ErrorCapture::read(&self.table.root, mistake)? {
                    None => Some("it has never been recorded".to_owned()),
                    Some(capture) => capture.stale(self.table, mistake)?,
                };
                self.known(fault, &mistake.id)?;
                let scenario = mistake.limits.as_deref().and_then(|id| self.table.scenario(id));
                let title = match self.places.error(mistake) {
                    Some(place) => format!("[{}]({})", mistake.title, place.from(chapter)),
                    None => mistake.title.clone(),
                };
                writeln!(list, "- {}: {title}", scenario.map_or("", Scenario::name))?;
            }
            list.push('\n');
        }
        Ok(list)
    }

    /// What the listings of each client ran with.
    fn versions(&self) -> Result<String> {
        let mut list = String::new();
        for stack in &self.table.stacks {
            let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            let mut engines = BTreeSet::new();
            for listing in self.table.listings.iter().filter(|it| it.stack == stack.id && it.impossible.is_none()) {
                let Some(recording) = Recording::read(&self.table.root, listing)? else { continue };
                engines.insert(recording.engine);
                for (name, version) in recording.versions {
                    versions.entry(name).or_default().insert(version);
                }
            }
            let of = |(name, versions): (&String, &BTreeSet<String>)| {
                format!("{} {}", escape(name), versions.iter().map(|it| escape(it)).collect::<Vec<_>>().join(" and "))
            };
            let ran: Vec<_> = versions.iter().map(of).collect();
            let engines: Vec<_> = engines.iter().map(|it| escape(it)).collect();
            writeln!(list, "- **{}**: {}, against {}", stack.title, ran.join(", "), engines.join(" and "))?;
        }
        Ok(list)
    }
}

/// A scenario that no other policy has.
fn is_for_cluster(scenario: &Scenario) -> bool {
    scenario.policies == [Policy::OssCluster]
}
