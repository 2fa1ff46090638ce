//! The third step: TLS and certificates.

use std::io::{Read, Write};
use std::time::Duration;

use azure_managed_redis_emulator::{Emulator, EventKind, Presented};
use rcgen::ExtendedKeyUsagePurpose;

use crate::authority::{Authority, Wanted};
use crate::examination::{Doctor, IN_TIME, good_token};
use crate::servers::{good_redis, serve};

#[test]
fn a_certificate_of_another_authority_or_for_another_name_gets_no_token() {
    let at = |presented| {
        let emulator = Emulator::builder().redis_certificate(presented).start().unwrap();
        let report = Doctor::inside(&emulator.environment("user").unwrap()).run();
        assert_eq!(report.step("sign-in")["status"], "skipped");
        let tried =
            |kind: &EventKind| matches!(kind, EventKind::SignInAccepted { .. } | EventKind::SignInRefused { .. });
        let any_tried = emulator.events().iter().any(|event| tried(&event.kind));
        assert!(!any_tried, "a token was sent to a server whose certificate is not accepted");
        report
    };
    at(Presented::OtherAuthority).is_caused_by("unknown-authority", 5, &["CN=Another CA", "amr-emulator exec"]);
    at(Presented::OtherName).is_caused_by("other-name", 5, &["another-name.example", "localhost"]);
}

#[test]
fn the_names_and_the_authority_are_told_apart() {
    let (authority, other) = (Authority::new(), Authority::new());
    let port = good_redis(other.server_with(&Wanted { names: vec!["elsewhere.example"], ..Wanted::default() }));
    let report = Doctor::at(port, &authority).run();
    // Whose certificate it is comes before what it is for; here the other authority has the same name.
    report.is_caused_by("unknown-authority", 5, &["CN=Test Authority", "with another key"]);
    assert!(report.fact("tls", "names").contains("localhost is not among them"), "{report:#?}");
    assert!(report.fact("tls", "trusted").starts_with("no "), "{report:#?}");

    let report = Doctor::new(&format!("127.0.0.1:{}", good_redis(authority.server())))
        .env("SSL_CERT_FILE", authority.file())
        .run();
    report.is_caused_by("other-name", 5, &["not to an address", "--address"]);
}

#[test]
fn certificates_outside_their_time() {
    let authority = Authority::new();
    let wanted = |from, to| Wanted { days: (from, to), ..Wanted::default() };
    let report = Doctor::at(good_redis(authority.server_with(&wanted(-30, -2))), &authority).run();
    report.is_caused_by("certificate-expired", 5, &["ran out on"]);
    assert!(report.fact("tls", "valid").contains("ended 2 days ago"), "{report:#?}");
    let report = Doctor::at(good_redis(authority.server_with(&wanted(3, 30))), &authority).run();
    report.is_caused_by("certificate-not-yet-valid", 5, &["in the future", "date"]);
}

#[test]
fn a_certificate_that_is_not_for_servers() {
    let authority = Authority::new();
    let wanted = Wanted { usage: ExtendedKeyUsagePurpose::ClientAuth, ..Wanted::default() };
    let report = Doctor::at(good_redis(authority.server_with(&wanted)), &authority).run();
    report.is_caused_by("certificate-unusable", 5, &["it is not for servers"]);
}

#[test]
fn nothing_to_trust() {
    let authority = Authority::new();
    let port = good_redis(authority.server());
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for file in [folder.path().join("missing.pem"), empty] {
        let report = Doctor::at(port, &authority).env("SSL_CERT_FILE", &file).run();
        report.is_caused_by("trust-store-unreadable", 5, &["SSL_CERT_FILE", file.to_str().unwrap()]);
    }
}

#[test]
fn servers_without_tls() {
    let authority = Authority::new();
    // One that complains at once, as a server does that takes the handshake for a command.
    let complaining = serve(|mut tcp| {
        let mut buffer = [0; 1024];
        while tcp.read(&mut buffer).is_ok_and(|count| count > 0) {
            let _ = tcp.write_all(b"-NOAUTH Authentication required.\r\n");
        }
    });
    // One that waits for the end of a line.
    let waiting = serve(|mut tcp| {
        let mut buffer = [0; 1024];
        while let Ok(count) = tcp.read(&mut buffer)
            && count > 0
        {
            if buffer.starts_with(b"PING\r\n") {
                let _ = tcp.write_all(b"+PONG\r\n");
            }
        }
    });
    for port in [complaining, waiting] {
        let report = Doctor::at(port, &authority).with_token(&good_token()).arg(IN_TIME).run();
        report.is_caused_by("no-tls", 5, &["plain text, as Redis does"]);
        assert_eq!(report.step("sign-in")["status"], "skipped");
    }
    let web = serve(|mut tcp| {
        let mut buffer = [0; 4096];
        while tcp.read(&mut buffer).is_ok_and(|count| count > 0) {
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let report = Doctor::at(web, &authority).arg(IN_TIME).run();
    report.is_caused_by("no-tls", 5, &["(HTTP/1.1 400 Bad Request)"]);
}

#[test]
fn servers_that_say_nothing() {
    let authority = Authority::new();
    let silent = serve(|_tcp| std::thread::sleep(Duration::from_secs(60)));
    Doctor::at(silent, &authority).arg(IN_TIME).run().is_caused_by("tls-silent", 5, &["says nothing for 5 s"]);
    let closing = serve(drop);
    Doctor::at(closing, &authority).run().is_caused_by("tls-silent", 5, &["closes it"]);
}

#[test]
fn a_server_that_ends_the_handshake() {
    let authority = Authority::new();
    let port = serve(move |mut tcp| {
        let mut hello = [0; 4096];
        let _ = tcp.read(&mut hello);
        // A fatal alert, handshake_failure.
        let _ = tcp.write_all(&[21, 3, 3, 0, 2, 2, 40]);
        while tcp.read(&mut hello).is_ok_and(|count| count > 0) {}
    });
    Doctor::at(port, &authority).run().is_caused_by("tls-refused", 5, &["HandshakeFailure", "TLS 1.2 and 1.3"]);
}
