//! Goes wrong: `get_async_pubsub` opens a RESP2 connection of its own. It takes no credentials
//! provider, and a RESP2 subscriber could not sign in again anyway: when its token expires, the
//! subscription ends without an error.

use std::env;

use anyhow::Context;
use azure_core::credentials::TokenCredential;
use azure_identity::ManagedIdentityCredential;
use futures_util::StreamExt;
use redis::{Client, IntoConnectionInfo, RedisConnectionInfo};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());
    let object_id = env::var("REDIS_USERNAME").context("REDIS_USERNAME is not set")?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    let token = ManagedIdentityCredential::new(None)?
        .get_token(&["https://redis.azure.com/.default"], None)
        .await?;
    let sign_in = RedisConnectionInfo::default()
        .set_username(object_id)
        .set_password(token.token.secret());
    let client = Client::open(
        format!("rediss://{host}:{port}")
            .into_connection_info()?
            .set_redis_settings(sign_in),
    )?;

    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe("news").await?;
    println!("subscribed");
    let mut messages = subscription.on_message();
    while let Some(message) = messages.next().await {
        println!("{}", message.get_payload::<String>()?);
    }
    println!("the subscription has ended");
    Ok(())
}
