//! The first two steps: the name and the network.

use crate::authority::{Authority, Wanted};
use crate::examination::{Doctor, good_token};
use crate::servers::{closed_port, deaf_port, good_redis};

#[cfg(target_os = "linux")]
#[test]
fn a_name_without_an_address() {
    let folder = tempfile::tempdir().unwrap();
    for (name, hint) in [
        ("no-such-cache.westeurope.redis.azure.net", "privatelink.redis.azure.net"),
        ("no-such-cache.redis.cache.windows.net", "is being retired"),
        ("no-such-host.example", "Check the spelling"),
    ] {
        let Some(doctor) = Doctor::new(name).cut_off(folder.path(), "127.0.0.1 localhost\n") else { return };
        doctor.run().is_caused_by("name-unknown", 3, &[name, hint]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_private_endpoint_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let name = "cache.westeurope.redis.azure.net";
    let hosts = format!("10.0.2.4 {name}\n");
    let Some(doctor) = Doctor::new(name).cut_off(folder.path(), &hosts) else { return };
    let report = doctor.run();
    report.is_caused_by("private-endpoint", 4, &["10.0.2.4", "virtual network"]);
    assert!(report.fact("name", "address").contains("private endpoint"), "{report:#?}");
}

#[test]
fn a_port_that_is_closed() {
    let port = closed_port();
    let report = Doctor::new(&format!("localhost:{port}")).run();
    report.is_caused_by("port-closed", 4, &[&port.to_string(), "refused"]);
    assert_eq!(report.step("tls")["status"], "skipped");
    // The steps to a token are taken all the same, and the first that failed is the cause.
    assert_eq!(report.step("credential")["status"], "failed");

    let azure = Doctor::new(&format!("cache.westeurope.redis.azure.net:{port}")).arg("--address=127.0.0.1").run();
    azure.is_caused_by("port-closed", 4, &["is 10000"]);
}

#[test]
fn a_port_that_does_not_answer() {
    let port = deaf_port();
    let report = Doctor::new(&format!("127.0.0.1:{port}")).arg("--timeout=1").run();
    report.is_caused_by("no-answer", 4, &["no answer in time", "firewall"]);
}

#[test]
fn a_classic_cache_at_the_wrong_port() {
    let target = format!("cache.redis.cache.windows.net:{}", closed_port());
    let report = Doctor::new(&target).arg("--address=127.0.0.1").run();
    report.is_caused_by("classic-port", 4, &["Azure Cache for Redis", "6380"]);
    assert_eq!(report.json["cause"]["commands"][0], "amr-emulator doctor cache.redis.cache.windows.net:6380");
}

#[test]
fn an_address_of_a_tunnel_keeps_the_name() {
    let name = "cache.westeurope.redis.azure.net";
    let authority = Authority::new();
    let port = good_redis(authority.server_with(&Wanted { names: vec![name], ..Wanted::default() }));
    let doctor = || {
        Doctor::new(&format!("{name}:{port}"))
            .arg("--address=127.0.0.1")
            .env("SSL_CERT_FILE", authority.file())
            .with_token(&good_token())
    };
    let report = doctor().run();
    assert!(report.is_well().fact("tls", "names").contains(name), "{report:#?}");
    assert_eq!(report.step("name")["status"], "skipped");
}
