//! Keeps one blocking connection to Azure Managed Redis busy while its token is renewed again and
//! again, until it is told to stop.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::Context;
use futures_util::StreamExt;
use redis::{
    Client, Commands, EntraIdCredentialsProvider, IntoConnectionInfo, RedisConnectionInfo,
    RetryConfig, StreamingCredentialsProvider,
};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> anyhow::Result<()> {
    let host = env::var("REDIS_HOST").context("REDIS_HOST is not set")?;
    let port = env::var("REDIS_PORT").unwrap_or_else(|_| "10000".to_string());

    // redis leaves the choice of a TLS implementation to the program.
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider yet");

    // ANCHOR: shown
    // A blocking connection takes no credentials provider. The provider runs beside it, in a runtime
    // of its own, and hands each new token over.
    let runtime = tokio::runtime::Runtime::new()?;
    let _inside = runtime.enter();
    let mut provider = EntraIdCredentialsProvider::new_system_assigned_managed_identity()?;
    provider.start(RetryConfig::default());
    let (sender, tokens) = mpsc::channel();
    let mut renewals = provider.subscribe();
    runtime.spawn(async move {
        while let Some(renewal) = renewals.next().await {
            if sender.send(renewal).is_err() {
                break;
            }
        }
    });

    let first = tokens
        .recv_timeout(Duration::from_secs(30))
        .context("no token came")??;
    let settings = RedisConnectionInfo::default()
        .set_username(first.username())
        .set_password(first.password());
    let server = format!("rediss://{host}:{port}")
        .into_connection_info()?
        .set_redis_settings(settings);
    let mut connection =
        Client::open(server)?.get_connection_with_timeout(Duration::from_secs(30))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;

    let stopped = told_to_stop(&runtime)?;
    let mut round_trips = 0_u64;
    while !stopped.load(Ordering::Relaxed) {
        // Between two commands, long before the token that it signed in with runs out.
        match tokens.try_recv() {
            Ok(Ok(renewed)) => redis::cmd("AUTH")
                .arg(renewed.username())
                .arg(renewed.password())
                .exec(&mut connection)?,
            Ok(Err(error)) => eprintln!("no new token yet: {error}"),
            Err(_) => {}
        }
        let () = connection.set("round-trips", round_trips)?;
        let stored: u64 = connection.get("round-trips")?;
        anyhow::ensure!(
            stored == round_trips,
            "wrote {round_trips} and read {stored}"
        );
        round_trips += 1;
        thread::sleep(Duration::from_millis(150));
    }
    println!("{round_trips} round trips on one connection, none failed.");
    // ANCHOR_END: shown
    Ok(())
}

/// Becomes true when the program is told to stop.
fn told_to_stop(runtime: &tokio::runtime::Runtime) -> anyhow::Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut told = signal(kind)?;
        let stopped = Arc::clone(&stopped);
        runtime.spawn(async move {
            told.recv().await;
            stopped.store(true, Ordering::Relaxed);
        });
    }
    Ok(stopped)
}
