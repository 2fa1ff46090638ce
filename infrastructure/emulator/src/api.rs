//! The control API: what [`Control`] does, over HTTP on loopback, for tests in any language and for the command. Its description
//! is made of the handlers themselves, so it can't tell of a route that there is not, or leave one out.

mod cache;
mod directory;
mod events;
mod guard;
mod problem;
mod request;
mod status;
mod tokens;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::{Extension, Router, middleware};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::Control;
use crate::listen::Loopback;
use crate::{Error, token};

use guard::Guard;
use problem::Problem;

/// The largest body that a request may have. Honest ones have some hundred bytes.
const LARGEST_BODY: usize = 64 * 1024;

/// How long a client may take to send the head of its first request.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(5);

/// The same for the next ones, from the end of the one before. Longer than HTTP clients keep a connection that they do not use, a
/// minute at most for most of them: who sends a request while the connection is being closed only learns that it failed.
const NEXT_HEAD_TIME: Duration = Duration::from_secs(130);

/// Runs the control API of one emulator, from its start to its end.
#[derive(Default)]
pub(crate) struct Server {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The token that a client must know, another for each run.
pub(crate) fn new_token() -> String {
    token::random_text(32)
}

impl Server {
    /// Starts to answer. Called inside the runtime.
    pub(crate) fn listen(&self, listener: Loopback, control: Control, token: String) -> Result<(), Error> {
        let guard = Guard::new(token, listener.port);
        let router: Routes = Arc::new(LazyLock::new(Box::new(|| router(control, guard))));
        for listener in listener.into_tokio().map_err(|e| Error::Runtime(e.to_string()))? {
            self.tasks.spawn(accept(listener, router.clone(), self.stop.clone(), self.tasks.clone()));
        }
        Ok(())
    }

    /// From now on nothing new is answered. What is being answered goes on, and so do event streams, until the log ends.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    /// Waits until everything is answered, or a second.
    pub(crate) async fn ended(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
    }
}

/// Made when the first client comes: most emulators of tests have none, and should start quickly.
type Routes = Arc<LazyLock<Router, Box<dyn FnOnce() -> Router + Send>>>;

async fn accept(listener: TcpListener, router: Routes, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => drop(tasks.spawn(serve(stream, router.clone(), stop.clone()))),
            // Out of file descriptors, most likely: give the open connections a moment to end.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn serve(stream: TcpStream, router: Routes, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(NEXT_HEAD_TIME);
    let routes = TowerToHyperService::new(Router::clone(&router));
    let (has_asked, first_request) = watch::channel(false);
    let service = service_fn(move |request| {
        has_asked.send_replace(true);
        routes.call(request)
    });
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
    let first_request = async move {
        let mut first_request = first_request;
        tokio::time::timeout(FIRST_HEAD_TIME, first_request.wait_for(|asked| *asked)).await.is_ok()
    };
    let is_too_slow = async {
        if first_request.await {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // In this order: after a moment in which nothing ran, what came in meanwhile counts, and not that it is late.
        biased;
        // An error is a client that went away or does not speak HTTP: nothing that anybody could act on.
        _ = &mut connection => return,
        () = is_too_slow => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// What is told of the API as a whole.
#[derive(OpenApi)]
#[openapi(info(
    title = "Control API of the Azure Managed Redis emulator",
    description = "Changes a running emulator and tells what happens in it. Unofficial: Azure has nothing like it. Every request \
                   needs the header `Authorization: Bearer TOKEN`; the token is another for each run of the emulator. What is wrong is \
                   told as RFC 9457 has it (application/problem+json). Any request that needs the engine can also fail with 500."
))]
struct Description;

/// The description, as text.
#[derive(Clone)]
struct Document(Arc<str>);

fn router(control: Control, guard: Guard) -> Router {
    let (routes, mut document) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(openapi))
        .routes(routes!(status::status))
        .routes(routes!(status::reset))
        .routes(routes!(events::events))
        .routes(routes!(directory::identities))
        .routes(routes!(
            directory::identity,
            directory::put_identity,
            directory::patch_identity,
            directory::delete_identity
        ))
        .routes(routes!(directory::environment))
        .routes(routes!(directory::issue_token))
        .routes(routes!(cache::assignments))
        .routes(routes!(cache::assignment, cache::put_assignment, cache::delete_assignment))
        .routes(routes!(cache::access_keys, cache::put_access_keys))
        .routes(routes!(cache::connections, cache::expire_connections))
        .routes(routes!(cache::engine, cache::put_engine))
        .routes(routes!(cache::shards))
        .routes(routes!(cache::fail_over))
        .routes(routes!(tokens::faults))
        .routes(routes!(tokens::put_fault, tokens::delete_fault))
        .routes(routes!(tokens::signing_keys, tokens::rotate_signing_key))
        .routes(routes!(tokens::clock, tokens::put_clock))
        .routes(routes!(tokens::certificates))
        .routes(routes!(tokens::put_certificate))
        .split_for_parts();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    document.components.get_or_insert_default().add_security_scheme(guard::SCHEME, SecurityScheme::Http(bearer));
    let text = document.to_json().expect("the description is made of texts, numbers and lists");
    routes
        .fallback(|| async { Problem::no_resource() })
        .method_not_allowed_fallback(|| async { Problem::no_method() })
        .layer(Extension(Document(text.into())))
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::guard))
        .layer(middleware::from_fn(request::read_whole))
        .with_state(control)
}

/// This description
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "emulator", security(("token" = [])),
    responses((status = 200, description = "OpenAPI 3.1", body = Object), guard::Guarded)
)]
async fn openapi(Extension(Document(text)): Extension<Document>) -> impl axum::response::IntoResponse {
    ([(hyper::header::CONTENT_TYPE, "application/json")], text.to_string())
}

/// Does what may have to wait for an engine, where it holds up nobody else.
async fn act<T: Send + 'static>(
    control: Control,
    action: impl FnOnce(&Control) -> Result<T, Error> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(move || action(&control)).await {
        Ok(done) => done.map_err(Problem::from),
        Err(_) => Err(Problem::broken("the emulator itself failed; what it wrote to standard error says where")),
    }
}
