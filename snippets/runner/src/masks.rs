//! Makes two runs that did the same look the same: volatile values are replaced by named masks, and events whose order
//! is chance are put into one. Recordings are written and compared through here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use azure_managed_redis_emulator::{Event, EventKind};
use listings::Mask;
use regex::Regex;
use serde_json::{Value, json};

use crate::judge;

/// Masks that every text goes through, in this order.
static IN_TEXT: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\b(localhost|127\.0\.0\.1|\[::1\]):\d+", "$1:<port>"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| UTC|\+00:00)?", "<time>"),
        // Seconds since 1970, between the years 2020 and 2096.
        (r"\b(1[6-9]|[23]\d)\d{8}\b", "<time>"),
        (r"\b\d+ s ago\b", "<duration> ago"),
        // `Trace ID: …` in Entra ID's texts, `"trace_id":"…"` in its replies, `client-request-id=…` in a client's addresses.
        (r#"(?i)\b((?:trace|correlation|request)[ _-]?id"?[:=] ?"?)[0-9a-f-]{36}"#, "$1<id>"),
        (r"thread '([^']*)' \(\d+\)", "thread '$1'"),
    ]
    .into_iter()
    .map(|(pattern, with)| (Regex::new(pattern).expect("the mask is a regular expression"), with))
    .collect()
});

/// Replaces what differs from run to run in texts of one run. It numbers the tokens of the events that are told, in the
/// order in which they come up there.
pub(crate) struct Masks<'a> {
    tokens: Vec<(String, String)>,
    own: &'a [Mask],
}

impl<'a> Masks<'a> {
    /// `told` are the events that will be recorded, `own` the masks of the listing or mistake, besides those that all have.
    pub(crate) fn new(told: &[Event], own: &'a [Mask]) -> Masks<'a> {
        let mut tokens: Vec<(String, String)> = Vec::new();
        for event in told {
            if let EventKind::TokenIssued { token, .. }
            | EventKind::SignInAccepted { token, .. }
            | EventKind::ConnectionExpired { token, .. } = &event.kind
                && tokens.iter().all(|(known, _)| known != token)
            {
                tokens.push((token.clone(), format!("token-{}", tokens.len() + 1)));
            }
        }
        Masks { tokens, own }
    }

    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_string();
        for (token, name) in &self.tokens {
            text = text.replace(token.as_str(), name);
        }
        for (pattern, with) in IN_TEXT.iter() {
            text = pattern.replace_all(&text, *with).into_owned();
        }
        for mask in self.own {
            text = mask.pattern.replace_all(&text, mask.with.as_str()).into_owned();
        }
        text
    }

    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        text.lines().map(|line| self.text(line)).collect()
    }

    /// One event as it is recorded.
    pub(crate) fn event(&self, event: &Event) -> Value {
        let mut value = serde_json::to_value(event).expect("an event is JSON");
        let object = value.as_object_mut().expect("an event is an object");
        object.remove("seq");
        object.remove("time");
        if object.contains_key("expires") {
            object.insert("expires".to_string(), json!("<time>"));
        }
        // Who of the two is the first to close a connection after a QUIT is chance.
        if object.get("commands").is_some_and(|commands| commands.get(judge::QUIT).is_some()) {
            object.insert("by".to_string(), json!("client"));
        }
        // What a client leaves unanswered when it goes away is chance.
        object.remove("unanswered");
        if let Some(exchange) = object.get_mut("exchange").and_then(Value::as_object_mut) {
            exchange.remove("duration_us");
        }
        self.texts(&mut value);
        value
    }

    fn texts(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.texts(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.texts(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The event log as it is recorded. `counted` says whether how often a command ran means something.
    pub(crate) fn events(&self, events: &[Event], counted: bool) -> Vec<Value> {
        let mut recorded = Vec::new();
        // A connection is opened while the first token is on its way, or before, or after: chance. It is told just
        // before the first thing that happens on it.
        let mut opened: BTreeMap<u64, Value> = BTreeMap::new();
        let mut sign_ins: BTreeMap<u64, u64> = BTreeMap::new();
        for event in events {
            let value = match &event.kind {
                EventKind::ConnectionOpened { connection, .. } => {
                    opened.insert(*connection, self.event(event));
                    continue;
                }
                // Whether a repeated sign-in with the same token still comes before the program ends is chance too.
                EventKind::SignInAccepted { nth: 2.., renewal: false, .. } => continue,
                EventKind::SignInAccepted { connection, .. } => {
                    let nth = sign_ins.entry(*connection).or_default();
                    *nth += 1;
                    let mut value = self.event(event);
                    value["nth"] = json!(*nth);
                    value
                }
                EventKind::ConnectionClosed { .. } => {
                    let mut value = self.event(event);
                    commands(&mut value, counted);
                    value
                }
                _ => self.event(event),
            };
            let connection = value.get("connection").and_then(Value::as_u64);
            recorded.extend(connection.and_then(|number| opened.remove(&number)));
            recorded.push(value);
        }
        recorded.extend(opened.into_values());
        recorded
    }
}

/// The event log of a program that does several things at once: what happened, each thing once. Which connection, which token
/// and how often is chance.
impl Masks<'_> {
    pub(crate) fn event_set(&self, events: &[Event]) -> Vec<Value> {
        let mut set: Vec<Value> = Vec::new();
        for mut value in self.events(events, false) {
            let Some(members) = value.as_object_mut() else { continue };
            for (name, mask) in [("connection", "<connection>"), ("token", "<token>"), ("nth", "<nth>")] {
                if let Some(member) = members.get_mut(name) {
                    *member = json!(mask);
                }
            }
            // How often each connection of a pool was used is chance, and so is which it was.
            members.remove("commands");
            members.remove("error_replies");
            members.remove("exchange");
            if !set.contains(&value) {
                set.push(value);
            }
        }
        let place = |event: &Value| {
            const ORDER: &[&str] = &["token-issued", "connection-opened", "sign-in-accepted", "connection-closed"];
            let kind = event.get("event").and_then(Value::as_str).unwrap_or_default();
            ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
        };
        set.sort_by_cached_key(|event| (place(event), event.to_string()));
        set
    }
}

/// Sign-ins have events of their own, and their repetition is chance; the number of other commands is where a program
/// runs until it is stopped.
fn commands(closed: &mut Value, counted: bool) {
    let Some(commands) = closed.get_mut("commands").and_then(Value::as_object_mut) else {
        return;
    };
    commands.remove("AUTH");
    if !counted {
        commands.values_mut().for_each(|count| *count = json!("<count>"));
    }
}

/// Recorded events without what depends on the engine of this machine: error replies that are let pass, how far the
/// engine knows the subcommands of `CLIENT`, and its answer to `HELLO`.
pub(crate) fn without_engine(events: &[Value]) -> Vec<Value> {
    let text = |event: &Value, name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
    let of_engine = |event: &Value| {
        text(event, "event") == "error-reply"
            && judge::tolerated(&text(event, "command"), &text(event, "error")).is_some()
    };
    let mut kept: Vec<_> = events.iter().filter(|event| !of_engine(event)).cloned().collect();
    for event in &mut kept {
        let is_hello = text(event, "command") == "HELLO";
        let Some(members) = event.as_object_mut() else { continue };
        members.remove("error_replies");
        if let Some(commands) = members.get_mut("commands").and_then(Value::as_object_mut) {
            commands.retain(|name, _| name != "CLIENT" && !name.starts_with("CLIENT|"));
        }
        if let Some(exchange) = members.get_mut("exchange").and_then(Value::as_object_mut)
            && is_hello
        {
            exchange.remove("reply");
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use azure_managed_redis_emulator::ClosedBy;

    use super::*;
    use crate::judge::events::{closed, issued, opened, signed_in};

    fn recorded(events: &[EventKind]) -> Vec<Value> {
        let events = judge::events::log(events);
        Masks::new(&events, &[]).events(&events, true)
    }

    #[test]
    fn the_order_of_what_happens_at_once_is_not_recorded() {
        let token_first = recorded(&[
            issued("user", "uti-a"),
            opened(1),
            signed_in("user", 1, "uti-a", 1, false),
            closed(1, &["PING"]),
        ]);
        let connection_first = recorded(&[
            opened(1),
            issued("user", "uti-b"),
            signed_in("user", 1, "uti-b", 1, false),
            closed(1, &["PING"]),
        ]);
        assert_eq!(token_first, connection_first);
    }

    #[test]
    fn of_what_happens_at_once_each_thing_is_recorded_once() {
        let run = |connections: &[u64]| {
            let mut events = vec![issued("user", "uti-a")];
            for connection in connections {
                events.push(opened(*connection));
                events.push(signed_in("user", *connection, "uti-a", 1, false));
            }
            events.extend(connections.iter().map(|connection| closed(*connection, &["GET"])));
            let events = judge::events::log(&events);
            Masks::new(&events, &[]).event_set(&events)
        };
        assert_eq!(run(&[1, 2, 3]), run(&[2, 1]));
        assert_eq!(run(&[1, 2]).len(), 4);
    }

    #[test]
    fn a_repeated_sign_in_is_not_recorded_and_a_renewal_is() {
        let start = [issued("user", "uti-a"), opened(1), signed_in("user", 1, "uti-a", 1, false)];
        let end = [issued("user", "uti-b"), closed(1, &["PING"])];
        let plain = recorded(&[&start[..], &[signed_in("user", 1, "uti-b", 2, true)], &end[..]].concat());
        let repeated = recorded(
            &[&start[..], &[signed_in("user", 1, "uti-a", 2, false), signed_in("user", 1, "uti-b", 3, true)], &end[..]]
                .concat(),
        );
        assert_eq!(plain, repeated);
        assert!(plain.iter().any(|event| event["renewal"] == true && event["nth"] == 2));
    }

    /// How many tokens a client fetches before the one that matters can be chance; a capture tells only the one.
    #[test]
    fn tokens_are_numbered_as_they_are_told() {
        let expired = |token: &str| EventKind::ConnectionExpired {
            connection: 1,
            identity: "system".to_string(),
            token: token.to_string(),
        };
        let told = judge::events::log(&[expired("uti-of-the-fourth"), issued("system", "uti-of-the-fifth")]);
        let masks = Masks::new(&told, &[]);
        assert_eq!(masks.text(&told[0].kind.to_string()).rsplit('=').next(), Some("token-1>"));
        assert_eq!(masks.event(&told[1])["token"], "token-2");
    }

    #[test]
    fn who_closes_a_connection_after_quit_is_not_recorded() {
        let closed_by = |by: ClosedBy| {
            let mut event = closed(1, &["PING", "QUIT"]);
            if let EventKind::ConnectionClosed { by: who, .. } = &mut event {
                *who = by;
            }
            recorded(&[event])
        };
        assert_eq!(closed_by(ClosedBy::Server), closed_by(ClosedBy::Client));
    }

    #[test]
    fn volatile_text_is_masked_and_ids_of_the_directory_are_kept() {
        let masks = Masks::new(&[], &[]);
        assert_eq!(masks.text("connecting to localhost:38121."), "connecting to localhost:<port>.");
        assert_eq!(
            masks.text("Trace ID: 68702aae-7342-4632-b5a3-09997c2d1313 Timestamp: 2026-11-24 03:54:11Z"),
            "Trace ID: <id> Timestamp: <time>"
        );
        assert_eq!(
            masks.text("/token?client-request-id=68702aae-7342-4632-b5a3-09997c2d1313&x=1"),
            "/token?client-request-id=<id>&x=1"
        );
        assert_eq!(
            masks.text(r#"{"trace_id":"68702aae-7342-4632-b5a3-09997c2d1313","expires_on":"1795523640"}"#),
            r#"{"trace_id":"<id>","expires_on":"<time>"}"#
        );
        let oid = "0b1ec700-0000-4000-8000-000000000001";
        assert_eq!(masks.text(oid), oid);
    }

    #[test]
    fn another_engine_is_no_drift_and_another_command_is() {
        let closed =
            |commands: Value| json!({ "event": "connection-closed", "error_replies": 1, "commands": commands });
        let refused = json!({ "event": "error-reply", "command": "CLIENT", "error": "ERR" });
        let new = without_engine(&[closed(json!({ "CLIENT|SETINFO": 2, "PING": 1 }))]);
        let old = without_engine(&[refused, closed(json!({ "CLIENT": 2, "PING": 1 }))]);
        assert_eq!(new, old);
        assert_ne!(new, without_engine(&[closed(json!({ "CLIENT|SETINFO": 2, "GET": 1 }))]));
    }
}
