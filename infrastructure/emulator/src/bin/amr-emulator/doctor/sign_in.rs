//! The seventh step: `AUTH` with the principal and its token, and what the server says.

use std::net::SocketAddr;

use redis::Value;

use super::case::Case;
use super::cause::Cause;
use super::credential::Token;
use super::redis::{Connection, Reply};
use super::report::{Examined, Fact, StepName};
use super::tls::shake_hands;
use super::token::Principal;

const STEP: StepName = StepName::SignIn;

pub(super) fn examine(case: &Case, address: SocketAddr, token: &Token, principal: &Principal) -> Examined<Connection> {
    let object_id = &principal.object_id;
    let sent = |answer: &str| Fact::new("AUTH", answer);
    let stream = match shake_hands(address, &case.target.server_name, &case.trust, case.patience).result {
        Ok(stream) => stream,
        Err(failure) => {
            let how = failure.explain();
            let cause = Cause::sign_in_no_answer(&how);
            return Examined::failed(STEP, "no second connection", vec![sent("not sent").bad(how)], cause);
        }
    };
    let mut connection = Connection::new(stream, case.patience);
    let reply = connection.command(&["AUTH", object_id, token.text.expose()]);
    match reply {
        Reply::Value(Value::Okay) => {}
        Reply::Value(other) => {
            let cause = Cause::sign_in_refused(&format!("it answers {other:?}"));
            return Examined::failed(STEP, "an answer that AUTH does not have", vec![sent("?").bad("")], cause);
        }
        Reply::Error(said) => {
            // The older service puts ERR in front.
            let cause = if said.contains("WRONGPASS") {
                Cause::not_assigned(&case.target, object_id, &principal.tenant, &said)
            } else {
                Cause::sign_in_refused(&said)
            };
            return Examined::failed(STEP, "Redis refuses", vec![sent(&said).bad("")], cause);
        }
        Reply::Lost(how) => {
            let cause = Cause::sign_in_no_answer(&how);
            return Examined::failed(STEP, "no answer", vec![sent("no answer").bad(how)], cause);
        }
        Reply::NotRedis(start) => {
            let cause = Cause::not_redis(&case.target, &start);
            return Examined::failed(STEP, "the server is no Redis", vec![sent(&start).bad("")], cause);
        }
    }
    let mut facts = vec![sent("OK").good("the oid as the user name, the token as the password")];
    facts.push(match connection.command(&["ACL", "WHOAMI"]) {
        Reply::Value(Value::BulkString(name)) => Fact::new("ACL WHOAMI", String::from_utf8_lossy(&name)),
        Reply::Error(said) if said.starts_with("NOPERM") => {
            Fact::new("ACL WHOAMI", "not permitted").note("to this principal's access string")
        }
        Reply::Error(said) => Fact::new("ACL WHOAMI", said),
        _ => Fact::new("ACL WHOAMI", "no answer").remark(""),
    });
    let failed = |said: String, mut facts: Vec<Fact>| {
        let cause = Cause::command_failed("PING", &said);
        facts.push(Fact::new("PING", said).bad(""));
        Examined::failed(STEP, "signed in, but nothing works", facts, cause)
    };
    match connection.command(&["PING"]) {
        Reply::Value(_) => facts.push(Fact::new("PING", "PONG").good("")),
        Reply::Error(said) if said.starts_with("NOPERM") => {
            facts.push(Fact::new("PING", "not permitted").note("to this principal's access string"));
        }
        Reply::Error(said) | Reply::Lost(said) | Reply::NotRedis(said) => return failed(said, facts),
    }
    Examined::ok(STEP, format!("signed in as {object_id}"), facts, connection)
}
