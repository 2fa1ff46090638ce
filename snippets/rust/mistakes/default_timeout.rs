//! Goes wrong twice: the client secret is wrong, and the default connection timeout of one second
//! hides that.

use std::env;

use anyhow::Context;
use redis::{AsyncConnectionConfig, Client, EntraIdCredentialsProvider, RetryConfig};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    let mut provider = EntraIdCredentialsProvider::new_client_secret(
        env::var("AZURE_TENANT_ID").context("AZURE_TENANT_ID is not set")?,
        env::var("AZURE_CLIENT_ID").context("AZURE_CLIENT_ID is not set")?,
        env::var("AZURE_CLIENT_SECRET").context("AZURE_CLIENT_SECRET is not set")?,
    )?;
    provider.start(RetryConfig::default());

    let config = AsyncConnectionConfig::new().set_credentials_provider(provider);
    let mut connection = Client::open(format!("rediss://{host}:{port}"))?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;

    let reply: String = redis::cmd("PING").query_async(&mut connection).await?;
    println!("{reply}");
    Ok(())
}
