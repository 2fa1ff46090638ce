//! Signing in as a person: a small program `az`, which stands in for the Azure CLI, and what it prints. Client libraries run
//! `az account get-access-token`; the program hands its arguments to the emulator, which says what the CLI would. What it would
//! say was read in azure-cli 2.91.0 and knack 0.14.0.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::{Value, json};

use crate::Error;
use crate::azure::{self, EntraError};
use crate::directory::{Identity, IdentityKind, SUBSCRIPTION};
use crate::events::Flow;
use crate::http::{Answer, Body, Outcome, Request, cut_long};
use crate::tenant::Tenant;
use crate::token_cache::TokenCache;

/// First segment of the path that the program asks; the second is the person's name in the directory.
pub(crate) const PATH: &str = "az";

const VERSION: &str = "2.91.0";

/// MSAL, which the CLI asks, hands out a token again while it is good for more than this, in seconds.
const REUSED_ABOVE: u64 = 300;

/// What the CLI asks for when nothing is named: Azure Resource Manager.
const DEFAULT_RESOURCE: &str = "https://management.core.windows.net/";

/// Takes the place of the moment of expiry in local time, which only the program knows.
const LOCAL_TIME: &str = "<local time>";

/// The Azure CLI of everybody in the directory.
pub(crate) struct AzureCli {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) cache: TokenCache,
}

/// How a command ends without a result.
struct Failed {
    code: u8,
    /// What the CLI prints after `ERROR: `.
    message: String,
    /// Why no token was given out, where it was about one.
    refused: Option<EntraError>,
}

impl Failed {
    fn new(message: impl Into<String>) -> Self {
        Failed { code: 1, message: message.into(), refused: None }
    }

    /// Something that the real CLI can do, or a mistake in the arguments.
    fn usage(message: impl Into<String>) -> Self {
        Failed { code: 2, message: message.into(), refused: None }
    }
}

/// Arguments that were understood.
#[derive(Default)]
struct Arguments<'a> {
    command: Vec<&'a str>,
    resource: Option<&'a str>,
    scope: Option<&'a str>,
    tenant: Option<&'a str>,
    subscription: Option<&'a str>,
    query: Option<&'a str>,
    output: Option<&'a str>,
    version: bool,
}

impl<'a> Arguments<'a> {
    /// Options may stand anywhere, as `--name value` and as `--name=value`.
    fn parse(all: &[&'a str]) -> Result<Self, Failed> {
        let mut arguments = Arguments::default();
        let mut rest = all.iter().copied().peekable();
        while let Some(argument) = rest.next() {
            if !argument.starts_with('-') {
                arguments.command.push(argument);
                continue;
            }
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                _ => (argument, None),
            };
            let slot = match name {
                "--resource" => &mut arguments.resource,
                "--scope" => &mut arguments.scope,
                "--tenant" | "-t" => &mut arguments.tenant,
                "--subscription" | "--name" | "-s" | "-n" => &mut arguments.subscription,
                "--query" => &mut arguments.query,
                "--output" | "-o" => &mut arguments.output,
                "--version" | "-v" => {
                    arguments.version = true;
                    continue;
                }
                "--only-show-errors" => continue,
                _ => return Err(Failed::usage(format!("unrecognized arguments: {argument}"))),
            };
            let value = attached.or_else(|| rest.next_if(|value| !value.starts_with('-')));
            *slot = Some(value.ok_or_else(|| Failed::usage(format!("argument {name}: expected one argument")))?);
            if name == "--scope"
                && let Some(second) = rest.next_if(|value| value.contains("://"))
            {
                return Err(Failed::usage(format!("the stand-in takes one scope, and {second} is a second")));
            }
        }
        Ok(arguments)
    }

    /// What to print of a result.
    fn print(&self, result: Value) -> Result<Body, Failed> {
        let result = match self.query {
            None => result,
            Some(name) => {
                let member = result.get(name).filter(|_| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
                member.cloned().ok_or_else(|| {
                    Failed::usage(format!("the stand-in's --query takes the name of one member, and '{name}' is none"))
                })?
            }
        };
        match (self.output.unwrap_or("json"), &result) {
            ("json", _) => Ok(Body::Printed(result)),
            ("none", _) => Ok(Body::Text(String::new())),
            ("tsv", Value::String(text)) => Ok(Body::Text(format!("{text}\n"))),
            ("tsv", Value::Number(number)) => Ok(Body::Text(format!("{number}\n"))),
            (other, _) => Err(Failed::usage(format!(
                "the stand-in prints json, and one member that --query names as tsv, but not '{other}'"
            ))),
        }
    }
}

impl AzureCli {
    /// Whether the CLI would ask Entra ID for this command.
    pub(crate) fn asks_for_a_token(request: &Request) -> bool {
        Arguments::parse(&arguments(request)).is_ok_and(|it| it.command == ["account", "get-access-token"])
    }

    /// What the program `az` is to print, and how it is to end. `key` is what only programs below the emulator know.
    pub(crate) fn answer(&self, request: &Request, person: &str, key: &str) -> Answer {
        let sent = request.header("x-identity-header").unwrap_or_default();
        if verify_slices_are_equal(sent.as_bytes(), key.as_bytes()).is_err() {
            let failed = Failed::new(
                "this az belongs to an emulator that is gone, and another has taken its port. Take the environment from the one that runs",
            );
            return Answer { status: 401, ..self.failure(request, failed) };
        }
        self.run(request, person).unwrap_or_else(|failed| self.failure(request, failed))
    }

    /// Entra ID gives out no token on purpose.
    pub(crate) fn fail(&self, request: &Request, status: u16) -> Answer {
        let scope = Arguments::parse(&arguments(request)).map(|it| scope(&it)).unwrap_or_default();
        self.failure(request, self.refused(EntraError::failing(status), None, &scope))
    }

    fn run(&self, request: &Request, person: &str) -> Result<Answer, Failed> {
        const KNOWN: &[&[&str]] = &[&[], &["version"], &["account", "show"], &["account", "get-access-token"]];
        let all = arguments(request);
        let command: Vec<&str> = all.iter().copied().take_while(|word| !word.starts_with('-')).collect();
        if !KNOWN.contains(&command.as_slice()) {
            return Err(Failed::usage(format!(
                "'{}' is not among what the emulator's stand-in of the Azure CLI knows: account get-access-token, account show, version",
                cut_long(&command.join(" "), 64)
            )));
        }
        let arguments = Arguments::parse(&all)?;
        let directory = self.tenant.directory();
        let identity = directory.identity(person).filter(|it| matches!(it.kind, IdentityKind::User { .. }));
        match arguments.command.as_slice() {
            [] if arguments.version => {
                let versions = format!("azure-cli{VERSION:>31}\n\nThe Azure Managed Redis emulator's stand-in\n");
                Ok(self.success(request, Body::Text(versions), Outcome::Neither))
            }
            ["version"] => {
                let versions = json!({ "azure-cli": VERSION, "azure-cli-core": VERSION, "extensions": {} });
                Ok(self.success(request, arguments.print(versions)?, Outcome::Neither))
            }
            ["account", "show"] => {
                let account = self.account(identity, arguments.subscription)?;
                Ok(self.success(request, arguments.print(account)?, Outcome::Neither))
            }
            ["account", "get-access-token"] => self.token(request, &arguments, identity),
            _ => Err(Failed::usage("the stand-in wants the command first, and its options after it")),
        }
    }

    fn account(&self, identity: Option<&Identity>, subscription: Option<&str>) -> Result<Value, Failed> {
        let Some(IdentityKind::User { user_principal_name }) = identity.map(|it| &it.kind) else {
            return Err(Failed::new("Please run 'az login' to setup account."));
        };
        if let Some(asked) = subscription
            && ![SUBSCRIPTION, azure::TENANT_NAME].iter().any(|known| known.eq_ignore_ascii_case(asked))
        {
            let asked = cut_long(asked, 64);
            return Err(Failed::new(format!(
                "Subscription '{asked}' not found. Check the spelling and casing and try again."
            )));
        }
        let tenant = self.tenant.directory().tenant_id.to_string();
        Ok(json!({
            "environmentName": "AzureCloud",
            "homeTenantId": tenant,
            "id": SUBSCRIPTION,
            "isDefault": true,
            "managedByTenants": [],
            "name": azure::TENANT_NAME,
            "state": "Enabled",
            "tenantDefaultDomain": "emulator.example",
            "tenantDisplayName": azure::TENANT_NAME,
            "tenantId": tenant,
            "user": { "name": user_principal_name, "type": "user" },
        }))
    }

    fn token(
        &self,
        request: &Request,
        arguments: &Arguments<'_>,
        identity: Option<&Identity>,
    ) -> Result<Answer, Failed> {
        if arguments.tenant.is_some() && arguments.subscription.is_some() {
            return Err(Failed::new("Please specify only one of subscription and tenant, not both"));
        }
        self.account(identity, arguments.subscription)?;
        let identity = identity.ok_or_else(|| Failed::new("Please run 'az login' to setup account."))?;
        let scope = scope(arguments);
        let own = self.tenant.directory().tenant_id.to_string();
        let tenant = arguments.tenant.unwrap_or(&own);
        if !tenant.eq_ignore_ascii_case(&own) {
            let error = EntraError::unknown_tenant(&cut_long(tenant, 64));
            return Err(self.refused(error, arguments.tenant, &scope));
        }
        // A person may ask for one permission too; which, the cache does not care.
        let resource = scope.rsplit_once('/').map_or(scope.as_str(), |(resource, _)| resource);
        if !azure::is_known_resource(resource) {
            let error = EntraError::unknown_resource(&cut_long(resource, 128));
            return Err(self.refused(error, arguments.tenant, &scope));
        }
        let token = self.cache.token(&self.tenant, identity, Flow::AzureCli, resource, |left, _| left > REUSED_ABOVE);
        // In the order of the alphabet, as the CLI sorts them.
        let mut result = json!({
            "accessToken": token.jwt,
            "expiresOn": LOCAL_TIME,
            "expires_on": token.expires,
            "subscription": SUBSCRIPTION,
            "tenant": tenant,
            "tokenType": "Bearer",
        });
        if let (Some(_), Some(members)) = (arguments.tenant, result.as_object_mut()) {
            members.shift_remove("subscription");
        }
        let outcome = Outcome::issued(identity, Flow::AzureCli, resource, &token);
        let mut answer = self.success(request, arguments.print(result)?, outcome);
        answer.headers.push(("x-expires-on", token.expires.to_string()));
        Ok(answer)
    }

    /// Entra ID's refusal as the CLI shows it, with what it recommends.
    fn refused(&self, error: EntraError, tenant: Option<&str>, scope: &str) -> Failed {
        let body = error.body(None);
        let description = body["error_description"].as_str().unwrap_or_default();
        let tenant = tenant.map(|tenant| format!(" --tenant \"{}\"", cut_long(tenant, 64))).unwrap_or_default();
        let scope = cut_long(scope, 128);
        let message = format!(
            "{description}\nRun the command below to authenticate interactively; additional arguments may be added as needed:\naz logout\naz login{tenant} --scope \"{scope}\""
        );
        Failed { code: 1, message, refused: Some(error) }
    }

    fn success(&self, request: &Request, body: Body, outcome: Outcome) -> Answer {
        self.ended(request, 0, body, outcome)
    }

    fn failure(&self, request: &Request, failed: Failed) -> Answer {
        let (status, outcome) = match failed.refused {
            Some(error) => {
                let outcome = Outcome::Refused {
                    flow: Some(Flow::AzureCli),
                    client_id: Some(azure::AZURE_CLI.to_string()),
                    error: error.error.to_owned(),
                    code: Some(format!("AADSTS{}", error.code)),
                    why: error.text,
                };
                (error.status, outcome)
            }
            None => (200, Outcome::Neither),
        };
        let answer = self.ended(request, failed.code, Body::Text(format!("ERROR: {}\n", failed.message)), outcome);
        Answer { status, ..answer }
    }

    fn ended(&self, request: &Request, code: u8, body: Body, outcome: Outcome) -> Answer {
        // Only what is known to hold no password.
        let words = arguments(request);
        let told = match words.first() {
            Some(&"account") => format!("az {}", cut_long(&words.join(" "), 512)),
            _ => "az …".to_owned(),
        };
        let headers = vec![("x-exit-code", code.to_string())];
        Answer { status: 200, body, headers, outcome, request_as_told: Some(told) }
    }
}

fn arguments(request: &Request) -> Vec<&str> {
    request.form.iter().filter(|(name, _)| name == "argument").map(|(_, value)| value.as_str()).collect()
}

/// What the CLI asks Entra ID for.
fn scope(arguments: &Arguments<'_>) -> String {
    match (arguments.scope, arguments.resource) {
        (Some(scope), _) => scope.to_owned(),
        (None, resource) => format!("{}/.default", resource.unwrap_or(DEFAULT_RESOURCE)),
    }
}

/// The program itself. It needs nothing but bash.
const PROGRAM: &str = r#"#!/usr/bin/env -S LC_ALL=C bash
# Stands in for the Azure CLI: `az account get-access-token` as NAME, as far as client libraries ask for it.
# The Azure Managed Redis emulator made it. It hands its arguments to the emulator, over loopback, and prints the answer.
# The locale is set before bash starts, which would complain of one that the machine lacks; in it every character is one byte.
set +o posix

form=
for argument in "$@"; do
    argument=${argument//\%/%25}
    argument=${argument//&/%26}
    argument=${argument//+/%2B}
    form+="argument=$argument&"
done

if ! { exec 3<>/dev/tcp/127.0.0.1/PORT; } 2>/dev/null; then
    echo "ERROR: the emulator that made this az does not answer on port PORT. Has it been stopped?" >&2
    exit 1
fi
printf 'POST /az/NAME HTTP/1.0\r\nHost: 127.0.0.1:PORT\r\nX-IDENTITY-HEADER: KEY\r\n' >&3
printf 'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s' "${#form}" "$form" >&3

code=1 expires=
while IFS= read -r line <&3; do
    line=${line%$'\r'}
    case $line in
        '') break ;;
        x-exit-code:*) code=${line#*: } ;;
        x-expires-on:*) expires=${line#*: } ;;
    esac
done
IFS= read -r -d '' answer <&3

if [[ $expires && $answer == *"<local time>"* ]]; then
    # The builtin is not in the bash of macOS, which has another `date` for it.
    printf -v moment '%(%Y-%m-%d %H:%M:%S)T' "$expires" 2>/dev/null || moment=$(date -r "$expires" '+%Y-%m-%d %H:%M:%S')
    answer=${answer/"<local time>"/$moment.000000}
fi
if ((code == 0)); then printf '%s' "$answer"; else printf '%s' "$answer" >&2; fi
exit "$code"
"#;

/// Writes the program for `person` into a folder of its own below `run`, and gives that folder: it goes in front of the PATH.
pub(crate) fn write(run: &Path, person: &str, port: u16, key: &str) -> Result<PathBuf, Error> {
    let folder = run.join("az").join(person);
    let state = |path: &Path| {
        let path = path.to_owned();
        move |e: io::Error| Error::State { path, why: e.to_string() }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(state(&folder))?;
    let program = PROGRAM.replace("PORT", &port.to_string()).replace("KEY", key).replace("NAME", person);
    let path = folder.join("az");
    let new = folder.join(format!("az.{}.new", std::process::id()));
    // Another process writes it: a file that this one has open for writing may be inherited by a program that another thread starts
    // at this moment, and can't be run until that has closed it ("Text file busy").
    let script = r#"umask 077 && printf %s "$1" >"$0" && chmod 700 "$0""#;
    let written = Command::new("sh").args(["-c", script]).arg(&new).arg(&program).output();
    let output = written.map_err(|e| Error::Program { program: "sh".to_owned(), why: e.to_string() })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        return Err(Error::State { path: new, why });
    }
    fs::rename(&new, &path).map_err(state(&path))?;
    Ok(folder)
}
