//! Signs in to Azure Managed Redis with a token in place of an access key, and goes on while access keys
//! are turned off, until it is told to stop.

use std::{env, time::Duration};

use anyhow::Context;
use redis::{
    AsyncCommands, Client, EntraIdCredentialsProvider, RedisResult, RetryConfig,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    // redis leaves the choice of a TLS implementation to the program.
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    // ANCHOR: shown
    let mut provider = EntraIdCredentialsProvider::new_system_assigned_managed_identity()?;
    provider.start(RetryConfig::default());

    // Turning access keys off drops every connection, those that signed in with a token too. The
    // manager opens a new one, which signs in with the present token.
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(5)))
        .set_credentials_provider(provider);
    let client = Client::open(format!("rediss://{host}:{port}"))?;
    let mut connection = client.get_connection_manager_with_config(config).await?;

    let mut every = tokio::time::interval(Duration::from_millis(100));
    let mut round_trips = 0_u64;
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
        let mut stored = round_trip(&mut connection, round_trips).await;
        // The manager learns of a lost connection from the command that fails on it.
        if stored.as_ref().is_err_and(|error| error.is_io_error()) {
            stored = round_trip(&mut connection, round_trips).await;
        }
        anyhow::ensure!(stored? == round_trips, "read another number than written");
        round_trips += 1;
    }
    println!("{round_trips} round trips, none lost");
    // ANCHOR_END: shown
    Ok(())
}

/// May be repeated: it comes to the same.
async fn round_trip(connection: &mut ConnectionManager, number: u64) -> RedisResult<u64> {
    let () = connection.set("round-trips", number).await?;
    connection.get("round-trips").await
}
