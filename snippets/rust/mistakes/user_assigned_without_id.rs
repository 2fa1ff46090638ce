//! Goes wrong without an error: the constructor is named for a user-assigned identity, but nothing
//! says which one. On an application that also has a system-assigned identity, that is the one that
//! signs in.

use std::{env, time::Duration};

use anyhow::Context;
use redis::{AsyncConnectionConfig, Client, EntraIdCredentialsProvider, RetryConfig};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    let mut provider = EntraIdCredentialsProvider::new_user_assigned_managed_identity()?;
    provider.start(RetryConfig::default());

    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_credentials_provider(provider);
    let mut connection = Client::open(format!("rediss://{host}:{port}"))?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;

    let principal: String = redis::cmd("ACL")
        .arg("WHOAMI")
        .query_async(&mut connection)
        .await?;
    println!("signed in as {principal}");
    Ok(())
}
