//! What was found, step by step: the one thing that is printed, for a person or as JSON.

use serde::Serialize;

use super::cause::{Cause, Kind};
use super::print::Output;
use super::secret::Secrets;

/// The steps, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StepName {
    Name,
    Network,
    Tls,
    Credential,
    Token,
    Clock,
    SignIn,
    Cluster,
    Renewal,
}

impl StepName {
    /// As a person reads it.
    pub(super) fn title(self) -> &'static str {
        match self {
            StepName::Name => "name",
            StepName::Network => "network",
            StepName::Tls => "TLS",
            StepName::Credential => "credential",
            StepName::Token => "token",
            StepName::Clock => "clock",
            StepName::SignIn => "sign-in",
            StepName::Cluster => "cluster",
            StepName::Renewal => "renewal",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    Ok,
    Failed,
    Skipped,
}

/// One step: how it went in a sentence, and what was seen.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) step: StepName,
    pub(super) status: Status,
    pub(super) summary: String,
    pub(super) facts: Vec<Fact>,
}

/// One thing that was seen.
#[derive(Debug, Serialize)]
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: String,
    /// What it means for the connection, where it means something.
    pub(super) verdict: Option<Verdict>,
    pub(super) note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Good,
    /// Worth knowing, in the way of nothing.
    Remark,
    Bad,
}

impl Fact {
    pub(super) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Fact { name: name.into(), value: value.into(), verdict: None, note: None }
    }

    pub(super) fn good(mut self, note: impl Into<String>) -> Self {
        self.verdict = Some(Verdict::Good);
        self.note(note)
    }

    pub(super) fn remark(mut self, note: impl Into<String>) -> Self {
        self.verdict = Some(Verdict::Remark);
        self.note(note)
    }

    pub(super) fn bad(mut self, note: impl Into<String>) -> Self {
        self.verdict = Some(Verdict::Bad);
        self.note(note)
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into()).filter(|note: &String| !note.is_empty());
        self
    }
}

/// A step that was taken: what it says, what the next steps need of it, and the cause if it failed.
pub(super) struct Examined<T> {
    step: StepName,
    summary: String,
    facts: Vec<Fact>,
    outcome: Outcome<T>,
}

enum Outcome<T> {
    Ok(T),
    /// Some steps fail and still leave something for the next.
    Failed(Cause, Option<T>),
    Skipped(Option<T>),
}

impl<T> Examined<T> {
    pub(super) fn ok(step: StepName, summary: impl Into<String>, facts: Vec<Fact>, found: T) -> Self {
        Examined { step, summary: summary.into(), facts, outcome: Outcome::Ok(found) }
    }

    pub(super) fn failed(step: StepName, summary: impl Into<String>, facts: Vec<Fact>, cause: Cause) -> Self {
        Examined { step, summary: summary.into(), facts, outcome: Outcome::Failed(cause, None) }
    }

    pub(super) fn skipped(step: StepName, summary: impl Into<String>) -> Self {
        Examined { step, summary: summary.into(), facts: Vec::new(), outcome: Outcome::Skipped(None) }
    }

    /// Something for the next steps all the same.
    pub(super) fn leaving(mut self, found: T) -> Self {
        self.outcome = match self.outcome {
            Outcome::Ok(_) => Outcome::Ok(found),
            Outcome::Failed(cause, _) => Outcome::Failed(cause, Some(found)),
            Outcome::Skipped(_) => Outcome::Skipped(Some(found)),
        };
        self
    }
}

/// The whole examination.
#[derive(Serialize)]
pub(super) struct Report {
    /// Version of this document: goes up when a field changes its meaning.
    schema: u32,
    host: String,
    port: u16,
    steps: Vec<Step>,
    cause: Option<Cause>,
    /// What a reader should know although all is well.
    remarks: Vec<String>,
    exit_code: u8,
    #[serde(skip)]
    output: Output,
    #[serde(skip)]
    pub(super) secrets: Secrets,
}

impl Report {
    pub(super) fn new(host: &str, port: u16, secrets: Secrets, output: Output) -> Self {
        output.begin(host, port);
        Report {
            schema: 1,
            host: host.to_owned(),
            port,
            steps: Vec::new(),
            cause: None,
            remarks: Vec::new(),
            exit_code: 0,
            output,
            secrets,
        }
    }

    /// Takes down how a step went, shows it, and hands over what the next steps need.
    pub(super) fn record<T>(&mut self, examined: Examined<T>) -> Option<T> {
        let Examined { step, summary, facts, outcome } = examined;
        let (status, cause, found) = match outcome {
            Outcome::Ok(found) => (Status::Ok, None, Some(found)),
            Outcome::Failed(cause, found) => (Status::Failed, Some(cause), found),
            Outcome::Skipped(found) => (Status::Skipped, None, found),
        };
        let clean = |text: String| self.secrets.clean(&text);
        let facts = facts
            .into_iter()
            .map(|fact| Fact {
                name: clean(fact.name),
                value: clean(fact.value),
                verdict: fact.verdict,
                note: fact.note.map(clean),
            })
            .collect();
        let step = Step { step, status, summary: clean(summary), facts };
        self.output.step(&step);
        self.steps.push(step);
        if let Some(cause) = cause {
            self.blame(cause);
        }
        found
    }

    /// The first step that fails is the one to mend, unless what it complains of comes from a wrong clock.
    fn blame(&mut self, cause: Cause) {
        let clock_explains = |earlier: &Cause| cause.kind == Kind::ClockSkew && earlier.kind.may_be_the_clock();
        if self.cause.as_ref().is_none_or(clock_explains) {
            self.cause = Some(cause.cleaned(&self.secrets));
        }
    }

    pub(super) fn remark(&mut self, remark: String) {
        self.remarks.push(self.secrets.clean(&remark));
    }

    /// Shows the end and tells the exit code.
    pub(super) fn finish(mut self) -> std::io::Result<u8> {
        self.exit_code = self.cause.as_ref().map_or(0, |cause| cause.kind.stage().exit_code());
        self.output.end(&self)?;
        Ok(self.exit_code)
    }

    pub(super) fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    pub(super) fn remarks(&self) -> &[String] {
        &self.remarks
    }
}
