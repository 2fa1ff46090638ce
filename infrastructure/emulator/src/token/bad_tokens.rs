//! Several hundred bad sign-ins, each with the reason that the log must give and a part of its sentence: through the check, and
//! through the Redis port of an emulator. Claims are judged only if the signature is right, so these are signed by the real key.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;

use jsonwebtoken::EncodingKey;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::keys::Keys;
use crate::{Directory, Emulator, EventKind};

const OTHER_TENANT: &str = "11111111-0000-4000-8000-000000000000";

/// One bad sign-in.
struct Row {
    what: String,
    username: String,
    token: String,
    reason: Refusal,
    says: &'static str,
}

/// Who signs, with what, and what for.
struct Maker {
    tenant: Tenant,
    directory: Arc<Directory>,
    rows: Vec<Row>,
}

fn base64(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Another key than the tenant's, which an attacker has.
fn other_key() -> EncodingKey {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes()).unwrap()
}

fn signature(message: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap()
}

impl Maker {
    fn new() -> Self {
        let tenant = Tenant::fixed(Keys::of_this_process().unwrap());
        Maker { directory: tenant.directory(), tenant, rows: Vec::new() }
    }

    fn user(&self) -> &Identity {
        self.directory.identity("user").unwrap()
    }

    fn object_id(&self) -> String {
        self.user().object_id.to_string()
    }

    fn kid(&self) -> String {
        self.tenant.keys.signing().kid.clone()
    }

    /// The claims of a good token.
    fn claims(&self) -> Map<String, Value> {
        let (audience, hour) = ("https://redis.azure.com", Duration::from_secs(3600));
        claims(
            self.directory.tenant_id,
            self.user(),
            Flow::ManagedIdentity,
            audience,
            "uti",
            hour,
            seconds_since_1970(),
        )
    }

    /// The header of a good token.
    fn header(&self) -> Map<String, Value> {
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": self.kid(), "x5t": self.kid() });
        header.as_object().unwrap().clone()
    }

    /// A token of this header and payload, signed by the real key whatever they say.
    fn signed(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", base64(header), base64(payload));
        let signature = signature(&message, &self.tenant.keys.signing().rsa.encoding, Algorithm::RS256);
        format!("{message}.{signature}")
    }

    fn with_header(&self, change: impl FnOnce(&mut Map<String, Value>)) -> String {
        let mut header = self.header();
        change(&mut header);
        self.signed(Value::Object(header).to_string(), Value::Object(self.claims()).to_string())
    }

    fn with_claims(&self, change: impl FnOnce(&mut Map<String, Value>)) -> String {
        let mut claims = self.claims();
        change(&mut claims);
        self.signed(Value::Object(self.header()).to_string(), Value::Object(claims).to_string())
    }

    fn with_claim(&self, name: &str, value: Value) -> String {
        self.with_claims(|claims| drop(claims.insert(name.to_owned(), value)))
    }

    fn good(&self) -> String {
        self.with_claims(|_| ())
    }

    fn row(&mut self, what: impl Into<String>, token: String, reason: Refusal, says: &'static str) {
        let username = self.object_id();
        self.row_of(what, username, token, reason, says);
    }

    fn row_of(
        &mut self,
        what: impl Into<String>,
        username: String,
        token: String,
        reason: Refusal,
        says: &'static str,
    ) {
        self.rows.push(Row { what: what.into(), username, token, reason, says });
    }
}

/// Values of every other type than text.
fn no_texts() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(7),
        json!(-1.5),
        json!([]),
        json!(["https://redis.azure.com"]),
        json!({}),
        json!({ "a": 1 }),
    ]
}

fn algorithms(m: &mut Maker) {
    for value in no_texts() {
        let token = m.with_header(|header| drop(header.insert("alg".into(), value.clone())));
        m.row(format!("alg {value}"), token, Refusal::NotAToken, "something else than text");
    }
    let token = m.with_header(|header| drop(header.remove("alg")));
    m.row("no alg", token, Refusal::NotAToken, "names no algorithm");
    for other in [
        "",
        "none",
        "None",
        "NONE",
        "nOnE",
        "HS256",
        "HS384",
        "HS512",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "ES256",
        "ES384",
        "ES512",
        "EdDSA",
        "RSA-OAEP",
        "dir",
        "rs256",
        "Rs256",
        "RS256 ",
        " RS256",
        "RS256\0",
        "RS2560",
        "RS-256",
        "ＲＳ256",
        "an algorithm with a very long name \u{1b}[2J",
    ] {
        // Signed as a good token is, so that the name alone is what is wrong with it; and not signed at all.
        let token = m.with_header(|header| drop(header.insert("alg".into(), json!(other))));
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        m.row(format!("alg '{other}'"), token, Refusal::UnknownAlgorithm, "Entra ID signs with RS256");
        m.row(format!("alg '{other}', unsigned"), unsigned, Refusal::UnknownAlgorithm, "Entra ID signs with RS256");
    }
    // As they would really be signed.
    let key = m.tenant.keys.signing();
    let entry = key.jwk(Some("issuer"));
    let text = |name: &str| entry[name].as_str().unwrap().to_owned();
    let certificate = entry["x5c"][0].as_str().unwrap().to_owned();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n");
    let ec = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let ed = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    let mut signers = vec![
        ("PS256".to_owned(), key.rsa.encoding.clone(), Algorithm::PS256),
        ("PS512".to_owned(), key.rsa.encoding.clone(), Algorithm::PS512),
        ("RS384".to_owned(), key.rsa.encoding.clone(), Algorithm::RS384),
        ("RS512".to_owned(), key.rsa.encoding.clone(), Algorithm::RS512),
        ("ES256".to_owned(), EncodingKey::from_ec_pem(ec.as_bytes()).unwrap(), Algorithm::ES256),
        ("EdDSA".to_owned(), EncodingKey::from_ed_pem(ed.as_bytes()).unwrap(), Algorithm::EdDSA),
    ];
    let secrets = [
        text("n"),
        text("kid"),
        certificate.clone(),
        pem.clone(),
        pem.trim().to_owned(),
        entry.to_string(),
        String::new(),
    ];
    for (at, secret) in secrets.into_iter().enumerate() {
        for (name, algorithm) in [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)]
        {
            signers.push((
                format!("{name} with public key {at}"),
                EncodingKey::from_secret(secret.as_bytes()),
                algorithm,
            ));
        }
    }
    for (what, key, algorithm) in signers {
        let name = what.split(' ').next().unwrap().to_owned();
        for said in [name.as_str(), "RS256"] {
            let token = m.with_header(|header| drop(header.insert("alg".into(), json!(said))));
            let message = token.rsplit_once('.').unwrap().0;
            let token = format!("{message}.{}", signature(message, &key, algorithm));
            let (reason, says) = match said {
                "RS256" => (Refusal::BadSignature, "not what was signed"),
                _ => (Refusal::UnknownAlgorithm, "Entra ID signs with RS256"),
            };
            m.row(format!("{what}, said to be {said}"), token, reason, says);
        }
    }
}

fn keys(m: &mut Maker) {
    let own = m.kid();
    for value in no_texts() {
        let token = m.with_header(|header| drop(header.insert("kid".into(), value.clone())));
        m.row(format!("kid {value}"), token, Refusal::NotAToken, "names the key in something else than text");
    }
    let token = m.with_header(|header| drop(header.remove("kid")));
    m.row("no kid", token, Refusal::UnknownKey, "does not publish");
    let odd = [
        String::new(),
        "x".into(),
        own.to_uppercase(),
        format!("{own} "),
        format!("{own}\0"),
        own[..own.len() - 1].to_owned(),
        "../../../../dev/null".into(),
        "' OR '1'='1".into(),
        "*".into(),
        "\u{1b}]0;x\u{7}".into(),
        "k".repeat(4000),
    ];
    for kid in odd {
        let token = m.with_header(|header| drop(header.insert("kid".into(), json!(kid))));
        let what: String = kid.chars().take(20).collect();
        m.row(format!("kid '{what}'"), token, Refusal::UnknownKey, "does not publish");
    }
    // An attacker's key, however it is brought along.
    let attackers = other_key();
    let jwk = json!({ "kty": "RSA", "kid": own, "n": "AQAB", "e": "AQAB" });
    for (name, value) in [
        ("typ", json!("JWT")),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/certificate")),
        ("jwk", jwk),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("other")),
        ("x5t#S256", json!("other")),
    ] {
        for (kid, reason, says) in [
            (own.as_str(), Refusal::BadSignature, "not what was signed"),
            ("attackers", Refusal::UnknownKey, "does not publish"),
        ] {
            let token = m.with_header(|header| {
                header.insert(name.into(), value.clone());
                header.insert("kid".into(), json!(kid));
            });
            let message = token.rsplit_once('.').unwrap().0;
            let token = format!("{message}.{}", signature(message, &attackers, Algorithm::RS256));
            m.row(format!("an attacker's key by {name}, named {kid}"), token, reason, says);
        }
    }
    for value in
        [json!(["exp"]), json!([]), json!(["b64"]), json!("exp"), json!(null), json!(["http://example.invalid/x"])]
    {
        let token = m.with_header(|header| {
            header.insert("crit".into(), value.clone());
            header.insert("b64".into(), json!(false));
        });
        m.row(format!("crit {value}"), token, Refusal::NotAToken, "extension (crit)");
    }
}

fn shapes(m: &mut Maker) {
    let claims = Value::Object(m.claims()).to_string();
    let header = Value::Object(m.header()).to_string();
    let inner = &header[1..];
    let deep = format!("{{\"a\":{}{},{inner}", "[".repeat(500), "]".repeat(500));
    for (what, text) in [
        ("empty", String::new()),
        ("null", "null".into()),
        ("a number", "1".into()),
        ("a text", "\"RS256\"".into()),
        ("a list", format!("[{header}]")),
        ("cut", header[..header.len() - 1].to_owned()),
        ("with more behind it", format!("{header}{{}}")),
        ("with a comma too many", format!("{},}}", &header[..header.len() - 1])),
        ("in single quotes", header.replace('"', "'")),
        ("with a comment", format!("/* */{header}")),
        ("with a byte order mark", format!("\u{feff}{header}")),
        ("nested too deep", deep),
        ("with half a surrogate", format!("{{\"a\":\"\\ud800\",{inner}")),
        ("with a line end in a text", format!("{{\"a\":\"\n\",{inner}")),
        ("with an infinite number", format!("{{\"a\":1e999,{inner}")),
        ("with NaN", format!("{{\"a\":NaN,{inner}")),
    ] {
        m.row(format!("header {what}"), m.signed(&text, &claims), Refusal::NotAToken, "");
        let text = text.replace(inner, &claims[1..]);
        if what != "empty" {
            m.row(
                format!("payload {what}"),
                m.signed(&header, &text),
                Refusal::NotAToken,
                "its payload is not a JSON object",
            );
        }
    }
    m.row("empty payload", m.signed(&header, ""), Refusal::NotAToken, "its payload is not a JSON object");
    m.row("empty object as payload", m.signed(&header, "{}"), Refusal::MissingClaim, "'iss' is missing");
    m.row("bytes as header", m.signed([0xff, 0xfe], &claims), Refusal::NotAToken, "its header is not a JSON object");
    m.row(
        "bytes as payload",
        m.signed(&header, [b'{', 0xff, b'}']),
        Refusal::NotAToken,
        "its payload is not a JSON object",
    );
    let broken = [b"{\"a\":\"\xc3\x28\",", inner.as_bytes()].concat();
    m.row(
        "broken UTF-8 in the header",
        m.signed(broken, &claims),
        Refusal::NotAToken,
        "its header is not a JSON object",
    );
    for name in ["alg", "kid", "typ", "x5t"] {
        for value in ["\"RS256\"", "\"none\"", "null", "1"] {
            let token = m.signed(format!("{{\"{name}\":{value},{inner}"), &claims);
            m.row(format!("header with {name} twice, first {value}"), token, Refusal::NotAToken, "twice");
        }
    }
    // The same name, written in two ways.
    m.row(
        "alg twice, once escaped",
        m.signed(format!("{{\"\\u0061lg\":\"none\",{inner}"), &claims),
        Refusal::NotAToken,
        "'alg' twice",
    );
    for name in ["iss", "aud", "tid", "nbf", "exp", "oid", "uti", "anything"] {
        let text = format!("{{\"anything\":1,\"{name}\":\"x\",{}", &claims[1..]);
        m.row(format!("claim {name} twice"), m.signed(&header, text), Refusal::NotAToken, "twice");
    }
}

fn claims_of_wrong_type(m: &mut Maker) {
    for name in ["iss", "aud", "tid", "oid"] {
        for value in no_texts() {
            m.row(format!("{name} {value}"), m.with_claim(name, value), Refusal::MissingClaim, "is not text");
        }
    }
    for name in ["nbf", "exp"] {
        let now = seconds_since_1970();
        for value in [
            json!(null),
            json!(true),
            json!([]),
            json!([now]),
            json!({}),
            json!(""),
            json!("soon"),
            json!(now.to_string()),
            json!("2030-01-01T00:00:00Z"),
            json!(-1),
            json!(-0.5),
            json!(i64::MIN),
            json!(-1e300),
        ] {
            m.row(
                format!("{name} {value}"),
                m.with_claim(name, value),
                Refusal::MissingClaim,
                "is not a number of seconds",
            );
        }
        for value in
            [json!(now * 1000 + 3_600_000), json!(u64::MAX), json!(i64::MAX), json!(1e300), json!(253_402_300_800_u64)]
        {
            m.row(format!("{name} {value}"), m.with_claim(name, value), Refusal::MissingClaim, "not milliseconds");
        }
    }
    for name in ["iss", "aud", "tid", "nbf", "exp", "oid"] {
        let token = m.with_claims(|claims| drop(claims.remove(name)));
        m.row(format!("no {name}"), token, Refusal::MissingClaim, "is missing");
        let token = m.with_claims(|claims| {
            let value = claims.remove(name).unwrap();
            claims.insert(name.to_uppercase(), value);
        });
        m.row(format!("{name} in capitals"), token, Refusal::MissingClaim, "is missing");
    }
}

fn times(m: &mut Maker) {
    let now = seconds_since_1970();
    let later = now + 1_000_000;
    for value in [json!(0), json!(1), json!(now - 1), json!(now), json!(now as f64 - 0.5), json!(1e3), json!(-0.0)] {
        m.row(format!("exp {value}"), m.with_claim("exp", value), Refusal::Expired, "ran out");
    }
    for value in [json!(later), json!(later as f64 + 0.5), json!(253_402_300_799_u64)] {
        m.row(format!("nbf {value}"), m.with_claim("nbf", value), Refusal::NotYetValid, "Check the clocks");
    }
    let swapped = m.with_claims(|claims| {
        claims.insert("nbf".into(), json!(later));
        claims.insert("exp".into(), json!(1));
    });
    m.row("exp before nbf", swapped, Refusal::NotYetValid, "Check the clocks");
}

fn audiences(m: &mut Maker) {
    let id = azure::REDIS_APPLICATION_ID;
    for audience in [
        "".to_owned(),
        " ".into(),
        "https://redis.azure.com//".into(),
        "http://redis.azure.com".into(),
        "HTTPS://REDIS.AZURE.COM".into(),
        "https://Redis.azure.com".into(),
        "https://redis.azure.com/.default".into(),
        "https://redis.azure.com ".into(),
        " https://redis.azure.com".into(),
        "https://redis.azure.com\n".into(),
        "https://redis.azure.com\0".into(),
        "https://redis.azure.com.evil.example".into(),
        "https://redis.azure.com:443".into(),
        "https://user@redis.azure.com".into(),
        "https://redis.azure.com?x".into(),
        "https://redis.azure.com#".into(),
        "redis.azure.com".into(),
        "https://redis.azure.us".into(),
        "https://rеdis.azure.com".into(),
        id.to_uppercase(),
        format!("{{{id}}}"),
        id.replace('-', ""),
        format!("api://{id}"),
        format!("{id}/"),
        format!("{id}/.default"),
        format!("spn:{id}"),
        "https://*.cacheinfra.windows.net:10225/appid/".into(),
        "https://management.azure.com/".into(),
        "https://management.core.windows.net/".into(),
        "https://graph.microsoft.com".into(),
        "00000003-0000-0000-c000-000000000000".into(),
        "https://storage.azure.com".into(),
        "https://vault.azure.net".into(),
        "api://AzureADTokenExchange".into(),
        "x".repeat(4000),
    ] {
        let what: String = audience.chars().take(48).collect();
        m.row(format!("aud '{what}'"), m.with_claim("aud", json!(audience)), Refusal::WrongAudience, "not for Redis");
    }
}

fn issuers(m: &mut Maker) {
    let tenant = m.directory.tenant_id.to_string();
    let (v1, v2) = (azure::issuer_v1(m.directory.tenant_id), azure::issuer_v2(m.directory.tenant_id));
    for issuer in [
        String::new(),
        " ".into(),
        v1.trim_end_matches('/').into(),
        format!("{v1}/"),
        format!("{v2}/"),
        format!("{v1} "),
        format!(" {v1}"),
        format!("{v1}\0"),
        v1.replace("https", "http"),
        v2.replace("https", "http"),
        v1.to_uppercase(),
        v1.replace(&tenant, &tenant.to_uppercase()),
        v1.replace(&tenant, OTHER_TENANT),
        v2.replace(&tenant, OTHER_TENANT),
        v1.replace(&tenant, "common"),
        v2.replace(&tenant, "common"),
        v2.replace(&tenant, "organizations"),
        v2.replace(&tenant, "consumers"),
        v2.replace(&tenant, "{tenantid}"),
        v1.replace(&tenant, ""),
        format!("https://sts.windows.net/{tenant}/v2.0"),
        format!("https://login.microsoftonline.com/{tenant}/"),
        format!("https://login.microsoftonline.com/{tenant}"),
        format!("https://login.microsoftonline.us/{tenant}/v2.0"),
        format!("https://sts.chinacloudapi.cn/{tenant}/"),
        format!("https://sts.windows.net.evil.example/{tenant}/"),
        format!("https://evil.example/{v1}"),
        format!("{v1}{v2}"),
        tenant.clone(),
        "x".repeat(4000),
    ] {
        let what: String = issuer.chars().take(72).collect();
        m.row(
            format!("iss '{what}'"),
            m.with_claim("iss", json!(issuer)),
            Refusal::WrongIssuer,
            "in the cache's tenant",
        );
    }
    for tid in [
        "".to_owned(),
        OTHER_TENANT.into(),
        tenant.to_uppercase(),
        format!("{{{tenant}}}"),
        tenant.replace('-', ""),
        format!("{tenant} "),
        format!("urn:uuid:{tenant}"),
        "common".into(),
        "00000000-0000-0000-0000-000000000000".into(),
    ] {
        m.row(format!("tid '{tid}'"), m.with_claim("tid", json!(tid)), Refusal::WrongIssuer, "the token is of tenant");
    }
}

fn principals(m: &mut Maker) {
    let (oid, client) = (m.object_id(), m.user().client_id.to_string());
    let others = [
        (oid.to_uppercase(), "not written like that"),
        (format!("{{{oid}}}"), "not written like that"),
        (oid.replace('-', ""), "not written like that"),
        (format!("urn:uuid:{oid}"), "not written like that"),
        (client, "is the client id"),
        (format!("{oid} "), "must be the object id"),
        (format!(" {oid}"), "must be the object id"),
        (format!("{oid}\0"), "must be the object id"),
        (format!("{oid}\r\n"), "must be the object id"),
        ("user".into(), "must be the object id"),
        (String::new(), "must be the object id"),
        ("amr-emulator".into(), "must be the object id"),
        ("*".into(), "must be the object id"),
        (m.directory.identity("system").unwrap().object_id.to_string(), "must be the object id"),
        ("x".repeat(4000), "must be the object id"),
        ("ü\u{1b}[2J".into(), "must be the object id"),
    ];
    for (other, says) in others {
        let what: String = other.chars().take(48).collect();
        let token = m.good();
        m.row_of(format!("user name '{what}'"), other.clone(), token, Refusal::UsernameNotObjectId, says);
        // And the other way round: the claim is odd, the name is good; then both are odd.
        if other != m.user().client_id.to_string() {
            m.row(
                format!("oid '{what}'"),
                m.with_claim("oid", json!(other)),
                Refusal::UsernameNotObjectId,
                "must be the object id",
            );
        }
        let is_an_id = other.parse::<ObjectId>().is_ok_and(|id| id.to_string() == other);
        if !is_an_id && !other.is_empty() {
            let token = m.with_claim("oid", json!(other));
            m.row_of(format!("oid and user name '{what}'"), other, token, Refusal::MissingClaim, "no object id");
        }
    }
}

fn encodings(m: &mut Maker) {
    // Lengths that leave bits over in each part.
    let good = m.with_claims(|_| ());
    let ends: Vec<usize> = good.match_indices('.').map(|(at, _)| at).collect();
    for (part, end) in [("header", ends[0]), ("payload", ends[1]), ("signature", good.len())] {
        for padding in ["=", "==", "==="] {
            let token = format!("{}{padding}{}", &good[..end], &good[end..]);
            m.row(format!("{part} with {padding}"), token, Refusal::NotAToken, "base64url");
        }
        for (name, space) in [
            ("a space", " "),
            ("a line end", "\n"),
            ("a carriage return", "\r\n"),
            ("a tab", "\t"),
            ("\\u{a0}", "\u{a0}"),
        ] {
            for at in [end, end - 10] {
                let token = format!("{}{space}{}", &good[..at], &good[at..]);
                m.row(format!("{name} in the {part}"), token, Refusal::NotAToken, "a space or a line end");
            }
        }
        for odd in ["\0", "ä", "\u{fffd}", "%3D", "~", "\u{1b}", "\"", ","] {
            let token = format!("{}{odd}{}", &good[..end - 4], &good[end - 4..]);
            m.row(format!("{odd:?} in the {part}"), token, Refusal::NotAToken, "no token has");
        }
        for standard in ["+", "/"] {
            let token = format!("{}{standard}{}", &good[..end - 4], &good[end - 3..]);
            m.row(format!("{standard} in the {part}"), token, Refusal::NotAToken, "base64url");
        }
    }
    for (what, token) in
        [(" in front", format!(" {good}")), ("line end behind", format!("{good}\n")), ("quotes", format!("\"{good}\""))]
    {
        let says = if what == "quotes" { "no token has" } else { "a space or a line end" };
        m.row(what, token, Refusal::NotAToken, says);
    }
    for bearer in ["Bearer ", "bearer ", "BEARER "] {
        m.row(bearer, format!("{bearer}{good}"), Refusal::NotAToken, "the word Bearer");
    }
    // Bits that no byte needs must be zero: else one token could be written in several ways.
    for spare in 0..3 {
        let header = format!("{}{}", Value::Object(m.header()), " ".repeat(spare));
        let claims = format!("{}{}", Value::Object(m.claims()), " ".repeat(spare));
        for in_header in [true, false] {
            let (mut first, mut second) = (base64(&header), base64(&claims));
            let part = if in_header { &mut first } else { &mut second };
            if part.len() % 4 == 0 {
                continue;
            }
            let last = part.pop().unwrap();
            part.push(char::from(last as u8 + 1));
            let message = format!("{first}.{second}");
            let signature = signature(&message, &m.tenant.keys.signing().rsa.encoding, Algorithm::RS256);
            let what = format!("spare bits, in the header {in_header}, {spare}");
            m.row(what, format!("{message}.{signature}"), Refusal::NotAToken, "is not base64url");
        }
    }
    let last = good.chars().last().unwrap();
    let token = format!("{}{}", &good[..good.len() - 1], char::from(last as u8 + 1));
    m.row("spare bits in the signature", token, Refusal::BadSignature, "not what was signed");
}

fn parts_and_sizes(m: &mut Maker) {
    let good = m.good();
    let [header, payload, signature] = *good.split('.').collect::<Vec<_>>() else { unreachable!() };
    for (token, says) in [
        (String::new(), "it is empty"),
        (".".into(), "no header"),
        ("..".into(), "no header"),
        ("....".into(), "no header"),
        (format!(".{payload}.{signature}"), "no header"),
        (format!(".{good}"), "no header"),
        (header.to_owned(), "not three parts"),
        (format!("{header}.{payload}"), "not three parts"),
        (format!("{good}."), "not three parts"),
        (format!("{good}.{signature}"), "not three parts"),
        (format!("{header}..{payload}.{signature}"), "not three parts"),
        (format!("{good}.{good}"), "not three parts"),
        (format!("{header}.{payload}.{signature}.{signature}.{signature}"), "it is encrypted"),
        (format!("{header}....{signature}"), "it is encrypted"),
        ("a".repeat(16_384), "not three parts"),
        (".".repeat(16_384), "no header"),
        (format!("a{}", ".".repeat(16_383)), "not three parts"),
        ("secret".into(), "not three parts"),
        ("hunter2.hunter2.hunter2".into(), "its header is not base64url"),
        ("a.b.c".into(), "its header is not base64url"),
        ("abcd.abcd.abcd".into(), "its header is not a JSON object"),
        (header.repeat(2) + &good[header.len()..], ""),
    ] {
        let what: String = token.chars().take(24).collect();
        m.row(format!("parts of '{what}' ({})", token.len()), token, Refusal::NotAToken, says);
    }
    let jwe = base64(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#);
    m.row("an encrypted token", format!("{jwe}.a.b.c.d"), Refusal::NotAToken, "it is encrypted");
    let nested = m.signed(json!({ "alg": "RS256", "kid": m.kid(), "cty": "JWT" }).to_string(), &good);
    m.row("a token in a token", nested, Refusal::NotAToken, "its payload is not a JSON object");
    let filler = |size: usize| json!("f".repeat(size));
    let long = m.with_claims(|claims| {
        claims.insert("filler".into(), filler(11_000));
        claims.insert("aud".into(), json!("x"));
    });
    assert!(long.len() > 15_000 && long.len() < 16_384);
    m.row("almost 16 KB", long, Refusal::WrongAudience, "not for Redis");
}

fn changed(m: &mut Maker) {
    let good = m.good();
    let ends: Vec<usize> = good.match_indices('.').map(|(at, _)| at).collect();
    let other = m.with_claim("uti", json!("another"));
    let not_signed = "not what was signed";
    let signature_of = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    for (what, signature) in [
        ("no signature", String::new()),
        ("another token's signature", signature_of(&other)),
        ("half a signature", good[ends[1] + 1..][..170].to_owned()),
        ("one character less", good[ends[1] + 1..good.len() - 1].to_owned()),
        ("one character more", format!("{}A", &good[ends[1] + 1..])),
        ("four characters more", format!("{}AAAA", &good[ends[1] + 1..])),
        ("zeros", "A".repeat(342)),
        ("ones", format!("{}w", "_".repeat(341))),
        ("a short one", "AA".into()),
        ("the payload as signature", good[ends[0] + 1..ends[1]].to_owned()),
        ("a huge one", "A".repeat(10_000)),
    ] {
        m.row(what, format!("{}.{signature}", &good[..ends[1]]), Refusal::BadSignature, not_signed);
    }
    let replace = |at: usize| {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    for at in (ends[0] + 1..ends[1]).step_by(23) {
        m.row(format!("payload changed at {at}"), replace(at), Refusal::BadSignature, not_signed);
    }
    for at in (ends[1] + 1..good.len() - 1).step_by(17) {
        m.row(format!("signature changed at {at}"), replace(at), Refusal::BadSignature, not_signed);
    }
    // What an attacker would change, under the old signature.
    for (name, value) in [
        ("exp", json!(253_402_300_000_u64)),
        ("oid", json!("0b1ec700-0000-4000-8000-000000000001")),
        ("aud", json!("x")),
    ] {
        let changed = m.with_claim(name, value);
        let message = changed.rsplit_once('.').unwrap().0;
        m.row(
            format!("{name} changed"),
            format!("{message}.{}", signature_of(&good)),
            Refusal::BadSignature,
            not_signed,
        );
    }
}

/// All rows that need nothing but the tenant's own key.
fn all() -> Maker {
    let mut maker = Maker::new();
    for add in [
        algorithms,
        keys,
        shapes,
        claims_of_wrong_type,
        times,
        audiences,
        issuers,
        principals,
        encodings,
        parts_and_sizes,
        changed,
    ] {
        add(&mut maker);
    }
    maker
}

#[test]
fn each_bad_token_is_refused_for_its_own_reason() {
    let maker = all();
    assert!(maker.rows.len() > 500, "{}", maker.rows.len());
    for Row { what, username, token, reason, says } in &maker.rows {
        match check(&maker.tenant, username, token) {
            Ok(_) => panic!("accepted: {what}"),
            Err(refused) => {
                assert_eq!(refused.reason, *reason, "{what}: {}", refused.why);
                assert!(refused.why.contains(says), "{what}: {}", refused.why);
                assert!(!refused.why.contains("eyJ"), "{what} is in its own reason: {}", refused.why);
            }
        }
    }
    check(&maker.tenant, &maker.object_id(), &maker.good()).unwrap();
}

#[test]
fn what_looks_odd_and_is_right_is_accepted() {
    let m = Maker::new();
    let v2 = azure::issuer_v2(m.directory.tenant_id);
    let claims = Value::Object(m.claims()).to_string();
    let header = Value::Object(m.header()).to_string();
    for token in [
        m.with_claim("aud", json!("https://redis.azure.com/")),
        m.with_claim("aud", json!(azure::REDIS_APPLICATION_ID)),
        m.with_claim("iss", json!(v2)),
        m.with_claim("ver", json!("2.0")),
        m.with_claim("exp", json!(seconds_since_1970() as f64 + 100.5)),
        m.with_claim("nbf", json!(0)),
        m.with_claim("roles", json!(["a", { "b": null }])),
        m.with_claims(|claims| drop(claims.remove("uti"))),
        m.with_header(|header| drop(header.remove("typ"))),
        m.with_header(|header| drop(header.insert("nonce".into(), json!("x")))),
        m.signed(format!(" {header}\n"), format!("\t{claims}\r\n")),
        m.with_claims(|claims| drop(claims.insert("filler".into(), json!("f".repeat(11_000))))),
    ] {
        check(&m.tenant, &m.object_id(), &token).unwrap();
    }
}

#[test]
fn a_key_that_was_rotated_away_is_none_of_ours() {
    let m = Maker::new();
    let old = m.good();
    let old_key = m.tenant.keys.signing();
    m.tenant.keys.rotate(Duration::from_secs(600)).unwrap();
    let check = |token: &str| check(&m.tenant, &m.object_id(), token).map(|_| ()).map_err(|refused| refused.reason);
    assert_eq!(check(&old), Ok(()), "still honoured");
    // Signed with one of two good keys, in the name of the other.
    let token = m.good();
    let message = token.rsplit_once('.').unwrap().0;
    let mixed = format!("{message}.{}", signature(message, &old_key.rsa.encoding, Algorithm::RS256));
    assert_eq!(check(&mixed), Err(Refusal::BadSignature));
    m.tenant.keys.rotate(Duration::ZERO).unwrap();
    assert_eq!(check(&token), Err(Refusal::UnknownKey), "its key was good for no time at all");
    assert_eq!(check(&old), Ok(()), "this one is honoured for longer");
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Tenant::fixed(Keys::kept_in(folder.path()).unwrap());
    let foreign = elsewhere.issue(m.user(), Flow::ManagedIdentity, "https://redis.azure.com");
    assert_eq!(check(&foreign.jwt), Err(Refusal::UnknownKey), "of another emulator");
}

/// A command as clients send it.
fn resp(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[test]
fn each_bad_token_looks_the_same_to_the_client() {
    let maker = all();
    // Of this process too, so with the same key.
    let emulator = Emulator::start().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(emulator.ca_file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let connection = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", emulator.redis_port())).unwrap();
    let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
    let mut ask = |arguments: &[&[u8]]| {
        stream.get_mut().write_all(&resp(arguments)).unwrap();
        stream.get_mut().flush().unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line
    };
    for Row { what, username, token, .. } in &maker.rows {
        let reply = ask(&[b"AUTH", username.as_bytes(), token.as_bytes()]);
        assert_eq!(reply, "-WRONGPASS invalid username-password pair\r\n", "{what}");
    }
    assert_eq!(ask(&[b"AUTH", b"\xff", b"\xff\xfe"]), "-WRONGPASS invalid username-password pair\r\n");
    let events = emulator.events();
    let reasons: Vec<Refusal> = events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::SignInRefused { reason, .. } => Some(reason),
            _ => None,
        })
        .collect();
    let expected: Vec<Refusal> = maker.rows.iter().map(|row| row.reason).chain([Refusal::NotAToken]).collect();
    assert_eq!(reasons, expected);
    let log = serde_json::to_string(&events).unwrap();
    assert!(!log.contains("eyJ"), "a token is in the log");
    let longest = events.iter().map(|event| serde_json::to_string(event).unwrap().len()).max();
    assert!(longest < Some(2000), "an event has {longest:?} bytes");
    assert_eq!(ask(&[b"AUTH", maker.object_id().as_bytes(), maker.good().as_bytes()]), "+OK\r\n");
}
