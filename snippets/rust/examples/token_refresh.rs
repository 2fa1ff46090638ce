//! Keeps one connection to Azure Managed Redis busy while its token is renewed again and again,
//! until it is told to stop.

use std::{env, time::Duration};

use anyhow::Context;
use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, EntraIdCredentialsProvider, RetryConfig,
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
    // Fetches the next token four minutes before this one expires. Every open connection then
    // signs in again with it.
    provider.start(RetryConfig::default());

    // Renewing ends when nothing holds the provider any more, so keep this beside the connection.
    let config = AsyncConnectionConfig::new()
        // Connecting waits for the first token. The default, one second, hides why none came.
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(5)))
        .set_credentials_provider(provider);
    let mut connection = Client::open(format!("rediss://{host}:{port}"))?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;

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
    // ANCHOR_END: shown
    Ok(())
}
