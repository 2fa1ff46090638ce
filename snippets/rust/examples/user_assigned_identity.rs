//! Signs in to Azure Managed Redis with a user-assigned managed identity, chosen by its client id.

use std::{env, time::Duration};

use anyhow::Context;
use azure_identity::{ManagedIdentityCredentialOptions, UserAssignedId};
use redis::{
    AsyncConnectionConfig, Client, EntraIdCredentialsProvider, REDIS_SCOPE_DEFAULT, RetryConfig,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());
    let client_id = env::var("AZURE_CLIENT_ID").context("AZURE_CLIENT_ID is not set")?;

    // redis leaves the choice of a TLS implementation to the program.
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    // ANCHOR: shown
    // `new_user_assigned_managed_identity()` names no identity: it gets the system-assigned one.
    let mut provider = EntraIdCredentialsProvider::new_user_assigned_managed_identity_with_scopes(
        vec![REDIS_SCOPE_DEFAULT.to_string()],
        Some(ManagedIdentityCredentialOptions {
            user_assigned_id: Some(UserAssignedId::ClientId(client_id)),
            ..Default::default()
        }),
    )?;
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
