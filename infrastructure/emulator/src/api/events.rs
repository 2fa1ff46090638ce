//! The event log as a stream. Nothing is kept for a reader but its place in the log: it is sent more when it has taken what it
//! got, so a slow one costs nothing and holds up nobody. One that falls behind by more than the log keeps misses what the log has
//! dropped meanwhile, and sees that in the numbers of the events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use tokio::sync::watch;

use super::guard::Guarded;
use super::problem::{BadQuery, Problem};
use super::request::Query;
use crate::control::Control;
use crate::events::{Event, EventLog};

/// How many events are taken from the log at once.
const BATCH: usize = 128;

/// After this time without an event an SSE reader is sent a comment, so that both sides notice when the other has gone.
const QUIET: Duration = Duration::from_secs(15);

/// Which events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    since: Option<u64>,
    follow: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    JsonLines,
    Sse,
}

impl Form {
    fn write(self, event: &Event, to: &mut Vec<u8>) {
        let Ok(json) = serde_json::to_string(event) else { return };
        match self {
            Form::JsonLines => to.extend_from_slice(format!("{json}\n").as_bytes()),
            Form::Sse => to.extend_from_slice(format!("id: {}\ndata: {json}\n\n", event.seq).as_bytes()),
        }
    }
}

/// One reader.
struct Reader {
    log: Arc<EventLog>,
    news: watch::Receiver<bool>,
    form: Form,
    /// Number of the last event that it got.
    seen: u64,
    /// Number of the last event that it is to get; absent for one that follows.
    last: Option<u64>,
}

impl Reader {
    /// What it is sent next; nothing at the end.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            // Before the look into the log: an event that comes after it is news.
            let is_over = *self.news.borrow_and_update();
            let mut events = self.log.since(self.seen, BATCH);
            events.retain(|event| self.last.is_none_or(|last| event.seq <= last));
            if let Some(event) = events.last() {
                self.seen = event.seq;
                let mut bytes = Vec::new();
                events.iter().for_each(|event| self.form.write(event, &mut bytes));
                return Some((Ok(bytes.into()), self));
            }
            if is_over || self.last.is_some() {
                return None;
            }
            match tokio::time::timeout(QUIET, self.news.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) if self.form == Form::Sse => return Some((Ok(Bytes::from_static(b":\n\n")), self)),
                Err(_) => {}
            }
        }
    }
}

/// What has happened, and what happens
///
/// A JSON object a line; with `Accept: text/event-stream` server-sent events, whose id is the number of the event. A reader that
/// was cut off goes on where it was with `since`, or with the header `Last-Event-ID`, which counts more. Events are numbered from 1
/// without gaps: a gap means that the reader was too slow and the events between are no longer kept.
#[utoipa::path(
    get, path = "/v1/events", tag = "emulator", security(("token" = [])),
    params(
        ("since" = Option<u64>, Query, description = "Only events after the one with this number; without it all that are kept, \
                                                      the last 100,000"),
        ("follow" = Option<bool>, Query, description = "Whether to go on with the events to come, until the emulator stops; \
                                                        without it only SSE does"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Number of the last event that came")
    ),
    responses(
        (status = 200, description = "The events", content(
            (Event = "application/x-ndjson"),
            (String = "text/event-stream")
        )),
        Guarded, BadQuery
    )
)]
pub(super) async fn events(
    State(control): State<Control>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("not even text"));
    let wants_sse = text(ACCEPT.as_str()).is_some_and(|accept| {
        accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/event-stream"))
    });
    let form = if wants_sse { Form::Sse } else { Form::JsonLines };
    let last_event_id = match text("last-event-id") {
        None | Some("") => None,
        Some(id) => {
            let wrong = || Problem::wrong("the header Last-Event-ID is the number of an event, as its id was");
            Some(id.parse().map_err(|_| wrong())?)
        }
    };
    let log = control.log().clone();
    let reader = Reader {
        news: log.news(),
        form,
        seen: last_event_id.or(which.since).unwrap_or(0),
        last: (!which.follow.unwrap_or(wants_sse)).then(|| log.last()),
        log,
    };
    let content_type = match form {
        Form::JsonLines => "application/x-ndjson",
        Form::Sse => "text/event-stream",
    };
    let body = Body::from_stream(stream::unfold(reader, Reader::next));
    Ok(([(CONTENT_TYPE, content_type)], body).into_response())
}
