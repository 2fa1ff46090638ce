//! Must fail its judge: fetches one token and keeps it as a password, so that no sign-in follows
//! the first.

use std::{env, time::Duration};

use anyhow::Context;
use azure_core::credentials::TokenCredential;
use azure_identity::ManagedIdentityCredential;
use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, IntoConnectionInfo, REDIS_SCOPE_DEFAULT,
    RedisConnectionInfo,
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

    let token = ManagedIdentityCredential::new(None)?
        .get_token(&[REDIS_SCOPE_DEFAULT], None)
        .await?;
    let sign_in = RedisConnectionInfo::default()
        .set_username("0b1ec700-0000-4000-8000-000000000001")
        .set_password(token.token.secret());
    let info = format!("rediss://{host}:{port}")
        .into_connection_info()?
        .set_redis_settings(sign_in);

    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(5)));
    let mut connection = Client::open(info)?
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
    Ok(())
}
