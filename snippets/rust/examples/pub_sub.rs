//! Publishes and subscribes on Azure Managed Redis while tokens are renewed, until it is told to
//! stop, and counts that no message is lost.

use std::{env, time::Duration};

use anyhow::Context;
use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, EntraIdCredentialsProvider, PushKind, RetryConfig,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

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
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(5)))
        .set_credentials_provider(provider);

    // RESP3: only there can a connection that has subscribed sign in again.
    let client = Client::open(format!("rediss://{host}:{port}/?protocol=resp3"))?;
    let (sender, mut pushes) = mpsc::unbounded_channel();
    let mut subscriber = client
        .get_multiplexed_async_connection_with_config(&config.clone().set_push_sender(sender))
        .await?;
    subscriber.subscribe("orders").await?;
    let mut publisher = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;

    let mut every = tokio::time::interval(Duration::from_millis(100));
    let (mut published, mut received) = (0_u64, 0_u64);
    loop {
        tokio::select! {
            _ = every.tick() => {
                let () = publisher.publish("orders", published).await?;
                published += 1;
            }
            Some(push) = pushes.recv() => received += u64::from(push.kind == PushKind::Message),
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    while received < published {
        let push = tokio::time::timeout(Duration::from_secs(5), pushes.recv()).await?;
        let push = push.context("the subscription has ended")?;
        received += u64::from(push.kind == PushKind::Message);
    }
    println!("{received} messages received, none lost");
    // ANCHOR_END: shown
    Ok(())
}
