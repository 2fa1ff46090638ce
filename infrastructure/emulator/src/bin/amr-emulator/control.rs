//! `amr-emulator control`: changes a running emulator. Each command is one request to its control API.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use azure_managed_redis_emulator::Lifetime;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};
use ureq::http::StatusCode;

use crate::running::{self, Running, segment};
use crate::{Failure, State};

/// For the help.
pub(crate) const FOUND_BY: &str = "It finds the emulator by its state folder, or by AMR_EMULATOR_CONTROL and \
                                   AMR_EMULATOR_CONTROL_TOKEN, which `exec` gives to its command.";

#[derive(Args)]
pub(crate) struct Control {
    #[command(subcommand)]
    command: Command,
    /// Print the reply as JSON
    #[arg(long, global = true)]
    json: bool,
    /// The state folder of the emulator [default: amr-emulator in XDG_STATE_HOME or ~/.local/state]
    #[arg(long, env = "AMR_EMULATOR_STATE", value_name = "FOLDER", global = true)]
    state: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// How the emulator is
    Status,
    /// Make everything as it was at the start
    Reset,
    /// The identities of the directory
    Identities,
    /// Set or remove an identity
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// The access policy assignments of the cache
    Assignments,
    /// Set or remove an access policy assignment
    #[command(subcommand)]
    Assignment(AssignmentCommand),
    /// What goes wrong with requests for tokens
    Faults,
    /// Make requests for tokens go wrong, or right again
    #[command(subcommand)]
    Fault(FaultCommand),
    /// From now on another key signs tokens
    RotateKey {
        /// For how long tokens of the key before stay good; 0 for not at all [default: a day]
        #[arg(long, value_name = "TIME", value_parser = time)]
        honoured: Option<Duration>,
    },
    /// The open connections to the cache
    Connections,
    /// Cut connections as if their token had run out now
    Expire {
        /// Only those of this identity
        #[arg(long, value_name = "NAME")]
        identity: Option<String>,
    },
    /// Let another engine take the place of a shard's, with its data
    FailOver {
        /// Its number, from 0
        #[arg(default_value_t = 0)]
        shard: usize,
    },
    /// Stop the engine, its data is lost, or start it again
    Engine {
        /// Without it: show the engine
        action: Option<EngineAction>,
    },
    /// Date tokens as if the clock of whoever issues them were wrong
    Clock {
        /// By how much, for example +5m or -3600s; 0 sets it right. Without it: show it
        #[arg(allow_hyphen_values = true, value_parser = shift)]
        shift: Option<i64>,
    },
    /// Let a server present another certificate to new connections
    Certificate {
        /// Whose. Without it: show all
        #[arg(requires = "presents")]
        service: Option<TlsService>,
        /// Which
        presents: Option<Presented>,
    },
    /// Switch access keys on or off, or show them
    AccessKeys {
        /// Off drops every connection, those that signed in with a token too
        action: AccessKeysAction,
    },
}

#[derive(Subcommand)]
enum IdentityCommand {
    /// Add or replace an identity with --kind; without it change what is named, and nothing else
    #[command(after_help = "Examples:
  amr-emulator control identity set orders --kind user-assigned
  amr-emulator control identity set user --token-lifetime 10s")]
    Set(Box<IdentityOptions>),
    /// Remove an identity: it gets no more tokens
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Args)]
struct IdentityOptions {
    /// Its name
    name: String,
    /// What it is
    #[arg(long)]
    kind: Option<Kind>,
    /// How long its tokens are valid; 0 for as long as Azure's
    #[arg(long, value_name = "TIME", value_parser = time)]
    token_lifetime: Option<Duration>,
    /// Of a service principal: a client secret; can be repeated
    #[arg(long, value_name = "TEXT")]
    secret: Vec<String>,
    /// Object id of its principal
    #[arg(long, value_name = "GUID", requires = "kind")]
    object_id: Option<String>,
    /// Its client id
    #[arg(long, value_name = "GUID", requires = "kind")]
    client_id: Option<String>,
    /// Of a user-assigned identity: its ARM resource id
    #[arg(long, value_name = "ID", requires = "kind")]
    resource_id: Option<String>,
    /// Of a service principal: object id of the app registration
    #[arg(long, value_name = "GUID", requires = "kind")]
    application_object_id: Option<String>,
    /// Of a person: the name that they sign in with
    #[arg(long, value_name = "NAME", requires = "kind")]
    user_principal_name: Option<String>,
    /// Of a service principal: a PEM file with a registered certificate; can be repeated
    #[arg(long, value_name = "FILE", requires = "kind")]
    certificate: Vec<PathBuf>,
    /// Of a service principal: let the emulator make a certificate for it
    #[arg(long, requires = "kind")]
    generated_certificate: bool,
    /// Of a service principal: subject of the tokens that it may show in place of a secret
    #[arg(long, value_name = "SUBJECT", requires = "kind")]
    federated_subject: Option<String>,
    /// Their audience [default: Azure's]
    #[arg(long, value_name = "AUDIENCE", requires = "federated_subject")]
    federated_audience: Option<String>,
    /// Their issuer [default: the emulator]
    #[arg(long, value_name = "ISSUER", requires = "federated_keys")]
    federated_issuer: Option<String>,
    /// The issuer's keys, a JWKS file
    #[arg(long, value_name = "FILE", requires = "federated_issuer")]
    federated_keys: Option<PathBuf>,
}

#[derive(Subcommand)]
enum AssignmentCommand {
    /// Create an assignment, or change it: open connections stay, with the new rights
    #[command(
        after_help = "Example: amr-emulator control assignment set user --identity user --access-string '+@read ~*'"
    )]
    Set {
        /// Its name: letters and digits
        name: String,
        /// For which identity
        #[arg(long, value_name = "NAME", required_unless_present = "object_id", conflicts_with = "object_id")]
        identity: Option<String>,
        /// For which principal, be it in the directory or not
        #[arg(long, value_name = "GUID")]
        object_id: Option<String>,
        /// Redis ACL rules, for example '+@read ~orders:*' [default: everything is allowed]
        #[arg(long, value_name = "RULES", allow_hyphen_values = true)]
        access_string: Option<String>,
    },
    /// Remove an assignment, and drop the connections of its principal
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Subcommand)]
enum FaultCommand {
    /// Make requests for tokens go wrong
    #[command(after_help = "Example: amr-emulator control fault set entra --fail 503 --for 30s")]
    Set {
        /// Where
        service: TokenService,
        #[command(flatten)]
        fault: Fault,
        /// For how long [default: until it is cleared]
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        lasts: Option<Duration>,
    },
    /// Let it give out tokens again
    Clear {
        /// Where [default: everywhere]
        service: Option<TokenService>,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Fault {
    /// Answer with this HTTP status
    #[arg(long, value_name = "STATUS")]
    fail: Option<u16>,
    /// Answer only after this time, for example 500ms
    #[arg(long, value_name = "TIME", value_parser = time)]
    slow: Option<Duration>,
    /// Do not answer
    #[arg(long)]
    hang: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    SystemAssigned,
    UserAssigned,
    ServicePrincipal,
    User,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TokenService {
    Entra,
    ManagedIdentity,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TlsService {
    Entra,
    Redis,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Presented {
    Trusted,
    OtherAuthority,
    OtherName,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineAction {
    Stop,
    Start,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AccessKeysAction {
    On,
    Off,
    Show,
}

/// A choice in the API's word, which is that of the command line.
fn word(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// A time, which may also be none, or shorter than a second.
fn time(text: &str) -> Result<Duration, String> {
    if let Some(milliseconds) = text.strip_suffix("ms").and_then(|digits| digits.parse().ok()) {
        return Ok(Duration::from_millis(milliseconds));
    }
    match text {
        "0" | "0s" => Ok(Duration::ZERO),
        _ => text.parse::<Lifetime>().map(|Lifetime(time)| time),
    }
}

/// A time with a sign, in seconds.
fn shift(text: &str) -> Result<i64, String> {
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let seconds = i64::try_from(time(size)?.as_secs()).map_err(|e| e.to_string())?;
    Ok(sign * seconds)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn run(options: Control) -> Result<ExitCode, Failure> {
    let emulator = Running::find(&State { state: options.state })?;
    let get = |path: &str| emulator.ask("GET", path, None).map(|(_, reply)| reply);
    let put = |path: &str, body: Value| emulator.ask("PUT", path, Some(&body));
    let delete = |path: &str| emulator.ask("DELETE", path, None).map(|(_, reply)| reply);

    let (reply, text) = match options.command {
        Command::Status => shown(get("/v1/status")?, status),
        Command::Reset => {
            emulator.ask("POST", "/v1/reset", None)?;
            done("everything is as it was at the start")
        }
        Command::Identities => shown(get("/v1/identities")?, |reply| {
            let columns = ["name", "kind", "object_id", "client_id", "token_lifetime_seconds"];
            table(&reply["identities"], &columns)
        }),
        Command::Identity(IdentityCommand::Set(options)) => {
            let path = format!("/v1/identities/{}", segment(&options.name));
            let method = if options.kind.is_some() { "PUT" } else { "PATCH" };
            let (status, reply) = emulator.ask(method, &path, Some(&options.body()?))?;
            shown(reply, |it| {
                let what = if status == StatusCode::CREATED { "added" } else { "changed" };
                format!(
                    "identity {} is {what}: {}, object id {}",
                    cell(&it["name"]),
                    cell(&it["kind"]),
                    cell(&it["object_id"])
                )
            })
        }
        Command::Identity(IdentityCommand::Remove { name }) => {
            delete(&format!("/v1/identities/{}", segment(&name)))?;
            done(format!("identity {name} is removed; the tokens that it has stay good"))
        }
        Command::Assignments => shown(get("/v1/assignments")?, |reply| {
            table(&reply["assignments"], &["name", "identity", "object_id", "access_string"])
        }),
        Command::Assignment(AssignmentCommand::Set { name, identity, object_id, access_string }) => {
            let mut body = Map::new();
            set(&mut body, "identity", identity);
            set(&mut body, "object_id", object_id);
            set(&mut body, "access_string", access_string);
            let (status, reply) = put(&format!("/v1/assignments/{}", segment(&name)), body.into())?;
            shown(reply, |it| {
                let what = if status == StatusCode::CREATED { "created" } else { "changed" };
                format!(
                    "assignment {} is {what}: {} may {}",
                    cell(&it["name"]),
                    cell(&it["object_id"]),
                    cell(&it["access_string"])
                )
            })
        }
        Command::Assignment(AssignmentCommand::Remove { name }) => {
            delete(&format!("/v1/assignments/{}", segment(&name)))?;
            done(format!("assignment {name} is removed, and its principal's connections are dropped"))
        }
        Command::Faults => shown(get("/v1/faults")?, |reply| {
            table(&reply["faults"], &["service", "kind", "status", "delay_ms", "ends_in_ms"])
        }),
        Command::Fault(FaultCommand::Set { service, fault, lasts }) => {
            put(&format!("/v1/faults/{}", word(service)), fault.body(lasts))?;
            done(format!("from now on requests for tokens go wrong at {}", word(service)))
        }
        Command::Fault(FaultCommand::Clear { service }) => {
            let services = service.map_or(TokenService::value_variants().to_vec(), |service| vec![service]);
            for service in services {
                delete(&format!("/v1/faults/{}", word(service)))?;
            }
            done("tokens are given out again")
        }
        Command::RotateKey { honoured } => {
            let mut body = Map::new();
            set(&mut body, "honoured_seconds", honoured.map(|honoured| honoured.as_secs()));
            let (_, reply) = emulator.ask("POST", "/v1/signing-keys", Some(&body.into()))?;
            shown(reply, |it| format!("the key {} signs from now on", cell(&it["keys"][0])))
        }
        Command::Connections => shown(get("/v1/connections")?, |reply| {
            table(&reply["connections"], &["connection", "shard", "identity", "access_key"])
        }),
        Command::Expire { identity } => {
            let query = identity.map(|name| format!("?identity={}", segment(&name))).unwrap_or_default();
            shown(delete(&format!("/v1/connections{query}"))?, |it| {
                format!("{} connections are cut", cell(&it["expired"]))
            })
        }
        Command::FailOver { shard } => {
            let (_, reply) = emulator.ask("POST", &format!("/v1/shards/{shard}/failover"), None)?;
            shown(reply, |it| {
                format!("shard {} has failed over; it is at port {}", cell(&it["shard"]), cell(&it["port"]))
            })
        }
        Command::Engine { action } => {
            let reply = match action {
                None => get("/v1/engine")?,
                Some(action) => put("/v1/engine", json!({ "running": action == EngineAction::Start }))?.1,
            };
            shown(reply, engine)
        }
        Command::Clock { shift } => {
            let reply = match shift {
                None => get("/v1/clock")?,
                Some(seconds) => put("/v1/clock", json!({ "shift_seconds": seconds }))?.1,
            };
            shown(reply, |it| clock(&it["shift_seconds"]))
        }
        Command::Certificate { service, presents } => match (service, presents) {
            (Some(service), Some(presents)) => {
                let body = json!({ "presents": word(presents) });
                let (_, reply) = put(&format!("/v1/certificates/{}", word(service)), body)?;
                shown(reply, |it| {
                    format!("{} presents {} to new connections", cell(&it["service"]), cell(&it["presents"]))
                })
            }
            _ => shown(get("/v1/certificates")?, |reply| table(&reply["certificates"], &["service", "presents"])),
        },
        Command::AccessKeys { action } => {
            let reply = match action {
                AccessKeysAction::Show => get("/v1/access-keys")?,
                _ => put("/v1/access-keys", json!({ "enabled": action == AccessKeysAction::On }))?.1,
            };
            shown(reply, |it| match it["enabled"] == true {
                true => format!("primary    {}\nsecondary  {}", cell(&it["primary"]), cell(&it["secondary"])),
                false => "access keys are off".to_owned(),
            })
        }
    };
    let text = if options.json { serde_json::to_string_pretty(&reply)? } else { text };
    running::print(&(text + "\n"))
}

impl IdentityOptions {
    fn body(&self) -> Result<Value, Failure> {
        let mut body = Map::new();
        let seconds = |time: Duration| if time.is_zero() { Value::Null } else { time.as_secs().into() };
        set(&mut body, "kind", self.kind.map(word));
        set(&mut body, "token_lifetime_seconds", self.token_lifetime.map(seconds));
        set(&mut body, "secrets", (!self.secret.is_empty()).then(|| self.secret.clone()));
        set(&mut body, "object_id", self.object_id.clone());
        set(&mut body, "client_id", self.client_id.clone());
        set(&mut body, "resource_id", self.resource_id.clone());
        set(&mut body, "application_object_id", self.application_object_id.clone());
        set(&mut body, "user_principal_name", self.user_principal_name.clone());
        // The emulator runs in another folder.
        let absolute = |path: &PathBuf| std::path::absolute(path).map(|path| path.display().to_string());
        let certificates = self.certificate.iter().map(absolute).collect::<Result<Vec<_>, _>>()?;
        set(&mut body, "certificates", (!certificates.is_empty()).then_some(certificates));
        set(&mut body, "generated_certificate", self.generated_certificate.then_some(true));
        if let Some(subject) = &self.federated_subject {
            let mut credential = Map::new();
            set(&mut credential, "subject", Some(subject.clone()));
            set(&mut credential, "audience", self.federated_audience.clone());
            set(&mut credential, "issuer", self.federated_issuer.clone());
            set(&mut credential, "keys", self.federated_keys.as_ref().map(absolute).transpose()?);
            set(&mut body, "federated_credentials", Some(vec![Value::from(credential)]));
        }
        Ok(body.into())
    }
}

impl Fault {
    fn body(self, lasts: Option<Duration>) -> Value {
        let mut body = Map::new();
        let kind = if self.fail.is_some() {
            "fail"
        } else if self.slow.is_some() {
            "slow"
        } else {
            "hang"
        };
        set(&mut body, "kind", Some(kind));
        set(&mut body, "status", self.fail);
        set(&mut body, "delay_ms", self.slow.map(milliseconds));
        set(&mut body, "lasts_ms", lasts.map(milliseconds));
        body.into()
    }
}

fn set(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

/// A reply, and how a person is told of it.
fn shown(reply: Value, text: impl FnOnce(&Value) -> String) -> (Value, String) {
    let text = text(&reply);
    (reply, text)
}

/// For requests whose reply is empty.
fn done(text: impl Into<String>) -> (Value, String) {
    (json!({}), text.into())
}

/// A value as a person reads it.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Rows of objects, under the names of their fields.
fn table(rows: &Value, columns: &[&str]) -> String {
    let titles = columns.iter().map(|column| column.replace('_', " ")).collect();
    let rows = rows.as_array().into_iter().flatten();
    let cells = rows.map(|row| columns.iter().map(|column| cell(&row[*column])).collect());
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(cells).collect();
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn engine(it: &Value) -> String {
    let state = if it["running"] == true { "runs" } else { "is stopped" };
    let modules = it["modules"].as_array().into_iter().flatten().map(|module| format!(" with {}", cell(module)));
    let modules: String = modules.collect();
    format!("{} {} from {}{modules} {state}", cell(&it["name"]), cell(&it["version"]), cell(&it["path"]))
}

fn clock(shift: &Value) -> String {
    match shift.as_i64().unwrap_or(0) {
        0 => "tokens are dated right".to_owned(),
        seconds @ 1.. => format!("tokens are dated {seconds} s into the future"),
        seconds => format!("tokens are dated {} s into the past", seconds.unsigned_abs()),
    }
}

fn status(it: &Value) -> String {
    let ports = &it["ports"];
    let list = |rows: &Value, line: fn(&Value) -> String| {
        let lines: Vec<String> = rows.as_array().into_iter().flatten().map(line).collect();
        if lines.is_empty() { "none".to_owned() } else { lines.join(", ") }
    };
    let lines = [
        ("emulator", format!("version {}, process {}", cell(&it["version"]), it["process"])),
        ("engine", engine(&it["engine"])),
        ("policy", cell(&it["clustering_policy"])),
        ("Redis", format!("localhost:{} (TLS)", cell(&ports["redis"]))),
        (
            "shards",
            list(&it["shards"], |shard| format!("{} at localhost:{}", cell(&shard["shard"]), cell(&shard["port"]))),
        ),
        ("Entra ID", format!("https://localhost:{}", cell(&ports["entra"]))),
        ("managed identity", format!("http://127.0.0.1:{}", cell(&ports["managed_identity"]))),
        ("proxy", format!("http://127.0.0.1:{}", cell(&ports["proxy"]))),
        ("control", format!("http://127.0.0.1:{}", cell(&ports["control"]))),
        ("tenant", cell(&it["tenant_id"])),
        ("access keys", if it["access_keys"] == true { "on" } else { "off" }.to_owned()),
        ("clock", clock(&it["clock_shift_seconds"])),
        ("faults", list(&it["faults"], |fault| format!("{} at {}", cell(&fault["kind"]), cell(&fault["service"])))),
        (
            "certificates",
            list(&it["certificates"], |it| format!("{} at {}", cell(&it["presents"]), cell(&it["service"]))),
        ),
        ("connections", it["connections"].to_string()),
        ("last event", it["last_event"].to_string()),
    ];
    lines.map(|(name, value)| format!("{name:<18}{value}")).join("\n")
}
