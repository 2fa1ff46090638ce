//! Signs in to Azure Managed Redis with an access key, as most programs did until now.

use std::{env, time::Duration};

use anyhow::Context;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisConnectionInfo};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());

    // redis leaves the choice of a TLS implementation to the program.
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    // ANCHOR: shown
    let access_key = env::var("REDIS_ACCESS_KEY").context("REDIS_ACCESS_KEY is not set")?;
    let server = format!("rediss://{host}:{port}")
        .into_connection_info()?
        .set_redis_settings(RedisConnectionInfo::default().set_password(access_key));

    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(5)));
    let mut connection = Client::open(server)?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;

    let reply: String = redis::cmd("PING").query_async(&mut connection).await?;
    println!("{reply}");
    // ANCHOR_END: shown
    Ok(())
}
