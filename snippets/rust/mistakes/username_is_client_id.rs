//! Goes wrong: the user name is the client id of the identity. Redis expects the object id of its
//! principal.

use std::{env, time::Duration};

use anyhow::Context;
use azure_core::credentials::TokenCredential;
use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisConnectionInfo};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());
    let client_id = env::var("AZURE_CLIENT_ID").context("AZURE_CLIENT_ID is not set")?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    let credential = ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
        user_assigned_id: Some(UserAssignedId::ClientId(client_id.clone())),
        ..Default::default()
    }))?;
    let token = credential
        .get_token(&["https://redis.azure.com/.default"], None)
        .await?;

    let sign_in = RedisConnectionInfo::default()
        .set_username(client_id)
        .set_password(token.token.secret());
    let info = format!("rediss://{host}:{port}")
        .into_connection_info()?
        .set_redis_settings(sign_in);
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(Duration::from_secs(30)));
    let mut connection = Client::open(info)?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;

    let reply: String = redis::cmd("PING").query_async(&mut connection).await?;
    println!("{reply}");
    Ok(())
}
