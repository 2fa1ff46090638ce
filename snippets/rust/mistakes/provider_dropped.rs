//! Goes wrong: the function that connects keeps the provider to itself. When it returns, the
//! provider is dropped, nothing renews the token any more, and nothing says so.

use std::{env, time::Duration};

use anyhow::Context;
use redis::{
    AsyncConnectionConfig, Client, EntraIdCredentialsProvider, RedisResult, RetryConfig,
    aio::MultiplexedConnection,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    let mut connection = connect(&host, &port).await?;
    println!("connected: {}", ping(&mut connection).await?);
    while ping(&mut connection).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("closed by the server: the token ran out and no other was fetched");
    Ok(())
}

async fn connect(host: &str, port: &str) -> anyhow::Result<MultiplexedConnection> {
    let mut provider = EntraIdCredentialsProvider::new_system_assigned_managed_identity()?;
    provider.start(RetryConfig::default());
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_credentials_provider(provider);
    let connection = Client::open(format!("rediss://{host}:{port}"))?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    Ok(connection)
}

async fn ping(connection: &mut MultiplexedConnection) -> RedisResult<String> {
    redis::cmd("PING").query_async(connection).await
}
