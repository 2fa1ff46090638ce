//! Goes wrong: a client for one server at a cache whose clustering policy is OSSCluster.

use std::{env, time::Duration};

use anyhow::Context;
use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, EntraIdCredentialsProvider, RetryConfig,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    let mut provider = EntraIdCredentialsProvider::new_system_assigned_managed_identity()?;
    provider.start(RetryConfig::default());
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_credentials_provider(provider);
    let mut connection = Client::open(format!("rediss://{host}:{port}"))?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;

    for key in ["b", "a"] {
        let () = connection.set(key, "hello").await?;
        println!("written: {key}");
    }
    Ok(())
}
