//! Signs in to Azure Managed Redis as whoever is signed in: on your machine you, through the Azure CLI,
//! and in Azure the application's managed identity.

use std::{env, time::Duration};

use anyhow::Context;
use redis::{AsyncConnectionConfig, Client, EntraIdCredentialsProvider, RetryConfig};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());

    // redis leaves the choice of a TLS implementation to the program.
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    // ANCHOR: shown
    // Rust has no DefaultAzureCredential. This reads the setting by which it is told what to try.
    let mut provider = match env::var("AZURE_TOKEN_CREDENTIALS").as_deref() {
        Ok("dev" | "AzureCliCredential") => EntraIdCredentialsProvider::new_developer_tools()?,
        _ => EntraIdCredentialsProvider::new_system_assigned_managed_identity()?,
    };
    // The user name is the principal's object id. redis reads it from the token.
    provider.start(RetryConfig::default());

    let config = AsyncConnectionConfig::new()
        // Connecting waits for the first token. The default, one second, hides why none came.
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(5)))
        .set_credentials_provider(provider);
    let mut connection = Client::open(format!("rediss://{host}:{port}"))?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;

    let reply: String = redis::cmd("PING").query_async(&mut connection).await?;
    println!("{reply}");
    // ANCHOR_END: shown
    Ok(())
}
