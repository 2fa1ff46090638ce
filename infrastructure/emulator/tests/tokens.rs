//! Entra ID and the managed identity endpoint as client libraries meet them: what they give out, and how they refuse.

mod support;

use std::time::Duration;

use azure_managed_redis_emulator::{Emulator, EventKind, Fault, Flow, Service};
use serde_json::Value;
use support::{HttpReply, claims, entra_get, entra_post, managed_identity, tls, token_of};

const CLIENT: &str = "c11e4700-0000-4000-8000-000000000003";
const SECRET: &str = "emulator~client~secret~known~to~everybody";
const SCOPE: &str = "https://redis.azure.com/.default";
const TENANT: &str = "7e4a4700-0000-4000-8000-000000000000";

fn token_request(emulator: &Emulator, tenant: &str, form: &[(&str, &str)]) -> HttpReply {
    entra_post(emulator, &format!("/{tenant}/oauth2/v2.0/token"), form)
}

#[test]
fn a_client_secret_gets_a_token_with_the_claims_of_a_service_principal() {
    let emulator = Emulator::builder().token_lifetime("service-principal", Duration::from_secs(4000)).start().unwrap();
    let form =
        [("grant_type", "client_credentials"), ("client_id", CLIENT), ("client_secret", SECRET), ("scope", SCOPE)];
    let reply = token_request(&emulator, TENANT, &form);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json["token_type"], "Bearer");
    assert_eq!(reply.json["expires_in"], 4000);
    let claims = claims(reply.json["access_token"].as_str().unwrap());
    assert_eq!(claims["aud"], "https://redis.azure.com");
    assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));
    assert_eq!(claims["appid"], CLIENT);
    assert_eq!(claims["oid"], "0b1ec700-0000-4000-8000-000000000003");
    assert_eq!(claims["sub"], claims["oid"]);
    assert_eq!(claims["idtyp"], "app");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 4300);
    let events = emulator.events();
    let EventKind::TokenIssued { identity, flow, lifetime, .. } = &events[0].kind else { panic!("{events:?}") };
    assert_eq!((identity.as_str(), *flow, *lifetime), ("service-principal", Flow::ClientSecret, 4000));
}

/// MSAL for Go adds these even for an application.
#[test]
fn scopes_of_openid_connect_do_no_harm() {
    let emulator = Emulator::start().unwrap();
    let scope = "https://redis.azure.com/.default openid offline_access profile";
    let form =
        [("grant_type", "client_credentials"), ("client_id", CLIENT), ("client_secret", SECRET), ("scope", scope)];
    let reply = token_request(&emulator, TENANT, &form);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.claims()["aud"], "https://redis.azure.com");
}

#[test]
fn each_refusal_of_the_token_endpoint_has_entras_code_and_shape() {
    let emulator = Emulator::start().unwrap();
    let good =
        [("grant_type", "client_credentials"), ("client_id", CLIENT), ("client_secret", SECRET), ("scope", SCOPE)];
    let with = |name: &'static str, value: Option<&'static str>| -> Vec<(&str, &str)> {
        good.iter().filter_map(|&(n, v)| if n == name { value.map(|value| (n, value)) } else { Some((n, v)) }).collect()
    };
    let unknown = "c11e4700-0000-4000-8000-999999999999";
    let cases = [
        (
            TENANT,
            with("client_secret", Some("wrong")),
            401,
            "invalid_client",
            7_000_215,
            "Invalid client secret provided",
        ),
        (TENANT, with("client_secret", None), 401, "invalid_client", 7_000_216, "is required"),
        (TENANT, with("client_id", Some(unknown)), 400, "unauthorized_client", 700_016, unknown),
        (TENANT, with("client_id", None), 400, "invalid_request", 900_144, "'client_id'"),
        (TENANT, with("grant_type", None), 400, "invalid_request", 900_144, "'grant_type'"),
        (TENANT, with("grant_type", Some("password")), 400, "unsupported_grant_type", 70_003, "'password'"),
        (TENANT, with("scope", None), 400, "invalid_request", 900_144, "'scope'"),
        (TENANT, with("scope", Some("https://redis.azure.com")), 400, "invalid_scope", 1_002_012, "/.default suffixed"),
        (TENANT, with("scope", Some("openid profile")), 400, "invalid_scope", 1_002_012, "/.default suffixed"),
        (
            TENANT,
            with("scope", Some("https://redis.azure.com/.default https://vault.azure.net/.default")),
            400,
            "invalid_scope",
            28_000,
            "more than one resource",
        ),
        (
            TENANT,
            with("scope", Some("https://redis.example/.default")),
            400,
            "invalid_resource",
            500_011,
            "redis.example",
        ),
        (unknown, good.to_vec(), 400, "invalid_tenant", 90_002, "Tenant"),
        ("common", good.to_vec(), 400, "invalid_tenant", 90_002, "Tenant"),
    ];
    for (tenant, form, status, error, code, text) in cases {
        let reply = token_request(&emulator, tenant, &form);
        assert_eq!(reply.status, status, "{form:?}: {reply:?}");
        assert_eq!(reply.json["error"], error, "{form:?}");
        assert_eq!(reply.json["error_codes"][0], code, "{form:?}");
        let description = reply.json["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{code}: ")) && description.contains(text), "{description}");
        for field in ["Trace ID: ", "Correlation ID: ", "Timestamp: "] {
            assert!(description.contains(field), "{description}");
        }
        let last = emulator.events().pop().unwrap().kind;
        let EventKind::TokenRefused { code: logged, why, .. } = last else { panic!("{last:?}") };
        assert_eq!(logged.unwrap(), format!("AADSTS{code}"));
        assert!(!why.is_empty());
    }
    let log = serde_json::to_string(&emulator.events()).unwrap();
    assert!(!log.contains(SECRET), "the client secret is in the log");
}

#[test]
fn discovery_leads_to_the_token_endpoint_and_the_keys() {
    let emulator = Emulator::start().unwrap();
    let authority = format!("https://localhost:{}", emulator.entra_port());
    let asked = format!("{authority}/{TENANT}/oauth2/v2.0/authorize");
    let path = format!("/common/discovery/instance?api-version=1.1&authorization_endpoint={asked}");
    let instance = entra_get(&emulator, &path);
    assert_eq!(instance.status, 200);
    let configuration = instance.json["tenant_discovery_endpoint"].as_str().unwrap();
    let configuration = entra_get(&emulator, configuration.strip_prefix(&authority).unwrap());
    let token_endpoint = configuration.json["token_endpoint"].as_str().unwrap();
    assert_eq!(token_endpoint, format!("{authority}/{TENANT}/oauth2/v2.0/token"));
    let keys = configuration.json["jwks_uri"].as_str().unwrap();
    let keys = entra_get(&emulator, keys.strip_prefix(&authority).unwrap());

    // The published key must verify a token.
    let (_, token) = token_of(&emulator, "system");
    let header = jsonwebtoken::decode_header(&token).unwrap();
    let key =
        keys.json["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header.kid.clone().unwrap()).unwrap();
    let decoding =
        jsonwebtoken::DecodingKey::from_rsa_components(key["n"].as_str().unwrap(), key["e"].as_str().unwrap());
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_audience(&["https://redis.azure.com"]);
    assert!(jsonwebtoken::decode::<Value>(&token, &decoding.unwrap(), &validation).is_ok());

    let elsewhere = "/common/discovery/instance?api-version=1.1&authorization_endpoint=https://evil.example/x/oauth2";
    let refused = entra_get(&emulator, elsewhere);
    assert_eq!((refused.status, &refused.json["error_codes"][0]), (400, &Value::from(50_049)));
    let unknown = entra_get(&emulator, "/11111111-0000-4000-8000-000000000000/v2.0/.well-known/openid-configuration");
    assert_eq!((unknown.status, &unknown.json["error_codes"][0]), (400, &Value::from(90_002)));
    assert_eq!(entra_get(&emulator, "/nothing/here").status, 404);
}

#[test]
fn each_answer_of_entra_has_an_id_of_its_own() {
    let emulator = Emulator::start().unwrap();
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    let refused = entra_post(&emulator, &path, &[("grant_type", "client_credentials")]);
    assert_eq!(refused.header("x-ms-request-id"), refused.json["trace_id"].as_str());
    emulator.control().set_fault(Service::Entra, Fault::Fail { status: 503 }, None).unwrap();
    let failed = entra_post(&emulator, &path, &[]);
    assert_eq!((failed.status, failed.header("x-ms-request-id")), (503, failed.json["trace_id"].as_str()));
    let ids: Vec<_> = (0..2).map(|_| entra_get(&emulator, "/common/discovery/keys")).collect();
    let ids: Vec<_> = ids.iter().map(|reply| reply.header("x-ms-request-id").expect("a header")).collect();
    assert!(ids[0].len() == 36 && ids[0] != ids[1], "{ids:?}");
    let cluster = entra_get(&emulator, "/oidc/openid/v1/jwks");
    assert_eq!((cluster.status, cluster.header("x-ms-request-id")), (200, None), "another service");
}

#[test]
fn published_keys_have_the_members_of_entras() {
    let emulator = Emulator::start().unwrap();
    let common = ["kty", "use", "kid", "x5t", "n", "e", "x5c"];
    let newer = [&common[..], &["cloud_instance_name", "issuer"]].concat();
    let issuer = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
    for (path, members, issuer) in [
        ("/common/discovery/v2.0/keys".to_owned(), newer.clone(), Some(issuer("{tenantid}"))),
        (format!("/{TENANT}/discovery/v2.0/keys"), newer, Some(issuer(TENANT))),
        ("/common/discovery/keys".to_owned(), common.to_vec(), None),
        (format!("/{TENANT}/discovery/keys"), common.to_vec(), None),
    ] {
        let reply = entra_get(&emulator, &path);
        let key = &reply.json["keys"][0];
        assert_eq!(key.as_object().unwrap().keys().collect::<Vec<_>>(), members, "{path}");
        assert_eq!(key["issuer"].as_str(), issuer.as_deref(), "{path}");
        assert_eq!((&key["kid"], &key["e"]), (&key["x5t"], &Value::from("AQAB")));
    }
    // A key is known before it signs, so that whoever keeps a key set for a while has it in time.
    let before = entra_get(&emulator, "/common/discovery/v2.0/keys");
    let signs = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    assert_eq!(before.json["keys"][0]["kid"], signs(&token_of(&emulator, "system").1));
    emulator.control().rotate_signing_key(Duration::from_secs(60)).unwrap();
    assert_eq!(before.json["keys"][1]["kid"], signs(&token_of(&emulator, "system").1), "the next one signs now");
    let keys = entra_get(&emulator, "/common/discovery/v2.0/keys");
    assert_eq!(
        keys.json["keys"].as_array().unwrap().len(),
        3,
        "the key before is still honoured, and the next one is known"
    );
}

#[test]
fn the_managed_identity_endpoint_gives_each_identity_its_own_token() {
    let emulator = Emulator::start().unwrap();
    let version = "api-version=2019-08-01&resource=https%3A%2F%2Fredis.azure.com";
    let resource_id = "/subscriptions/5b5c4700-0000-4000-8000-000000000000/resourcegroups/emulator/providers/Microsoft.ManagedIdentity/userAssignedIdentities/user";
    let cases = [
        (String::new(), "0b1ec700-0000-4000-8000-000000000001"),
        ("&client_id=c11e4700-0000-4000-8000-000000000002".to_owned(), "0b1ec700-0000-4000-8000-000000000002"),
        ("&client_id=C11E4700-0000-4000-8000-000000000002".to_owned(), "0b1ec700-0000-4000-8000-000000000002"),
        ("&object_id=0b1ec700-0000-4000-8000-000000000002".to_owned(), "0b1ec700-0000-4000-8000-000000000002"),
        ("&principal_id=0b1ec700-0000-4000-8000-000000000004".to_owned(), "0b1ec700-0000-4000-8000-000000000004"),
        (format!("&mi_res_id={}", resource_id.to_uppercase()), "0b1ec700-0000-4000-8000-000000000002"),
    ];
    for (id, object_id) in cases {
        let reply = managed_identity(&emulator, &format!("{version}{id}"), None);
        assert_eq!(reply.status, 200, "{id}: {reply:?}");
        let claims = claims(reply.json["access_token"].as_str().unwrap());
        assert_eq!(claims["oid"], object_id, "{id}");
        assert_eq!(reply.json["expires_on"], claims["exp"].to_string(), "seconds since 1970, as text");
        assert_eq!(reply.json["resource"], "https://redis.azure.com");
        assert_eq!(reply.members(), ["access_token", "expires_on", "resource", "token_type", "client_id"]);
    }
    let verbatim =
        managed_identity(&emulator, "api-version=2019-08-01&resource=https://redis.azure.com/.default", None);
    assert_eq!(claims(verbatim.json["access_token"].as_str().unwrap())["aud"], "https://redis.azure.com");
}

#[test]
fn the_managed_identity_endpoint_refuses_as_app_service_does() {
    let emulator = Emulator::start().unwrap();
    let good = "api-version=2019-08-01&resource=https://redis.azure.com";
    let unknown = "Unable to load the proper Managed Identity.";
    let cases = [
        (format!("{good}&client_id=00000000-0000-0000-0000-000000000000"), None, 400, unknown),
        (format!("{good}&client_id={CLIENT}"), None, 400, unknown),
        (format!("{good}&mi_res_id=c11e4700-0000-4000-8000-000000000002"), None, 400, unknown),
        (good.to_owned(), Some("wrong"), 401, "X-IDENTITY-HEADER"),
        (good.to_owned(), Some(""), 401, "X-IDENTITY-HEADER"),
        ("api-version=2019-08-01".to_owned(), None, 400, "resource"),
        (
            "api-version=2019-08-01&resource=1".to_owned(),
            None,
            500,
            "An unexpected error occured while fetching the AAD Token.",
        ),
    ];
    for (query, header, status, message) in cases {
        let reply = managed_identity(&emulator, &query, header);
        assert_eq!(reply.status, status, "{query}: {reply:?}");
        assert_eq!(reply.json["statusCode"], status);
        assert!(reply.json["message"].as_str().unwrap().contains(message), "{reply:?}");
        assert_eq!(reply.members(), ["statusCode", "message", "correlationId"]);
        let last = emulator.events().pop().unwrap().kind;
        assert!(matches!(&last, EventKind::TokenRefused { why, .. } if !why.is_empty()), "{last:?}");
    }
    let version = managed_identity(&emulator, "api-version=2017-01-01&resource=https://redis.azure.com", None);
    assert_eq!(version.json["error"]["code"], "UnsupportedApiVersion");
}

#[test]
fn malformed_requests_get_an_answer_and_do_no_harm() {
    use std::io::{Read, Write};
    let emulator = Emulator::start().unwrap();
    for request in [
        format!(
            "POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
        ),
        format!("GET /{TENANT}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        format!(
            "POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n{}",
            "x".repeat(300_000)
        ),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        let mut stream = tls(&emulator, emulator.entra_port());
        // A refused body may end the connection before all of it was sent.
        let _ = stream.write_all(request.as_bytes());
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        let reply = String::from_utf8_lossy(&reply);
        assert!(reply.starts_with("HTTP/1.1 4") || reply.is_empty(), "{reply}");
    }
    token_of(&emulator, "service-principal");
}

#[test]
fn nobody_answers_when_entra_is_unreachable() {
    let emulator = Emulator::builder().entra_unreachable(true).start().unwrap();
    let environment = emulator.environment("system").unwrap();
    let endpoint = environment.get("IDENTITY_ENDPOINT").unwrap();
    let address = endpoint.strip_prefix("http://").unwrap().split('/').next().unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
    assert!(std::net::TcpStream::connect(("127.0.0.1", emulator.entra_port())).is_err());
}

/// Without the variables client libraries would turn to an address that is not ours.
#[test]
fn a_service_principal_that_asks_for_a_managed_identity_is_answered_here() {
    let emulator = Emulator::start().unwrap();
    for identity in emulator.directory().identities.iter().map(|identity| identity.name.clone()) {
        let environment = emulator.environment(&identity).unwrap();
        assert!(environment.get("IDENTITY_ENDPOINT").unwrap().starts_with("http://127.0.0.1:"), "{identity}");
        assert!(environment.get("IDENTITY_HEADER").is_some(), "{identity}");
    }
    let endpoint = emulator.environment("service-principal").unwrap().get("IDENTITY_ENDPOINT").unwrap().to_owned();
    let reply = support::managed_identity_at(
        &emulator,
        &endpoint,
        "api-version=2019-08-01&resource=https://redis.azure.com",
        None,
    );
    assert_eq!(reply.status, 400);
    let last = emulator.events().pop().unwrap().kind;
    assert!(matches!(&last, EventKind::TokenRefused { why, .. } if why.contains("as a service principal")), "{last:?}");
}
