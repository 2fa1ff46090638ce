//! What each client can do, for `{{#clients …}}`: tables made from the table of listings and their recordings. A cell stands
//! for a run, and leads to the listing that ran or to the program that shows the limit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};

use crate::chapter::{self, Directive, DirectiveKind};
use crate::html::escape;
use crate::page::{Pages, is_one_of};
use crate::recording::Recording;
use crate::table::{Listing, Mistake, Policy, Scenario, Stack};

/// The parts, by the word that asks for them.
pub(crate) const PARTS: [&str; 5] = ["identities", "time", "policies", "limits", "versions"];

/// Where in the book each listing and each error stands.
#[derive(Debug, Default)]
pub struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    chapter: PathBuf,
    directive: Directive,
}

impl Places {
    /// From all chapters, by their paths from the book's root. What is wrong in one is told when it is expanded.
    pub fn of<'a>(chapters: impl IntoIterator<Item = (PathBuf, &'a str)>) -> Places {
        let mut places = Vec::new();
        for (chapter, markdown) in chapters {
            let directives = chapter::directives(markdown).unwrap_or_default();
            places.extend(directives.into_iter().map(|directive| Place { chapter: chapter.clone(), directive }));
        }
        Places(places)
    }

    /// The page that shows this listing alone, or else one that shows it among others.
    fn listing(&self, listing: &Listing) -> Option<&Place> {
        let alone = |it: &&Place| it.directive.stack.as_deref().is_some_and(|stacks| is_one_of(stacks, listing));
        let of_scenario = || self.showing(DirectiveKind::Listing, &listing.scenario);
        of_scenario().find(alone).or_else(|| of_scenario().find(|it| it.directive.stack.is_none()))
    }

    fn error(&self, mistake: &Mistake) -> Option<&Place> {
        self.showing(DirectiveKind::Error, &mistake.id).next()
    }

    fn showing(&self, kind: DirectiveKind, id: &str) -> impl Iterator<Item = &Place> {
        self.0.iter().filter(move |it| it.directive.kind == kind && it.directive.id == id)
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
        format!("{}#{}", up.chain(down).collect::<Vec<_>>().join("/"), self.directive.anchor())
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
        let column = |policy: Policy| {
            self.column(&format!("`{}`", policy.name()), |stack| {
                let Some(scenario) = self.run_under(policy, stack) else { return Ok(String::new()) };
                match is_for_cluster(scenario) {
                    true => self.cell(chapter, stack, scenario),
                    false => Ok(self.ran(chapter, stack, scenario)?.join(", ")),
                }
            })
        };
        let columns: Vec<_> = Policy::ALL.into_iter().map(column).collect::<Result<_>>()?;
        Ok(self.table(&columns))
    }

    /// The first scenario that a client can run under this policy.
    fn run_under(&self, policy: Policy, stack: &Stack) -> Option<&Scenario> {
        let can = |listing: &Listing| listing.stack == stack.id && listing.impossible.is_none();
        let listings = self.table.listings.iter().filter(|it| can(it));
        listings.filter_map(|it| self.table.scenario(&it.scenario)).find(|it| it.policies.contains(&policy))
    }

    /// What the listings of one client in one scenario came to.
    fn ran(&self, chapter: &Path, stack: &Stack, scenario: &Scenario) -> Result<Vec<String>> {
        let listings = self.table.listings_of(&scenario.id).into_iter().filter(|it| it.stack == stack.id);
        let mut said = Vec::new();
        for listing in listings {
            let mark = match &listing.impossible {
                Some(_) => "no",
                None if self.recording(listing)?.1.is_none() => "✓",
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

    /// The same, and where to read what limits the client there.
    fn cell(&self, chapter: &Path, stack: &Stack, scenario: &Scenario) -> Result<String> {
        let mut said = self.ran(chapter, stack, scenario)?;
        if self.table.mistakes.iter().any(|it| it.stack == stack.id && it.limits.as_ref() == Some(&scenario.id)) {
            said.push(format!("[limits](#limits-{})", stack.id));
        }
        Ok(said.join(", "))
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
                self.capture(mistake)?;
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
