//! Must fail its judge: the function that connects drops the provider when it returns, and with it
//! the task that renews the token.

use std::{env, time::Duration};

use anyhow::Context;
use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, EntraIdCredentialsProvider, RetryConfig,
    aio::MultiplexedConnection,
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

    let mut connection = connect(&host, &port).await?;

    let mut every = tokio::time::interval(Duration::from_millis(150));
    let mut round_trips = 0_u64;
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
        let () = connection.set("round-trips", round_trips).await?;
        let stored: u64 = connection.get("round-trips").await?;
        anyhow::ensure!(
            stored == round_trips,
            "wrote {round_trips} and read {stored}"
        );
        round_trips += 1;
    }
    println!("{round_trips} round trips on one connection, none failed.");
    Ok(())
}

async fn connect(host: &str, port: &str) -> anyhow::Result<MultiplexedConnection> {
    let mut provider = EntraIdCredentialsProvider::new_system_assigned_managed_identity()?;
    provider.start(RetryConfig::default());

    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(5)))
        .set_credentials_provider(provider);
    let connection = Client::open(format!("rediss://{host}:{port}"))?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    Ok(connection)
}
