//! `amr-emulator doctor`: examines the way to a cache step by step, as a client goes it, and names the one most likely cause
//! if it ends somewhere. It starts nothing and knows nothing of the emulator: the cache may as well be in Azure.
//!
//! With `--json` it prints one document. Its fields are stable:
//!
//! - `schema`: 1. `host`, `port`: the target. `exit_code`: that of the process. `remarks`: sentences, often none.
//! - `steps`: always nine, in order, each with `step` (`name`, `network`, `tls`, `credential`, `token`, `clock`, `sign-in`,
//!   `cluster`, `renewal`), `status` (`ok`, `failed`, `skipped`), `summary` (a sentence) and `facts`, each with `name`, `value`,
//!   `verdict` (`good`, `remark`, `bad` or null) and `note` (or null).
//! - `cause`: null if all is well, else `id` and `stage` (both in `--help`), `what`, `fix`, and `commands` for a shell.
//!
//! Texts are for people and may change; names, ids and codes do not.

mod case;
mod cause;
mod certificate;
mod clients;
mod clock;
mod cluster;
mod credential;
mod name;
mod network;
mod print;
mod redis;
mod renewal;
mod report;
mod secret;
mod sign_in;
mod stream;
mod time;
mod tls;
mod token;
mod trust;

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use azure_managed_redis_emulator::azure::client as azure;
use clap::Args;

use crate::Failure;
use case::{Case, Target};
use credential::{Flow, Token};
use print::Output;
use report::{Examined, Report, StepName};
use secret::Secrets;
use trust::Trust;

/// What to examine, and how.
#[derive(Args)]
pub(crate) struct Doctor {
    /// The cache: its host name, and its port if that is not 10000
    #[arg(value_name = "HOST[:PORT]")]
    target: String,
    /// Print one JSON document instead
    #[arg(long)]
    json: bool,
    /// Try only this way to a token
    #[arg(long, value_name = "NAME")]
    flow: Option<Flow>,
    /// Also ask the managed identity endpoint of virtual machines at its address in Azure, 169.254.169.254
    #[arg(long)]
    imds: bool,
    /// Connect to this address, whatever the host's are: for a tunnel. The certificate must still be for the host
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// How long to wait for each single answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
}

/// Exit code of a wrong command line, the same as clap's.
const USAGE: u8 = 2;

pub(crate) fn run(options: Doctor) -> Result<ExitCode, Failure> {
    let usage = |why: &str| {
        eprintln!("amr-emulator doctor: {why}");
        Ok(ExitCode::from(USAGE))
    };
    let target = match Target::parse(&options.target) {
        Ok(target) => target,
        Err(why) => return usage(&why),
    };
    if options.flow == Some(Flow::Imds) && !options.imds {
        return usage("the flow imds calls an address that exists in Azure only: permit it with --imds");
    }
    let output = if options.json { Output::Json } else { Output::Text };
    let case = Case {
        target,
        address: options.address,
        patience: Duration::from_secs(options.timeout),
        trust: Trust::load(),
        flow: options.flow,
        imds: options.imds,
    };
    let report = Report::new(&case.target.host, case.target.port, Secrets::from_environment(), output);
    Ok(ExitCode::from(examine(&case, report).finish()?))
}

const NOT_SIGNED_IN: &str = "nobody is signed in";

/// Takes the steps. Those to a token do not depend on those to the server, so both are taken as far as they go.
fn examine(case: &Case, mut report: Report) -> Report {
    let addresses = report.record(name::examine(case));
    let address = match &addresses {
        Some(addresses) => report.record(network::examine(case, addresses)),
        None => report.record(Examined::skipped(StepName::Network, "there is no address")),
    };
    let trusted = match address {
        Some(address) => report.record(tls::examine(case, address)),
        None => report.record(Examined::skipped(StepName::Tls, "there is no connection")),
    };

    let mut clock = None;
    let credential = credential::examine(case, &mut report.secrets, &mut clock);
    let token = report.record(credential);
    let principal = match &token {
        Some(token) => report.record(token::examine(token)),
        None => report.record(Examined::skipped(StepName::Token, "there is no token")),
    };
    report.record(clock::examine(clock.as_ref(), principal.as_ref().map(|principal| &principal.claims)));

    let connection = report.record(match (trusted, &token, &principal) {
        (Some(address), Some(token), Some(principal)) => sign_in::examine(case, address, token, principal),
        (None, _, _) => Examined::skipped(StepName::SignIn, "there is no connection that a token could be sent over"),
        (_, None, _) => Examined::skipped(StepName::SignIn, "there is no token"),
        (_, _, None) => Examined::skipped(StepName::SignIn, "the token is not one for Redis, so it is not sent"),
    });
    let signed_in = connection.is_some();
    let cluster = match connection {
        Some(mut connection) => report.record(cluster::examine(case, &mut connection)),
        None => report.record(Examined::skipped(StepName::Cluster, NOT_SIGNED_IN)),
    };
    match &principal {
        Some(principal) if signed_in => report.record(renewal::examine(principal)),
        _ => report.record(Examined::skipped(StepName::Renewal, NOT_SIGNED_IN)),
    };
    remark(&mut report, token.as_ref(), principal.as_ref(), cluster.as_ref());
    report
}

/// What a reader should know for the program that is to go the same way.
fn remark(
    report: &mut Report,
    token: Option<&Token>,
    principal: Option<&token::Principal>,
    cluster: Option<&cluster::Found>,
) {
    if report.cause().is_some() {
        return;
    }
    if let (Some(token), Some(principal)) = (token, principal) {
        report.remark(format!(
            "The token is from {}; the user name is its oid, {}. A program that gets WRONGPASS here sends another of the two.",
            token.flow.name(),
            principal.object_id
        ));
        if let [first, ..] = token.failed_before.as_slice() {
            report.remark(format!(
                "Before it, {} failed, and a client library may stop there. See the cause with --flow {}.",
                first.name(),
                first.name()
            ));
        }
    }
    if cluster.is_some_and(|found| found.needs_mapping) {
        report.remark(
            "A cluster client must map the announced addresses to the host name: see the step cluster.".to_owned(),
        );
    }
}

/// What `--help` says at its end.
pub(crate) fn help() -> String {
    format!(
        "Examples:\n  \
         amr-emulator doctor my-cache.westeurope.redis.azure.net\n  \
         amr-emulator exec --as user -- sh -c 'amr-emulator doctor localhost:$REDIS_PORT'\n  \
         amr-emulator doctor localhost --flow client-secret --json\n\n\
         No token and no secret is printed. A token is sent only over a connection whose certificate is accepted.\n\n\
         With --json: {{schema, host, port, steps: [{{step, status, summary, facts: [{{name, value, verdict, note}}]}}], \
         cause: null or {{id, stage, what, fix, commands}}, remarks, exit_code}}.\n\n{}",
        cause::help()
    )
}
