//! One client's connection: two independent pumps between its TLS stream and a unix socket of the engine, and a clock.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;

use crate::events::{ClosedBy, EventKind};

use super::connections::Connection;
use super::session::{Refused, Sent, Session};
use super::sign_in::{self, Handled};
use super::{Endpoint, Front, replies, requests};

/// Size of a buffer at first, and when there is much to do.
const BUFFER: usize = 16 * 1024;
const LARGE_BUFFER: usize = 64 * 1024;

/// How long replies may still flow after the client has closed its side.
const AFTER_HALF_CLOSE: Duration = Duration::from_secs(10);

/// The clock is looked at again after this time: a laptop may have slept.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// While the engine has more connections to accept than it can queue, it is asked again after this time.
const ENGINE_BUSY: Duration = Duration::from_millis(5);

/// Serves `stream` until it ends.
pub(super) async fn serve(front: &Front, endpoint: Endpoint, mut stream: TlsStream<TcpStream>) {
    let node = front.node(endpoint);
    let entry = front.connections.add(node.as_ref().map_or(0, |node| node.shard));
    let connection = &*entry.connection.clone();
    let tls = stream.get_ref().1;
    front.log.record(EventKind::ConnectionOpened {
        connection: connection.number,
        tls: crate::tls::version(tls),
        server_name: tls.server_name().map(str::to_owned),
        shard: match endpoint {
            Endpoint::Cache => None,
            Endpoint::Shard(shard) => Some(shard),
        },
    });
    let session = Mutex::new(Session::new(front, connection));
    let socket = node.and_then(|node| node.engine()).map(|engine| engine.socket().to_owned());
    let by = match socket {
        Some(socket) => pump(front, &mut stream, &socket, &session, connection).await,
        None => ClosedBy::Server,
    };
    // An engine that ends a connection may do so because of what it is closed for.
    let by = connection.closing().unwrap_or(by);
    let session = session.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    // Whoever reads of the end in the log finds it gone from the list.
    drop(entry);
    session.closed(by);
    // Says goodbye in TLS, so that a client can tell the end from an attack; it may have gone already.
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.shutdown()).await;
}

async fn pump(
    front: &Front,
    stream: &mut TlsStream<TcpStream>,
    socket: &Path,
    session: &Mutex<Session<'_>>,
    connection: &Connection,
) -> ClosedBy {
    let changed = Notify::new();
    let both_ways = async {
        let Ok(mut engine) = connect(socket).await else { return ClosedBy::Server };
        let (from_client, to_client) = tokio::io::split(stream);
        let (from_engine, to_engine) = engine.split();
        let requests = requests(front, from_client, to_engine, session, &changed);
        let replies = replies(from_engine, to_client, session, &changed);
        tokio::pin!(requests, replies);
        tokio::select! {
            // In this order, so that a client that has hung up just before we stop is told as that.
            biased;
            ended = &mut requests => {
                // Replies go on while the client has only closed its own side, but not for ever.
                let rest = tokio::time::timeout(AFTER_HALF_CLOSE, replies).await;
                match (ended, rest) {
                    // The engine takes nothing more: it has hung up, and what it said last is through.
                    (Err(_), Ok(by)) => by,
                    _ => ClosedBy::Client,
                }
            }
            end = &mut replies => end,
        }
    };
    tokio::select! {
        biased;
        by = both_ways => by,
        by = clock(session, &changed) => by,
        by = connection.closed() => by,
        () = front.stop.cancelled() => ClosedBy::Shutdown,
    }
}

/// Connects to the engine, however many others do so at the moment.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(ENGINE_BUSY).await,
            result => return result,
        }
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
    /// The engine is sent this in its place, and nothing more.
    Malformed(Vec<u8>),
}

/// Client to engine. Ends when the client sends nothing more, or with an error when the engine takes nothing more.
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
                session.active();
                loop {
                    scanner.signed_in = session.may_be_signed_in();
                    match scanner.next(&buffer, |name| session.must_be_checked(name)) {
                        requests::Step::Command { name, second, arguments } => {
                            session.command(&Sent { name, second, third: b"", arguments });
                        }
                        requests::Step::Checked(arguments) => match session.check(&arguments) {
                            Ok(()) => scanner.release(),
                            Err(refused) => break Some(Held::Refused(refused)),
                        },
                        requests::Step::Credentials(arguments) => break Some(Held::Credentials(arguments)),
                        requests::Step::Malformed(instead) => break Some(Held::Malformed(instead)),
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
                Held::Credentials(arguments) => sign_in(front, &arguments, session, changed),
                Held::Malformed(instead) => {
                    engine.write_all(&instead).await?;
                    return discard(client, buffer).await;
                }
            };
            engine.write_all(&bytes).await?;
        }
    }
    engine.shutdown().await
}

/// Gives what the engine is sent in place of an `AUTH` or `HELLO`.
fn sign_in(front: &Front, arguments: &[Vec<u8>], session: &Mutex<Session<'_>>, changed: &Notify) -> Vec<u8> {
    let nonce = lock(session).nonce().map(str::to_owned);
    // The signature is checked without the lock.
    match sign_in::handle(front, arguments, nonce.as_deref()) {
        Handled::Plain(bytes) => {
            lock(session).command(&Sent::whole(arguments));
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

/// Takes what the client still sends, so that it gets to read why the connection ends.
async fn discard(mut client: impl AsyncRead + Unpin, mut buffer: BytesMut) -> io::Result<()> {
    loop {
        buffer.clear();
        if read(&mut client, &mut buffer).await? == 0 {
            return Ok(());
        }
    }
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
    let is_raw = lock(session).is_raw();
    loop {
        match read(&mut engine, &mut buffer).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return ClosedBy::Server,
        }
        let sent = if is_raw {
            lock(session).active();
            let sent = client.write_all(&buffer).await;
            buffer.clear();
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
        session.active();
        loop {
            match scanner.next(buffer) {
                replies::Step::Reply(reply) => {
                    if session.reply(reply) {
                        changed.notify_one();
                    }
                }
                replies::Step::Error { start, is_whole, element } => {
                    let line = buffer[start..scanner.position()].trim_ascii_end();
                    if let Some(line) = session.error(line, element).filter(|_| is_whole) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A unix socket whose queue is full refuses at once, unlike one of TCP.
    #[test]
    fn an_engine_with_a_full_queue_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connected = runtime.block_on(async {
            let first = connect(&socket).await.unwrap();
            let second = connect(&socket);
            tokio::pin!(second);
            let waits = tokio::time::timeout(Duration::from_millis(100), &mut second).await.is_err();
            std::thread::spawn(move || (listener.accept().unwrap(), listener.accept().unwrap()));
            (waits, second.await.is_ok(), first)
        });
        assert!(connected.0 && connected.1);
    }
}
