//! One client's connection: two independent pumps between its TLS stream and a unix socket of the engine, and a clock.

use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;

use crate::events::{ClosedBy, EventKind};

use super::connections::Connection;
use super::session::{Refused, Session};
use super::sign_in::{self, Handled};
use super::{Endpoint, Front, replies, requests};

/// Size of a buffer at first, and when there is much to do.
const BUFFER: usize = 16 * 1024;
const LARGE_BUFFER: usize = 64 * 1024;

/// How long replies may still flow after the client has closed its side.
const AFTER_HALF_CLOSE: Duration = Duration::from_secs(10);

/// The clock is looked at again after this time: a laptop may have slept.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Serves `stream` until it ends.
pub(super) async fn serve(front: &Front, endpoint: Endpoint, mut stream: TlsStream<TcpStream>) {
    let node = front.node(endpoint);
    let entry = front.connections.add(node.as_ref().map_or(0, |node| node.shard));
    let connection = &*entry.connection;
    let tls = stream.get_ref().1;
    let version = tls.protocol_version().and_then(|version| version.as_str().map(str::to_owned));
    front.log.record(EventKind::ConnectionOpened {
        connection: connection.number,
        tls: version.map(|version| version.replace('_', ".")).unwrap_or_default(),
        server_name: tls.server_name().map(str::to_owned),
        shard: match endpoint {
            Endpoint::Cache => None,
            Endpoint::Shard(shard) => Some(shard),
        },
    });
    let session = Mutex::new(Session::new(front, connection));
    let socket = node.and_then(|node| node.engine()).map(|engine| engine.socket().to_owned());
    let engine = match socket {
        Some(socket) => UnixStream::connect(socket).await.ok(),
        None => None,
    };
    let by = match engine {
        Some(engine) => pump(front, &mut stream, engine, &session, connection).await,
        None => ClosedBy::Server,
    };
    // An engine that ends a connection may do so because of what it is closed for.
    lock(&session).closed(connection.closing().unwrap_or(by));
    // Says goodbye in TLS, so that a client can tell the end from an attack; it may have gone already.
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.shutdown()).await;
}

async fn pump(
    front: &Front,
    stream: &mut TlsStream<TcpStream>,
    mut engine: UnixStream,
    session: &Mutex<Session<'_>>,
    connection: &Connection,
) -> ClosedBy {
    let (from_client, to_client) = tokio::io::split(stream);
    let (from_engine, to_engine) = engine.split();
    let changed = Notify::new();
    let requests = requests(front, from_client, to_engine, session, &changed);
    let replies = replies(from_engine, to_client, session, &changed);
    let clock = clock(session, &changed);
    tokio::pin!(requests, replies, clock);
    tokio::select! {
        // In this order, so that a client that has hung up just before we stop is told as that.
        biased;
        // Replies go on while the client has only closed its own side, but not for ever.
        _ = &mut requests => {
            tokio::select! {
                _ = &mut replies => {}
                () = tokio::time::sleep(AFTER_HALF_CLOSE) => {}
                _ = &mut clock => {}
            }
            ClosedBy::Client
        }
        end = &mut replies => end,
        by = &mut clock => by,
        by = connection.closed() => by,
        () = front.stop.cancelled() => ClosedBy::Shutdown,
    }
}

fn lock<'s, 'f>(session: &'s Mutex<Session<'f>>) -> MutexGuard<'s, Session<'f>> {
    session.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What does not go to the engine as it came.
enum Held {
    Credentials(Vec<Vec<u8>>),
    /// A command that the engine must not run.
    Refused(Refused),
}

/// Client to engine. Ends when the client sends nothing more, or the engine takes nothing more.
async fn requests(
    front: &Front,
    mut client: impl AsyncRead + Unpin,
    mut engine: impl AsyncWrite + Unpin,
    session: &Mutex<Session<'_>>,
    changed: &Notify,
) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let mut scanner = requests::Scanner::new();
    // Many clients hang up without TLS's goodbye: whatever ends the stream, the engine is told that nothing more comes.
    while let Ok(1..) = read(&mut client, &mut buffer).await {
        loop {
            let held = {
                let mut session = lock(session);
                scanner.signed_in = session.is_signed_in();
                loop {
                    match scanner.next(&buffer, |name| session.must_be_checked(name)) {
                        requests::Step::Command { name, second, arguments } => {
                            session.command(&name, &second, arguments);
                        }
                        requests::Step::Checked(arguments) => match session.check(&arguments) {
                            Ok(()) => scanner.release(),
                            Err(refused) => break Some(Held::Refused(refused)),
                        },
                        requests::Step::Credentials(arguments) => break Some(Held::Credentials(arguments)),
                        requests::Step::NeedMore => break None,
                    }
                }
            };
            let pass = scanner.passable();
            if pass > 0 {
                engine.write_all(&buffer[..pass]).await?;
                buffer.advance(pass);
                scanner.passed(pass);
            }
            let Some(held) = held else { break };
            // Whatever came before has been sent, whatever comes after waits: nothing overtakes a sign-in.
            let count = scanner.position();
            buffer.advance(count);
            scanner.passed(count);
            scanner.release();
            let bytes = match held {
                Held::Refused(refused) => lock(session).refuse(refused),
                Held::Credentials(arguments) => {
                    let replies_are_read = !lock(session).is_blind();
                    match sign_in::handle(front, &arguments, replies_are_read) {
                        Handled::Plain(bytes) => {
                            lock(session).command_with(&arguments);
                            bytes
                        }
                        Handled::SignIn(sign_in, bytes) => {
                            if lock(session).sign_in(sign_in) {
                                changed.notify_one();
                            }
                            bytes
                        }
                    }
                }
            };
            engine.write_all(&bytes).await?;
        }
    }
    engine.shutdown().await
}

/// Engine to client. Ends when the engine hangs up or the client takes nothing more.
async fn replies(
    mut engine: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    session: &Mutex<Session<'_>>,
    changed: &Notify,
) -> ClosedBy {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let mut scanner = replies::Scanner::default();
    loop {
        match read(&mut engine, &mut buffer).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return ClosedBy::Server,
        }
        let sent = if lock(session).is_blind() {
            let sent = client.write_all(&buffer).await;
            buffer.clear();
            scanner = replies::Scanner::default();
            sent
        } else {
            pass_replies(&mut client, &mut buffer, &mut scanner, session, changed).await
        };
        if sent.is_err() || client.flush().await.is_err() {
            return ClosedBy::Client;
        }
    }
}

/// Passes all replies that are whole, and what has come of the next. The log has them before the client does.
async fn pass_replies(
    client: &mut (impl AsyncWrite + Unpin),
    buffer: &mut BytesMut,
    scanner: &mut replies::Scanner,
    session: &Mutex<Session<'_>>,
    changed: &Notify,
) -> io::Result<()> {
    // Only where an error is replaced are bytes copied: these, up to `copied` of the buffer.
    let (mut edited, mut copied) = (Vec::new(), 0);
    {
        let mut session = lock(session);
        loop {
            match scanner.next(buffer) {
                replies::Step::Reply(reply) => {
                    if session.reply(&reply) {
                        changed.notify_one();
                    }
                }
                replies::Step::Error { start } => {
                    let line = buffer[start..scanner.position()].trim_ascii_end();
                    if let Some(line) = session.error(line) {
                        edited.extend_from_slice(&buffer[copied..start]);
                        edited.extend_from_slice(&line);
                        edited.extend_from_slice(b"\r\n");
                        copied = scanner.position();
                    }
                }
                replies::Step::NeedMore => break,
            }
        }
    }
    let position = scanner.position();
    if edited.is_empty() {
        client.write_all(&buffer[..position]).await?;
    } else {
        edited.extend_from_slice(&buffer[copied..position]);
        client.write_all(&edited).await?;
    }
    buffer.advance(position);
    scanner.passed(position);
    Ok(())
}

/// Waits until the connection's time is over.
async fn clock(session: &Mutex<Session<'_>>, changed: &Notify) -> ClosedBy {
    loop {
        let (left, by) = lock(session).time_left();
        if left.is_zero() {
            return by;
        }
        tokio::select! {
            () = tokio::time::sleep(left.min(LONGEST_SLEEP)) => {}
            () = changed.notified() => {}
        }
    }
}

/// Reads into what is left of the buffer, with more room while there is much to read.
async fn read(from: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> io::Result<usize> {
    if buffer.capacity() - buffer.len() < BUFFER / 4 {
        let room = if buffer.is_empty() && buffer.capacity() <= BUFFER { BUFFER } else { LARGE_BUFFER };
        buffer.reserve(room);
    }
    let before = buffer.len();
    let room = buffer.capacity() - before;
    let count = from.read_buf(buffer).await?;
    if count == room && buffer.capacity() < LARGE_BUFFER {
        buffer.reserve(LARGE_BUFFER);
    }
    Ok(count)
}
