//! The fourth step: which ways to a token this machine offers, and the first that gives one. The same ways, variables and
//! requests as in Azure's own client libraries.

mod application;
mod azure_cli;
mod entra;
mod http;
mod managed_identity;

use std::path::PathBuf;

use clap::ValueEnum;

use super::case::Case;
use super::cause::{Cause, Kind};
use super::report::{Examined, Fact, StepName};
use super::secret::{Secret, Secrets};

pub(super) use http::ClockSeen;

const STEP: StepName = StepName::Credential;

/// The ways to a token, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flow {
    /// AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET
    ClientSecret,
    /// AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_CERTIFICATE_PATH (PEM, with its key)
    ClientCertificate,
    /// AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE
    WorkloadIdentity,
    /// managed identity of App Service, Functions and Container Apps: IDENTITY_ENDPOINT, IDENTITY_HEADER
    AppService,
    /// the same, of 2017: MSI_ENDPOINT, MSI_SECRET
    #[value(name = "app-service-2017")]
    AppService2017,
    /// managed identity of virtual machines, at AZURE_POD_IDENTITY_AUTHORITY_HOST
    PodIdentity,
    /// managed identity of virtual machines, at its address in Azure; only with --imds
    Imds,
    /// `az account get-access-token`
    AzureCli,
}

impl Flow {
    /// Its name on the command line and in the report.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A token and how it was come by.
pub(super) struct Token {
    pub(super) text: Secret,
    pub(super) flow: Flow,
    /// The flows before this one that were set up and failed.
    pub(super) failed_before: Vec<Flow>,
}

/// How it went with one flow.
enum Outcome {
    Token {
        text: Secret,
        /// For whom, and from where.
        note: String,
    },
    Failed(Box<Cause>),
    /// It is not set up here; why.
    Skipped(String),
}

impl Outcome {
    fn failed(cause: Cause) -> Self {
        Outcome::Failed(Box::new(cause))
    }

    fn skipped(why: impl Into<String>) -> Self {
        Outcome::Skipped(why.into())
    }
}

/// What a flow is given, and where it leaves what others want to know.
struct Attempt<'a> {
    case: &'a Case,
    secrets: &'a mut Secrets,
    /// The clock of the last server that answered.
    clock: &'a mut Option<ClockSeen>,
}

/// Tries the flows. The clocks of the servers that were asked are left in `clock`, whether they gave a token or not.
pub(super) fn examine(case: &Case, secrets: &mut Secrets, clock: &mut Option<ClockSeen>) -> Examined<Token> {
    let mut attempt = Attempt { case, secrets, clock };
    let flows: &[Flow] = match &case.flow {
        Some(flow) => std::slice::from_ref(flow),
        None => Flow::value_variants(),
    };
    let mut facts = Vec::new();
    let mut token: Option<Token> = None;
    let mut first_failure = None;
    let mut failed_before = Vec::new();
    let mut untried = Vec::new();
    for &flow in flows {
        let fact = |value: &str| Fact::new(flow.name(), value);
        if token.is_some() {
            untried.push(flow.name());
            continue;
        }
        match attempt.run(flow) {
            Outcome::Token { text, note } => {
                attempt.secrets.hide(text.expose(), "<token>");
                facts.push(fact("token").good(note));
                token = Some(Token { text, flow, failed_before: std::mem::take(&mut failed_before) });
            }
            Outcome::Failed(cause) => {
                facts.push(fact("failed").bad(cause.what.clone()));
                failed_before.push(flow);
                first_failure.get_or_insert(cause);
            }
            Outcome::Skipped(why) => {
                if case.flow.is_some() {
                    first_failure = Some(Box::new(Cause::credential_incomplete(&flow.name(), &why)));
                }
                facts.push(fact("skipped").note(why));
            }
        }
    }
    if !untried.is_empty() {
        facts.push(Fact::new("the rest", "not tried").note(format!("there is a token: {}", untried.join(", "))));
    }
    match token {
        Some(token) => Examined::ok(STEP, format!("{} gives a token", token.flow.name()), facts, token),
        None => {
            let (summary, cause) = match first_failure {
                Some(cause) if cause.kind == Kind::CredentialIncomplete => ("no way to a token is set up", *cause),
                Some(cause) => ("no way to a token works", *cause),
                None => ("no way to a token is set up", Cause::no_credential()),
            };
            Examined::failed(STEP, summary, facts, cause)
        }
    }
}

impl Attempt<'_> {
    fn run(&mut self, flow: Flow) -> Outcome {
        match flow {
            Flow::ClientSecret => self.client_secret(),
            Flow::ClientCertificate => self.client_certificate(),
            Flow::WorkloadIdentity => self.workload_identity(),
            Flow::AppService => self.app_service(),
            Flow::AppService2017 => self.app_service_2017(),
            Flow::PodIdentity => self.pod_identity(),
            Flow::Imds => self.imds(),
            Flow::AzureCli => self.azure_cli(),
        }
    }
}

/// The value of a variable; an empty one counts as none, as Azure's libraries have it.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn path_in(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// "A is not set", or "A and B are not set".
fn missing(names: &[&str]) -> Option<String> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| variable(name).is_none()).collect();
    match missing.as_slice() {
        [] => None,
        [one] => Some(format!("{one} is not set")),
        [most @ .., last] => Some(format!("{} and {last} are not set", most.join(", "))),
    }
}

/// The text as one sentence, not endlessly long.
fn sentence(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = line.chars().take(400).collect();
    if short.len() < line.len() {
        short.push('…');
    } else if !short.ends_with(['.', '!', '?']) {
        short.push('.');
    }
    short
}
