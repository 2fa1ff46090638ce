//! Changing an emulator while it runs, in Rust and over HTTP: what a client of the cache and of Entra ID then sees, who may do it,
//! and that the description of the API is true.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use azure_managed_redis_emulator::{
    ClosedBy, Control, Emulator, Event, EventKind, Fault, Flow, Identity, Presented, Refusal, Service,
};
use serde_json::{Value, json};
use support::{Client, PATIENCE, entra_get, entra_post, managed_identity, managed_identity_at, refusals, token_of};

const WRONGPASS: &str = "-WRONGPASS invalid username-password pair";

/// A connection on which the identity has signed in.
fn signed_in(emulator: &Emulator, identity: &str) -> Client {
    let (object_id, token) = token_of(emulator, identity);
    let mut client = Client::connect(emulator);
    assert_eq!(client.sign_in(&object_id, &token), "+OK");
    client
}

/// The answer of the managed identity endpoint to the application's own identity.
fn ask_for_a_token(emulator: &Emulator) -> u16 {
    managed_identity(emulator, "api-version=2019-08-01&resource=https://redis.azure.com", None).status
}

/// The answer of Entra ID to the service principal.
fn ask_entra_for_a_token(emulator: &Emulator) -> u16 {
    let environment = emulator.environment("service-principal").unwrap();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", environment.get("AZURE_CLIENT_ID").unwrap()),
        ("client_secret", environment.get("AZURE_CLIENT_SECRET").unwrap()),
        ("scope", "https://redis.azure.com/.default"),
    ];
    entra_post(emulator, &format!("/{}/oauth2/v2.0/token", environment.get("AZURE_TENANT_ID").unwrap()), &form).status
}

/// How its connections ended, in order.
fn ends(emulator: &Emulator) -> Vec<ClosedBy> {
    let end = |event: &Event| match event.kind {
        EventKind::ConnectionClosed { by, .. } => Some(by),
        _ => None,
    };
    emulator.events().iter().filter_map(end).collect()
}

fn identity(emulator: &Emulator, name: &str) -> Identity {
    emulator.directory().identity(name).unwrap().clone()
}

// What the changes do.

#[test]
fn a_changed_assignment_changes_the_rights_of_open_connections() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let mut client = signed_in(&emulator, "system");
    assert_eq!(client.command(&["SET", "orders:1", "new"]), "+OK");
    let object_id = identity(&emulator, "system").object_id;
    control.assign("system", object_id, Some("+get ~orders:*")).unwrap();
    assert_eq!(client.bulk(&["GET", "orders:1"]), "new");
    for refused in [["SET", "orders:1", "old"].as_slice(), &["GET", "customers:1"]] {
        let reply = client.command(refused);
        assert!(reply.starts_with("-NOPERM"), "{refused:?}: {reply}");
    }
    control.assign("system", object_id, None).unwrap();
    assert_eq!(client.command(&["SET", "customers:1", "new"]), "+OK");
    assert!(ends(&emulator).is_empty(), "the connection stays");
}

#[test]
fn a_removed_assignment_drops_its_connections_and_lets_nobody_in() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let (mut theirs, mut other) = (signed_in(&emulator, "user"), signed_in(&emulator, "system"));
    let (object_id, token) = token_of(&emulator, "user");
    control.unassign("user").unwrap();
    assert!(theirs.is_closed());
    assert_eq!(other.command(&["PING"]), "+PONG");
    assert_eq!(Client::connect(&emulator).sign_in(&object_id, &token), WRONGPASS);
    assert_eq!(refusals(&emulator), [Refusal::NoAssignment]);
    assert_eq!(ends(&emulator).first(), Some(&ClosedBy::AssignmentRemoved));
    control.assign("another", object_id.parse().unwrap(), None).unwrap();
    assert_eq!(Client::connect(&emulator).sign_in(&object_id, &token), "+OK", "the token is still good");
}

#[test]
fn an_identity_can_be_added_and_removed() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let unknown = |name: &str| control.environment(name).unwrap_err().to_string();
    assert!(unknown("orders").contains("there is no identity 'orders'; the directory has: system, user"));
    let api = Api::of(&emulator);
    assert_eq!(api.call("PUT", "/v1/identities/orders", json!({ "kind": "user-assigned" })).status, 201);
    let (object_id, token) = token_of(&emulator, "orders");
    assert_eq!(Client::connect(&emulator).sign_in(&object_id, &token), WRONGPASS);
    control.assign("orders", object_id.parse().unwrap(), None).unwrap();
    assert_eq!(Client::connect(&emulator).sign_in(&object_id, &token), "+OK");
    control.remove_identity("orders").unwrap();
    assert!(unknown("orders").contains("there is no identity 'orders'"));
    assert_eq!(Client::connect(&emulator).sign_in(&object_id, &token), "+OK", "a token outlives its identity");
}

#[test]
fn an_identity_that_is_replaced_keeps_its_ids() {
    let emulator = Emulator::start().unwrap();
    let (before, api) = (identity(&emulator, "service-principal"), Api::of(&emulator));
    let body = json!({ "kind": "service-principal", "secrets": ["another"], "token_lifetime_seconds": 60 });
    assert_eq!(api.call("PUT", "/v1/identities/service-principal", body).status, 200);
    let after = identity(&emulator, "service-principal");
    assert_eq!((after.object_id, after.client_id), (before.object_id, before.client_id));
    assert_eq!(after.token_lifetime, Some(Duration::from_secs(60)));
    assert_eq!(emulator.environment("service-principal").unwrap().get("AZURE_CLIENT_SECRET"), Some("another"));
    assert_eq!(ask_entra_for_a_token(&emulator), 200);
}

#[test]
fn a_part_of_an_identity_can_change() {
    let emulator = Emulator::start().unwrap();
    let (before, api) = (identity(&emulator, "service-principal"), Api::of(&emulator));
    let change = |body: Value| api.call("PATCH", "/v1/identities/service-principal", body);
    assert_eq!(change(json!({ "token_lifetime_seconds": 7 })).json["token_lifetime_seconds"], 7);
    let short = Identity { token_lifetime: Some(Duration::from_secs(7)), ..before.clone() };
    assert_eq!(identity(&emulator, "service-principal"), short);
    assert_eq!(change(json!({ "token_lifetime_seconds": null })).json["token_lifetime_seconds"], Value::Null);
    assert_eq!(identity(&emulator, "service-principal"), before);
    assert_eq!(change(json!({ "secrets": ["rolled"] })).status, 200);
    assert_eq!(emulator.environment("service-principal").unwrap().get("AZURE_CLIENT_SECRET"), Some("rolled"));
}

#[test]
fn a_fault_makes_requests_for_tokens_go_wrong_until_it_is_over() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    control.set_fault(Service::Entra, Fault::Fail { status: 503 }, None).unwrap();
    assert_eq!(ask_entra_for_a_token(&emulator), 503);
    assert_eq!(ask_for_a_token(&emulator), 200, "the other service is well");
    let discovery = format!("/{}/v2.0/.well-known/openid-configuration", emulator.directory().tenant_id);
    assert_eq!(entra_get(&emulator, &discovery).status, 200, "discovery gives out no token");
    control.clear_fault(Service::Entra);
    assert_eq!(ask_entra_for_a_token(&emulator), 200);

    let delay = Duration::from_millis(300);
    control.set_fault(Service::ManagedIdentity, Fault::Slow { delay }, None).unwrap();
    assert_eq!(control.fault(Service::ManagedIdentity), Some((Fault::Slow { delay }, None)));
    let start = Instant::now();
    assert_eq!(ask_for_a_token(&emulator), 200);
    assert!(start.elapsed() >= delay, "{:?}", start.elapsed());

    control.set_fault(Service::ManagedIdentity, Fault::Hang, Some(PATIENCE)).unwrap();
    let (fault, left) = control.fault(Service::ManagedIdentity).unwrap();
    assert!(fault == Fault::Hang && left.is_some_and(|left| left <= PATIENCE), "{left:?}");
    let (start, lasts) = (Instant::now(), Duration::from_millis(400));
    control.set_fault(Service::ManagedIdentity, Fault::Hang, Some(lasts)).unwrap();
    assert_eq!(ask_for_a_token(&emulator), 200, "it is answered when the fault is over");
    assert!(start.elapsed() >= lasts, "{:?}", start.elapsed());
    assert_eq!(control.fault(Service::ManagedIdentity), None);
}

#[test]
fn after_a_rotation_tokens_of_the_key_before_are_good_for_as_long_as_was_said() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let (object_id, old) = token_of(&emulator, "system");
    control.rotate_signing_key(Duration::from_secs(3600)).unwrap();
    let (_, new) = token_of(&emulator, "system");
    assert_eq!(control.signing_keys().len(), 2);
    for token in [&old, &new] {
        assert_eq!(Client::connect(&emulator).sign_in(&object_id, token), "+OK");
    }
    control.rotate_signing_key(Duration::ZERO).unwrap();
    assert_eq!(Client::connect(&emulator).sign_in(&object_id, &old), "+OK");
    assert_eq!(Client::connect(&emulator).sign_in(&object_id, &new), WRONGPASS);
    assert_eq!(refusals(&emulator), [Refusal::UnknownKey]);
}

#[test]
fn connections_expire_on_demand() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let (mut user, mut system) = (signed_in(&emulator, "user"), signed_in(&emulator, "system"));
    let mut waiting = Client::connect(&emulator);
    assert!(waiting.command(&["PING"]).starts_with("-NOAUTH"));
    let open: Vec<_> = control.connections().into_iter().map(|open| open.identity).collect();
    assert_eq!(open, [Some("user".to_owned()), Some("system".to_owned()), None]);
    assert_eq!(control.expire_connections(Some("user")).unwrap(), 1);
    assert!(user.is_closed());
    assert_eq!(system.command(&["PING"]), "+PONG");
    assert_eq!(control.expire_connections(None).unwrap(), 1);
    assert!(system.is_closed());
    assert!(waiting.command(&["PING"]).starts_with("-NOAUTH"), "who has no token has none that could run out");
    let expired = |event: &Event| matches!(event.kind, EventKind::ConnectionExpired { .. });
    assert_eq!(emulator.events().iter().filter(|event| expired(event)).count(), 2);
    let error = control.expire_connections(Some("nobody")).unwrap_err().to_string();
    assert!(error.contains("there is no identity 'nobody'; the directory has: system"), "{error}");
}

#[test]
fn a_stopped_engine_ends_connections_and_comes_back_empty() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let mut client = signed_in(&emulator, "system");
    client.command(&["SET", "key", "value"]);
    assert!(control.engine_runs() && control.stop_engine() && !control.engine_runs());
    assert!(client.is_closed());
    assert!(Client::connect(&emulator).is_closed(), "nothing is behind the port");
    assert!(!control.stop_engine(), "it is stopped already");
    assert!(control.fail_over(0).unwrap_err().to_string().contains("start it first"));
    assert!(control.start_engine().unwrap());
    let mut client = signed_in(&emulator, "system");
    assert_eq!(client.command(&["GET", "key"]), "$-1");
}

#[test]
fn a_failover_closes_connections_and_keeps_the_data() {
    let emulator = Emulator::start().unwrap();
    let mut client = signed_in(&emulator, "system");
    client.command(&["SET", "key", "value"]);
    emulator.control().fail_over(0).unwrap();
    assert!(client.is_closed());
    assert_eq!(signed_in(&emulator, "system").bulk(&["GET", "key"]), "value");
    assert_eq!(ends(&emulator).first(), Some(&ClosedBy::Failover));
    let error = emulator.control().fail_over(3).unwrap_err().to_string();
    assert_eq!(error, "there is no shard 3; the cache has 1, counted from 0");
}

#[test]
fn tokens_can_be_dated_into_the_future_and_the_past() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    for (shift, reason) in [(3600, Refusal::NotYetValid), (-2 * 86_400, Refusal::Expired)] {
        control.shift_clock(shift);
        let (object_id, token) = token_of(&emulator, "system");
        assert_eq!(Client::connect(&emulator).sign_in(&object_id, &token), WRONGPASS);
        assert_eq!(refusals(&emulator).last(), Some(&reason), "{shift}");
    }
    control.shift_clock(0);
    signed_in(&emulator, "system");
}

#[test]
fn another_certificate_is_presented_to_the_next_connection() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let mut before = signed_in(&emulator, "system");
    for presented in [Presented::OtherAuthority, Presented::OtherName] {
        for (service, port) in [(Service::Redis, emulator.redis_port()), (Service::Entra, emulator.entra_port())] {
            control.present(service, presented).unwrap();
            let mut stream = support::tls(&emulator, port);
            assert!(stream.write_all(b"PING\r\n").is_err(), "{presented:?} of {service} was accepted");
        }
    }
    assert_eq!(before.command(&["PING"]), "+PONG", "open connections stay");
    control.present(Service::Redis, Presented::Trusted).unwrap();
    control.present(Service::Entra, Presented::Trusted).unwrap();
    signed_in(&emulator, "service-principal");
    let error = control.present(Service::ManagedIdentity, Presented::OtherName).unwrap_err().to_string();
    assert!(error.contains("plain HTTP"), "{error}");
}

#[test]
fn access_keys_work_while_they_are_on_and_switching_them_off_drops_everybody() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let mut token = signed_in(&emulator, "system");
    assert_eq!(control.access_keys(), None);
    let keys = control.switch_access_keys(true).unwrap().unwrap();
    assert_eq!(control.switch_access_keys(true).unwrap().as_ref(), Some(&keys), "they stay while they are on");
    let mut connections = vec![];
    for key in [&keys.primary, &keys.secondary] {
        let mut client = Client::connect(&emulator);
        assert_eq!(client.command(&["AUTH", key]), "+OK");
        assert_eq!(client.command(&["SET", "key", "value"]), "+OK");
        connections.push(client);
    }
    assert_eq!(Client::connect(&emulator).command(&["AUTH", "no-key"]), WRONGPASS);
    assert_eq!(control.connections().iter().filter(|open| open.access_key).count(), 2);
    assert_eq!(control.switch_access_keys(false).unwrap(), None);
    assert!(token.is_closed() && connections.iter_mut().all(Client::is_closed));
    assert_eq!(Client::connect(&emulator).command(&["AUTH", &keys.primary]), WRONGPASS);
    signed_in(&emulator, "system");
    assert_eq!(control.switch_access_keys(true).unwrap().as_ref(), Some(&keys), "they come back the same");
    let log = serde_json::to_string(&emulator.events()).unwrap();
    assert!(!log.contains(&keys.primary) && !log.contains(&keys.secondary), "a key is in the log");
}

/// So that a program with a key in its environment, and one that was started before, go on after a restart and after a reset.
#[test]
fn a_program_with_an_access_key_finds_it_and_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Emulator::builder().access_keys(true).state_folder(folder.path()).start().unwrap();
    let emulator = start();
    let environment = emulator.environment("access-key").unwrap();
    let names: Vec<_> = environment.iter().map(|(name, _)| name).collect();
    let (before, trust) = names.split_at(5);
    assert_eq!(before, ["REDIS_HOST", "REDIS_PORT", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "REDIS_ACCESS_KEY"]);
    assert!(trust.contains(&"SSL_CERT_FILE") && trust.contains(&"NODE_EXTRA_CA_CERTS"), "{trust:?}");
    let key = environment.get("REDIS_ACCESS_KEY").unwrap().to_owned();
    assert_eq!(Client::connect(&emulator).command(&["AUTH", "default", &key]), "+OK");
    // The endpoint has no token to give, and keeps libraries from asking at the address of virtual machines.
    let query = "api-version=2019-08-01&resource=https://redis.azure.com";
    assert_eq!(managed_identity_at(&emulator, environment.get("IDENTITY_ENDPOINT").unwrap(), query, None).status, 400);

    let (control, api) = (emulator.control(), Api::of(&emulator));
    control.switch_access_keys(false).unwrap();
    let error = emulator.environment("access-key").unwrap_err().to_string();
    assert!(error.contains("access keys are off") && error.contains("control access-keys on"), "{error}");
    let refused = api.call("GET", "/v1/identities/access-key/environment", Value::Null);
    assert_eq!((refused.status, &refused.json["type"]), (409, &json!("urn:amr-emulator:access-keys-off")));
    control.reset().unwrap();
    assert_eq!(api.get("/v1/identities/access-key/environment")["REDIS_ACCESS_KEY"], json!(key));
    drop(emulator);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&folder.path().join("access-keys").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(start().environment("access-key").unwrap().get("REDIS_ACCESS_KEY"), Some(key.as_str()));

    std::fs::write(folder.path().join("access-keys"), "one line").unwrap();
    let damaged = Emulator::builder().state_folder(folder.path()).start().err().unwrap().to_string();
    assert!(damaged.contains("access-keys") && damaged.contains("delete it to get new ones"), "{damaged}");
}

#[test]
fn a_token_can_be_had_without_asking_entra_id_and_is_as_any_other() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    for identity in control.directory().identities.iter().filter(|identity| identity.name != "unassigned") {
        control.set_fault(Service::Entra, Fault::Hang, None).unwrap();
        let token = control.issue_token(&identity.name).unwrap();
        assert_eq!(token.user_name, identity.object_id);
        assert!(token.lifetime >= Duration::from_secs(3600) && !format!("{token:?}").contains(&token.secret));
        let mut client = Client::connect(&emulator);
        assert_eq!(client.sign_in(&token.user_name.to_string(), &token.secret), "+OK", "{}", identity.name);
    }
    let reply = Api::of(&emulator).call("POST", "/v1/identities/user/tokens", Value::Null).json;
    let claims = support::claims(reply["token"].as_str().unwrap());
    assert_eq!((&reply["user_name"], &reply["expires_on"]), (&claims["oid"], &claims["exp"]));
    let log = serde_json::to_string(&emulator.events()).unwrap();
    assert!(log.contains(&format!("user: <token uti={}>", claims["uti"].as_str().unwrap())) && !log.contains("eyJ"));
}

#[test]
fn a_reset_makes_everything_as_it_was_at_the_start() {
    let emulator = Emulator::builder().access_keys(true).start().unwrap();
    let (control, api) = (emulator.control(), Api::of(&emulator));
    let usual = |status: Value| {
        let without = |name: &str| !["last_event", "connections"].contains(&name);
        status
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .filter(|(name, _)| without(name))
            .collect::<serde_json::Map<_, _>>()
    };
    let (status, directory, assignments) = (api.get("/v1/status"), emulator.directory(), control.assignments());
    let mut client = signed_in(&emulator, "system");
    let (object_id, token) = token_of(&emulator, "user");
    client.command(&["SET", "key", "value"]);

    let user = identity(&emulator, "user");
    control.set_identity(Identity { token_lifetime: Some(Duration::from_secs(1)), ..user.clone() }).unwrap();
    control.remove_identity("system").unwrap();
    control.unassign("system").unwrap();
    control.assign("user", user.object_id, Some("+get ~*")).unwrap();
    control.assign("unassigned", identity(&emulator, "unassigned").object_id, None).unwrap();
    control.switch_access_keys(false).unwrap();
    control.set_fault(Service::Entra, Fault::Hang, None).unwrap();
    control.set_fault(Service::ManagedIdentity, Fault::Hang, None).unwrap();
    control.shift_clock(86_400);
    control.present(Service::Redis, Presented::OtherName).unwrap();
    control.present(Service::Entra, Presented::OtherAuthority).unwrap();
    control.stop_engine();
    control.rotate_signing_key(Duration::from_secs(3600)).unwrap();
    assert_ne!(usual(api.get("/v1/status")), usual(status.clone()));

    control.reset().unwrap();
    assert_eq!(usual(api.get("/v1/status")), usual(status));
    assert_eq!(emulator.directory().identities, directory.identities);
    let mut restored = control.assignments();
    restored.sort_by_key(|one| assignments.iter().position(|other| other.name == one.name));
    assert_eq!(restored, assignments);
    assert_eq!(signed_in(&emulator, "system").command(&["GET", "key"]), "$-1");
    let mut user = Client::connect(&emulator);
    assert_eq!(user.sign_in(&object_id, &token), "+OK", "tokens stay good");
    assert_eq!(user.command(&["SET", "key", "value"]), "+OK");
    assert_eq!(ask_entra_for_a_token(&emulator), 200);
}

#[test]
fn mistakes_are_named_with_what_there_is() {
    let emulator = Emulator::start().unwrap();
    let control = emulator.control();
    let (user, unassigned) = (identity(&emulator, "user"), identity(&emulator, "unassigned"));
    let says = |result: Result<(), azure_managed_redis_emulator::Error>, says: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(says), "{error}\nand not {says}");
    };
    let assign = |name: &str, id, rules| control.assign(name, id, rules).map(drop);
    says(control.unassign("nobody"), "there is no assignment 'nobody'; the cache has: system, user, serviceprincipal");
    says(control.remove_identity("nobody"), "there is no identity 'nobody'; the directory has: system");
    says(assign("my-app", unassigned.object_id, None), "^[A-Za-z0-9]{1,60}$");
    says(assign("second", user.object_id, None), "has the assignment 'user' already");
    says(assign("user", unassigned.object_id, None), "belongs to the principal 0b1ec700-0000-4000-8000-000000000002");
    says(assign("user", user.object_id, Some("+@nothing")), "InvalidAccessString");
    says(assign("user", user.object_id, Some("on >secret")), "InvalidAccessString");
    says(control.set_identity(Identity { name: "second".to_owned(), ..user }), "have the same object id");
    says(control.set_fault(Service::Redis, Fault::Hang, None), "Redis gives out no tokens");
    says(control.set_fault(Service::Entra, Fault::Fail { status: 200 }, None), "there are 400 to 599");
}

// The API over HTTP.

/// A client of the control API.
struct Api {
    agent: ureq::Agent,
    address: String,
    token: String,
}

/// What the API answers.
#[derive(Debug)]
struct Reply {
    status: u16,
    content_type: String,
    json: Value,
}

impl Api {
    fn of(emulator: &Emulator) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        let agent = config.timeout_recv_response(Some(PATIENCE)).build().new_agent();
        Api { agent, address: emulator.control_address(), token: emulator.control_token().to_owned() }
    }

    fn request(&self, method: &str, path: &str) -> ureq::http::request::Builder {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        request.header("authorization", format!("Bearer {}", self.token))
    }

    /// Sends the request; a body that is null is none.
    fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        let request = self.request(method, path);
        let response = match body {
            Value::Null => self.agent.run(request.body(()).unwrap()),
            body => self.agent.run(request.header("content-type", "application/json").body(body.to_string()).unwrap()),
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let content_type = response.headers().get("content-type").map(|it| it.to_str().unwrap().to_owned());
        let text = response.body_mut().read_to_string().unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply { status: response.status().as_u16(), content_type: content_type.unwrap_or_default(), json }
    }

    fn get(&self, path: &str) -> Value {
        let reply = self.call("GET", path, Value::Null);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json
    }

    /// The lines of a stream.
    fn lines(&self, path: &str, accept: &str, last_event_id: &str) -> impl Iterator<Item = String> + use<> {
        let request = self.request("GET", path).header("accept", accept).header("last-event-id", last_event_id);
        let response = self.agent.run(request.body(()).unwrap()).unwrap();
        assert_eq!(response.status().as_u16(), 200);
        BufReader::new(response.into_body().into_reader()).lines().map(|line| line.expect("no stream is broken off"))
    }
}

/// Sends the bytes and gives what comes back until the other side closes, or nothing if it does not answer at all.
fn raw(emulator: &Emulator, request: &str) -> String {
    let address = emulator.control_address();
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Fails if the other side has refused it before its end.
    let _ = stream.write_all(request.as_bytes());
    let mut reply = Vec::new();
    match stream.read_to_end(&mut reply) {
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("no end within {PATIENCE:?}"),
        _ => String::from_utf8_lossy(&reply).into_owned(),
    }
}

fn status_of(reply: &str) -> u16 {
    reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no reply: '{reply}'"))
}

#[test]
fn the_api_does_what_control_does() {
    let emulator = Emulator::start().unwrap();
    let (control, api): (Control, Api) = (emulator.control(), Api::of(&emulator));
    let status = api.get("/v1/status");
    assert_eq!(status["ports"]["redis"], emulator.redis_port());
    assert_eq!(status["engine"]["version"], emulator.engine().version);
    assert_eq!(
        api.get("/v1/identities")["identities"].as_array().unwrap().len(),
        emulator.directory().identities.len()
    );
    let environment = api.get("/v1/identities/user/environment");
    let expected: serde_json::Map<_, _> =
        emulator.environment("user").unwrap().iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    assert_eq!(environment, Value::Object(expected));

    let mut client = signed_in(&emulator, "system");
    let connections =
        json!({ "connections": [{ "connection": 1, "shard": 0, "identity": "system", "access_key": false }] });
    assert_eq!(api.get("/v1/connections"), connections);
    assert_eq!(
        api.call("PUT", "/v1/assignments/system", json!({ "identity": "system", "access_string": "+get ~*" })).status,
        200
    );
    assert!(client.command(&["SET", "key", "value"]).starts_with("-NOPERM"));
    assert_eq!(api.call("DELETE", "/v1/connections?identity=system", Value::Null).json, json!({ "expired": 1 }));
    assert!(client.is_closed());
    assert_eq!(api.call("DELETE", "/v1/assignments/system", Value::Null).status, 204);
    assert_eq!(api.get("/v1/assignments")["assignments"].as_array().unwrap().len(), control.assignments().len());

    assert_eq!(
        api.call("PUT", "/v1/faults/entra", json!({ "kind": "fail", "status": 429, "lasts_ms": 600_000 })).status,
        204
    );
    assert_eq!(ask_entra_for_a_token(&emulator), 429);
    let faults = api.get("/v1/faults")["faults"].clone();
    assert_eq!((&faults[0]["service"], &faults[0]["status"]), (&json!("entra"), &json!(429)));
    assert!(faults[0]["ends_in_ms"].as_u64().is_some_and(|left| (500_000..=600_000).contains(&left)));
    assert_eq!(api.call("DELETE", "/v1/faults/entra", Value::Null).status, 204);
    assert_eq!(ask_entra_for_a_token(&emulator), 200);

    let keys = api.call("POST", "/v1/signing-keys", Value::Null);
    assert_eq!((keys.status, keys.json), (201, json!({ "keys": control.signing_keys() })));
    assert_eq!(control.signing_keys().len(), 2, "the key before is honoured if nothing else is said");
    api.call("PUT", "/v1/clock", json!({ "shift_seconds": -60 }));
    assert_eq!(control.clock_shift(), -60);
    api.call("PUT", "/v1/certificates/redis", json!({ "presents": "other-name" }));
    assert_eq!(control.presented(Service::Redis), Some(Presented::OtherName));
    let keys = api.call("PUT", "/v1/access-keys", json!({ "enabled": true })).json;
    assert_eq!(keys["primary"], control.access_keys().unwrap().primary);
    assert_eq!(api.call("PUT", "/v1/engine", json!({ "running": false })).json["running"], false);
    assert!(!control.engine_runs());
    assert_eq!(api.call("POST", "/v1/reset", Value::Null).status, 204);
    assert!(control.engine_runs() && control.access_keys().is_none() && control.clock_shift() == 0);
}

#[test]
fn only_who_knows_the_token_and_asks_for_this_host_is_answered() {
    let emulator = Emulator::start().unwrap();
    let token = emulator.control_token();
    let authority = emulator.control_address().strip_prefix("http://").unwrap().to_owned();
    let port = authority.rsplit_once(':').unwrap().1;
    let ask =
        |headers: &str| raw(&emulator, &format!("GET /v1/access-keys HTTP/1.1\r\nConnection: close\r\n{headers}\r\n"));
    let (host, right) = (format!("Host: {authority}\r\n"), format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(status_of(&ask(&format!("{host}{right}"))), 200);
    assert_eq!(status_of(&ask(&format!("Host: localhost:{port}\r\n{right}Origin: http://localhost:{port}\r\n"))), 200);
    for (headers, status) in [
        (host.clone(), 401),
        (format!("{host}Authorization: Bearer {}\r\n", &token[1..]), 401),
        (format!("{host}Authorization: Bearer {}x\r\n", &token[1..]), 401),
        (format!("{host}Authorization: Basic {token}\r\n"), 401),
        (right.clone(), 403),
        (format!("Host: evil.example:{port}\r\n{right}"), 403),
        (format!("Host: localhost\r\n{right}"), 403),
        (format!("{host}{right}Origin: http://evil.example\r\n"), 403),
        (format!("{host}{right}Origin: null\r\n"), 403),
    ] {
        let reply = ask(&headers);
        assert_eq!(status_of(&reply), status, "{headers}");
        assert!(reply.contains("application/problem+json") && !reply.contains(token), "{reply}");
        assert!(!reply.to_ascii_lowercase().contains("access-control-allow"), "{reply}");
    }
    let preflight = format!(
        "OPTIONS /v1/reset HTTP/1.1\r\n{host}Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(status_of(&raw(&emulator, &preflight)), 403);
    let elsewhere = format!("GET http://evil.example/v1/status HTTP/1.1\r\n{host}{right}Connection: close\r\n\r\n");
    assert_eq!(status_of(&raw(&emulator, &elsewhere)), 403);
    // What is not there is not told to strangers either.
    assert_eq!(status_of(&raw(&emulator, &format!("GET /nothing HTTP/1.1\r\n{host}Connection: close\r\n\r\n"))), 401);
    assert!(!serde_json::to_string(&emulator.events()).unwrap().contains(token));
    assert_ne!(Emulator::start().unwrap().control_token(), token, "each run has another");
}

#[test]
fn a_client_that_sends_too_much_or_too_slowly_is_cut_off() {
    let emulator = Emulator::start().unwrap();
    let authority = emulator.control_address().strip_prefix("http://").unwrap().to_owned();
    let head = |length: usize| {
        format!(
            "PUT /v1/clock HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n",
            emulator.control_token()
        )
    };
    std::thread::scope(|scope| {
        let half_a_head = scope.spawn(|| raw(&emulator, "GET /v1/status HTTP/1.1\r\nHo"));
        let nothing = scope.spawn(|| raw(&emulator, ""));
        let half_a_body = scope.spawn(|| raw(&emulator, &(head(100) + "{\"shift_seconds\":")));
        let too_much = scope.spawn(|| raw(&emulator, &head(1 << 30)));
        // One that does not say beforehand how much will come.
        let chunked = head(0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
        let chunk = format!("{chunked}{:x}\r\n{}\r\n0\r\n\r\n", 100_000, "x".repeat(100_000));
        let emulator = &emulator;
        let unbounded = scope.spawn(move || raw(emulator, &chunk));
        // Meanwhile it answers others.
        assert_eq!(Api::of(emulator).get("/v1/clock")["shift_seconds"], 0);
        assert_eq!(status_of(&too_much.join().unwrap()), 413);
        assert_eq!(status_of(&half_a_body.join().unwrap()), 408);
        for (cut_off, status) in [(half_a_head, 408), (nothing, 408), (unbounded, 413)] {
            // The system may throw an answer away when more comes in than was read.
            let reply = cut_off.join().unwrap();
            assert!(reply.is_empty() || status_of(&reply) == status, "{reply}");
        }
    });
}

/// Clients keep connections for the next request, and must not find them closed. A second one comes after a longer pause than a first
/// one is waited for.
#[test]
fn a_connection_is_kept_for_the_next_request() {
    let emulator = Emulator::start().unwrap();
    let authority = emulator.control_address().strip_prefix("http://").unwrap().to_owned();
    let token = emulator.control_token();
    let request = format!("GET /v1/clock HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut stream = TcpStream::connect(&authority).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for pause in [0, 7, 0] {
        std::thread::sleep(Duration::from_secs(pause));
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = [0; 15];
        stream.read_exact(&mut reply).expect("an answer on the same connection");
        assert_eq!(&reply, b"HTTP/1.1 200 OK");
        let mut rest = [0; 4096];
        assert!(stream.read(&mut rest).unwrap() > 0);
    }
}

/// Some clients send the end of an empty body in a piece of its own, which may come after the answer is ready.
#[test]
fn a_body_that_nobody_needs_is_read_to_its_end() {
    let emulator = Emulator::start().unwrap();
    let authority = emulator.control_address().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&authority).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for (path, token, status) in [
        ("/v1/reset", emulator.control_token(), "204"),
        ("/v1/identities/nobody/tokens", emulator.control_token(), "404"),
        ("/v1/reset", "wrong", "401"),
        ("/v1/reset", emulator.control_token(), "204"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        stream.write_all(b"0\r\n\r\n").unwrap();
        let mut reply = [0; 12];
        stream.read_exact(&mut reply).unwrap_or_else(|e| panic!("{path}: the connection was closed: {e}"));
        assert_eq!(String::from_utf8_lossy(&reply), format!("HTTP/1.1 {status}"));
        let mut rest = [0; 4096];
        assert!(stream.read(&mut rest).unwrap() > 0);
    }
}

// The description.

/// Whether a value is as a schema of the description says. Knows the words that the description uses, and no others.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let is_a = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is new to this test"),
    };
    for (word, says) in schema.as_object().unwrap_or_else(|| panic!("{at}: {schema} is no schema")) {
        match word.as_str() {
            "description" | "example" | "format" | "default" => {}
            "$ref" => {
                let path = says.as_str().unwrap().trim_start_matches('#');
                let target = document.pointer(path).unwrap_or_else(|| panic!("{path} leads nowhere"));
                check(document, target, value, at)?;
            }
            "oneOf" => {
                let results: Vec<_> =
                    says.as_array().unwrap().iter().map(|one| check(document, one, value, at)).collect();
                if results.iter().filter(|result| result.is_ok()).count() != 1 {
                    return Err(format!("{at}: {value} is not one of those: {results:?}"));
                }
            }
            "allOf" => says.as_array().unwrap().iter().try_for_each(|one| check(document, one, value, at))?,
            "type" => {
                let names = says.as_array().cloned().unwrap_or_else(|| vec![says.clone()]);
                if !names.iter().any(|name| is_a(name.as_str().unwrap())) {
                    return Err(format!("{at}: {value} is no {says}"));
                }
            }
            "enum" if !says.as_array().unwrap().contains(value) => {
                return Err(format!("{at}: {value} is none of {says}"));
            }
            "minimum" if value.as_i64().is_some_and(|value| value < says.as_i64().unwrap()) => {
                return Err(format!("{at}: {value} is below {says}"));
            }
            "enum" | "minimum" => {}
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, says, item, &format!("{at}[{index}]"))?;
                }
            }
            "required" => {
                let names = says.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                if let Some(missing) = names.into_iter().find(|name| value.is_object() && value.get(name).is_none()) {
                    return Err(format!("{at}: {missing} is missing in {value}"));
                }
            }
            "properties" => {
                for (name, schema) in says.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(document, schema, value, &format!("{at}.{name}"))?;
                    }
                }
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object();
                for (name, value) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    match says {
                        Value::Bool(false) => return Err(format!("{at}: nobody knows {name}")),
                        schema => check(document, schema, value, &format!("{at}.{name}"))?,
                    }
                }
            }
            "propertyNames" => {}
            other => panic!("{at}: the word {other} is new to this test"),
        }
    }
    Ok(())
}

/// A request that the description tells of, and the status that it must be answered with.
type Case = (&'static str, &'static str, &'static str, Value, u16);

/// A request for each documented reply that is not about the form of requests; see `formal_cases` for those.
fn cases() -> Vec<Case> {
    let (user, one, fault) = ("0b1ec700-0000-4000-8000-000000000002", "/v1/identities/{name}", "/v1/faults/{service}");
    let (assignment, certificate) = ("/v1/assignments/{name}", "/v1/certificates/{service}");
    let failover = "/v1/shards/{shard}/failover";
    vec![
        ("GET", "/v1/openapi.json", "/v1/openapi.json", Value::Null, 200),
        ("GET", "/v1/status", "/v1/status", Value::Null, 200),
        ("GET", "/v1/events", "/v1/events?since=0", Value::Null, 200),
        ("GET", "/v1/events", "/v1/events?until=5", Value::Null, 422),
        ("GET", "/v1/identities", "/v1/identities", Value::Null, 200),
        ("PUT", one, "/v1/identities/orders", json!({ "kind": "user-assigned" }), 201),
        (
            "PUT",
            one,
            "/v1/identities/batch",
            json!({
                "kind": "service-principal", "token_lifetime_seconds": 60, "secrets": ["a", "b"],
                "federated_credentials": [{ "subject": "system:serviceaccount:default:batch" }]
            }),
            201,
        ),
        ("PUT", one, "/v1/identities/orders", json!({ "kind": "user-assigned", "token_lifetime_seconds": 60 }), 200),
        ("PUT", one, "/v1/identities/orders", json!({ "kind": "user-assigned", "secrets": ["x"] }), 422),
        ("PUT", one, "/v1/identities/a%20b", json!({ "kind": "user-assigned" }), 422),
        (
            "PUT",
            one,
            "/v1/identities/batch",
            json!({ "kind": "service-principal", "certificates": ["relative.pem"] }),
            422,
        ),
        ("PUT", one, "/v1/identities/second", json!({ "kind": "user-assigned", "object_id": user }), 409),
        ("PUT", one, "/v1/identities/second", json!({ "kind": "system-assigned" }), 409),
        ("GET", one, "/v1/identities/orders", Value::Null, 200),
        ("GET", one, "/v1/identities/nobody", Value::Null, 404),
        ("PATCH", one, "/v1/identities/orders", json!({ "token_lifetime_seconds": null }), 200),
        ("PATCH", one, "/v1/identities/orders", json!({ "token_lifetime_seconds": 0 }), 422),
        ("PATCH", one, "/v1/identities/nobody", json!({}), 404),
        ("GET", "/v1/identities/{name}/environment", "/v1/identities/user/environment", Value::Null, 200),
        ("GET", "/v1/identities/{name}/environment", "/v1/identities/nobody/environment", Value::Null, 404),
        ("GET", "/v1/identities/{name}/environment", "/v1/identities/user/environment?hosting=cloud", Value::Null, 422),
        (
            "GET",
            "/v1/identities/{name}/environment",
            "/v1/identities/certificate/environment?pfx=true&proxy=true",
            Value::Null,
            200,
        ),
        ("POST", "/v1/identities/{name}/tokens", "/v1/identities/user/tokens", Value::Null, 201),
        ("POST", "/v1/identities/{name}/tokens", "/v1/identities/nobody/tokens", Value::Null, 404),
        ("PUT", assignment, "/v1/assignments/orders", json!({ "identity": "orders" }), 201),
        ("PUT", assignment, "/v1/assignments/orders", json!({ "identity": "orders", "access_string": "+get ~*" }), 200),
        ("PUT", assignment, "/v1/assignments/orders", json!({ "identity": "orders", "access_string": "on" }), 422),
        ("PUT", assignment, "/v1/assignments/orders", json!({ "identity": "nobody" }), 422),
        ("PUT", assignment, "/v1/assignments/orders", json!({}), 422),
        ("PUT", assignment, "/v1/assignments/my-app", json!({ "identity": "unassigned" }), 422),
        ("PUT", assignment, "/v1/assignments/second", json!({ "object_id": user }), 409),
        ("PUT", assignment, "/v1/assignments/orders", json!({ "identity": "unassigned" }), 409),
        ("GET", "/v1/assignments", "/v1/assignments", Value::Null, 200),
        ("GET", assignment, "/v1/assignments/orders", Value::Null, 200),
        ("GET", assignment, "/v1/assignments/nobody", Value::Null, 404),
        ("DELETE", assignment, "/v1/assignments/orders", Value::Null, 204),
        ("DELETE", assignment, "/v1/assignments/orders", Value::Null, 404),
        ("DELETE", assignment, "/v1/assignments/my-app", Value::Null, 404),
        ("DELETE", one, "/v1/identities/orders", Value::Null, 204),
        ("DELETE", one, "/v1/identities/orders", Value::Null, 404),
        ("PUT", fault, "/v1/faults/entra", json!({ "kind": "fail", "status": 503 }), 204),
        ("PUT", fault, "/v1/faults/entra", json!({ "kind": "slow", "delay_ms": 5, "lasts_ms": 60_000 }), 204),
        ("PUT", fault, "/v1/faults/managed-identity", json!({ "kind": "hang" }), 204),
        ("PUT", fault, "/v1/faults/entra", json!({ "kind": "fail", "status": 200 }), 422),
        ("PUT", fault, "/v1/faults/entra", json!({ "kind": "slow", "delay_ms": u64::MAX }), 422),
        ("PUT", fault, "/v1/faults/entra", json!({ "kind": "hang", "lasts_ms": u64::MAX }), 422),
        ("PUT", fault, "/v1/faults/redis", json!({ "kind": "hang" }), 404),
        ("PUT", fault, "/v1/faults/dns", json!({ "kind": "hang" }), 404),
        ("GET", "/v1/faults", "/v1/faults", Value::Null, 200),
        ("DELETE", fault, "/v1/faults/managed-identity", Value::Null, 204),
        ("DELETE", fault, "/v1/faults/redis", Value::Null, 404),
        ("GET", "/v1/signing-keys", "/v1/signing-keys", Value::Null, 200),
        ("POST", "/v1/signing-keys", "/v1/signing-keys", json!({ "honoured_seconds": 60 }), 201),
        ("POST", "/v1/signing-keys", "/v1/signing-keys", json!({ "honoured_seconds": u64::MAX }), 422),
        ("PUT", "/v1/clock", "/v1/clock", json!({ "shift_seconds": 5 }), 200),
        ("PUT", "/v1/clock", "/v1/clock", json!({ "shift_seconds": i64::MIN }), 422),
        ("GET", "/v1/clock", "/v1/clock", Value::Null, 200),
        ("GET", "/v1/certificates", "/v1/certificates", Value::Null, 200),
        ("PUT", certificate, "/v1/certificates/redis", json!({ "presents": "other-name" }), 200),
        ("PUT", certificate, "/v1/certificates/redis", json!({ "presents": "none" }), 422),
        ("PUT", certificate, "/v1/certificates/managed-identity", json!({ "presents": "trusted" }), 404),
        ("GET", "/v1/access-keys", "/v1/access-keys", Value::Null, 200),
        ("PUT", "/v1/access-keys", "/v1/access-keys", json!({ "enabled": true }), 200),
        ("GET", "/v1/access-keys", "/v1/access-keys", Value::Null, 200),
        ("PUT", "/v1/access-keys", "/v1/access-keys", json!({ "enabled": false }), 200),
        ("GET", "/v1/connections", "/v1/connections", Value::Null, 200),
        ("DELETE", "/v1/connections", "/v1/connections?identity=user", Value::Null, 200),
        ("DELETE", "/v1/connections", "/v1/connections?identity=nobody", Value::Null, 422),
        ("DELETE", "/v1/connections", "/v1/connections?user=nobody", Value::Null, 422),
        ("GET", "/v1/shards", "/v1/shards", Value::Null, 200),
        ("POST", failover, "/v1/shards/0/failover", Value::Null, 200),
        ("POST", failover, "/v1/shards/7/failover", Value::Null, 404),
        ("POST", failover, "/v1/shards/first/failover", Value::Null, 404),
        ("GET", "/v1/engine", "/v1/engine", Value::Null, 200),
        ("PUT", "/v1/engine", "/v1/engine", json!({ "running": false }), 200),
        ("POST", failover, "/v1/shards/0/failover", Value::Null, 409),
        ("POST", "/v1/reset", "/v1/reset", Value::Null, 204),
        // From here on there is no program any more to start an engine with.
        ("POST", failover, "/v1/shards/0/failover", Value::Null, 500),
        ("PUT", "/v1/engine", "/v1/engine", json!({ "running": true }), 500),
        ("POST", "/v1/reset", "/v1/reset", Value::Null, 500),
    ]
}

#[test]
fn the_description_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let engine = folder.path().join("redis-server");
    let found = Emulator::start().unwrap().engine().path.clone();
    std::os::unix::fs::symlink(found, &engine).unwrap();
    let emulator = Emulator::builder().engine(&engine).start().unwrap();
    let api = Api::of(&emulator);
    let document = api.get("/v1/openapi.json");
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    serde_json::from_value::<utoipa::openapi::OpenApi>(document.clone()).expect("the description is OpenAPI");
    signed_in(&emulator, "system");

    let operation = |method: &str, path: &str| {
        let operation = &document["paths"][path][method.to_ascii_lowercase()];
        assert!(operation.is_object(), "{method} {path} is not described");
        operation
    };
    let mut answered = BTreeSet::new();
    for (method, template, path, body, status) in cases() {
        if status == 500 {
            let _ = std::fs::remove_file(&engine);
        }
        let what = format!("{method} {path} {body}");
        let operation = operation(method, template);
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if !body.is_null() && status < 400 {
            check(&document, schema, &body, &what).unwrap();
        }
        let reply = api.call(method, path, body);
        assert_eq!(reply.status, status, "{what}: {reply:?}");
        check_reply(&document, operation, &reply, &what);
        answered.insert((method.to_owned(), template.to_owned(), status));
    }
    // At once, because some are answered only after a while.
    let replies = std::thread::scope(|scope| {
        let (api, emulator) = (&api, &emulator);
        let send = |case: (String, String, String, u16)| {
            scope.spawn(move || (send_badly(api, emulator, &case.0, &case.2, case.3), case))
        };
        let sent: Vec<_> = formal_cases(&document).into_iter().map(send).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect::<Vec<_>>()
    });
    for (reply, (method, template, path, status)) in replies {
        assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
        check_reply(&document, operation(&method, &template), &reply, &format!("{method} {path}"));
        answered.insert((method, template, status));
    }

    let mut documented = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for status in operation["responses"].as_object().unwrap().keys() {
                documented.insert((method.to_ascii_uppercase(), path.clone(), status.parse::<u16>().unwrap()));
            }
            let named: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let in_path = parameters.filter(|parameter| parameter["in"] == "path");
            assert_eq!(
                in_path.map(|it| it["name"].as_str().unwrap()).collect::<BTreeSet<_>>(),
                named,
                "{method} {path}"
            );
        }
    }
    let never: Vec<_> = documented.difference(&answered).collect();
    assert!(never.is_empty(), "documented and never answered: {never:?}");
    let silent: Vec<_> = answered.difference(&documented).collect();
    assert!(silent.is_empty(), "answered and not documented: {silent:?}");

    for event in emulator.events() {
        let event = serde_json::to_value(event).unwrap();
        check(&document, &json!({ "$ref": "#/components/schemas/Event" }), &event, "event").unwrap();
    }
}

fn check_reply(document: &Value, operation: &Value, reply: &Reply, what: &str) {
    let documented = &operation["responses"][reply.status.to_string()];
    assert!(documented.is_object(), "{what}: {} is not described", reply.status);
    if reply.status == 204 {
        return;
    }
    let content = &documented["content"][&reply.content_type];
    assert!(content.is_object(), "{what}: {} is not described", reply.content_type);
    if reply.status >= 400 {
        assert_eq!(reply.content_type, "application/problem+json");
        assert_eq!(reply.json["status"], reply.status);
    }
    // A stream is not one value.
    if reply.content_type != "application/x-ndjson" {
        check(document, &content["schema"], &reply.json, what).unwrap();
    }
}

/// Each documented reply that is about the form of a request, with a path that exists.
fn formal_cases(document: &Value) -> Vec<(String, String, String, u16)> {
    let mut cases = Vec::new();
    for (template, operations) in document["paths"].as_object().unwrap() {
        let path = template.replace("{name}", "user").replace("{service}", "entra").replace("{shard}", "0");
        for (method, operation) in operations.as_object().unwrap() {
            for status in operation["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap()) {
                let of_bodies = operation["requestBody"].is_object() && [400, 408, 413, 415, 422].contains(&status);
                if of_bodies || [401, 403].contains(&status) {
                    cases.push((method.to_ascii_uppercase(), template.clone(), path.clone(), status));
                }
            }
        }
    }
    cases
}

/// Sends a request whose form is wrong in the way that the status tells.
fn send_badly(api: &Api, emulator: &Emulator, method: &str, path: &str, status: u16) -> Reply {
    let authority = emulator.control_address().strip_prefix("http://").unwrap().to_owned();
    let host = if status == 403 { "evil.example" } else { authority.as_str() };
    let token = if status == 401 { "wrong" } else { api.token.as_str() };
    let kind = if status == 415 { "text/plain" } else { "application/json" };
    let (body, length) = match status {
        400 => ("{".to_owned(), 1),
        408 => ("{".to_owned(), 2),
        413 => (String::new(), 1 << 20),
        422 => (json!({ "nobody_knows": 1 }).to_string(), 18),
        _ => ("{}".to_owned(), 2),
    };
    let body = if ["GET", "DELETE"].contains(&method) { String::new() } else { body };
    let length = if ["GET", "DELETE"].contains(&method) { 0 } else { length };
    let reply = raw(
        emulator,
        &format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    );
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: '{reply}'"));
    let content_type = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    let json = serde_json::from_str(body).unwrap_or(Value::Null);
    Reply { status: status_of(head), content_type: content_type.to_owned(), json }
}

#[test]
fn a_problem_says_what_why_and_what_to_do_and_repeats_no_secret() {
    let emulator = Emulator::start().unwrap();
    let api = Api::of(&emulator);
    let put = |path: &str, body: Value| api.call("PUT", path, body).json;
    let unknown = api.call("DELETE", "/v1/assignments/nobody", Value::Null).json;
    assert_eq!(unknown["type"], "urn:amr-emulator:unknown-assignment");
    let detail = unknown["detail"].as_str().unwrap();
    assert!(detail.starts_with("there is no assignment 'nobody'; the cache has: system, user"), "{detail}");
    let field = put("/v1/identities/x", json!({ "kind": "user-assigned", "objectid": "x" }));
    assert!(field["detail"].as_str().unwrap().contains("unknown field `objectid`, expected one of `kind`"), "{field}");
    let fault = put("/v1/faults/dns", json!({ "kind": "hang" }));
    assert!(fault["detail"].as_str().unwrap().contains("expected one of `entra`, `managed-identity`"), "{fault}");
    for body in [
        json!({ "kind": "service-principal", "secrets": "hunter2" }),
        json!({ "kind": "service-principal", "secrets": { "first": "hunter2" } }),
        json!({ "kind": "service-principal", "secrets": ["hunter2", 5] }),
        json!({ "kind": "user-assigned", "secrets": ["hunter2"] }),
    ] {
        let problem = put("/v1/identities/x", body).to_string();
        assert!(problem.contains("secrets") && !problem.contains("hunter2"), "{problem}");
    }
    let other = api.call("GET", "/v1/nothing", Value::Null);
    assert_eq!((other.status, &other.json["type"]), (404, &json!("urn:amr-emulator:unknown-resource")));
    let other = api.call("DELETE", "/v1/status", Value::Null);
    assert_eq!((other.status, &other.json["type"]), (405, &json!("urn:amr-emulator:unknown-method")));
}

// The events.

#[test]
fn a_sign_in_can_be_drawn_from_its_events() {
    let emulator = Emulator::start().unwrap();
    let directory = emulator.directory();
    let principal = directory.identity("service-principal").unwrap();
    entra_get(&emulator, &format!("/{}/v2.0/.well-known/openid-configuration", directory.tenant_id));
    let mut client = signed_in(&emulator, "service-principal");
    assert_eq!(client.command(&["PING"]), "+PONG");
    let (object_id, renewed) = token_of(&emulator, "service-principal");
    assert_eq!(client.command(&["HELLO", "3", "AUTH", &object_id, &renewed]), "%7");
    drop(client);
    let closed = |events: &[Event]| events.iter().any(|event| matches!(event.kind, EventKind::ConnectionClosed { .. }));
    assert!(emulator.wait_for(PATIENCE, closed));
    let events = emulator.events();
    let [discovery, issued, opened, first, issued_again, second, end] = events.as_slice() else {
        panic!("{events:#?}")
    };

    let EventKind::HttpRequest { service: Service::Entra, exchange } = &discovery.kind else { panic!("{discovery:?}") };
    assert_eq!((exchange.service, exchange.tls.as_deref()), (Service::Entra, Some("TLSv1.3")));
    assert_eq!((exchange.method.as_str(), exchange.status), ("GET", 200));
    assert!(exchange.path.ends_with("/.well-known/openid-configuration") && exchange.response_body.contains("issuer"));
    let issue = |event: &Event| match event.kind.clone() {
        EventKind::TokenIssued { identity, object_id, flow, token, exchange: Some(exchange), .. } => {
            assert_eq!((identity.as_str(), object_id), ("service-principal", principal.object_id.to_string()));
            assert_eq!((flow, exchange.method.as_str(), exchange.status), (Flow::ClientSecret, "POST", 200));
            assert!(exchange.request_body.contains("client_secret=<secret>"), "{}", exchange.request_body);
            assert!(exchange.response_body.contains(&format!("<token uti={token}>")), "{}", exchange.response_body);
            (token, exchange)
        }
        other => panic!("{other:?}"),
    };
    let EventKind::ConnectionOpened { connection, tls, server_name, shard: None } = &opened.kind else {
        panic!("{opened:?}")
    };
    assert_eq!((*connection, tls.as_str(), server_name.as_deref()), (1, "TLSv1.3", Some("localhost")));
    let sign_in = |event: &Event| match event.kind.clone() {
        EventKind::SignInAccepted {
            connection: 1,
            identity,
            object_id,
            token,
            command,
            nth,
            exchange: Some(it),
            ..
        } => {
            assert_eq!((identity.as_str(), object_id), ("service-principal", principal.object_id.to_string()));
            (token, command, nth, it)
        }
        other => panic!("{other:?}"),
    };
    let ((token, http), (again, http_again)) = (issue(issued), issue(issued_again));
    let ((used, command, nth, resp), (used_again, hello, nth_again, resp_again)) = (sign_in(first), sign_in(second));
    // One token's way, from Entra ID to Redis, by its name.
    assert_eq!((&used, &used_again), (&token, &again));
    assert_eq!((command.as_str(), nth, hello.as_str(), nth_again), ("AUTH", 1, "HELLO", 2));
    assert_eq!(resp.request, ["AUTH", &object_id, &format!("<token uti={token}>")]);
    assert_eq!(resp.reply, "+OK");
    assert_eq!(resp_again.request, ["HELLO", "3", "AUTH", &object_id, &format!("<token uti={again}>")]);
    let EventKind::ConnectionClosed { connection: 1, by: ClosedBy::Client, commands, .. } = &end.kind else {
        panic!("{end:?}")
    };
    assert_eq!((commands["AUTH"], commands["HELLO"], commands["PING"]), (1, 1, 1));

    // An event is dated when the reply goes; the request came `duration_us` earlier. All by one clock, so what followed in this
    // test follows in its times. They are cut to microseconds.
    let began = |event: &Event, microseconds: u64| event.time - Duration::from_micros(microseconds);
    let cut = Duration::from_micros(2);
    let order = [
        (began(discovery, exchange.duration_us), discovery.time),
        (began(issued, http.duration_us), issued.time),
        (opened.time, opened.time),
        (began(first, resp.duration_us), first.time),
        (began(issued_again, http_again.duration_us), issued_again.time),
        (began(second, resp_again.duration_us), second.time),
        (end.time, end.time),
    ];
    for (one, next) in order.iter().zip(&order[1..]) {
        assert!(one.0 <= one.1 && one.1 <= next.0 + cut, "{order:?}");
    }
    assert!(events.iter().map(|event| event.seq).eq(1..=7));

    let log = serde_json::to_string(&events).unwrap();
    let environment = emulator.environment("service-principal").unwrap();
    for secret in ["eyJ", environment.get("AZURE_CLIENT_SECRET").unwrap(), environment.get("IDENTITY_HEADER").unwrap()]
    {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn events_are_read_from_any_place_on() {
    let emulator = Emulator::start().unwrap();
    let (control, api) = (emulator.control(), Api::of(&emulator));
    (1..=5).for_each(|seconds| control.shift_clock(seconds));
    let all = emulator.events();
    assert_eq!(emulator.events_since(0), all);
    assert_eq!(emulator.events_since(3), all[3..]);
    assert!(emulator.events_since(5).is_empty() && emulator.events_since(99).is_empty());
    let read = |path: &str, accept: &str, id: &str| api.lines(path, accept, id).collect::<Vec<_>>();
    let lines = |from: usize| all[from..].iter().map(|event| serde_json::to_string(event).unwrap()).collect::<Vec<_>>();
    assert_eq!(read("/v1/events", "*/*", ""), lines(0));
    assert_eq!(read("/v1/events?since=3", "application/x-ndjson", ""), lines(3));
    assert_eq!(read("/v1/events?since=1", "*/*", "4"), lines(4), "where a reader was cut off counts more");
    let sse = |from: usize| {
        let lines = lines(from).into_iter().zip(from + 1..);
        lines.flat_map(|(line, id)| [format!("id: {id}"), format!("data: {line}"), String::new()]).collect::<Vec<_>>()
    };
    assert_eq!(read("/v1/events?follow=false", "text/event-stream", ""), sse(0));
    assert_eq!(read("/v1/events?follow=false&since=1", "text/html, text/event-stream;q=0.9", "2"), sse(2));
    let wrong = api.request("GET", "/v1/events").header("last-event-id", "first").body(()).unwrap();
    assert_eq!(api.agent.run(wrong).unwrap().status().as_u16(), 422);
}

#[test]
fn whoever_follows_gets_each_event_as_it_comes_and_the_end() {
    let emulator = Emulator::start().unwrap();
    let api = Api::of(&emulator);
    let mut lines = api.lines("/v1/events?follow=true", "*/*", "");
    let mut sse = api.lines("/v1/events", "text/event-stream", "");
    let object_id = identity(&emulator, "system").object_id.to_string();
    let mut client = signed_in(&emulator, "system");
    for expected in ["token-issued", "connection-opened", "sign-in-accepted"] {
        let event: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        assert_eq!(event["event"], expected);
        let (id, data) = (sse.next().unwrap(), sse.next().unwrap());
        assert_eq!(id, format!("id: {}", event["seq"]));
        assert_eq!(serde_json::from_str::<Value>(data.strip_prefix("data: ").unwrap()).unwrap(), event);
        assert_eq!(sse.next().as_deref(), Some(""));
    }
    assert_eq!(client.bulk(&["ACL", "WHOAMI"]), object_id);
    drop(emulator);
    assert!(client.is_closed());
    let rest: Vec<Event> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    let last = &rest.last().unwrap().kind;
    assert!(matches!(last, EventKind::ConnectionClosed { by: ClosedBy::Shutdown, .. }), "{rest:?}");
    assert_eq!(sse.filter(|line| line.starts_with("id: ")).count(), rest.len());
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody_and_misses_what_is_no_longer_kept() {
    let emulator = Emulator::start().unwrap();
    let (control, api) = (emulator.control(), Api::of(&emulator));
    let mut slow = api.lines("/v1/events?follow=true", "*/*", "");
    let number = |line: String| serde_json::from_str::<Event>(&line).unwrap().seq;
    control.shift_clock(1);
    assert_eq!(slow.next().map(number), Some(1));
    // More than the log keeps and the buffers of two sockets hold together.
    for seconds in 0..300_000 {
        control.shift_clock(seconds);
    }
    assert_eq!(api.get("/v1/status")["last_event"], 300_001);
    control.shift_clock(0);
    let mut numbers = slow.map(number).take_while(|&number| number < 300_002);
    let (mut last, mut gaps) = (1, 0);
    for number in &mut numbers {
        assert!(number > last);
        gaps += usize::from(number != last + 1);
        last = number;
    }
    assert_eq!(last, 300_001, "it goes on with the newest");
    assert!(gaps > 0, "nothing is kept for it");
}
