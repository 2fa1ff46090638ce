//! Goes wrong: a token is fetched once and kept as if it were a password. It works until the token
//! expires: then the server closes the connection, and no new one can sign in.

use std::{env, time::Duration};

use anyhow::Context;
use azure_core::credentials::TokenCredential;
use azure_identity::ManagedIdentityCredential;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, RedisConnectionInfo, RedisResult,
    aio::MultiplexedConnection,
};

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
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(Duration::from_secs(30)));

    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    println!("first connection: {}", ping(&mut connection).await?);
    while ping(&mut connection).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("first connection: closed by the server");

    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .context("second connection")?;
    Ok(())
}

async fn ping(connection: &mut MultiplexedConnection) -> RedisResult<String> {
    redis::cmd("PING").query_async(connection).await
}
