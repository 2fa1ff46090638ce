//! Many tasks share a few connections to Azure Managed Redis while tokens are renewed, until the
//! program is told to stop.

use std::{env, time::Duration};

use anyhow::Context;
use redis::{
    AsyncCommands, Client, EntraIdCredentialsProvider, RetryConfig,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

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

    // A connection carries the commands of any number of tasks at once, so a pool needs few. A
    // manager connects again by itself, and then signs in with the token of that moment.
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(5)))
        .set_credentials_provider(provider);
    let client = Client::open(format!("rediss://{host}:{port}"))?;
    let mut pool = Vec::new();
    for _ in 0..4 {
        pool.push(ConnectionManager::new_with_config(client.clone(), config.clone()).await?);
    }

    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for task in 0..40 {
        let (connection, stopped) = (pool[task % pool.len()].clone(), stopped.clone());
        tasks.spawn(work(task, connection, stopped));
    }

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        // None leaves by itself, unless something failed.
        Some(ended) = tasks.join_next() => { ended??; }
    }
    stop.send(true)?;
    let mut commands = 0;
    while let Some(ended) = tasks.join_next().await {
        commands += ended??;
    }
    println!("{commands} commands of 40 tasks on 4 connections, none failed");
    Ok(())
}

async fn work(
    task: usize,
    mut connection: ConnectionManager,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<u64> {
    let mut commands = 0;
    while !*stopped.borrow() {
        let () = connection.incr(format!("task:{task}"), 1).await?;
        commands += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(commands)
}
// ANCHOR_END: shown
