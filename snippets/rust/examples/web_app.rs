//! A web application that counts its visitors in Azure Managed Redis. It serves at the port that
//! PORT names, as App Service wants it.

use std::{env, time::Duration};

use anyhow::Context;
use axum::{Router, extract::State, http::StatusCode, routing::get};
use redis::{
    AsyncCommands, Client, EntraIdCredentialsProvider, RetryConfig,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());
    let own_port = env::var("PORT").unwrap_or_else(|_| "8080".to_string());

    // redis leaves the choice of a TLS implementation to the program.
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    // ANCHOR: shown
    let mut provider = EntraIdCredentialsProvider::new_system_assigned_managed_identity()?;
    provider.start(RetryConfig::default());
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(5)))
        .set_credentials_provider(provider);
    let client = Client::open(format!("rediss://{host}:{port}"))?;
    // One for all requests: it is cheap to clone, and holds the provider that renews the token.
    let redis = ConnectionManager::new_with_config(client, config).await?;

    let app = Router::new().route("/", get(visit)).with_state(redis);
    let listener = TcpListener::bind(format!("0.0.0.0:{own_port}")).await?;
    axum::serve(listener, app)
        .with_graceful_shutdown(told_to_stop())
        .await?;
    Ok(())
}

async fn visit(State(mut redis): State<ConnectionManager>) -> Result<String, StatusCode> {
    let visits: u64 = redis
        .incr("visits", 1)
        .await
        .inspect_err(|error| eprintln!("the visit was not counted: {error}"))
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(format!("visit {visits}\n"))
}
// ANCHOR_END: shown

async fn told_to_stop() {
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be waited for");
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be waited for");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
