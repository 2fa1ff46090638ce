//! The emulator's event log as sentences, for the page of a listing. It reads the recorded JSON,
//! in which volatile values are masked, and so takes every value as text.

use serde_json::Value;

use crate::html::escape;

/// One event as a list item in HTML. An event of a kind that is not known here shows its name.
pub(crate) fn item(event: &Value) -> String {
    let kind = text(event, "event");
    format!("<li class=\"event event-{}\">{}</li>", escape(&kind), sentence(&kind, event))
}

fn sentence(kind: &str, event: &Value) -> String {
    let code = |name: &str| format!("<b>{}</b>", escape(&text(event, name)));
    let plain = |name: &str| escape(&text(event, name));
    // Masked where several did the same.
    let connection = match text(event, "connection").parse::<u64>() {
        Ok(number) => format!("Connection {number}"),
        Err(_) => "A connection".to_owned(),
    };
    match kind {
        "token-issued" => {
            format!("Token issued to {} by {}, valid for {}", code("identity"), flow(event), duration(event))
        }
        "token-refused" => {
            let client = match event.get("client_id") {
                Some(_) => format!(" to client {}", code("client_id")),
                None => String::new(),
            };
            let number = match event.get("code") {
                Some(_) => format!(", {}", plain("code")),
                None => String::new(),
            };
            format!("Token refused{client} with {} {}{number}: {}", plain("status"), plain("error"), plain("why"))
        }
        "http-request" => {
            let exchange = event.get("exchange").unwrap_or(&Value::Null);
            format!(
                "{} answered {} {} with {}",
                service(event),
                escape(&text(exchange, "method")),
                escape(&text(exchange, "path")),
                escape(&text(exchange, "status"))
            )
        }
        "connection-opened" => {
            let shard = match event.get("shard") {
                Some(_) => format!(", shard {}", plain("shard")),
                None => String::new(),
            };
            match event.get("server_name") {
                Some(_) => format!("{connection} opened over {} to {}{shard}", plain("tls"), code("server_name")),
                None => format!("{connection} opened over {}{shard}", plain("tls")),
            }
        }
        "access-key-accepted" => format!("{connection} signed in with an access key by {}", plain("command")),
        "proxy-connected" => format!("The proxy led to {}, which is the emulator", code("host")),
        "proxy-refused" => format!("The proxy refused {}", code("host")),
        "tls-failed" => format!("TLS with {} failed: {}", service(event), plain("why")),
        "sign-in-accepted" => {
            let again = match (text(event, "renewal").as_str(), text(event, "nth").as_str()) {
                ("true", _) => "signed in again, with a new token,",
                (_, "1") => "signed in",
                _ => "signed in again, with the same token,",
            };
            format!("{connection} {again} as {} by {}", code("identity"), plain("command"))
        }
        "sign-in-refused" => {
            format!("{connection} was refused as {} ({}): {}", code("username"), plain("reason"), plain("why"))
        }
        "error-reply" => format!("{connection} got the error {} for {}", plain("error"), plain("command")),
        "connection-expired" => {
            format!("{connection} was cut: the token of {} ran out and no new one came", code("identity"))
        }
        "control" => match text(event, "action").as_str() {
            "access-keys" => format!("Access keys were turned {} on the cache", plain("detail")),
            action => format!("The cache was changed, {}: {}", escape(action), plain("detail")),
        },
        "connection-closed" => format!("{connection} closed {}{}", closed_by(event), ran(event)),
        other => escape(other),
    }
}

fn text(event: &Value, name: &str) -> String {
    match event.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn flow(event: &Value) -> String {
    match text(event, "flow").as_str() {
        "managed-identity" => "the managed identity endpoint".to_owned(),
        "client-secret" => "Entra ID, for a client secret".to_owned(),
        "client-certificate" => "Entra ID, for an assertion signed with a certificate".to_owned(),
        "federated-credential" => "Entra ID, for a token of another issuer".to_owned(),
        "azure-cli" => "the Azure CLI, for a person".to_owned(),
        other => escape(&other.replace('-', " ")),
    }
}

fn service(event: &Value) -> String {
    match text(event, "service").as_str() {
        "entra" => "Entra ID".to_owned(),
        "managed-identity" => "The managed identity endpoint".to_owned(),
        "redis" => "Redis".to_owned(),
        other => escape(other),
    }
}

fn closed_by(event: &Value) -> String {
    match text(event, "by").as_str() {
        "client" => "by the client".to_owned(),
        "expiry" => "when its token ran out".to_owned(),
        "no-sign-in" => "because it did not sign in in time".to_owned(),
        "server" => "by the server".to_owned(),
        "idle" => "because it was idle for too long".to_owned(),
        "assignment-removed" => "because its assignment was removed".to_owned(),
        "access-keys-off" => "because access keys were switched off".to_owned(),
        "failover" => "because its shard failed over".to_owned(),
        "shutdown" => "when the emulator stopped".to_owned(),
        other => format!("by {}", escape(other)),
    }
}

/// What ran on a connection before it closed.
fn ran(event: &Value) -> String {
    if event.get("commands").is_none() {
        return String::new();
    }
    let commands: Vec<_> = event
        .get("commands")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, count)| match count {
            Value::Number(once) if once.as_u64() == Some(1) => escape(name),
            Value::String(masked) => format!("{} ({})", escape(name), escape(masked)),
            times => format!("{} ({times}×)", escape(name)),
        })
        .collect();
    let mut sentence = match commands.is_empty() {
        true => ", without a command".to_owned(),
        false => format!(" after {}", commands.join(", ")),
    };
    for (name, what) in [("error_replies", "error replies"), ("unanswered", "unanswered")] {
        if let Some(count) = event.get(name).and_then(Value::as_u64)
            && count > 0
        {
            sentence += &format!(", {count} {what}");
        }
    }
    sentence
}

fn duration(event: &Value) -> String {
    let Some(seconds) = event.get("lifetime").and_then(Value::as_u64) else {
        return escape(&text(event, "lifetime"));
    };
    let (count, unit) = match seconds {
        s if s > 0 && s % 3600 == 0 => (s / 3600, "hour"),
        s if s > 0 && s % 60 == 0 => (s / 60, "minute"),
        s => (s, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
