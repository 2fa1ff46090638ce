//! Reads and writes across the shards of an Azure Managed Redis with the clustering policy
//! OSSCluster. Each shard is a connection of its own, and signs in by itself.

use std::{collections::HashMap, env, time::Duration};

use anyhow::Context;
use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, EntraIdCredentialsProvider, RetryConfig, Value,
    cluster::{ClusterClientBuilder, NodeAddress},
    from_redis_value,
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
    let mut provider = EntraIdCredentialsProvider::new_system_assigned_managed_identity()?;
    provider.start(RetryConfig::default());

    // The shards announce IP addresses, and the certificate names the host: reach each by that.
    let url = format!("rediss://{host}:{port}");
    let mut addresses = HashMap::new();
    for node in announced(&url, provider.clone()).await? {
        let reachable = NodeAddress::new(host.as_str(), node.port());
        addresses.insert(node, reachable);
    }

    let client = ClusterClientBuilder::new([url])
        .node_address_map(addresses)
        .set_credentials_provider(provider)
        .connection_timeout(Duration::from_secs(30))
        .response_timeout(Duration::from_secs(5))
        .build()?;
    let mut connection = client.get_async_connection().await?;

    for n in 0..30 {
        let () = connection.set(format!("order:{n}"), n).await?;
        let stored: i32 = connection.get(format!("order:{n}")).await?;
        anyhow::ensure!(stored == n, "wrote {n} and read {stored}");
    }
    println!("30 keys written and read, wherever they are");
    Ok(())
}

/// The shards' addresses as the cache announces them. Their ports are not known before.
async fn announced(
    url: &str,
    provider: EntraIdCredentialsProvider,
) -> anyhow::Result<Vec<NodeAddress>> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(5)))
        .set_credentials_provider(provider);
    let mut connection = Client::open(url)?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let slots: Vec<Vec<Value>> = redis::cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(&mut connection)
        .await?;
    // Each range of slots: its first, its last, and then its nodes.
    let mut nodes = Vec::new();
    for node in slots
        .into_iter()
        .flat_map(|range| range.into_iter().skip(2))
    {
        let node: Vec<Value> = from_redis_value(node)?;
        let (ip, port) = (node.first().cloned(), node.get(1).cloned());
        let ip: String = from_redis_value(ip.context("a node without an address")?)?;
        let port: u16 = from_redis_value(port.context("a node without a port")?)?;
        nodes.push(NodeAddress::new(ip, port));
    }
    Ok(nodes)
}
// ANCHOR_END: shown
