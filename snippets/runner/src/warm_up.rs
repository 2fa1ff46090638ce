//! Finds, and if need be fetches, the emulator's engine in a process of its own. The test of the listings cuts itself off
//! from the network while it still has one thread, and an emulator would start several.

use std::env;
use std::process::{Command, Stdio, exit};

use anyhow::{Context, Result, bail};
use azure_managed_redis_emulator::Emulator;

const WARM_UP: &str = "AMR_BOOK_WARM_UP_ENGINE";

/// To be called first in `main` of a program that calls [`warm_up_engine`].
pub fn answer_engine_warm_up() {
    if env::var_os(WARM_UP).is_some() {
        match Emulator::start() {
            Ok(_) => exit(0),
            Err(error) => {
                eprintln!("{:#}", anyhow::Error::from(error));
                exit(1);
            }
        }
    }
}

/// Starts and stops an emulator once, so that everything it needs is on this machine afterwards.
pub fn warm_up_engine() -> Result<()> {
    let status = Command::new(env::current_exe()?)
        .env(WARM_UP, "1")
        .stdin(Stdio::null())
        .status()
        .context("cannot start a copy of this program")?;
    if !status.success() {
        bail!("the emulator does not start; its message is above");
    }
    Ok(())
}
