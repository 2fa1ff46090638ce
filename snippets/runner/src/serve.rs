//! Serves the book on this machine and builds it anew whenever one of its files changes. Called by `cargo book`.

use std::convert::Infallible;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use notify::{RecursiveMode, Watcher};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::ServiceExt;
use tower_http::services::{ServeDir, ServeFile};
use tower_livereload::{LiveReloadLayer, Reloader};

use crate::book;

/// What the book is made of, below its root.
const WATCHED: &[&str] = &["book.toml", "src", "theme", "snippets"];

/// Folders below those that tools write into.
const NOT_OURS: &[&str] = &[".venv", "__pycache__", "node_modules", "target"];

/// Editors save in several steps. A build starts when nothing has changed for this long.
const SETTLED: Duration = Duration::from_millis(150);

/// Where the book is served. Only this machine can reach it.
#[derive(Debug, Clone, Copy)]
pub struct Address(SocketAddr);

impl Address {
    pub fn new(host: &str, port: u16) -> Result<Address> {
        let ip: IpAddr = match host {
            "localhost" => IpAddr::from([127, 0, 0, 1]),
            host => host
                .parse()
                .with_context(|| format!("`{host}` is not an address: write 127.0.0.1, ::1 or localhost"))?,
        };
        if !ip.is_loopback() {
            bail!(
                "`{host}` can be reached from other machines, and the book is served to this one only: write \
                 127.0.0.1, ::1 or localhost"
            );
        }
        Ok(Address(SocketAddr::new(ip, port)))
    }
}

/// The last book that could be built, if there was one.
type Current = Arc<Mutex<Option<Arc<Built>>>>;

struct Built {
    pages: PathBuf,
    /// Removes the pages when the last request for them is done.
    _folder: TempDir,
}

/// Serves until SIGINT or SIGTERM.
pub fn serve(root: &Path, address: Address, open: bool) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        // The port first: a reader should not wait for a build to learn that it is taken.
        let listener = TcpListener::bind(address.0).await.map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => anyhow::anyhow!(
                "port {} is taken, maybe by another `cargo book`: stop that one, or choose another port with --port",
                address.0.port()
            ),
            _ => anyhow::Error::from(error).context(format!("cannot listen on {}", address.0)),
        })?;
        let url = match address.0.ip() {
            IpAddr::V4(ip) if ip.octets() == [127, 0, 0, 1] => {
                format!("http://localhost:{}", listener.local_addr()?.port())
            }
            _ => format!("http://{}", listener.local_addr()?),
        };

        let (changed, changes) = mpsc::channel();
        let _watcher = watch(root, changed)?;
        // All that is built goes away with this, also what a build in progress has written by then.
        let folder = TempDir::with_prefix("book-").context("cannot make a folder for the pages")?;
        let builder =
            Builder { root: root.to_path_buf(), folder: folder.path().to_path_buf(), current: Current::default() };
        let current = Arc::clone(&builder.current);
        builder.rebuild();

        let reload = LiveReloadLayer::new();
        let reloader = reload.reloader();
        std::thread::spawn(move || builder.rebuild_on_change(&changes, &reloader));

        let pages = tower::service_fn(move |request| page(Arc::clone(&current), request));
        let app = Router::new().fallback_service(pages).layer(reload);
        eprintln!("The book is at {url} and follows your edits. Ctrl-C ends it.");
        if open {
            open_browser(&url);
        }

        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            served = axum::serve(listener, app) => served.context("cannot serve the book any longer"),
            // Pages keep a connection open to be told of changes, so there is nothing to wait for.
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    })
}

async fn page(current: Current, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let built = current.lock().expect("no build panics while it is stored").clone();
    let Some(built) = built else {
        let text = "<!doctype html><title>No book yet</title><p>The book could not be built yet. \
                    The terminal says why; this page follows.";
        return Ok((StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "text/html")], text).into_response());
    };
    let missing = ServeFile::new(built.pages.join("404.html"));
    let served = ServeDir::new(&built.pages).not_found_service(missing).oneshot(request).await;
    let mut response = served.map_or_else(|never| match never {}, |response| response.map(Body::new));
    // The pages change under the same address.
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Builds the book again and again.
struct Builder {
    root: PathBuf,
    folder: PathBuf,
    current: Current,
}

impl Builder {
    /// Builds the book, and keeps the one before if that fails. Returns whether there is a new one.
    fn rebuild(&self) -> bool {
        let started = Instant::now();
        let built = TempDir::new_in(&self.folder).map_err(anyhow::Error::from).and_then(|folder| {
            let pages = book::build_draft(&self.root, folder.path())?;
            Ok(Built { pages, _folder: folder })
        });
        let mut current = self.current.lock().expect("no build panics while it is stored");
        match built {
            Ok(built) => {
                *current = Some(Arc::new(built));
                eprintln!("Built the book in {:.1} s.", started.elapsed().as_secs_f32());
                true
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                eprintln!(
                    "{}",
                    match *current {
                        Some(_) => "The book before this change is still served. Waiting for the next change.",
                        None => "Waiting for a change.",
                    }
                );
                false
            }
        }
    }

    fn rebuild_on_change(&self, changes: &mpsc::Receiver<()>, reloader: &Reloader) {
        while changes.recv().is_ok() {
            while changes.recv_timeout(SETTLED).is_ok() {}
            if self.rebuild() {
                reloader.reload();
            }
        }
    }
}

fn watch(root: &Path, changed: mpsc::Sender<()>) -> Result<impl Watcher> {
    let root = fs::canonicalize(root)?;
    let below = root.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(|path| ours(&below, path))) {
            // Nobody listens only while the program ends.
            let _ = changed.send(());
        }
    })
    .context("cannot watch files for changes")?;
    for name in WATCHED {
        let path = root.join(name);
        let mode = match path.is_dir() {
            true => RecursiveMode::Recursive,
            false => RecursiveMode::NonRecursive,
        };
        if path.exists() {
            watcher.watch(&path, mode).with_context(|| format!("cannot watch {} for changes", path.display()))?;
        }
    }
    Ok(watcher)
}

fn ours(root: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.components().all(|part| match part {
        Component::Normal(name) => !NOT_OURS.iter().any(|folder| name == *folder),
        _ => true,
    })
}

fn open_browser(url: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let opened = Command::new(opener).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = opened {
        eprintln!("note: cannot open a browser with {opener}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_served() {
        assert!(Address::new("localhost", 3000).is_ok());
        assert!(Address::new("::1", 3000).is_ok());
        assert!(Address::new("0.0.0.0", 3000).is_err());
        assert!(Address::new("192.0.2.1", 3000).is_err());
        assert!(Address::new("example.com", 3000).is_err());
    }

    #[test]
    fn files_that_tools_write_build_no_book() {
        let root = Path::new("/book");
        assert!(ours(root, Path::new("/book/src/rust.md")));
        assert!(!ours(root, Path::new("/book/snippets/python/.venv/bin/python")));
    }
}
