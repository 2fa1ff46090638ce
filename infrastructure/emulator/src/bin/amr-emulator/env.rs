//! `amr-emulator env`: the variables of a program that runs as an identity in the emulator that runs, in the form that a shell, a
//! `.env` file, a program or GitHub Actions reads.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::running::{self, Running, segment};
use crate::{CertificateFormat, Failure, State, Surroundings};

#[derive(Args)]
pub(crate) struct Env {
    /// Whose variables: as with `exec`
    #[arg(long = "as", value_name = "IDENTITY")]
    identity: String,
    #[command(flatten)]
    surroundings: Surroundings,
    /// For whom they are printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// Also those of the control API, as below `exec`
    #[arg(long)]
    control: bool,
    #[command(flatten)]
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, ValueEnum)]
enum Format {
    /// export lines for a POSIX shell
    #[default]
    Shell,
    /// NAME=VALUE lines, values quoted where they need it
    Dotenv,
    /// One object
    Json,
    /// NAME=VALUE lines as they are, for the file $GITHUB_ENV
    Github,
}

pub(crate) const EXAMPLES: &str = "Examples:
  eval \"$(amr-emulator env --as user)\"
  amr-emulator env --as service-principal --format dotenv > .env
  amr-emulator env --as user --control --format github >> \"$GITHUB_ENV\"

Variables that were set for another identity stay as they are: a shell that had some unsets them first, or runs `exec`.";

pub(crate) fn run(options: &Env) -> Result<ExitCode, Failure> {
    let emulator = Running::find(&options.state)?;
    let mut variables = environment_of(&emulator, &options.identity, &options.surroundings)?;
    if options.control {
        for (name, value) in [(running::ADDRESS, emulator.address()), (running::TOKEN, emulator.token())] {
            variables.insert(name.to_owned(), value.into());
        }
    }
    let pairs = variables.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
    let text = match options.format {
        Format::Shell => pairs.map(|(name, value)| export(name, value) + "\n").collect(),
        Format::Dotenv => {
            pairs.map(|(name, value)| format!("{name}={}\n", in_dotenv(&in_our_path(name, value)))).collect()
        }
        Format::Github => pairs.map(|(name, value)| format!("{name}={}\n", in_our_path(name, value))).collect(),
        Format::Json => {
            let object: Map<_, _> =
                pairs.map(|(name, value)| (name.to_owned(), Value::from(in_our_path(name, value)))).collect();
            serde_json::to_string_pretty(&object)? + "\n"
        }
    };
    running::print(&text)
}

/// The variables as the emulator tells them.
pub(crate) fn environment_of(
    emulator: &Running,
    identity: &str,
    surroundings: &Surroundings,
) -> Result<Map<String, Value>, Failure> {
    surroundings.warn();
    let pfx = surroundings.certificate_format == CertificateFormat::Pfx;
    let query = format!("hosting={}&proxy={}&pfx={pfx}", surroundings.hosting, surroundings.proxy);
    let (_, reply) = emulator.ask("GET", &format!("/v1/identities/{}/environment?{query}", segment(identity)), None)?;
    match reply {
        Value::Object(variables) => Ok(variables),
        other => Err(format!("what runs there is no emulator of this version: it answers {other}").into()),
    }
}

/// A line that sets a variable in a POSIX shell. A folder that is to be in front of the `PATH` gets in front of the shell's own.
pub(crate) fn export(name: &str, value: &str) -> String {
    match name {
        "PATH" => format!("export PATH={}:\"$PATH\"", in_shell(first_folder(value))),
        _ => format!("export {name}={}", in_shell(value)),
    }
}

/// Writes the settings of an identity as lines for a shell.
pub(crate) fn write_exports<'a>(
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    out: &mut impl Write,
) -> io::Result<()> {
    variables.into_iter().try_for_each(|(name, value)| writeln!(out, "{}", export(name, value)))
}

/// What the emulator puts in front of its `PATH`, in front of ours.
fn in_our_path(name: &str, value: &str) -> String {
    let ours = env::var_os("PATH").filter(|_| name == "PATH");
    let Some(ours) = ours else { return value.to_owned() };
    let folders = std::iter::once(Path::new(first_folder(value)).to_owned()).chain(env::split_paths(&ours));
    env::join_paths(folders).map_or_else(|_| value.to_owned(), |path| path.to_string_lossy().into_owned())
}

fn first_folder(path: &str) -> &str {
    path.split(':').next().unwrap_or_default()
}

fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:~".contains(c))
}

pub(crate) fn in_shell(value: &str) -> String {
    if is_plain(value) { value.to_owned() } else { format!("'{}'", value.replace('\'', r"'\''")) }
}

/// In single quotes all readers of `.env` files take a value as it is. A value that has one itself needs double ones.
fn in_dotenv(value: &str) -> String {
    if is_plain(value) {
        return value.to_owned();
    }
    if !value.contains('\'') {
        return format!("'{value}'");
    }
    let mut quoted = String::from("\"");
    for c in value.chars() {
        if "\\\"$`".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_need_it() {
        for (value, shell, dotenv) in [
            ("/a/b-c_d.pem", "/a/b-c_d.pem", "/a/b-c_d.pem"),
            ("", "''", "''"),
            ("a b$c", "'a b$c'", "'a b$c'"),
            ("it's $5", r"'it'\''s $5'", r#""it's \$5""#),
        ] {
            assert_eq!((in_shell(value).as_str(), in_dotenv(value).as_str()), (shell, dotenv));
        }
        assert_eq!(export("PATH", "/run/az:/usr/bin"), "export PATH=/run/az:\"$PATH\"");
        assert_eq!(export("NAME", "a b"), "export NAME='a b'");
    }
}
