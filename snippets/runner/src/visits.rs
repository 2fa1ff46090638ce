//! Visits a server that is a listing: again and again while it runs, as its users would. The run collects what it answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two visits.
const PAUSE: Duration = Duration::from_millis(100);

/// For one visit, the connection included.
const LIMIT: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Visits in progress.
pub(crate) struct Visits {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Result<Visit, String>>>,
}

impl Visits {
    /// Begins as soon as the server listens on `port`, asks for each of `paths` in turn, and goes on until [`Visits::end`].
    pub(crate) fn begin(port: u16, paths: &[String]) -> Visits {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let paths = if paths.is_empty() { vec!["/".to_string()] } else { paths.to_vec() };
        let urls: Vec<_> = paths.iter().map(|path| format!("http://127.0.0.1:{port}{path}")).collect();
        let thread = thread::spawn(move || {
            let agent: ureq::Agent =
                ureq::Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).build().into();
            let mut visits = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match visit(&agent, &urls[visits.len() % urls.len()]) {
                    Ok(visit) => visits.push(Ok(visit)),
                    // Nobody listens yet: the first is asked for again.
                    Err(ureq::Error::Io(error))
                        if visits.is_empty() && error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                    // A visit that the end of the server cut short is no fault of it.
                    Err(_) if stopped.load(Ordering::Relaxed) => {}
                    Err(error) => visits.push(Err(error.to_string())),
                }
                thread::sleep(PAUSE);
            }
            visits
        });
        Visits { stop, thread }
    }

    /// No more visits; call it before the server is asked to leave.
    pub(crate) fn end(self) -> Vec<Result<Visit, String>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn visit(agent: &ureq::Agent, url: &str) -> Result<Visit, ureq::Error> {
    let mut response = agent.get(url).call()?;
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_string()?;
    Ok(Visit { status, body: body.trim_end().to_string() })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Which answer comes first is not a question of when the server was ready.
    #[test]
    fn the_first_path_is_asked_for_until_somebody_listens() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let visits = Visits::begin(port, &["/first".to_string(), "/second".to_string()]);
        thread::sleep(PAUSE + PAUSE / 2);
        let server = TcpListener::bind(("127.0.0.1", port)).unwrap();
        for path in ["/first", "/second", "/first"] {
            let (mut client, _) = server.accept().unwrap();
            let mut request = [0; 1024];
            let length = client.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]);
            assert!(request.starts_with(&format!("GET {path} ")), "{request}");
            client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
        drop(server);
        visits.end();
    }

    #[test]
    fn a_server_is_visited_from_when_it_listens_until_the_end() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let visits = Visits::begin(port, &[]);
        let server = TcpListener::bind(("127.0.0.1", port)).unwrap();
        for _ in 0..2 {
            let (mut client, _) = server.accept().unwrap();
            let _ = client.read(&mut [0; 1024]);
            client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n").unwrap();
        }
        let seen = visits.end();
        assert!(!seen.is_empty());
        assert_eq!(seen[0], Ok(Visit { status: 200, body: "hello".to_string() }));
    }
}
