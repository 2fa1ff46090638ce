//! Signs in to Azure Managed Redis as a service principal that proves itself with a certificate.

use std::{env, fs, time::Duration};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use redis::{
    AsyncConnectionConfig, Client, ClientCertificate, EntraIdCredentialsProvider, RetryConfig,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());

    // redis leaves the choice of a TLS implementation to the program.
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    // ANCHOR: shown
    // PKCS#12, a .pfx file: certificate and private key together.
    let path = env::var("AZURE_CLIENT_CERTIFICATE_PATH")
        .context("AZURE_CLIENT_CERTIFICATE_PATH is not set")?;
    let pfx = fs::read(&path).with_context(|| format!("cannot read {path}"))?;
    let mut provider = EntraIdCredentialsProvider::new_client_certificate(
        env::var("AZURE_TENANT_ID").context("AZURE_TENANT_ID is not set")?,
        env::var("AZURE_CLIENT_ID").context("AZURE_CLIENT_ID is not set")?,
        ClientCertificate {
            base64_pkcs12: BASE64_STANDARD.encode(pfx),
            password: env::var("AZURE_CLIENT_CERTIFICATE_PASSWORD").ok(),
        },
    )?;
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
