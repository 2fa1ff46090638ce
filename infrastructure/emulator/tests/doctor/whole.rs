//! Whole runs: all well, how the report reads, and wrong command lines.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use azure_managed_redis_emulator::{Emulator, EventKind};

use crate::authority::Authority;
use crate::examination::{Doctor, IN_TIME, OBJECT_ID, good_token, skipped, token};
use crate::servers::{self, Answer, closed_port, good_redis};

#[test]
fn all_is_well_as_every_identity_that_has_an_assignment() {
    let emulator = Emulator::start().unwrap();
    for (identity, flow) in [("system", "app-service"), ("user", "app-service"), ("service-principal", "client-secret")]
    {
        let report = Doctor::inside(&emulator.environment(identity).unwrap()).run();
        report.is_well();
        let object_id = emulator.directory().identity(identity).unwrap().object_id.to_string();
        assert!(report.fact("credential", flow).starts_with("token "), "{report:#?}");
        assert!(report.fact("sign-in", "ACL WHOAMI").contains(&object_id), "{report:#?}");
        assert!(report.fact("tls", "trusted").contains("SSL_CERT_FILE"), "{report:#?}");
        assert!(report.fact("tls", "protocol").starts_with("TLS 1.3 TLS_AES_"), "{report:#?}");
        // Not what it says, but what the cache saw.
        let signed_in =
            |kind: &EventKind| matches!(kind, EventKind::SignInAccepted { identity: who, .. } if who == identity);
        assert!(emulator.events().iter().any(|event| signed_in(&event.kind)), "{identity} never signed in");
    }
}

#[test]
fn the_report_reads_well() {
    let emulator = Emulator::start().unwrap();
    let (text, code) = Doctor::inside(&emulator.environment("user").unwrap()).read();
    assert_eq!(code, 0, "{text}");
    let statuses: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("ok  "))
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(
        statuses,
        ["name", "network", "TLS", "credential", "token", "clock", "sign-in", "cluster", "renewal"],
        "{text}"
    );
    assert!(text.contains("\nAll well.\n"), "{text}");

    let (text, code) = Doctor::inside(&emulator.environment("unassigned").unwrap()).read();
    assert_eq!(code, 8, "{text}");
    for line in
        ["\nfailed   sign-in ", "\nskipped  cluster ", "\nCause  Redis refuses ", "\nFix    Give that object id "]
    {
        assert!(text.contains(line), "'{line}' is not in: {text}");
    }
    let commands = "--object-id 0b1ec700-0000-4000-8000-000000000004";
    assert!(text.contains(commands), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn colours_are_for_terminals_that_want_them() {
    // `script` of util-linux gives the command a terminal.
    let run = |no_color: bool| {
        let inside = format!("{} doctor localhost:{}", env!("CARGO_BIN_EXE_amr-emulator"), closed_port());
        let mut script = Command::new("script");
        script.args(["-qec", &inside, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR").stdin(Stdio::null());
        if no_color {
            script.env("NO_COLOR", "1");
        }
        script.output().ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Some(coloured) = run(false) else { return skipped("there is no `script`") };
    assert!(coloured.contains("\x1b["), "{coloured}");
    assert!(!run(true).unwrap().contains("\x1b["));
}

#[test]
fn a_wrong_command_line_is_explained_and_ends_with_2() {
    for (arguments, says) in [
        (["rediss://somebody:tops3cret@localhost:6380/0", "--json"], "without rediss://: localhost:6380"),
        (["localhost/0", "--json"], "without a path"),
        (["localhost:port", "--json"], "the port is not a number"),
        (["local host", "--json"], "neither a name"),
        (["localhost", "--flow=passport"], "client-secret, client-certificate, workload-identity"),
        (["localhost", "--flow=imds"], "permit it with --imds"),
        (["localhost", "--timeout=0"], "--timeout"),
        (["localhost", "--address=nowhere"], "--address"),
    ] {
        let doctor = arguments[1..].iter().fold(Doctor::new(arguments[0]), |doctor, argument| doctor.arg(argument));
        let (text, code) = doctor.read();
        assert_eq!(code, 2, "{arguments:?}: {text}");
        assert!(text.contains(says), "{arguments:?}: {text}");
    }
}

#[test]
fn a_reader_who_goes_away_is_no_failure() {
    let authority = Authority::new();
    let port = good_redis(authority.server());
    let mut child = Command::new(env!("CARGO_BIN_EXE_amr-emulator"))
        .args(["doctor", &format!("localhost:{port}")])
        .env_clear()
        .env("SSL_CERT_FILE", authority.file())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(6), "no credential: {stderr}");
    assert_eq!(stderr, "");
}

#[test]
fn what_servers_repeat_is_not_printed() {
    let authority = Authority::new();
    let echoing = servers::https(authority.server(), |request| {
        servers::Reply::aadsts(7_000_215, &format!("You sent {} and {}", request.body, good_token()))
    });
    let report = Doctor::at(good_redis(authority.server()), &authority)
        .with_entra(echoing)
        .env("AZURE_CLIENT_SECRET", "tops3cret~/+=&")
        .run();
    report.is_caused_by("wrong-secret", 6, &["client_secret=<client secret>", "<token>"]);
}

#[test]
fn a_server_that_drips_does_not_hold_the_run_up() {
    let authority = Authority::new();
    // One byte in each read, for ever: no single wait is long.
    let tls = authority.server();
    let port = servers::serve(move |tcp| {
        use std::io::Write;
        let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(tls.clone()).unwrap(), tcp);
        while stream.write_all(b"+").and_then(|()| stream.flush()).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let report = Doctor::at(port, &authority).with_token(&good_token()).arg(IN_TIME).run();
    report.is_caused_by("sign-in-no-answer", 8, &["no answer in time"]);
}

#[test]
fn one_endpoint_policies_are_told_apart() {
    let authority = Authority::new();
    let refusing = |two_slots: &'static str| {
        servers::redis(authority.server(), move |command| match command {
            command if command.starts_with("CLUSTER") => Some(Answer::line("-ERR command is not allowed")),
            command if command.starts_with("SUNION") => Some(Answer::line(two_slots)),
            _ => None,
        })
    };
    for (two_slots, policy) in [
        ("-CROSSSLOT Keys in request don't hash to the same slot", "EnterpriseCluster:"),
        ("*0", "NoCluster:"),
        ("-NOPERM No permissions to access a key", "EnterpriseCluster or NoCluster:"),
    ] {
        let report = Doctor::at(refusing(two_slots), &authority).with_token(&good_token()).run();
        report.is_well();
        let summary = report.step("cluster")["summary"].as_str().unwrap();
        assert!(summary.starts_with(policy), "{summary}");
    }
}

#[test]
fn what_the_access_string_does_not_permit_is_no_failure() {
    let authority = Authority::new();
    let port = servers::redis(authority.server(), |command| {
        (!command.starts_with("AUTH")).then(|| Answer::line("-NOPERM this user has no permissions"))
    });
    let report = Doctor::at(port, &authority).with_token(&good_token()).run();
    report.is_well();
    assert!(report.fact("sign-in", "PING").starts_with("not permitted"), "{report:#?}");
}

#[test]
fn the_next_sign_in_is_three_minutes_before_the_end() {
    let authority = Authority::new();
    let ends = crate::examination::now() + 86_400;
    let report = Doctor::at(good_redis(authority.server()), &authority)
        .with_token(&token(&serde_json::json!({ "exp": ends })))
        .run();
    let at = |moment: i64| {
        let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
        time::OffsetDateTime::from_unix_timestamp(moment).unwrap().format(format).unwrap()
    };
    assert!(report.is_well().fact("renewal", "latest").starts_with(&at(ends - 180)), "{report:#?}");
    assert!(report.fact("renewal", "closed").starts_with(&at(ends)), "{report:#?}");
    assert!(report.fact("renewal", "Rust").starts_with(&at(ends - 240)), "{report:#?}");

    let soon = crate::examination::now() + 100;
    let report = Doctor::at(good_redis(authority.server()), &authority)
        .with_token(&token(&serde_json::json!({ "exp": soon })))
        .run();
    assert!(report.is_well().fact("renewal", "latest").contains("already past"), "{report:#?}");
    assert!(report.fact("renewal", "Rust").starts_with("without pause"), "{report:#?}");
    assert!(report.fact("renewal", "Java").starts_with("without pause"), "{report:#?}");
}

#[test]
fn the_oid_is_the_user_name_and_the_token_the_password() {
    let authority = Authority::new();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = seen.clone();
    let port = servers::redis(authority.server(), move |command| {
        noted.lock().unwrap().push(command.to_owned());
        None
    });
    let token = good_token();
    Doctor::at(port, &authority).with_token(&token).run().is_well();
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], format!("AUTH {OBJECT_ID} {token}"));
}
