//! Goes wrong: the shards announce IP addresses, the certificate names the host, and nothing in this
//! program brings the two together.

use std::{env, time::Duration};

use anyhow::Context;
use redis::{
    AsyncCommands, EntraIdCredentialsProvider, RetryConfig, cluster::ClusterClientBuilder,
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

    let client = ClusterClientBuilder::new([format!("rediss://{host}:{port}")])
        .set_credentials_provider(provider)
        .connection_timeout(Duration::from_secs(30))
        .build()?;
    let mut connection = client.get_async_connection().await?;
    let () = connection.set("greeting", "hello").await?;
    println!("written");
    Ok(())
}
