//! `amr-emulator wait`: for scripts that start the emulator in the background.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use azure_managed_redis_emulator::Lifetime;
use clap::Args;

use crate::running::Running;
use crate::{Failure, State};

const GLANCE: Duration = Duration::from_millis(20);

#[derive(Args)]
pub(crate) struct Wait {
    /// How long at most
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = time)]
    timeout: Duration,
    #[command(flatten)]
    state: State,
}

pub(crate) const EXAMPLE: &str = "Example:
  amr-emulator & amr-emulator wait && eval \"$(amr-emulator env --as user)\"

It says nothing and ends with 0 as soon as the emulator answers, and otherwise says why it gave up.";

fn time(text: &str) -> Result<Duration, String> {
    text.parse().map(|Lifetime(time)| time)
}

pub(crate) fn run(options: &Wait) -> Result<ExitCode, Failure> {
    let deadline = Instant::now() + options.timeout;
    loop {
        // Anew each time: the file that names it may be of one that has ended.
        match Running::find(&options.state).and_then(|running| running.ask("GET", "/v1/status", None)) {
            Ok(_) => return Ok(ExitCode::SUCCESS),
            Err(why) if Instant::now() >= deadline => {
                return Err(format!("waited for {} s: {why}", options.timeout.as_secs()).into());
            }
            Err(_) => std::thread::sleep(GLANCE),
        }
    }
}
