//! The doctor at an emulator: every way to a token, every cluster policy, and what it says when the emulator is made to go wrong.

use std::time::Duration;

use azure_managed_redis_emulator::{
    CertificateSource, ClusteringPolicy, Credential, Emulator, Environment, EventKind, Fault, FederatedCredential,
    Flow, Hosting, Identity, IdentityKind, Presented, Service,
};

use crate::examination::{Doctor, IN_TIME, Report};

fn started(policy: ClusteringPolicy) -> Emulator {
    Emulator::builder().clustering_policy(policy).start().unwrap()
}

/// As that identity, in an App Service.
fn of(emulator: &Emulator, identity: &str) -> Doctor {
    Doctor::inside(&emulator.environment(identity).unwrap())
}

/// All is well, by that way to a token, and the cache saw it.
fn is_well(emulator: &Emulator, environment: &Environment, way: &str, identity: &str, flow: Flow) {
    let seen = emulator.events().last().map_or(0, |event| event.seq);
    let report = Doctor::inside(environment).run();
    report.is_well();
    assert!(report.fact("credential", way).starts_with("token "), "{way}: {:#}", report.json);
    let events = emulator.events_since(seen);
    let is_issued = |kind: &EventKind| matches!(kind, EventKind::TokenIssued { flow: by, .. } if *by == flow);
    let is_in = |kind: &EventKind| matches!(kind, EventKind::SignInAccepted { identity: who, .. } if who == identity);
    assert!(events.iter().any(|event| is_issued(&event.kind)), "{way}: {events:?}");
    assert!(events.iter().any(|event| is_in(&event.kind)), "{way}: {events:?}");
}

#[test]
fn every_way_to_a_token_leads_in() {
    let emulator = Emulator::start().unwrap();
    let of = |identity: &str| emulator.environment(identity).unwrap();
    is_well(&emulator, &of("service-principal"), "client-secret", "service-principal", Flow::ClientSecret);
    let pem = of("certificate");
    is_well(&emulator, &pem, "client-certificate", "certificate", Flow::ClientCertificate);
    is_well(&emulator, &pem.with_pfx().unwrap(), "client-certificate", "certificate", Flow::ClientCertificate);
    is_well(&emulator, &of("workload"), "workload-identity", "workload", Flow::FederatedCredential);
    is_well(&emulator, &of("developer"), "azure-cli", "developer", Flow::AzureCli);
    for identity in ["system", "user"] {
        let hosted = |hosting| emulator.environment_in(hosting, identity).unwrap();
        is_well(&emulator, &hosted(Hosting::AppService), "app-service", identity, Flow::ManagedIdentity);
        is_well(&emulator, &hosted(Hosting::Imds), "pod-identity", identity, Flow::ManagedIdentity);
        is_well(&emulator, &hosted(Hosting::Msi2017), "app-service-2017", identity, Flow::ManagedIdentity);
    }
}

/// A PKCS#12 file has a password, here another than the empty one of the emulator's.
#[test]
fn the_password_of_a_certificate_file_counts() {
    let emulator = Emulator::start().unwrap();
    let environment = emulator.environment("certificate").unwrap().with_pfx().unwrap();
    let report = Doctor::inside(&environment).env("AZURE_CLIENT_CERTIFICATE_PASSWORD", "tops3cret").run();
    report.is_caused_by("credential-file", 6, &["AZURE_CLIENT_CERTIFICATE_PASSWORD is not its password"]);
}

#[test]
fn each_cluster_policy_is_found_out() {
    for (policy, says) in [
        (ClusteringPolicy::NoCluster, "NoCluster: one address, and keys of all slots together"),
        (
            ClusteringPolicy::EnterpriseCluster,
            "EnterpriseCluster: one address; most commands take keys of one slot only",
        ),
    ] {
        let report = of(&started(policy), "user").run();
        assert_eq!(report.is_well().step("cluster")["summary"], says, "{:#}", report.json);
    }
    let emulator = started(ClusteringPolicy::OssCluster);
    let report = of(&emulator, "user").run();
    report.is_well();
    assert!(report.json["remarks"].to_string().contains("must map the announced addresses"), "{:#}", report.json);
    for port in emulator.control().shards() {
        let node = report.fact("cluster", &format!("127.0.0.1:{port}"));
        assert!(node.contains("TLS as localhost: yes; as 127.0.0.1: no"), "{node}");
    }
    assert!(report.fact("cluster", "mapping").contains("to localhost, the port as announced"));
    // After a failover the shard is elsewhere, and found there.
    emulator.control().fail_over(1).unwrap();
    let report = of(&emulator, "user").run();
    report.is_well().fact("cluster", &format!("127.0.0.1:{}", emulator.control().shards()[1]));
}

/// Runs as an identity after something was changed, and puts that right again.
fn after(emulator: &Emulator, identity: &str, change: impl FnOnce()) -> Report {
    change();
    let report = of(emulator, identity).arg(IN_TIME).run();
    emulator.control().reset().unwrap();
    report
}

#[test]
fn what_goes_wrong_with_tokens_is_named() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let fault = |service, fault| control.set_fault(service, fault, None).unwrap();

    let report = after(&emulator, "service-principal", || fault(Service::Entra, Fault::Fail { status: 503 }));
    report.is_caused_by("entra-refused", 6, &["AADSTS90033"]);
    let report = after(&emulator, "user", || fault(Service::ManagedIdentity, Fault::Fail { status: 500 }));
    report.is_caused_by("managed-identity-refused", 6, &["HTTP 500"]);
    let report = after(&emulator, "service-principal", || fault(Service::Entra, Fault::Hang));
    report.is_caused_by("entra-unreachable", 6, &["no answer in time"]);
    let report = after(&emulator, "user", || fault(Service::ManagedIdentity, Fault::Hang));
    report.is_caused_by("managed-identity-unreachable", 6, &["no answer in time"]);
    // Slow, but in time.
    after(&emulator, "user", || fault(Service::ManagedIdentity, Fault::Slow { delay: Duration::from_millis(300) }))
        .is_well();

    let report = after(&emulator, "service-principal", || {
        control.present(Service::Entra, Presented::OtherAuthority).unwrap();
    });
    report.is_caused_by("entra-not-trusted", 6, &["localhost"]);

    let unreachable = Emulator::builder().entra_unreachable(true).start().unwrap();
    of(&unreachable, "service-principal").run().is_caused_by("entra-unreachable", 6, &["refused"]);
    of(&unreachable, "user").run().is_caused_by("managed-identity-unreachable", 6, &["refused"]);
}

#[test]
fn what_is_registered_otherwise_is_named() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let known = |name: &str| control.directory().identity(name).unwrap().clone();
    let with = |name: &str, credential: Credential| {
        let identity = known(name);
        let IdentityKind::ServicePrincipal { application_object_id, .. } = identity.kind else { panic!("{name}") };
        let kind = IdentityKind::ServicePrincipal { application_object_id, credentials: vec![credential] };
        control.set_identity(Identity { kind, ..identity }).unwrap();
    };

    // The environment is the one of before.
    let environment = emulator.environment("service-principal").unwrap();
    with("service-principal", Credential::Secret("another".to_owned()));
    Doctor::inside(&environment).run().is_caused_by("wrong-secret", 6, &["AADSTS7000215"]);
    control.reset().unwrap();

    let environment = emulator.environment("certificate").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
    std::fs::write(&other, certificate.pem()).unwrap();
    with("certificate", Credential::Certificate(CertificateSource::File(other)));
    Doctor::inside(&environment).run().is_caused_by("certificate-not-registered", 6, &["AADSTS700027"]);
    control.reset().unwrap();

    let environment = emulator.environment("workload").unwrap();
    let federated = FederatedCredential {
        issuer: None,
        subject: "system:serviceaccount:default:another".to_owned(),
        audience: "api://AzureADTokenExchange".to_owned(),
        keys: None,
    };
    with("workload", Credential::Federated(federated));
    let subject = "system:serviceaccount:default:workload";
    Doctor::inside(&environment).run().is_caused_by("federation-mismatch", 6, &["AADSTS700213", subject]);
    control.reset().unwrap();

    let environment = emulator.environment("service-principal").unwrap();
    control.remove_identity("service-principal").unwrap();
    Doctor::inside(&environment).run().is_caused_by("unknown-client", 6, &["AADSTS700016"]);
    control.reset().unwrap();
    let environment = emulator.environment("user").unwrap();
    control.remove_identity("user").unwrap();
    Doctor::inside(&environment).run().is_caused_by("no-such-identity", 6, &["c11e4700-0000-4000-8000-000000000002"]);
    control.reset().unwrap();

    let report =
        of(&emulator, "service-principal").env("AZURE_TENANT_ID", "11111111-0000-4000-8000-000000000000").run();
    report.is_caused_by("unknown-tenant", 6, &["AADSTS90002"]);
}

#[test]
fn what_goes_wrong_with_the_cache_is_named() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    for (presented, cause) in [(Presented::OtherAuthority, "unknown-authority"), (Presented::OtherName, "other-name")] {
        let report = after(&emulator, "user", || control.present(Service::Redis, presented).unwrap());
        report.is_caused_by(cause, 5, &[]);
    }
    let object_id = control.directory().identity("user").unwrap().object_id;
    let report = after(&emulator, "user", || control.unassign("user").unwrap());
    report.is_caused_by("not-assigned", 8, &[&object_id.to_string()]);
    // Rights that are less than the doctor likes are no failure.
    after(&emulator, "user", || drop(control.assign("user", object_id, Some("+get ~*")).unwrap())).is_well();
    let report = after(&emulator, "user", || assert!(control.stop_engine()));
    report.is_caused_by("sign-in-no-answer", 8, &["closed"]);

    // Nobody can tell whether the issuer's clock is fast or this machine's slow; that of Entra ID is right.
    let report = after(&emulator, "user", || control.shift_clock(3600));
    report.is_caused_by("clock-skew", 7, &["55 min behind that of whoever issued the token"]);
    let report = after(&emulator, "user", || control.shift_clock(-2 * 86_400));
    report.is_caused_by("token-expired", 7, &[]);
    of(&emulator, "user").run().is_well();
}
