//! The fourth step: every way to a token, and every way it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use azure_managed_redis_emulator::{Emulator, Presented};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::authority::{Authority, Wanted, common_name};
use crate::examination::{CLIENT_ID, Doctor, IN_TIME, Report, SECRET, TENANT, good_token, now, token};
use crate::servers::{self, Reply, Request, closed_port, good_redis, proxy};

/// A good cache, and the authority of all servers of a test.
struct Place {
    authority: Authority,
    cache: u16,
}

impl Place {
    fn new() -> Self {
        let authority = Authority::new();
        let cache = good_redis(authority.server());
        Place { authority, cache }
    }

    fn doctor(&self) -> Doctor {
        Doctor::at(self.cache, &self.authority)
    }

    /// With an application's ids and an Entra ID that answers like this.
    fn entra(&self, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Doctor {
        self.doctor().with_entra(servers::https(self.authority.server(), answer))
    }

    /// An application with a secret that Entra ID refuses with this number.
    fn refused(&self, code: u32, text: &'static str) -> Report {
        self.entra(move |_| Reply::aadsts(code, text)).env("AZURE_CLIENT_SECRET", SECRET).run()
    }
}

/// What requests a server was sent.
type Noted = Arc<Mutex<Vec<Request>>>;

/// An answer with a good token, and what it was asked.
fn noting() -> (Noted, impl Fn(&Request) -> Reply + Send + Sync + 'static) {
    let noted = Noted::default();
    let notes = noted.clone();
    let answer = move |request: &Request| {
        let copy = Request { line: request.line.clone(), headers: request.headers.clone(), body: request.body.clone() };
        notes.lock().unwrap().push(copy);
        Reply::token(&good_token())
    };
    (noted, answer)
}

/// An RSA key with its certificate, as PEM.
struct Pem {
    certificate: String,
    key: String,
    public_key: String,
}

fn pem(days: (i64, i64)) -> Pem {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("Test Application");
    params.not_before = time::OffsetDateTime::now_utc() + time::Duration::days(days.0);
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days.1);
    Pem {
        certificate: params.self_signed(&pair).unwrap().pem(),
        key: pair.serialize_pem(),
        public_key: pair.public_key_pem(),
    }
}

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn sha256(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der))
}

#[test]
fn nothing_is_set_up() {
    let report = Place::new().doctor().run();
    report.is_caused_by("no-credential", 6, &["managed identity", "AZURE_CLIENT_SECRET"]);
    for (flow, why) in [
        ("client-secret", "AZURE_CLIENT_SECRET is not set"),
        ("client-certificate", "AZURE_CLIENT_CERTIFICATE_PATH is not set"),
        ("workload-identity", "AZURE_FEDERATED_TOKEN_FILE is not set"),
        ("app-service", "IDENTITY_ENDPOINT is not set"),
        ("app-service-2017", "MSI_ENDPOINT is not set"),
        ("pod-identity", "AZURE_POD_IDENTITY_AUTHORITY_HOST is not set"),
        ("imds", "only with --imds, on a virtual machine in Azure"),
        ("azure-cli", "az is not on PATH"),
    ] {
        assert_eq!(report.fact("credential", flow), format!("skipped {why}"));
    }
}

#[test]
fn a_flow_that_is_set_up_in_part() {
    let place = Place::new();
    let report = place.doctor().env("AZURE_CLIENT_SECRET", SECRET).run();
    report.is_caused_by("credential-incomplete", 6, &["AZURE_TENANT_ID and AZURE_CLIENT_ID are not set"]);
    let report = place.doctor().env("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token").run();
    report.is_caused_by("credential-incomplete", 6, &["IDENTITY_HEADER is not set"]);
    let report = place.doctor().arg("--flow=workload-identity").with_token(&good_token()).run();
    report.is_caused_by("credential-incomplete", 6, &["AZURE_FEDERATED_TOKEN_FILE is not set"]);
}

#[test]
fn values_that_cannot_be_right() {
    let place = Place::new();
    let (noted, answer) = noting();
    let with_secret = || place.entra(|_| Reply::token(&good_token())).env("AZURE_CLIENT_SECRET", SECRET);
    for (variable, value, says) in [
        ("AZURE_AUTHORITY_HOST", "http://localhost:1", "https only"),
        ("AZURE_AUTHORITY_HOST", "https://", "not a URL"),
        ("AZURE_TENANT_ID", "../evil", "a GUID or a domain name"),
        ("HTTPS_PROXY", "https://two words", "not the address of a proxy"),
        ("HTTPS_PROXY", "socks5://localhost:1", "SOCKS"),
    ] {
        with_secret().env(variable, value).run().is_caused_by("bad-setting", 6, &[variable, says]);
    }
    for value in ["no url", "ftp://localhost/", "http://localhost:1/?x=y"] {
        let report = place.doctor().env("IDENTITY_ENDPOINT", value).env("IDENTITY_HEADER", SECRET).run();
        report.is_caused_by("bad-setting", 6, &["IDENTITY_ENDPOINT"]);
    }
    // Without a scheme it is taken as the libraries take it, and a path in it is dropped.
    let port = servers::https(place.authority.server(), answer);
    let authority = format!("localhost:{port}/path");
    with_secret().env("AZURE_AUTHORITY_HOST", authority).run().is_well();
    assert_eq!(noted.lock().unwrap()[0].line, format!("POST /{TENANT}/oauth2/v2.0/token HTTP/1.1"));
}

#[test]
fn a_client_secret_gives_a_token() {
    let place = Place::new();
    let (noted, answer) = noting();
    let report = place.entra(answer).env("AZURE_CLIENT_SECRET", SECRET).run();
    report.is_well();
    let noted = noted.lock().unwrap();
    let field = |name| noted[0].field(name).unwrap();
    assert_eq!(field("grant_type"), "client_credentials");
    assert_eq!(field("client_id"), CLIENT_ID);
    assert_eq!(field("client_secret"), SECRET);
    assert_eq!(field("scope"), "https://redis.azure.com/.default");
}

#[test]
fn refusals_of_an_emulated_entra_id() {
    let emulator = Emulator::start().unwrap();
    let application = || Doctor::inside(&emulator.environment("service-principal").unwrap());
    let other = "11111111-0000-4000-8000-000000000000";
    application().env("AZURE_CLIENT_SECRET", SECRET).run().is_caused_by(
        "wrong-secret",
        6,
        &["AADSTS7000215", "the secret's value"],
    );
    application().env("AZURE_CLIENT_ID", other).run().is_caused_by("unknown-client", 6, &["AADSTS700016", other]);
    application().env("AZURE_TENANT_ID", other).run().is_caused_by("unknown-tenant", 6, &["AADSTS90002", other]);
    // The managed identity endpoint of that environment has no identity, and is asked after the secret.
    let report = application().arg("--flow=app-service").run();
    report.is_caused_by("no-such-identity", 6, &["AZURE_CLIENT_ID"]);
}

#[test]
fn refusals_by_their_number() {
    let place = Place::new();
    place.refused(7_000_222, "The provided client secret keys for app 'x' are expired.").is_caused_by(
        "secret-expired",
        6,
        &["AADSTS7000222", "has run out"],
    );
    for code in [500_011, 650_052, 650_057, 65_006] {
        let report = place.refused(code, "The resource principal named x was not found.");
        report.is_caused_by("redis-not-in-tenant", 6, &[TENANT]);
        let command = "az ad sp create --id acca5fbb-b7e4-4009-81f1-37e38fd66d78";
        assert_eq!(report.json["cause"]["commands"][0], command);
    }
    place.refused(900_023, "Specified tenant identifier is neither.").is_caused_by("unknown-tenant", 6, &[]);
    let report =
        place.refused(50_196, "The server terminated an operation because it encountered a client request loop.");
    report.is_caused_by("entra-refused", 6, &["AADSTS50196", "client request loop"]);
    assert!(!report.json.to_string().contains("Trace ID"), "ids of a request help nobody: {report:#?}");
}

#[test]
fn entra_id_cannot_be_reached_or_not_trusted() {
    let unreachable = Emulator::builder().entra_unreachable(true).start().unwrap();
    let as_user = |emulator: &Emulator, identity| Doctor::inside(&emulator.environment(identity).unwrap()).run();
    let report = as_user(&unreachable, "service-principal");
    report.is_caused_by("entra-unreachable", 6, &["refused", "AZURE_AUTHORITY_HOST"]);
    let report = as_user(&unreachable, "user");
    report.is_caused_by("managed-identity-unreachable", 6, &["IDENTITY_ENDPOINT", "refused"]);
    for (presented, says) in
        [(Presented::OtherAuthority, "its authority is not trusted"), (Presented::OtherName, "it is for another name")]
    {
        let emulator = Emulator::builder().entra_certificate(presented).start().unwrap();
        let report =
            Doctor::inside(&emulator.environment("service-principal").unwrap()).arg("--flow=client-secret").run();
        report.is_caused_by("entra-not-trusted", 6, &[says, "SSL_CERT_FILE"]);
    }
}

#[test]
fn whoever_does_not_answer_in_time_cannot_be_reached() {
    let place = Place::new();
    let silent = servers::serve(|_tcp| std::thread::sleep(std::time::Duration::from_secs(60)));
    let report = place.doctor().with_entra(silent).env("AZURE_CLIENT_SECRET", SECRET).arg(IN_TIME).run();
    report.is_caused_by("entra-unreachable", 6, &["no answer in time"]);
}

#[test]
fn something_else_answers_instead_of_a_token_endpoint() {
    let place = Place::new();
    for (status, body) in [(200, "<html>Sign in to the Wi-Fi</html>"), (200, "{}"), (502, ""), (302, "")] {
        let page = move |_: &Request| Reply { status, body: body.to_owned(), clock: 0 };
        let report = place.entra(page).env("AZURE_CLIENT_SECRET", SECRET).run();
        report.is_caused_by("bad-token-answer", 6, &[&format!("HTTP {status}")]);
        let report = place.doctor().with_identity_endpoint(page).run();
        report.is_caused_by("bad-token-answer", 6, &[&format!("HTTP {status}")]);
    }
    let no_http = servers::serve(|mut tcp| {
        use std::io::{Read, Write};
        let _ = tcp.read(&mut [0; 4096]);
        let _ = tcp.write_all(b"-ERR unknown command\r\n-ERR unknown command\r\n");
        while tcp.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
    });
    let report = place.doctor().with_entra(no_http).env("AZURE_CLIENT_SECRET", SECRET).run();
    report.is_caused_by("bad-token-answer", 6, &["speaks no TLS"]);
}

#[test]
fn a_proxy_is_used_for_entra_id_and_its_failures_are_its_own() {
    let place = Place::new();
    // The real host, which only the proxy reaches.
    let wanted = Wanted { names: vec!["login.microsoftonline.com"], ..Wanted::default() };
    let entra = servers::https(place.authority.server_with(&wanted), |_| Reply::token(&good_token()));
    let doctor = |proxy: &str| {
        place
            .doctor()
            .with_entra(entra)
            .without("AZURE_AUTHORITY_HOST")
            .env("AZURE_CLIENT_SECRET", SECRET)
            .env("HTTPS_PROXY", proxy)
    };
    let report = doctor(&format!("http://user:{SECRET}@127.0.0.1:{}", proxy(Some(entra)))).run();
    assert!(report.is_well().fact("credential", "client-secret").contains("https://login.microsoftonline.com"));
    let refusing = proxy(None);
    doctor(&format!("http://user:{SECRET}@127.0.0.1:{refusing}")).run().is_caused_by(
        "proxy",
        6,
        &["login.microsoftonline.com: it answers 403.", &refusing.to_string()],
    );
    let closed = closed_port();
    doctor(&format!("127.0.0.1:{closed}")).run().is_caused_by("proxy", 6, &["refused", &closed.to_string()]);
    // Excepted hosts and plain HTTP go past it.
    let local = |doctor: Doctor| doctor.env("HTTPS_PROXY", format!("http://127.0.0.1:{closed}"));
    let report = local(place.entra(|_| Reply::token(&good_token())))
        .env("AZURE_CLIENT_SECRET", SECRET)
        .env("NO_PROXY", "example.com, localhost")
        .run();
    report.is_well();
    local(place.doctor()).with_token(&good_token()).run().is_well();
}

#[test]
fn a_client_certificate_signs_an_assertion_that_can_be_checked() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let pem = pem((-1, 30));
    let path = written(folder.path(), "client.pem", &format!("{}{}", pem.key, pem.certificate));
    let (noted, answer) = noting();
    let port = servers::https(place.authority.server(), answer);
    let report = place.doctor().with_entra(port).env("AZURE_CLIENT_CERTIFICATE_PATH", &path).run();
    report.is_well();
    assert!(report.fact("credential", "client-certificate").starts_with("token"), "{report:#?}");

    let noted = noted.lock().unwrap();
    let kind = noted[0].field("client_assertion_type").unwrap();
    assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let assertion = noted[0].field("client_assertion").unwrap();
    let header = jsonwebtoken::decode_header(&assertion).unwrap();
    let der = CertificateDer::from_pem_slice(pem.certificate.as_bytes()).unwrap();
    assert_eq!((header.alg, header.x5t_s256), (Algorithm::PS256, Some(sha256(&der))));
    let mut validation = Validation::new(Algorithm::PS256);
    validation.set_audience(&[format!("https://localhost:{port}/{TENANT}/oauth2/v2.0/token")]);
    validation.set_issuer(&[CLIENT_ID]);
    let key = DecodingKey::from_rsa_pem(pem.public_key.as_bytes()).unwrap();
    let claims = jsonwebtoken::decode::<Value>(&assertion, &key, &validation).unwrap().claims;
    assert_eq!(claims["sub"], CLIENT_ID);
    let lifetime = claims["exp"].as_i64().unwrap() - now();
    assert!((1..=600).contains(&lifetime), "{lifetime}");
}

#[test]
fn a_client_certificate_that_is_not_registered() {
    let emulator = Emulator::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pem = pem((-1, 30));
    let path = written(folder.path(), "client.pem", &format!("{}{}", pem.certificate, pem.key));
    let report = Doctor::inside(&emulator.environment("service-principal").unwrap())
        .without("AZURE_CLIENT_SECRET")
        .without("IDENTITY_ENDPOINT")
        .env("AZURE_CLIENT_CERTIFICATE_PATH", path)
        .run();
    report.is_caused_by("certificate-not-registered", 6, &["AADSTS700027", "SHA-1 thumbprint"]);
}

#[test]
fn certificate_files_that_cannot_be_used() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let (good, other, expired, early) = (pem((-1, 30)), pem((-1, 30)), pem((-30, -2)), pem((3, 30)));
    let ecdsa = KeyPair::generate().unwrap().serialize_pem();
    let of = |name: &str, text: &str| written(folder.path(), name, text);
    for (path, says) in [
        (folder.path().join("missing.pem"), "No such file"),
        (of("binary.pfx", "\u{30}\u{1}binary"), "is neither PEM nor PKCS#12"),
        (of("no-key.pem", &good.certificate), "no private key"),
        (of("no-certificate.pem", &good.key), "no certificate"),
        (of("other.pem", &format!("{}{}", good.certificate, other.key)), "does not belong"),
        (of("expired.pem", &format!("{}{}", expired.certificate, expired.key)), "ran out on"),
        (of("early.pem", &format!("{}{}", early.certificate, early.key)), "is valid from"),
        (of("ecdsa.pem", &format!("{}{ecdsa}", good.certificate)), "no RSA key"),
        (of("encrypted.pem", &format!("{}-----BEGIN ENCRYPTED PRIVATE KEY-----\n", good.certificate)), "encrypted"),
    ] {
        let report = place
            .entra(|_| panic!("nothing is to be asked with such a file"))
            .env("AZURE_CLIENT_CERTIFICATE_PATH", &path)
            .run();
        report.is_caused_by("credential-file", 6, &[path.to_str().unwrap(), says]);
    }
}

#[test]
fn a_projected_token_is_sent_as_it_is() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let projected = token(&json!({ "iss": "https://oidc.example/", "sub": "system:serviceaccount:a:b", "aud": "x" }));
    let path = written(folder.path(), "token", &format!("{projected}\n"));
    let (noted, answer) = noting();
    let report = place.entra(answer).env("AZURE_FEDERATED_TOKEN_FILE", &path).run();
    report.is_well();
    assert_eq!(noted.lock().unwrap()[0].field("client_assertion").unwrap(), projected);

    let refusing = |code: u32| {
        let text = "No matching federated identity record found for presented assertion subject.";
        place.entra(move |_| Reply::aadsts(code, text)).env("AZURE_FEDERATED_TOKEN_FILE", &path).run()
    };
    for code in [70_021, 700_211, 700_212, 700_213, 7_002_138, 70_025] {
        let presented = ["https://oidc.example/", "system:serviceaccount:a:b", "audience x"];
        refusing(code).is_caused_by("federation-mismatch", 6, &presented);
    }
    for unusable in [folder.path().join("missing"), written(folder.path(), "text", "no token")] {
        let report = place
            .entra(|_| panic!("nothing is to be asked with such a file"))
            .env("AZURE_FEDERATED_TOKEN_FILE", &unusable)
            .run();
        report.is_caused_by("credential-file", 6, &[unusable.to_str().unwrap()]);
    }
}

#[test]
fn an_assertion_outside_its_time() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), "token", &token(&json!({ "exp": now() - 60 })));
    let refusing = |clock: i64| {
        place
            .entra(move |_| {
                Reply::aadsts(700_024, "Client assertion is not within its valid time range.").with_clock(clock)
            })
            .env("AZURE_FEDERATED_TOKEN_FILE", &path)
            .run()
    };
    refusing(0).is_caused_by("assertion-time", 6, &["AADSTS700024", "must renew it"]);
    // The answer that refuses also tells the time.
    refusing(-1_000).is_caused_by("clock-skew", 7, &["ahead"]);
}

#[test]
fn managed_identities_are_asked_as_their_hosting_wants_it() {
    let place = Place::new();
    let header = |request: &Request, name: &str| request.header(name).map(str::to_owned);
    let base = |noted: &Noted| noted.lock().unwrap().remove(0);

    let (noted, answer) = noting();
    let endpoint = format!("http://127.0.0.1:{}/msi/token", servers::http(answer));
    let app_service = || place.doctor().env("IDENTITY_ENDPOINT", &endpoint).env("IDENTITY_HEADER", SECRET);
    app_service().run().is_well();
    let asked = base(&noted);
    let line = "GET /msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fredis.azure.com HTTP/1.1";
    assert_eq!((asked.line.as_str(), header(&asked, "x-identity-header")), (line, Some(SECRET.to_owned())));
    app_service().env("AZURE_CLIENT_ID", CLIENT_ID).run().is_well();
    assert!(base(&noted).line.contains(&format!("&client_id={CLIENT_ID} ")));

    let of_2017 = place.doctor().env("MSI_ENDPOINT", &endpoint).env("MSI_SECRET", SECRET);
    let report = of_2017.env("AZURE_CLIENT_ID", CLIENT_ID).run();
    assert!(report.is_well().fact("credential", "app-service-2017").starts_with("token"), "{report:#?}");
    let asked = base(&noted);
    assert!(asked.line.contains("api-version=2017-09-01&") && asked.line.contains("&clientid="), "{asked:?}");
    assert_eq!(header(&asked, "secret"), Some(SECRET.to_owned()));

    let host = endpoint.replace("msi/token", "");
    let report = place.doctor().env("AZURE_POD_IDENTITY_AUTHORITY_HOST", host).run();
    assert!(report.is_well().fact("credential", "pod-identity").starts_with("token"), "{report:#?}");
    let asked = base(&noted);
    assert!(asked.line.starts_with("GET /metadata/identity/oauth2/token?api-version=2018-02-01&"), "{asked:?}");
    assert_eq!(header(&asked, "metadata"), Some("true".to_owned()));
}

#[test]
fn hostings_that_this_command_does_not_know_are_named() {
    let place = Place::new();
    let hosting = |variables: &[(&str, &str)]| {
        variables.iter().fold(place.doctor(), |doctor, (name, value)| doctor.env(name, value)).run()
    };
    let endpoint = "http://127.0.0.1:1/";
    let arc = hosting(&[("IDENTITY_ENDPOINT", endpoint), ("IMDS_ENDPOINT", endpoint)]);
    assert!(arc.fact("credential", "app-service").contains("Azure Arc"), "{arc:#?}");
    let fabric = hosting(&[("IDENTITY_ENDPOINT", endpoint), ("IDENTITY_SERVER_THUMBPRINT", "aa")]);
    assert!(fabric.fact("credential", "app-service").contains("Service Fabric"), "{fabric:#?}");
    let shell = hosting(&[("MSI_ENDPOINT", endpoint)]);
    assert!(shell.fact("credential", "app-service-2017").contains("Cloud Shell"), "{shell:#?}");
}

#[test]
fn the_address_of_virtual_machines_is_not_called_unasked() {
    let place = Place::new();
    let report = place
        .doctor()
        .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://169.254.169.254")
        .env("IDENTITY_ENDPOINT", "http://169.254.169.254/x")
        .env("IDENTITY_HEADER", SECRET)
        .run();
    report.is_caused_by("no-credential", 6, &[]);
    for flow in ["app-service", "pod-identity", "imds"] {
        let fact = report.fact("credential", flow);
        assert!(fact.starts_with("skipped") && fact.contains("only with --imds"), "{fact}");
    }
    let report = place
        .doctor()
        .with_entra(1)
        .env("AZURE_AUTHORITY_HOST", "https://169.254.169.254")
        .env("AZURE_CLIENT_SECRET", SECRET)
        .run();
    report.is_caused_by("bad-setting", 6, &["AZURE_AUTHORITY_HOST"]);
}

#[test]
fn refusals_of_managed_identity_endpoints() {
    let emulator = Emulator::start().unwrap();
    let user = || Doctor::inside(&emulator.environment("user").unwrap());
    let other = "11111111-0000-4000-8000-000000000000";
    user().env("AZURE_CLIENT_ID", other).run().is_caused_by("no-such-identity", 6, &[other, "not the object id"]);
    user().env("IDENTITY_HEADER", SECRET).run().is_caused_by(
        "managed-identity-refused",
        6,
        &["401", "IDENTITY_HEADER"],
    );

    let place = Place::new();
    for (status, body, known) in [
        (400, json!({ "error": "invalid_request", "error_description": "Identity not found" }), true),
        (400, json!({ "statusCode": 400, "message": "Unable to load the proper Managed Identity." }), true),
        (400, json!({ "StatusCode": 400, "Message": "No Managed Identity found for specified ClientId." }), true),
        (
            400,
            json!({ "error": "invalid_request", "error_description": "Multiple user assigned identities exist" }),
            true,
        ),
        (400, json!({ "error": { "code": "UnsupportedApiVersion", "message": "No such version." } }), false),
        (
            500,
            json!({ "statusCode": 500, "message": "An unexpected error occured while fetching the AAD Token." }),
            false,
        ),
    ] {
        let body = body.clone();
        let report = place.doctor().with_identity_endpoint(move |_| Reply::json(status, &body)).run();
        if known {
            report.is_caused_by("no-such-identity", 6, &["system-assigned"]);
        } else {
            report.is_caused_by("managed-identity-refused", 6, &[&status.to_string()]);
        }
    }
    let report = place
        .doctor()
        .with_identity_endpoint(|_| Reply { status: 401, body: "Invalid secret token header.".to_owned(), clock: 0 })
        .run();
    report.is_caused_by("managed-identity-refused", 6, &["Invalid secret token header"]);
    // IMDS passes Entra ID's own errors on.
    let report = place.doctor().with_identity_endpoint(|_| Reply::aadsts(500_011, "Not found.")).run();
    report.is_caused_by("redis-not-in-tenant", 6, &[]);
}

#[test]
fn the_azure_cli_gives_a_token() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let json =
        json!({ "accessToken": good_token(), "expires_on": now() + 3600, "tenant": TENANT, "tokenType": "Bearer" });
    written(folder.path(), "json", &json.to_string());
    let here = folder.path().display();
    let script = format!("echo \"$@\" > {here}/asked\n/bin/cat {here}/json");
    let report = place.doctor().with_az(folder.path(), &script).run();
    assert!(report.is_well().fact("credential", "azure-cli").contains(TENANT), "{report:#?}");
    let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
    assert_eq!(asked.trim(), "account get-access-token --resource https://redis.azure.com --output json");
}

#[test]
fn the_azure_cli_fails() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let with = |script: &str| place.doctor().with_az(folder.path(), script).run();
    let say = |text: &str| format!("echo \"ERROR: {text}\" >&2; exit 1");
    with(&say("Please run 'az login' to setup account.")).is_caused_by("not-logged-in", 6, &["az login"]);
    let report = with(&say("AADSTS650057: Invalid resource. Trace ID: 1"));
    report.is_caused_by("redis-not-in-tenant", 6, &["AADSTS650057"]);
    with(&say("No subscription found.")).is_caused_by("azure-cli-failed", 6, &["No subscription found"]);
    with("exit 3").is_caused_by("azure-cli-failed", 6, &["without the token"]);
    with("echo not JSON").is_caused_by("azure-cli-failed", 6, &["without the token"]);
    with(&say(&good_token())).is_caused_by("azure-cli-failed", 6, &["<token>"]);
}

#[test]
fn an_azure_cli_that_hangs_is_ended_with_all_it_started() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display();
    let script = format!("/bin/sleep 61 & echo $! > {here}/pid; wait");
    let report = place.doctor().with_az(folder.path(), &script).arg(IN_TIME).run();
    report.is_caused_by("azure-cli-failed", 6, &["no answer within 10 s"]);
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    // A killed process that nobody has waited for is still listed, as a zombie.
    let state = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap().stdout;
    let state = String::from_utf8_lossy(&state).trim().to_owned();
    assert!(state.is_empty() || state.starts_with('Z'), "az left {} running: {state}", pid.trim());
}

#[test]
fn the_first_token_wins_and_failures_before_it_are_told() {
    let place = Place::new();
    let refusing = place.entra(|_| Reply::aadsts(7_000_215, "Invalid client secret provided."));
    let both = refusing.env("AZURE_CLIENT_SECRET", SECRET).with_token(&good_token());
    let report = both.run();
    report.is_well();
    assert!(report.fact("credential", "client-secret").starts_with("failed"), "{report:#?}");
    assert!(report.fact("credential", "the rest").contains("azure-cli"), "{report:#?}");
    assert!(report.json["remarks"].to_string().contains("--flow client-secret"), "{report:#?}");
}

#[test]
fn a_forced_flow_is_the_only_one_that_is_tried() {
    let place = Place::new();
    let report = place
        .entra(|_| panic!("nobody is to ask Entra ID"))
        .env("AZURE_CLIENT_SECRET", SECRET)
        .with_token(&good_token())
        .arg("--flow=app-service")
        .run();
    report.is_well();
    let facts = report.step("credential")["facts"].as_array().unwrap();
    assert_eq!(facts.len(), 1, "{facts:#?}");
}
