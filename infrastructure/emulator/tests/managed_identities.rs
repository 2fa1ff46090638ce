//! The managed identity endpoints as client libraries meet them: virtual machines (IMDS), App Service in its two versions, and the
//! environments that lead to them.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use azure_managed_redis_emulator::{
    Configuration, Emulator, Environment, EventKind, Fault, Flow, Hosting, IdentityKind, Service,
};
use support::{HttpReply, PATIENCE, hosting, last_refusal};

const IMDS: &str = "/metadata/identity/oauth2/token";
const GOOD: &str = "api-version=2018-02-01&resource=https%3A%2F%2Fredis.azure.com";
const USER: &str = "0b1ec700-0000-4000-8000-000000000002";

/// What clients send to IMDS, with the header.
fn imds(emulator: &Emulator, path: &str, query: &str) -> HttpReply {
    hosting(emulator, "GET", &format!("{path}?{query}"), &[("Metadata", "true")])
}

fn resource_id() -> String {
    let directory = Configuration::fixed().directory;
    match &directory.identity("user").unwrap().kind {
        IdentityKind::UserAssigned { resource_id } => resource_id.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn imds_gives_each_identity_its_token_in_its_own_form() {
    let emulator = Emulator::start().unwrap();
    let ids = [
        (String::new(), "0b1ec700-0000-4000-8000-000000000001"),
        ("&client_id=c11e4700-0000-4000-8000-000000000002".to_owned(), USER),
        (format!("&object_id={USER}"), USER),
        (format!("&principal_id={}", USER.to_uppercase()), USER),
        (format!("&msi_res_id={}", resource_id()), USER),
        (format!("&mi_res_id={}", resource_id().to_uppercase()), USER),
    ];
    for (id, object_id) in ids {
        let reply = imds(&emulator, IMDS, &format!("{GOOD}{id}"));
        assert_eq!(reply.status, 200, "{id}: {reply:?}");
        assert_eq!(
            reply.members(),
            [
                "access_token",
                "client_id",
                "expires_in",
                "expires_on",
                "ext_expires_in",
                "not_before",
                "resource",
                "token_type"
            ],
            "in the order of the alphabet"
        );
        assert!(reply.json.as_object().unwrap().values().all(serde_json::Value::is_string), "{reply:?}");
        let claims = reply.claims();
        assert_eq!(claims["oid"], object_id, "{id}");
        assert_eq!(claims["appid"], reply.json["client_id"]);
        assert_eq!(reply.json["expires_on"], claims["exp"].to_string());
        assert_eq!(reply.json["not_before"], claims["nbf"].to_string());
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["nbf"].as_u64().unwrap(), 86_700);
        assert_eq!(reply.json["ext_expires_in"], "86399");
    }
}

#[test]
fn imds_takes_the_slashes_that_clients_write() {
    let emulator = Emulator::start().unwrap();
    for path in [IMDS.to_owned(), format!("/{IMDS}"), format!("{IMDS}/"), format!("//{IMDS}//")] {
        assert_eq!(imds(&emulator, &path, GOOD).status, 200, "{path}");
    }
    for asked in
        ["https://redis.azure.com/", "https://redis.azure.com/.default", "acca5fbb-b7e4-4009-81f1-37e38fd66d78"]
    {
        let reply = imds(&emulator, IMDS, &format!("api-version=2018-02-01&resource={asked}"));
        assert_eq!(reply.json["resource"], asked, "as it was sent");
        assert_eq!(reply.claims()["aud"], asked.trim_end_matches("/.default"));
    }
}

#[test]
fn imds_refuses_as_a_virtual_machine_does() {
    let emulator = Emulator::start().unwrap();
    let unknown = "00000000-0000-0000-0000-000000000000";
    let no_header = (
        r#"{"error":"invalid_request","error_description":"Required metadata header not specified"}"#,
        "Metadata: true",
    );
    let not_found = r#"{"error":"invalid_request","error_description":"Identity not found"}"#;
    let metadata = &[("Metadata", "true")][..];
    // Method, query, headers; status, body, words of the log's reason.
    type Case<'a> = (&'a str, String, &'a [(&'a str, &'a str)], u16, &'a str, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("GET", GOOD.into(), &[], 400, no_header.0, no_header.1),
        // Client libraries find out with this whether IMDS is there.
        ("GET", "api-version=2018-02-01".into(), &[], 400, no_header.0, no_header.1),
        ("POST", String::new(), &[("Metadata", "false")], 400, no_header.0, no_header.1),
        (
            "POST",
            GOOD.into(),
            metadata,
            405,
            r#"{"error":"invalid_request","error_description":"The method POST is not allowed"}"#,
            "GET only",
        ),
        (
            "GET",
            "resource=https://redis.azure.com".into(),
            metadata,
            400,
            r#"{"error":"invalid_request","error_description":"Required query variable 'api-version' is missing"}"#,
            "2018-02-01",
        ),
        (
            "GET",
            "api-version=2018-02-01".into(),
            metadata,
            400,
            r#"{"error":"invalid_request","error_description":"Required query variable 'resource' is missing"}"#,
            "no resource",
        ),
        (
            "GET",
            "api-version=2018-02-01&resource=".into(),
            metadata,
            400,
            r#"{"error":"invalid_request","error_description":"Required query variable 'resource' is missing"}"#,
            "no resource",
        ),
        (
            "GET",
            format!("{GOOD}&client_id={unknown}"),
            metadata,
            400,
            not_found,
            "has the client id 00000000-0000-0000-0000-000000000000. It has: user (client id",
        ),
        ("GET", format!("{GOOD}&object_id={unknown}"), metadata, 400, not_found, "has the object id"),
        ("GET", format!("{GOOD}&msi_res_id=/subscriptions/x"), metadata, 400, not_found, "has the resource id"),
        // A service principal is no managed identity.
        (
            "GET",
            format!("{GOOD}&client_id=c11e4700-0000-4000-8000-000000000003"),
            metadata,
            400,
            not_found,
            "has the client id",
        ),
    ];
    for (method, query, headers, status, body, why) in cases {
        let reply = hosting(&emulator, method, &format!("{IMDS}?{query}"), headers);
        assert_eq!((reply.status, reply.body.as_str()), (status, body), "{method} {query}");
        let (code, reason) = last_refusal(&emulator);
        assert!(code.is_none() && reason.contains(why), "{query}: {reason}");
    }
    let resource = imds(&emulator, IMDS, "api-version=2018-02-01&resource=user.read");
    assert_eq!(resource.status, 400);
    assert_eq!(
        resource.members(),
        ["error", "error_description", "error_codes", "timestamp", "trace_id", "correlation_id", "error_uri"]
    );
    let text = resource.json["error_description"].as_str().unwrap();
    assert!(text.starts_with("AADSTS500011: The resource principal named user.read was not found"), "{text}");
    assert_eq!(resource.json["error_uri"], "https://westus2.login.microsoft.com/error?code=500011");
    assert_eq!(last_refusal(&emulator).0.as_deref(), Some("AADSTS500011"));
}

#[test]
fn on_a_virtual_machine_no_id_means_the_system_assigned_identity_or_the_only_one() {
    let start = |text: &str| Emulator::builder().configuration(Configuration::parse(text).unwrap()).start().unwrap();
    let one = "[identities.one]\nkind = 'user-assigned'\n";
    let only = start(one);
    let reply = imds_of(&only);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.claims()["appid"], only.directory().identity("one").unwrap().client_id.to_string());

    let several = start(&format!("{one}[identities.two]\nkind = 'user-assigned'\n"));
    let reply = imds_of(&several);
    assert_eq!(
        reply.body,
        r#"{"error":"invalid_request","error_description":"Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request"}"#
    );
    assert!(last_refusal(&several).1.contains("one, two"));

    let none = start("[identities.app]\nkind = 'service-principal'\nsecrets = ['s']\n");
    assert_eq!(imds_of(&none).json["error_description"], "Identity not found");
    assert!(last_refusal(&none).1.contains("no system-assigned identity"));
}

/// The same without the fixed directory, whose environment has the address.
fn imds_of(emulator: &Emulator) -> HttpReply {
    let name = emulator.directory().identities[0].name.clone();
    let environment = emulator.environment(&name).unwrap();
    let endpoint = environment.get("IDENTITY_ENDPOINT").unwrap();
    let address = endpoint.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request =
        format!("GET {IMDS}?{GOOD} HTTP/1.1\r\nHost: {address}\r\nMetadata: true\r\nConnection: close\r\n\r\n");
    support::http(&mut stream, request)
}

#[test]
fn imds_answers_from_its_cache_until_half_of_the_tokens_life_is_over() {
    let emulator = Emulator::builder().token_lifetime("user", Duration::from_secs(2)).start().unwrap();
    let ask = |id: &str| imds(&emulator, IMDS, &format!("{GOOD}{id}"));
    let (first, second) = (ask(""), ask(""));
    assert_eq!(first.json["access_token"], second.json["access_token"]);
    let left = |reply: &HttpReply| reply.json["expires_in"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(left(&second) <= left(&first), "it counts down");

    let user = "&client_id=c11e4700-0000-4000-8000-000000000002";
    let first = ask(user);
    let started = Instant::now();
    loop {
        let next = ask(user);
        if next.json["access_token"] != first.json["access_token"] {
            assert!(next.claims()["exp"].as_u64().unwrap() > first.claims()["exp"].as_u64().unwrap());
            break;
        }
        assert!(started.elapsed() < PATIENCE, "the token was never replaced");
        std::thread::sleep(Duration::from_millis(50));
    }

    // Nobody is given a token again whose key has gone.
    emulator.control().rotate_signing_key(Duration::ZERO).unwrap();
    assert_ne!(ask("").json["access_token"], second.json["access_token"]);
}

#[test]
fn app_service_answers_in_two_versions() {
    let emulator = Emulator::start().unwrap();
    let environment = emulator.environment_in(Hosting::Msi2017, "user").unwrap();
    let secret = environment.get("MSI_SECRET").unwrap();
    let older = |query: &str| {
        hosting(&emulator, "GET", &format!("/msi/token?api-version=2017-09-01&{query}"), &[("secret", secret)])
    };
    let newer = |query: &str| {
        let headers = [("X-IDENTITY-HEADER", secret)];
        hosting(&emulator, "GET", &format!("/msi/token?api-version=2019-08-01&{query}"), &headers)
    };
    let redis = "resource=https://redis.azure.com";
    let members = ["access_token", "expires_on", "resource", "token_type", "client_id"];
    let reply = newer(redis);
    assert_eq!(reply.members(), members);
    assert_eq!(reply.json["expires_on"], reply.claims()["exp"].to_string());

    let system = "0b1ec700-0000-4000-8000-000000000001";
    let client = "c11e4700-0000-4000-8000-000000000002";
    for (query, object_id) in [
        (redis.to_owned(), system),
        (format!("{redis}&clientid={client}"), USER),
        // Known to the newer version only, and passed over.
        (format!("{redis}&client_id={client}"), system),
        (format!("{redis}/.default&clientid={client}"), USER),
    ] {
        let reply = older(&query);
        assert_eq!(reply.status, 200, "{query}: {reply:?}");
        assert_eq!(reply.members(), members);
        let claims = reply.claims();
        assert_eq!(claims["oid"], object_id, "{query}");
        let date = time::macros::format_description!("[month]/[day]/[year] [hour]:[minute]:[second] +00:00");
        let expires = time::PrimitiveDateTime::parse(reply.json["expires_on"].as_str().unwrap(), &date).unwrap();
        assert_eq!(expires.assume_utc().unix_timestamp(), claims["exp"].as_i64().unwrap());
    }
    // Each version wants its own header.
    let wrong = hosting(
        &emulator,
        "GET",
        &format!("/msi/token?api-version=2017-09-01&{redis}"),
        &[("X-IDENTITY-HEADER", secret)],
    );
    assert_eq!((wrong.status, wrong.members()), (401, vec!["statusCode", "message", "correlationId"]));
    assert!(last_refusal(&emulator).1.contains("secret must hold the value of MSI_SECRET; it is missing"));
    let wrong = hosting(&emulator, "GET", &format!("/msi/token?api-version=2019-08-01&{redis}"), &[("secret", secret)]);
    assert_eq!(wrong.status, 401);
    assert!(
        last_refusal(&emulator).1.contains("X-IDENTITY-HEADER must hold the value of IDENTITY_HEADER; it is missing")
    );
    let log = serde_json::to_string(&emulator.events()).unwrap();
    assert!(!log.contains(secret), "the secret is in the log");
}

#[test]
fn a_fault_takes_the_form_of_the_endpoint_that_has_it() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    for (status, body) in [
        (429, r#"{"error":"invalid_request","error_description":"Temporarily throttled, too many requests"}"#),
        (
            500,
            r#"{"error":"unknown","error_description":"Failed to retrieve token from the Active directory. For details see logs in "#,
        ),
    ] {
        control.set_fault(Service::ManagedIdentity, Fault::Fail { status }, None).unwrap();
        let reply = imds(&emulator, IMDS, GOOD);
        assert_eq!(reply.status, status);
        assert!(reply.body.starts_with(body), "{}", reply.body);
        let app_service =
            support::managed_identity(&emulator, "api-version=2019-08-01&resource=https://redis.azure.com", None);
        assert_eq!(app_service.status, status);
        assert_eq!(app_service.json["message"], "An unexpected error occured while fetching the AAD Token.");
        assert!(last_refusal(&emulator).1.contains("on purpose"));
    }
    control.clear_fault(Service::ManagedIdentity);
    assert_eq!(imds(&emulator, IMDS, GOOD).status, 200);
}

#[test]
fn an_environment_leads_to_the_hosting_that_was_asked_for_and_to_no_other() {
    let emulator = Emulator::start().unwrap();
    for identity in ["system", "user"] {
        let imds = emulator.environment_in(Hosting::Imds, identity).unwrap();
        let host = imds.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap();
        assert!(host.starts_with("http://127.0.0.1:"), "{host}");
        let msi = emulator.environment_in(Hosting::Msi2017, identity).unwrap();
        assert_eq!(msi.get("MSI_ENDPOINT"), Some(format!("{host}/msi/token").as_str()));
        for name in ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"] {
            assert_eq!(imds.get(name), None, "client libraries would prefer it");
            assert_eq!(msi.get(name), None, "client libraries would prefer it");
        }
    }
    for identity in ["service-principal", "certificate", "workload", "developer"] {
        let error = emulator.environment_in(Hosting::Imds, identity).unwrap_err().to_string();
        assert!(error.contains("is no managed identity"), "{error}");
    }
    for (name, hosting) in Hosting::ALL {
        assert_eq!(name.parse::<Hosting>().unwrap(), *hosting);
        assert_eq!(hosting.to_string(), *name);
    }
}

/// A program that is started as one identity must find nothing of another.
#[test]
fn whatever_an_environment_says_of_an_identity_is_taken_away_for_another() {
    let emulator = Emulator::start().unwrap();
    let of_others: BTreeSet<&str> = Environment::of_other_identities().collect();
    for identity in emulator.directory().identities.iter().map(|identity| identity.name.clone()) {
        for (_, hosting) in Hosting::ALL {
            let Ok(environment) = emulator.environment_in(*hosting, &identity) else { continue };
            for (name, _) in &environment {
                let of_an_identity =
                    name.starts_with("AZURE_") || name.starts_with("IDENTITY_") || name.starts_with("MSI_");
                assert!(!of_an_identity || of_others.contains(name), "{name} of {identity}");
            }
        }
    }
}

#[test]
fn a_token_of_each_hosting_opens_the_cache() {
    let emulator = Emulator::start().unwrap();
    let token = imds(&emulator, IMDS, GOOD).json["access_token"].as_str().unwrap().to_owned();
    let mut client = support::Client::connect(&emulator);
    assert_eq!(client.sign_in("0b1ec700-0000-4000-8000-000000000001", &token), "+OK");
    let issued = emulator.events().into_iter().find_map(|event| match event.kind {
        EventKind::TokenIssued { flow, identity, .. } => Some((flow, identity)),
        _ => None,
    });
    assert_eq!(issued, Some((Flow::ManagedIdentity, "system".to_owned())));
}
