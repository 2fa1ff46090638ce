//! Applications that prove themselves without a secret: by a certificate, and by a token of an issuer that they trust. Every
//! form in which client libraries send them is accepted, and every way to be wrong is refused with Entra ID's own words.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use azure_managed_redis_emulator::{
    CertificateSource, Configuration, Credential, Emulator, EventKind, FederatedCredential, Flow, Identity,
    IdentityKind,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use support::{HttpReply, claims, entra_get, entra_post, last_refusal};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

const TENANT: &str = "7e4a4700-0000-4000-8000-000000000000";
const CLIENT: &str = "c11e4700-0000-4000-8000-000000000005";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An RSA key with a certificate of its own.
struct Key {
    pem: String,
    certificate_pem: String,
    encoding: EncodingKey,
}

impl Key {
    fn new(valid_from: OffsetDateTime, valid_until: OffsetDateTime) -> Self {
        let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let mut params = rcgen::CertificateParams::default();
        (params.not_before, params.not_after) = (valid_from, valid_until);
        let certificate_pem = params.self_signed(&pair).unwrap().pem();
        Self::read(&format!("{}{certificate_pem}", pair.serialize_pem()))
    }

    /// A key with its certificate, from PEM text: the key first, as the emulator writes it.
    fn read(text: &str) -> Self {
        let (pem, certificate_pem) = text.split_at(text.find("-----BEGIN CERTIFICATE").unwrap());
        let encoding = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
        Key { pem: pem.to_owned(), certificate_pem: certificate_pem.to_owned(), encoding }
    }

    /// That of the identity `certificate`, which the emulator made.
    fn of(emulator: &Emulator) -> Self {
        let environment = emulator.environment("certificate").unwrap();
        Self::read(&fs::read_to_string(environment.get("AZURE_CLIENT_CERTIFICATE_PATH").unwrap()).unwrap())
    }

    fn thumbprint(&self, algorithm: &'static digest::Algorithm) -> Vec<u8> {
        let der = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).unwrap();
        digest::digest(algorithm, &der).as_ref().to_vec()
    }

    fn sha1(&self) -> Vec<u8> {
        self.thumbprint(&digest::SHA1_FOR_LEGACY_USE_ONLY)
    }

    fn sha256(&self) -> Vec<u8> {
        self.thumbprint(&digest::SHA256)
    }

    /// Header and claims, signed as the header says, or with RS256 where it says something that can't be.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let algorithm = header["alg"].as_str().and_then(|name| name.parse().ok()).unwrap_or(Algorithm::RS256);
        let algorithm = if algorithm == Algorithm::HS256 { Algorithm::RS256 } else { algorithm };
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.encoding, algorithm).unwrap();
        format!("{signed}.{signature}")
    }
}

/// Making an RSA key takes a while: one that nobody has registered, for all tests.
static STRANGER: LazyLock<Key> = LazyLock::new(|| {
    let now = OffsetDateTime::now_utc();
    Key::new(now - Duration::days(1), now + Duration::days(1))
});

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn token_endpoint(emulator: &Emulator) -> String {
    format!("https://localhost:{}/{TENANT}/oauth2/v2.0/token", emulator.entra_port())
}

/// The claims of a good client assertion.
fn good_claims(emulator: &Emulator) -> Value {
    json!({
        "aud": token_endpoint(emulator), "iss": CLIENT, "sub": CLIENT, "jti": "always-the-same",
        "nbf": now(), "iat": now(), "exp": now() + 300,
    })
}

fn with(json: &Value, changes: &[(&str, Option<Value>)]) -> Value {
    let mut json = json.clone();
    for (name, value) in changes {
        match value {
            Some(value) => json[*name] = value.clone(),
            None => drop(json.as_object_mut().unwrap().remove(*name)),
        }
    }
    json
}

/// Asks for a Redis token with an assertion.
fn exchange(emulator: &Emulator, client_id: &str, assertion: &str) -> HttpReply {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("scope", "https://redis.azure.com/.default"),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
    ];
    entra_post(emulator, &format!("/{TENANT}/oauth2/v2.0/token"), &form)
}

/// What a refusal has to be: status, error, code, words of its text, words of the log's reason.
type Refusal = (u16, &'static str, u32, String, &'static str);

fn assert_refused(emulator: &Emulator, what: &str, reply: &HttpReply, expected: Refusal) {
    let (status, error, code, text, why) = expected;
    assert_eq!(reply.status, status, "{what}: {reply:?}");
    assert_eq!(reply.json["error"], error, "{what}: {reply:?}");
    assert_eq!(reply.json["error_codes"], json!([code]), "{what}: {reply:?}");
    let description = reply.json["error_description"].as_str().unwrap();
    assert!(description.starts_with(&format!("AADSTS{code}: {text}")), "{what}:\n{description}\nis not\n{text}");
    let (logged, reason) = last_refusal(emulator);
    assert_eq!(logged, Some(format!("AADSTS{code}")), "{what}");
    assert!(reason.contains(why), "{what}: the log says\n{reason}\nand not\n{why}");
    let log = serde_json::to_string(&emulator.events()).unwrap();
    assert!(!log.contains("eyJ"), "{what}: an assertion is in the log");
}

#[test]
fn an_assertion_is_accepted_in_every_form_that_client_libraries_send() {
    let emulator = Emulator::start().unwrap();
    let key = Key::of(&emulator);
    let certificate = STANDARD.encode(CertificateDer::from_pem_slice(key.certificate_pem.as_bytes()).unwrap());
    let mut names: Vec<Value> = Vec::new();
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
        names.push(json!({ "x5t": engine.encode(key.sha1()) }));
        names.push(json!({ "x5t#S256": engine.encode(key.sha256()) }));
        names.push(json!({ "kid": engine.encode(key.sha1()) }));
    }
    names.push(json!({ "kid": hex(&key.sha1()) }));
    names.push(json!({ "kid": hex(&key.sha1()).to_lowercase() }));
    let x5t = URL_SAFE_NO_PAD.encode(key.sha1());
    names.push(json!({ "x5t": x5t, "kid": "of no meaning", "x5c": certificate }));
    names.push(json!({ "x5t": x5t, "x5c": [certificate] }));

    let mut sent = Vec::new();
    let claims = good_claims(&emulator);
    for name in &names {
        for algorithm in ["RS256", "PS256"] {
            sent.push((with(name, &[("alg", Some(json!(algorithm))), ("typ", Some(json!("JWT")))]), claims.clone()));
        }
    }
    let header = json!({ "alg": "RS256", "x5t": x5t });
    for algorithm in ["RS384", "RS512"] {
        sent.push((with(&header, &[("alg", Some(json!(algorithm)))]), claims.clone()));
    }
    // Python writes times with a fraction, .NET as text; some leave out all but the end. The clocks may be a little apart, and no
    // life is too long.
    let (before, after) = (now() - 10, now() + 600);
    for (from, until) in [
        (Some(json!(before as f64 + 0.25)), json!(after as f64 + 0.75)),
        (Some(json!(before.to_string())), json!(after.to_string())),
        (None, json!(after)),
        (Some(json!(now() + 200)), json!(now() + 400)),
        (Some(json!(0)), json!(now() + 10 * 365 * 86_400)),
    ] {
        sent.push((header.clone(), with(&claims, &[("nbf", from.clone()), ("iat", from), ("exp", Some(until))])));
    }
    let port = emulator.entra_port();
    for audience in [
        format!("https://127.0.0.1:{port}/{TENANT}/oauth2/v2.0/token"),
        format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"),
        format!("https://login.microsoftonline.us/{TENANT}/oauth2/v2.0/token"),
        format!("https://login.microsoftonline.com/{TENANT}/oauth2/token"),
        format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
        format!("https://sts.windows.net/{TENANT}/"),
    ] {
        sent.push((header.clone(), with(&claims, &[("aud", Some(json!(audience)))])));
    }

    for (header, claims) in sent {
        let reply = exchange(&emulator, CLIENT, &key.sign(&header, &claims));
        assert_eq!(reply.status, 200, "{header} {claims}: {reply:?}");
        let token = reply.claims();
        assert_eq!(token["oid"], "0b1ec700-0000-4000-8000-000000000005");
        assert_eq!(token["appidacr"], "2");
        let Some(EventKind::TokenIssued { flow, identity, .. }) = emulator.events().pop().map(|event| event.kind)
        else {
            panic!("{header} {claims}")
        };
        assert_eq!((flow, identity.as_str()), (Flow::ClientCertificate, "certificate"));
    }
}

#[test]
fn each_way_in_which_an_assertion_is_wrong_has_entras_code_and_a_reason_in_the_log() {
    let emulator = Emulator::start().unwrap();
    let key = Key::of(&emulator);
    let header = json!({ "alg": "PS256", "typ": "JWT", "x5t": URL_SAFE_NO_PAD.encode(key.sha1()) });
    let claims = good_claims(&emulator);
    let stranger = json!({ "alg": "RS256", "x5t": STANDARD.encode(STRANGER.sha1()) });
    let other_client = "c11e4700-0000-4000-8000-000000000003";
    let header_with = |name, value: Option<Value>| key.sign(&with(&header, &[(name, value)]), &claims);
    let claims_with = |name, value: Option<Value>| key.sign(&header, &with(&claims, &[(name, value)]));
    let not_in_time = "Client assertion is not within its valid time range. Current time: ";
    let malformed = "JWT token is invalid or malformed.";
    let not_registered = "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found., ";
    let portal = format!(
        "Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{CLIENT}'."
    );
    let mut parts: Vec<String> = key.sign(&header, &claims).split('.').map(str::to_owned).collect();
    parts[1] = URL_SAFE_NO_PAD.encode(with(&claims, &[("exp", Some(json!(now() + 9999)))]).to_string());
    let changed = parts.join(".");

    let client = |code, text: String, why| (401, "invalid_client", code, text, why);
    let request = |code, text: &str, why| (400, "invalid_request", code, text.to_owned(), why);
    let cases: Vec<(&str, String, Refusal)> = vec![
        ("no token", "nonsense".into(), request(50_027, malformed, "no JSON Web Token")),
        ("no JSON", "bm8.bm8.bm8".into(), request(50_027, malformed, "no JSON Web Token")),
        ("no aud", claims_with("aud", None), request(90_014, "The required field 'aud' is missing from the credential.", "'aud'")),
        ("no iss", claims_with("iss", None), request(90_014, "The required field 'iss' is missing from the credential.", "'iss'")),
        ("aud as a list", claims_with("aud", Some(json!([token_endpoint(&emulator)]))), request(50_027, malformed, "aud is not one text")),
        ("exp no time", claims_with("exp", Some(json!("soon"))), request(50_027, malformed, "exp is no number")),
        ("exp endless", claims_with("exp", Some(json!("inf"))), request(50_027, malformed, "exp is no number")),
        ("exp a list", claims_with("exp", Some(json!([1]))), request(50_027, malformed, "exp is no number")),
        ("HS256", header_with("alg", Some(json!("HS256"))), client(5_002_738, "Invalid JWT token. 'HS256' is not a supported signature algorithm. Supported signing algorithms are: 'RS256,RS384,RS512,PS256' Trace ID".into(), "'HS256'")),
        ("none", header_with("alg", Some(json!("none"))), client(5_002_738, "Invalid JWT token. 'none' is".into(), "'none'")),
        ("no alg", header_with("alg", None), client(5_002_738, "Invalid JWT token. '' is".into(), "''")),
        ("typ", header_with("typ", Some(json!("at+jwt"))), client(5_002_727, "Invalid JWT header type specified. Allowed types: 'JWT','http://openid.net/specs/jwt/1.0'.".into(), "typ is 'at+jwt'")),
        ("no name of a key", header_with("x5t", None), client(5_002_723, "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor keyId specified in token header.".into(), "thumbprint")),
        ("ran out", claims_with("exp", Some(json!(now() - 301))), client(700_024, not_in_time.into(), "Check the clocks")),
        ("no exp", claims_with("exp", None), client(700_024, not_in_time.into(), "until 1970-01-01")),
        ("not yet", claims_with("nbf", Some(json!(now() + 900))), client(700_024, not_in_time.into(), "Check the clocks")),
        ("another iss", key.sign(&header, &with(&claims, &[("iss", Some(json!(other_client))), ("sub", Some(json!(other_client)))])), client(700_021, "Client assertion application identifier doesn't match 'client_id' parameter.".into(), "the assertion's iss is c11e4700-0000-4000-8000-000000000003, the client_id is c11e4700-0000-4000-8000-000000000005")),
        ("another sub", claims_with("sub", Some(json!(other_client))), client(50_048, "Subject must match the issuer claim in the client assertion.".into(), "not its iss")),
        ("no sub", claims_with("sub", None), client(50_048, "Subject must match the issuer claim".into(), "sub is ''")),
        ("aud elsewhere", claims_with("aud", Some(json!(format!("https://evil.example/{TENANT}/oauth2/v2.0/token")))), client(700_023, "Client assertion audience claim does not match Realm issuer.".into(), "evil.example")),
        ("aud of another tenant", claims_with("aud", Some(json!("https://login.microsoftonline.com/common/oauth2/v2.0/token"))), client(700_023, "Client assertion audience claim".into(), "not the token endpoint")),
        ("aud on another port", claims_with("aud", Some(json!(format!("https://localhost:1/{TENANT}/oauth2/v2.0/token")))), client(700_023, "Client assertion audience claim".into(), "localhost:1")),
        ("aud without TLS", claims_with("aud", Some(json!(token_endpoint(&emulator).replace("https", "http")))), client(700_023, "Client assertion audience claim".into(), "not the token endpoint")),
        ("not registered", STRANGER.sign(&stranger, &claims), client(700_027, format!("{not_registered}Thumbprint of key used by client: '{}', {portal}", hex(&STRANGER.sha1())), "has registered these certificates")),
        ("not registered, by kid", STRANGER.sign(&json!({ "alg": "RS256", "kid": "my key" }), &claims), client(700_027, format!("{not_registered}{portal}"), "the kid 'my key'")),
        ("not base64", key.sign(&json!({ "alg": "RS256", "x5t": "*" }), &claims), client(700_027, not_registered.into(), "has registered these certificates")),
        ("signed with another key", STRANGER.sign(&header, &claims), client(700_027, format!("Client assertion failed signature validation. [Reason - Key was found, but use of the key to verify the signature failed., Thumbprint of key used by client: '{}', Found key 'Start=", hex(&key.sha1())), "was not signed with its key")),
        ("signed by another algorithm", {
            let signed = key.sign(&header, &claims);
            let other = key.sign(&with(&header, &[("alg", Some(json!("RS256")))]), &claims);
            format!("{}.{}", signed.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1)
        }, client(700_027, "Client assertion failed signature validation.".into(), "was not signed with its key")),
        ("changed", changed, client(700_027, "Client assertion failed signature validation.".into(), "was changed after it was signed")),
        ("no signature", key.sign(&header, &claims).rsplit_once('.').unwrap().0.to_owned() + ".", client(700_027, "Client assertion failed signature validation.".into(), "was not signed with its key")),
    ];
    for (what, assertion, expected) in cases {
        let reply = exchange(&emulator, CLIENT, &assertion);
        assert_refused(&emulator, what, &reply, expected);
    }
}

#[test]
fn a_time_that_is_missing_is_printed_as_entra_prints_it() {
    let emulator = Emulator::start().unwrap();
    let key = Key::of(&emulator);
    let header = json!({ "alg": "RS256", "x5t": URL_SAFE_NO_PAD.encode(key.sha1()) });
    let claims = with(&good_claims(&emulator), &[("nbf", None), ("exp", Some(json!(1_516_239_022)))]);
    let reply = exchange(&emulator, CLIENT, &key.sign(&header, &claims));
    let text = reply.json["error_description"].as_str().unwrap();
    let says = ", assertion valid from 1970-01-01T00:00:00.0000000Z, expiry time of assertion 2018-01-18T01:30:22.0000000Z. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials . Trace ID: ";
    assert!(text.contains(says), "{text}");
}

#[test]
fn the_request_around_an_assertion_is_checked_too() {
    let emulator = Emulator::start().unwrap();
    let key = Key::of(&emulator);
    let header = json!({ "alg": "RS256", "x5t": URL_SAFE_NO_PAD.encode(key.sha1()) });
    let assertion = key.sign(&header, &good_claims(&emulator));
    let post = |kind: Option<&str>, client_id: &str, scope: &str| {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("scope", scope),
            ("client_assertion", assertion.as_str()),
        ];
        form.extend(kind.map(|kind| ("client_assertion_type", kind)));
        entra_post(&emulator, &format!("/{TENANT}/oauth2/v2.0/token"), &form)
    };
    let redis = "https://redis.azure.com/.default";
    let reply = post(None, CLIENT, redis);
    assert_refused(
        &emulator,
        "no type",
        &reply,
        (
            400,
            "invalid_request",
            900_144,
            "The request body must contain the following parameter: 'client_assertion_type'.".into(),
            "client_assertion_type",
        ),
    );
    let reply = post(Some("urn:of:another"), CLIENT, redis);
    assert_refused(
        &emulator,
        "another type",
        &reply,
        (400, "invalid_request", 90_011, "Unexpected client assertion type.".into(), JWT_BEARER),
    );
    let reply = post(Some(JWT_BEARER), CLIENT, "https://redis.example/.default");
    assert_refused(
        &emulator,
        "resource",
        &reply,
        (
            400,
            "invalid_resource",
            500_011,
            "The resource principal named https://redis.example".into(),
            "redis.example",
        ),
    );
    // An application that has a secret only.
    let reply = post(Some(JWT_BEARER), "c11e4700-0000-4000-8000-000000000003", redis);
    assert_refused(
        &emulator,
        "another app",
        &reply,
        (401, "invalid_client", 700_021, "Client assertion application identifier".into(), "the client_id is"),
    );
}

/// An emulator with one application, `app`, that has registered what `credentials` says, in TOML.
fn emulator_with(credentials: &str) -> Emulator {
    let text = format!(
        "[identities.app]\nkind = 'service-principal'\nclient-id = '{CLIENT}'\n{credentials}\n[assignments.app]\nidentity = 'app'"
    );
    Emulator::builder().configuration(Configuration::parse(&text).unwrap()).start().unwrap()
}

fn written(folder: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

#[test]
fn certificates_of_a_configuration_are_registered_and_their_validity_counts() {
    let folder = tempfile::tempdir().unwrap();
    let now = OffsetDateTime::now_utc();
    let good = Key::new(now - Duration::days(1), now + Duration::days(1));
    let expired = Key::new(now - Duration::days(2), now - Duration::days(1));
    let early = Key::new(now + Duration::days(1), now + Duration::days(2));
    let with_key = written(&folder, "good.pem", &format!("{}{}", good.pem, good.certificate_pem));
    let files = [
        written(&folder, "expired.pem", &expired.certificate_pem),
        written(&folder, "early.pem", &early.certificate_pem),
        with_key.clone(),
    ];
    let emulator = emulator_with(&format!("certificates = [{}]", files.map(|it| quoted(&it)).join(", ")));
    let ask = |key: &Key| {
        let header = json!({ "alg": "RS256", "x5t": URL_SAFE_NO_PAD.encode(key.sha1()) });
        exchange(&emulator, CLIENT, &key.sign(&header, &good_claims(&emulator)))
    };
    assert_eq!(ask(&good).status, 200);
    let date = time::macros::format_description!("[month]/[day]/[year] [hour]:[minute]:[second]");
    let until = (now - Duration::days(1)).format(date).unwrap();
    let reply = ask(&expired);
    let text = "The certificate with identifier used to sign the client assertion is expired on application. [Reason - The key used is expired., Thumbprint of key used by client: '";
    assert_refused(&emulator, "expired", &reply, (401, "invalid_client", 700_027, text.into(), "has expired"));
    let description = reply.json["error_description"].as_str().unwrap();
    assert!(description.contains(&format!("End={until}', Please visit the Azure Portal")), "{description}");
    let reply = ask(&early);
    assert_refused(&emulator, "early", &reply, (401, "invalid_client", 1_000_502, String::new(), "valid only from"));
    // The one whose key is there is the program's.
    let environment = emulator.environment("app").unwrap();
    assert_eq!(environment.get("AZURE_CLIENT_CERTIFICATE_PATH"), Some(with_key.display().to_string().as_str()));
    assert!(environment.with_pfx().unwrap_err().to_string().contains("generated-certificate = true"));

    fs::remove_file(&with_key).unwrap();
    let reply = ask(&good);
    let text = "The certificate with identifier used to sign the client assertion is not registered on application.";
    assert_refused(&emulator, "gone", &reply, (401, "invalid_client", 700_027, text.into(), "can't be read any more"));
}

#[test]
fn a_generated_certificate_comes_as_pem_and_as_pkcs12_for_everybody() {
    use std::process::Command;
    let emulator = Emulator::start().unwrap();
    let environment = emulator.environment("certificate").unwrap();
    let pem = environment.get("AZURE_CLIENT_CERTIFICATE_PATH").unwrap().to_owned();
    assert_eq!(environment.get("AZURE_CLIENT_SECRET"), None);
    let environment = environment.with_pfx().unwrap();
    let pfx = environment.get("AZURE_CLIENT_CERTIFICATE_PATH").unwrap();
    // Without OpenSSL's legacy provider: nothing in it may be older than OpenSSL 3 reads by default.
    let output = Command::new("openssl").args(["pkcs12", "-nodes", "-passin", "pass:", "-in", pfx]).output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no openssl on PATH to read the file with");
        return;
    };
    let read = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let key = Key::read(&fs::read_to_string(pem).unwrap());
    let blocks = |text: &str| text.replace(char::is_whitespace, "");
    assert!(blocks(&read).contains(&blocks(&key.pem)), "the same private key");
    assert!(blocks(&read).contains(&blocks(&key.certificate_pem)), "the same certificate");
}

#[test]
fn the_generated_certificate_survives_a_restart_with_a_state_folder() {
    let state = tempfile::tempdir().unwrap();
    let thumbprint = || {
        let emulator = Emulator::builder().state_folder(state.path()).start().unwrap();
        Key::of(&emulator).sha1()
    };
    assert_eq!(thumbprint(), thumbprint());
}

/// An issuer of one's own, with its key set in a file.
struct Issuer {
    folder: TempDir,
    key: &'static Key,
}

const ISSUER: &str = "https://oidc.example/";
const SUBJECT: &str = "system:serviceaccount:shop:Orders";
const AUDIENCE: &str = "api://AzureADTokenExchange";

impl Issuer {
    fn new() -> Self {
        let issuer = Issuer { folder: tempfile::tempdir().unwrap(), key: &STRANGER };
        issuer.publish("key-1");
        issuer
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys.json")
    }

    fn publish(&self, kid: &str) {
        let mut jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&self.key.encoding, Algorithm::RS256).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        // Issuers have keys of other kinds too.
        let other = json!({ "kty": "something new", "kid": "x" });
        fs::write(self.keys(), json!({ "keys": [other, jwk] }).to_string()).unwrap();
    }

    fn emulator(&self) -> Emulator {
        emulator_with(&format!(
            "federated-credentials = [{{ issuer = '{ISSUER}', subject = '{SUBJECT}', keys = {} }}]",
            quoted(&self.keys())
        ))
    }

    fn claims(&self) -> Value {
        json!({ "iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "nbf": now(), "iat": now(), "exp": now() + 3600 })
    }

    fn token(&self, header: &[(&str, Option<Value>)], claims: &[(&str, Option<Value>)]) -> String {
        let good = json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" });
        self.key.sign(&with(&good, header), &with(&self.claims(), claims))
    }
}

#[test]
fn a_token_of_a_trusted_issuer_is_accepted() {
    let issuer = Issuer::new();
    let emulator = issuer.emulator();
    let good = issuer.token(&[], &[]);
    for token in [
        good.clone(),
        format!("{good}\n"),
        // As Kubernetes has it.
        issuer.token(&[("typ", None)], &[("aud", Some(json!(["someone", AUDIENCE])))]),
        issuer.token(&[], &[("exp", Some(json!(now() as f64 + 60.5))), ("nbf", None)]),
    ] {
        let reply = exchange(&emulator, CLIENT, &token);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.claims()["appidacr"], "2");
        let event = emulator.events().pop().unwrap().kind;
        assert!(matches!(event, EventKind::TokenIssued { flow: Flow::FederatedCredential, .. }), "{event:?}");
    }
}

/// Such a credential can be registered, and leads nowhere.
#[test]
fn a_token_of_entra_itself_is_refused_even_where_it_is_trusted() {
    let issuer = Issuer::new();
    let trusted = "https://login.microsoftonline.com/7e4a4700-0000-4000-8000-000000000000/v2.0";
    let emulator = emulator_with(&format!(
        "federated-credentials = [{{ issuer = '{trusted}', subject = '{SUBJECT}', keys = {} }}]",
        quoted(&issuer.keys())
    ));
    let reply = exchange(&emulator, CLIENT, &issuer.token(&[], &[("iss", Some(json!(trusted)))]));
    assert_eq!((reply.status, &reply.json["error_codes"]), (401, &json!([700_222])));
    let text = reply.json["error_description"].as_str().unwrap();
    assert!(
        text.starts_with("AADSTS700222: AAD-issued tokens may not be used for federated identity flows."),
        "{text}"
    );
    assert!(last_refusal(&emulator).1.contains("is Entra ID itself"));
}

#[test]
fn each_way_in_which_a_federated_token_is_wrong_has_entras_code_and_a_reason_in_the_log() {
    let issuer = Issuer::new();
    let emulator = issuer.emulator();
    let claim = |name, value: Value| issuer.token(&[], &[(name, Some(value))]);
    let of_another_key = {
        let now = OffsetDateTime::now_utc();
        let other = Key::new(now, now + Duration::days(1));
        other.sign(&json!({ "alg": "RS256", "kid": "key-1" }), &issuer.claims())
    };
    let client = |code, text: String, why| (401, "invalid_client", code, text, why);
    let no_match = "No matching federated identity record found for presented assertion";
    let cases: Vec<(&str, String, Refusal)> = vec![
        ("issuer", claim("iss", json!("https://other.example/")), client(700_211, format!("{no_match} issuer 'https://other.example/'. Please check"), "app trusts https://oidc.example/")),
        ("issuer without the slash", claim("iss", json!("https://oidc.example")), client(700_211, format!("{no_match} issuer 'https://oidc.example'."), "app trusts https://oidc.example/")),
        ("audience", claim("aud", json!("my.audience")), client(700_212, format!("{no_match} audience 'my.audience'."), "wants api://AzureADTokenExchange")),
        ("audiences", claim("aud", json!(["a", "b"])), client(700_212, format!("{no_match} audience 'a, b'."), "wants")),
        ("subject", claim("sub", json!("system:serviceaccount:shop:billing")), client(700_213, format!("{no_match} subject 'system:serviceaccount:shop:billing'. Check your"), "is for system:serviceaccount:shop:Orders")),
        ("subject in small letters", claim("sub", json!(SUBJECT.to_lowercase())), client(7_002_138, format!("{no_match} subject '{}'. The subject matches with case-insensitive comparison, but not", SUBJECT.to_lowercase()), "is for system:serviceaccount:shop:Orders")),
        ("no subject", issuer.token(&[], &[("sub", None)]), client(700_213, format!("{no_match} subject ''."), "is for")),
        ("key", issuer.token(&[("kid", Some(json!("key-2")))], &[]), client(7_000_272, "The certificate with identifier key-2 used to sign the federated credential could not be found in the metadata of identity provider https://oidc.example/.".into(), "shows no key 'key-2'")),
        ("no kid", issuer.token(&[("kid", None)], &[]), client(7_000_272, "The certificate with identifier  used to sign".into(), "shows no key ''")),
        ("signature", of_another_key, client(7_000_274, String::new(), "was not signed with the key 'key-1'")),
        ("ran out", claim("exp", json!(now() - 400)), client(700_024, "Client assertion is not within its valid time range.".into(), "Check the clocks")),
        ("not yet", claim("nbf", json!(now() + 900)), client(700_024, "Client assertion is not within its valid time range.".into(), "Check the clocks")),
        ("algorithm", issuer.token(&[("alg", Some(json!("PS256")))], &[]), client(5_002_738, "Invalid JWT token. 'PS256' is not a supported signature algorithm.".into(), "'PS256'")),
        ("typ", issuer.token(&[("typ", Some(json!("at+jwt")))], &[]), client(5_002_727, "Invalid JWT header type specified.".into(), "at+jwt")),
        ("audience is a number", claim("aud", json!(7)), (400, "invalid_request", 50_027, "JWT token is invalid or malformed.".into(), "neither text nor a list")),
    ];
    for (what, token, expected) in cases {
        let reply = exchange(&emulator, CLIENT, &token);
        assert_refused(&emulator, what, &reply, expected);
        assert_eq!(
            reply.json.get("error_uri").is_none(),
            what.starts_with("audience") && reply.status == 401,
            "{what}"
        );
    }
    // An issuer's keys change, and may be out of reach.
    issuer.publish("key-2");
    assert_eq!(exchange(&emulator, CLIENT, &issuer.token(&[("kid", Some(json!("key-2")))], &[])).status, 200);
    fs::remove_file(issuer.keys()).unwrap();
    let reply = exchange(&emulator, CLIENT, &issuer.token(&[], &[]));
    assert_refused(
        &emulator,
        "unreachable",
        &reply,
        (
            400,
            "invalid_request",
            501_661,
            "Request to External OIDC endpoint failed.".into(),
            "keys.json can't be used",
        ),
    );

    let plain = Emulator::start().unwrap();
    let reply = exchange(&plain, CLIENT, &issuer.token(&[], &[]));
    assert_refused(
        &plain,
        "no federated credential",
        &reply,
        (
            401,
            "invalid_client",
            70_025,
            format!("The client '{CLIENT}' has no configured federated identity credentials."),
            "certificate trusts no issuer",
        ),
    );
}

#[test]
fn the_emulators_own_issuer_writes_a_token_that_anybody_can_check() {
    let emulator = Emulator::start().unwrap();
    let environment = emulator.environment("workload").unwrap();
    let client_id = environment.get("AZURE_CLIENT_ID").unwrap();
    let path = environment.get("AZURE_FEDERATED_TOKEN_FILE").unwrap();
    let token = fs::read_to_string(path).unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let reply = exchange(&emulator, client_id, &token);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.claims()["oid"], "0b1ec700-0000-4000-8000-000000000006");

    let own = claims(&token);
    assert_eq!(own["sub"], "system:serviceaccount:default:workload");
    assert_eq!(own["aud"], json!([AUDIENCE]));
    assert_eq!(own["exp"].as_u64().unwrap() - own["iat"].as_u64().unwrap(), 3600);
    let issuer = own["iss"].as_str().unwrap();
    let host = format!("https://localhost:{}", emulator.entra_port());
    let path = |url: &str| url.strip_prefix(&host).unwrap().to_owned();
    let configuration = entra_get(&emulator, &path(&format!("{issuer}.well-known/openid-configuration")));
    assert_eq!(configuration.json["issuer"], issuer);
    let keys = entra_get(&emulator, &path(configuration.json["jwks_uri"].as_str().unwrap()));
    let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
    let key = keys.json["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid.as_str()).unwrap();
    let key = DecodingKey::from_rsa_components(key["n"].as_str().unwrap(), key["e"].as_str().unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[AUDIENCE]);
    assert!(jsonwebtoken::decode::<Value>(&token, &key, &validation).is_ok());

    let forged = STRANGER.sign(&json!({ "alg": "RS256", "kid": "mine" }), &own);
    let reply = exchange(&emulator, client_id, &forged);
    let text = format!(
        "The certificate with identifier mine used to sign the federated credential could not be found in the metadata of identity provider {issuer}."
    );
    assert_refused(&emulator, "forged", &reply, (401, "invalid_client", 7_000_272, text, "shows no key 'mine'"));

    // It is not for anybody else.
    let reply = exchange(&emulator, CLIENT, &token);
    assert_eq!(reply.json["error_codes"], json!([70_025]));
    let elsewhere = Emulator::start().unwrap();
    let reply = exchange(&elsewhere, client_id, &token);
    assert_refused(
        &elsewhere,
        "another emulator",
        &reply,
        (
            401,
            "invalid_client",
            700_211,
            format!("No matching federated identity record found for presented assertion issuer '{issuer}'."),
            "workload trusts https://localhost:",
        ),
    );
}

#[test]
fn applications_can_come_and_change_while_it_runs() {
    let issuer = Issuer::new();
    let emulator = Emulator::start().unwrap();
    let fixed = emulator.directory().identity("certificate").unwrap().clone();
    let application = |credentials: Vec<Credential>| {
        let IdentityKind::ServicePrincipal { application_object_id, .. } = fixed.kind else { panic!("an application") };
        Identity {
            name: "newcomer".to_owned(),
            kind: IdentityKind::ServicePrincipal { application_object_id, credentials },
            object_id: "0b1ec700-0000-4000-8000-0000000000aa".parse().unwrap(),
            client_id: "c11e4700-0000-4000-8000-0000000000aa".parse().unwrap(),
            token_lifetime: None,
        }
    };
    let control = emulator.control();
    let set = |credentials| control.set_identity(application(credentials));
    let federated = |issuer: Option<&str>, keys: Option<PathBuf>| {
        Credential::Federated(FederatedCredential {
            issuer: issuer.map(str::to_owned),
            subject: SUBJECT.to_owned(),
            audience: AUDIENCE.to_owned(),
            keys,
        })
    };
    let missing = issuer.folder.path().join("missing.pem");
    for (credential, says) in [
        (
            Credential::Certificate(CertificateSource::File(missing.clone())),
            "missing.pem can't be used: it can't be read",
        ),
        (federated(Some(ISSUER), None), "needs that issuer's keys"),
        (federated(None, Some(issuer.keys())), "has keys but no issuer"),
        (federated(Some(ISSUER), Some(missing)), "missing.pem can't be used"),
    ] {
        let error = set(vec![credential]).unwrap_err().to_string();
        assert!(error.contains(says), "{error}\nis not\n{says}");
        assert!(emulator.directory().identity("newcomer").is_none(), "{says}");
    }

    set(vec![Credential::Certificate(CertificateSource::Generated), federated(Some(ISSUER), Some(issuer.keys()))])
        .unwrap();
    let environment = emulator.environment("newcomer").unwrap();
    let path = environment.get("AZURE_CLIENT_CERTIFICATE_PATH").unwrap();
    assert_eq!(environment.get("AZURE_FEDERATED_TOKEN_FILE"), None, "the emulator writes no token of another issuer");
    let key = Key::read(&fs::read_to_string(path).unwrap());
    let id = "c11e4700-0000-4000-8000-0000000000aa";
    let claims = with(&good_claims(&emulator), &[("iss", Some(json!(id))), ("sub", Some(json!(id)))]);
    let header = json!({ "alg": "RS256", "x5t": URL_SAFE_NO_PAD.encode(key.sha1()) });
    assert_eq!(exchange(&emulator, id, &key.sign(&header, &claims)).status, 200);
    assert_eq!(exchange(&emulator, id, &issuer.token(&[], &[])).status, 200);
    set(vec![federated(None, None)]).unwrap();
    assert_eq!(exchange(&emulator, id, &key.sign(&header, &claims)).json["error_codes"], json!([700_027]));
    assert!(emulator.environment("newcomer").unwrap().get("AZURE_FEDERATED_TOKEN_FILE").is_some());
}

#[test]
fn a_configuration_with_unusable_credentials_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let nonsense = written(&folder, "nonsense.pem", "nonsense");
    let empty = written(&folder, "keys.json", "{\"keys\": []}");
    for (credentials, says) in [
        (format!("certificates = [{}]", quoted(&nonsense)), "holds no certificate in PEM"),
        (
            format!(
                "federated-credentials = [{{ issuer = 'https://x/', subject = 's', keys = {} }}]",
                quoted(&nonsense)
            ),
            "it is no JSON",
        ),
        (
            format!("federated-credentials = [{{ issuer = 'https://x/', subject = 's', keys = {} }}]", quoted(&empty)),
            "it holds no RSA key",
        ),
    ] {
        let text = format!("[identities.app]\nkind = 'service-principal'\n{credentials}");
        let started = Emulator::builder().configuration(Configuration::parse(&text).unwrap()).start();
        let error = started.err().expect(says).to_string();
        assert!(error.contains(says), "{error}\nis not\n{says}");
    }
}

#[test]
fn the_older_token_endpoint_answers_in_its_own_form_to_every_credential() {
    let emulator =
        Emulator::builder().token_lifetime("certificate", std::time::Duration::from_secs(3600)).start().unwrap();
    let post = |form: &[(&str, &str)]| entra_post(&emulator, &format!("/{TENANT}/oauth2/token"), form);
    let grant = ("grant_type", "client_credentials");
    let jwt = ("client_assertion_type", JWT_BEARER);
    let secret = [
        grant,
        ("client_id", "c11e4700-0000-4000-8000-000000000003"),
        ("client_secret", "emulator~client~secret~known~to~everybody"),
        ("resource", "https://redis.azure.com"),
    ];
    let key = Key::of(&emulator);
    let header = json!({ "alg": "RS256", "x5t": URL_SAFE_NO_PAD.encode(key.sha1()) });
    let assertion = key.sign(&header, &good_claims(&emulator));
    let certificate = [
        grant,
        jwt,
        ("client_id", CLIENT),
        ("client_assertion", assertion.as_str()),
        ("resource", "https://redis.azure.com/"),
    ];
    let environment = emulator.environment("workload").unwrap();
    let token = fs::read_to_string(environment.get("AZURE_FEDERATED_TOKEN_FILE").unwrap()).unwrap();
    let federated = [
        grant,
        jwt,
        ("client_id", environment.get("AZURE_CLIENT_ID").unwrap()),
        ("client_assertion", token.as_str()),
        ("resource", "acca5fbb-b7e4-4009-81f1-37e38fd66d78"),
    ];
    for form in [&secret[..], &certificate[..], &federated[..]] {
        let reply = post(form);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(
            reply.members(),
            ["token_type", "expires_in", "ext_expires_in", "expires_on", "not_before", "resource", "access_token"]
        );
        assert!(reply.json.as_object().unwrap().values().all(Value::is_string), "{reply:?}");
        let resource = form.iter().find(|(name, _)| *name == "resource").unwrap().1;
        assert_eq!(reply.json["resource"], resource, "as it was sent");
        let claims = reply.claims();
        assert_eq!(claims["aud"], resource);
        assert_eq!(reply.json["expires_on"], claims["exp"].to_string());
        assert_eq!(reply.json["not_before"], claims["nbf"].to_string());
    }
    let reply = post(&certificate);
    assert_eq!((&reply.json["expires_in"], &reply.json["ext_expires_in"]), (&json!("3600"), &json!("3600")));

    let no_resource: Vec<_> = secret.iter().copied().filter(|(name, _)| *name != "resource").collect();
    let no_secret: Vec<_> = secret.iter().copied().filter(|(name, _)| *name != "client_secret").collect();
    let unknown: Vec<_> =
        no_resource.iter().copied().chain([("resource", "https://redis.azure.com/.default")]).collect();
    for (form, status, code) in [(no_resource, 400, 900_144), (no_secret, 401, 7_000_216), (unknown, 400, 500_011)] {
        let reply = post(&form);
        assert_eq!((reply.status, &reply.json["error_codes"]), (status, &json!([code])), "{form:?}");
    }
}
