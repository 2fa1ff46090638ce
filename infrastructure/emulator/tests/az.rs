//! The stand-in of the Azure CLI as client libraries call it: what it prints, and how it ends.

mod support;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use azure_managed_redis_emulator::{Emulator, EventKind, Fault, Flow, Service};
use serde_json::{Value, json};
use support::{Client, claims};

const TENANT: &str = "7e4a4700-0000-4000-8000-000000000000";
const SUBSCRIPTION: &str = "5b5c4700-0000-4000-8000-000000000000";
const DEVELOPER: &str = "0b1ec700-0000-4000-8000-000000000007";
const REDIS: &str = "https://redis.azure.com";

/// `az` of the person `developer`, as a program below finds it.
struct Az {
    path: String,
    program: PathBuf,
}

impl Az {
    fn of(emulator: &Emulator) -> Self {
        let environment = emulator.environment("developer").unwrap();
        let path = environment.get("PATH").unwrap().to_owned();
        let program = PathBuf::from(path.split(':').next().unwrap()).join("az");
        Az { path, program }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        // From another folder, as most libraries do.
        command.args(arguments).env_clear().env("PATH", &self.path).env("TZ", "UTC").current_dir("/bin");
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints when all is well: nothing on standard error, which Java's library reads as a part of the answer.
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        text(&output.stdout)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A moment as the CLI writes it in UTC.
fn moment(seconds: i64) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second].000000");
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap().format(format).unwrap()
}

#[test]
fn an_access_token_is_printed_as_the_cli_prints_it() {
    let emulator = Emulator::start().unwrap();
    let az = Az::of(&emulator);
    let printed = az.prints(&["account", "get-access-token", "--output", "json", "--resource", REDIS]);
    let result: Value = serde_json::from_str(&printed).unwrap();
    let token = result["accessToken"].as_str().unwrap();
    let expires = result["expires_on"].as_i64().unwrap();
    // Six members in the order of the alphabet, two spaces before each, and a line end after the last brace.
    let expected = format!(
        "{{\n  \"accessToken\": \"{token}\",\n  \"expiresOn\": \"{}\",\n  \"expires_on\": {expires},\n  \"subscription\": \"{SUBSCRIPTION}\",\n  \"tenant\": \"{TENANT}\",\n  \"tokenType\": \"Bearer\"\n}}\n",
        moment(expires)
    );
    assert_eq!(printed, expected);

    let claims = claims(token);
    assert_eq!(claims["exp"], expires);
    assert_eq!(claims["aud"], REDIS);
    assert_eq!(claims["oid"], DEVELOPER);
    assert_eq!((&claims["idtyp"], &claims["appidacr"]), (&json!("user"), &json!("0")));
    assert_eq!(claims["appid"], "04b07795-8ddb-461a-bbee-02f9e1bf7b46");
    assert_eq!((&claims["scp"], &claims["upn"]), (&json!("user_impersonation"), &json!("developer@emulator.example")));
    assert_ne!(claims["sub"], claims["oid"], "a person's is another for each resource");
    let event = emulator.events().pop().unwrap().kind;
    let EventKind::TokenIssued { flow: Flow::AzureCli, exchange: Some(exchange), .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!(exchange.request_body, format!("az account get-access-token --output json --resource {REDIS}"));
    assert!(!serde_json::to_string(&emulator.events()).unwrap().contains("eyJ"), "a token is in the log");

    let mut client = Client::connect(&emulator);
    assert_eq!(client.sign_in(DEVELOPER, token), "+OK");
}

#[test]
fn it_takes_the_arguments_of_every_client_library() {
    let emulator = Emulator::start().unwrap();
    let az = Az::of(&emulator);
    let scope = "https://redis.azure.com/.default";
    let cases: &[(&[&str], &str, bool)] = &[
        (&["--output", "json", "--resource", REDIS], REDIS, true),
        (&["-o", "json", "--resource", REDIS, "--tenant", TENANT], REDIS, false),
        (&["-o", "json", "--scope", scope], REDIS, true),
        (&["--output", "json", "--resource", REDIS, "--subscription", SUBSCRIPTION], REDIS, true),
        (
            &["--subscription", "emulator", "--scope=https://redis.azure.com/user_impersonation", "--output=json"],
            REDIS,
            true,
        ),
        (&["--resource=https://redis.azure.com/"], "https://redis.azure.com/", true),
        (
            &["--tenant", TENANT, "--resource", "acca5fbb-b7e4-4009-81f1-37e38fd66d78"],
            "acca5fbb-b7e4-4009-81f1-37e38fd66d78",
            false,
        ),
        (&["--only-show-errors"], "https://management.core.windows.net/", true),
    ];
    for (options, audience, has_subscription) in cases {
        let printed = az.prints(&[&["account", "get-access-token"], *options].concat());
        let result: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(claims(result["accessToken"].as_str().unwrap())["aud"], *audience, "{options:?}");
        assert_eq!(result.get("subscription").is_some(), *has_subscription, "{options:?}");
        assert_eq!(result["tenant"], TENANT);
    }
    // As people and scripts use it.
    let get = |query: &str, output: &str| {
        az.prints(&["account", "get-access-token", "--resource", REDIS, "--query", query, "-o", output])
    };
    let token = get("accessToken", "tsv");
    assert!(token.starts_with("eyJ") && token.ends_with('\n') && !token.contains('"'), "{token}");
    assert_eq!(get("accessToken", "json"), format!("\"{}\"\n", token.trim_end()));
    let expires: i64 = get("expires_on", "tsv").trim_end().parse().unwrap();
    assert_eq!(get("expiresOn", "tsv"), format!("{}\n", moment(expires)));
    assert_eq!(get("accessToken", "none"), "");
    assert!(!serde_json::to_string(&emulator.events()).unwrap().contains("eyJ"), "a token is in the log");
}

#[test]
fn the_time_of_expiry_is_the_programs_local_time() {
    let emulator = Emulator::start().unwrap();
    let az = Az::of(&emulator);
    let arguments = ["account", "get-access-token", "--resource", REDIS];
    for (zone, hours) in [("UTC", 0), ("EST5", -5), ("JST-9", 9)] {
        let output = az.command(&arguments).env("TZ", zone).output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let local = result["expires_on"].as_i64().unwrap() + hours * 3600;
        assert_eq!(result["expiresOn"], moment(local), "{zone}");
    }
    // Shells are told to be strict, and of languages that the machine lacks.
    let strict = az.command(&arguments).env("POSIXLY_CORRECT", "1").env("LC_ALL", "de_DE.UTF-8").output().unwrap();
    assert!(strict.status.success() && strict.stderr.is_empty(), "{}", text(&strict.stderr));
}

#[test]
fn account_show_and_version_are_there_for_who_looks_whether_somebody_is_signed_in() {
    let emulator = Emulator::start().unwrap();
    let az = Az::of(&emulator);
    let account: Value = serde_json::from_str(&az.prints(&["account", "show", "-o", "json"])).unwrap();
    assert_eq!(account["id"], SUBSCRIPTION);
    assert_eq!(account["tenantId"], TENANT);
    assert_eq!(account["user"], json!({ "name": "developer@emulator.example", "type": "user" }));
    assert_eq!(az.prints(&["account", "show", "--query", "tenantId", "-o", "tsv"]), format!("{TENANT}\n"));
    let version: Value = serde_json::from_str(&az.prints(&["version"])).unwrap();
    assert_eq!(version["azure-cli"], "2.91.0");
    assert!(az.prints(&["--version"]).starts_with("azure-cli                         2.91.0\n"));
}

#[test]
fn each_failure_has_the_words_and_the_exit_code_of_the_cli() {
    let emulator = Emulator::start().unwrap();
    let az = Az::of(&emulator);
    let token = |options: &[&'static str]| [&["account", "get-access-token"], options].concat();
    let again = |tenant: &str, scope: &str| {
        format!(
            "\nRun the command below to authenticate interactively; additional arguments may be added as needed:\naz logout\naz login{tenant} --scope \"{scope}\"\n"
        )
    };
    let other = "11111111-0000-4000-8000-000000000000";
    let cases: Vec<(Vec<&str>, i32, &str, String)> = vec![
        (
            token(&["--resource", "https://redis.example"]),
            1,
            "ERROR: AADSTS500011: The resource principal named https://redis.example was not found in the tenant",
            again("", "https://redis.example/.default"),
        ),
        (
            token(&["--scope", "https://nothing/.default"]),
            1,
            "ERROR: AADSTS500011: ",
            again("", "https://nothing/.default"),
        ),
        (token(&["--scope", "User.Read"]), 1, "ERROR: AADSTS500011: ", again("", "User.Read")),
        (
            token(&["--tenant", other, "--resource", REDIS]),
            1,
            "ERROR: AADSTS90002: Tenant '11111111-0000-4000-8000-000000000000' not found.",
            again(" --tenant \"11111111-0000-4000-8000-000000000000\"", "https://redis.azure.com/.default"),
        ),
        (
            token(&["--tenant", TENANT, "--subscription", SUBSCRIPTION]),
            1,
            "ERROR: Please specify only one of subscription and tenant, not both\n",
            String::new(),
        ),
        (
            token(&["--subscription", "another"]),
            1,
            "ERROR: Subscription 'another' not found. Check the spelling and casing and try again.\n",
            String::new(),
        ),
        (token(&["--resource"]), 2, "ERROR: argument --resource: expected one argument\n", String::new()),
        (
            token(&["--resource", "--tenant", TENANT]),
            2,
            "ERROR: argument --resource: expected one argument\n",
            String::new(),
        ),
        (token(&["--nonsense", "x"]), 2, "ERROR: unrecognized arguments: --nonsense\n", String::new()),
        (token(&["-o", "yaml"]), 2, "ERROR: the stand-in prints json", String::new()),
        (token(&["--query", "[?x]"]), 2, "ERROR: the stand-in's --query takes the name of one member", String::new()),
        (
            token(&["--scope", "https://a/.default", "https://b/.default"]),
            2,
            "ERROR: the stand-in takes one scope",
            String::new(),
        ),
        (
            vec!["login", "--use-device-code"],
            2,
            "ERROR: 'login' is not among what the emulator's stand-in of the Azure CLI knows: account get-access-token, account show, version\n",
            String::new(),
        ),
        (
            vec!["redisenterprise", "list", "-o", "table"],
            2,
            "ERROR: 'redisenterprise list' is not among",
            String::new(),
        ),
        (
            vec!["account", "get-access-token-for-somebody"],
            2,
            "ERROR: 'account get-access-token-for-somebody' is not among",
            String::new(),
        ),
        (vec![], 2, "ERROR: the stand-in wants the command first", String::new()),
        // Characters that mean something to a form or a shell.
        (vec!["a&b=c+d%20\n$(id) é"], 2, "ERROR: 'a&b=c+d%20\n$(id) é' is not among", String::new()),
    ];
    for (arguments, code, begins, ends) in cases {
        let output = az.run(&arguments);
        let error = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(code), ""), "{arguments:?}: {error}");
        assert!(error.starts_with(begins), "{arguments:?} says\n{error}\nand not\n{begins}");
        assert!(error.ends_with(&ends), "{arguments:?} says\n{error}\nand does not end with\n{ends}");
    }
    az.run(&token(&["--resource", "https://redis.example"]));
    let (code, why) = support::last_refusal(&emulator);
    assert_eq!(code.as_deref(), Some("AADSTS500011"));
    assert!(why.contains("redis.example"), "{why}");

    // What somebody types here by mistake may be a password.
    az.run(&["login", "--password", "hunter2"]);
    assert!(!serde_json::to_string(&emulator.events()).unwrap().contains("hunter2"));
}

#[test]
fn a_token_is_handed_out_again_while_it_is_good_for_five_minutes() {
    for (lifetime, again) in [(3600, true), (300, false)] {
        let emulator = Emulator::builder().token_lifetime("developer", Duration::from_secs(lifetime)).start().unwrap();
        let az = Az::of(&emulator);
        let get =
            || az.prints(&["account", "get-access-token", "--resource", REDIS, "--query", "accessToken", "-o", "tsv"]);
        assert_eq!(get() == get(), again, "{lifetime} s");
    }
}

#[test]
fn trouble_at_entra_id_is_the_clis_trouble() {
    let emulator = Emulator::start().unwrap();
    let az = Az::of(&emulator);
    let get = || az.run(&["account", "get-access-token", "--resource", REDIS]);
    let control = emulator.control();
    control.set_fault(Service::Entra, Fault::Fail { status: 503 }, None).unwrap();
    let output = get();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.starts_with("ERROR: AADSTS90033: ") && error.contains("az login --scope"), "{error}");
    assert_eq!(az.run(&["account", "show"]).status.code(), Some(0), "it asks nobody for that");
    control.clear_fault(Service::Entra);
    // Another service's trouble is not its own.
    control.set_fault(Service::ManagedIdentity, Fault::Fail { status: 500 }, None).unwrap();
    assert_eq!(get().status.code(), Some(0));

    control.remove_identity("developer").unwrap();
    let output = get();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(1), "ERROR: Please run 'az login' to setup account.\n".into())
    );
}

#[test]
fn an_az_of_an_emulator_that_is_gone_says_so() {
    let first = Emulator::start().unwrap();
    let az = Az::of(&first);
    let kept = tempfile::tempdir().unwrap();
    let copy = kept.path().join("az");
    std::fs::copy(&az.program, &copy).unwrap();
    drop(first);
    for strict in [false, true] {
        let mut command = Command::new("bash");
        if strict {
            command.env("POSIXLY_CORRECT", "1");
        }
        let output = command.arg(&copy).args(["account", "show"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(error.starts_with("ERROR: the emulator that made this az does not answer on port"), "{error}");
    }

    // Another emulator on the same port has another key.
    let second = Emulator::start().unwrap();
    let script = std::fs::read_to_string(Az::of(&second).program).unwrap();
    let environment = second.environment("system").unwrap();
    let key = environment.get("IDENTITY_HEADER").unwrap();
    assert!(script.contains(key));
    std::fs::write(&copy, script.replace(key, "ANOTHER")).unwrap();
    let output =
        Command::new("bash").arg(&copy).args(["account", "get-access-token", "--resource", REDIS]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("belongs to an emulator that is gone"), "{}", text(&output.stderr));
    assert!(!second.events().iter().any(|event| matches!(event.kind, EventKind::TokenIssued { .. })));
}

#[test]
fn only_its_owner_can_read_and_run_it() {
    use std::os::unix::fs::PermissionsExt;
    let emulator = Emulator::start().unwrap();
    let az = Az::of(&emulator);
    for path in [az.program.as_path(), az.program.parent().unwrap()] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
    }
}
