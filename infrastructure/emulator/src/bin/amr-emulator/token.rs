//! `amr-emulator token`: a token of an identity, for `redis-cli` and the like.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::env::{environment_of, in_shell};
use crate::running::{self, Running, segment};
use crate::{Failure, State, Surroundings};

#[derive(Args)]
pub(crate) struct Token {
    /// Whose [default: the principal's of the first access policy assignment]
    #[arg(long = "as", value_name = "IDENTITY")]
    identity: Option<String>,
    /// Print token, user name and expiry as JSON
    #[arg(long)]
    json: bool,
    /// Don't say on standard error how to use it
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    state: State,
}

pub(crate) const EXAMPLES: &str = "Example:
  REDISCLI_AUTH=\"$(amr-emulator token --quiet --as user)\" redis-cli -p 10000 --tls \\
      --cacert ~/.local/state/amr-emulator/ca.pem --user 0b1ec700-0000-4000-8000-000000000002 PING

Only the token goes to standard output. Without --quiet, standard error names the command that fits.";

pub(crate) fn run(options: &Token) -> Result<ExitCode, Failure> {
    let emulator = Running::find(&options.state)?;
    let identity = match &options.identity {
        Some(identity) => identity.clone(),
        None => first_assigned(&emulator)?,
    };
    let (_, reply) = emulator.ask("POST", &format!("/v1/identities/{}/tokens", segment(&identity)), None)?;
    if options.json {
        return running::print(&(serde_json::to_string_pretty(&reply)? + "\n"));
    }
    let text = |name: &str| reply[name].as_str().unwrap_or_default();
    if !options.quiet {
        let variables = environment_of(&emulator, &identity, &Surroundings::default())?;
        let variable = |name: &str| variables.get(name).and_then(Value::as_str).unwrap_or_default();
        eprintln!(
            "A token of {identity}, good for {} s. To use it:\n  REDISCLI_AUTH=\"$(amr-emulator token -q --as {identity})\" \
             redis-cli -h {} -p {} --tls --cacert {} --user {}",
            reply["expires_in"],
            variable("REDIS_HOST"),
            variable("REDIS_PORT"),
            in_shell(variable("SSL_CERT_FILE")),
            text("user_name")
        );
    }
    running::print(&format!("{}\n", text("token")))
}

fn first_assigned(emulator: &Running) -> Result<String, Failure> {
    let (_, reply) = emulator.ask("GET", "/v1/assignments", None)?;
    let assignments = reply["assignments"].as_array().into_iter().flatten();
    let first = assignments.filter_map(|assignment| assignment["identity"].as_str()).next();
    first.map(str::to_owned).ok_or_else(|| "no identity has an access policy assignment; name one with --as".into())
}
