//! The command `cargo book`: reads the command line and calls the library.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use runner::{Address, book_root, show_diagnostics};

/// Serves this book on your machine, and runs its listings.
#[derive(Parser)]
#[command(name = "cargo book", bin_name = "cargo book", disable_help_subcommand = true, after_help = ENVIRONMENT)]
struct Command {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    serve: Serve,
}

const ENVIRONMENT: &str = "`cargo test` verifies the listings. Its switches, in the environment:\n  \
    AMR_BOOK_REQUIRE_ALL=1  a missing toolchain fails instead of being skipped, and so does a machine that cannot cut \
    the listings off from the network\n  \
    AMR_BOOK_SLOW=1         each listing is also built in an empty project from the dependency lines that the book shows";

#[derive(Args)]
struct Serve {
    /// The port to serve on.
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// The address to serve on: 127.0.0.1, ::1 or localhost.
    #[arg(long, default_value = "localhost")]
    host: String,
    /// Opens the book in a browser.
    #[arg(long)]
    open: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Writes the book's pages to the folder that book.toml names.
    Build,
    /// Runs listings and mistakes, and renews what the book shows of it.
    Record {
        /// Listings, scenarios or mistakes, as `cargo book list` names them; everything if none is given.
        ids: Vec<String>,
    },
    /// Runs one listing against an emulator; what the emulator sees goes to standard error.
    Run {
        /// The listing, as `cargo book list` names it.
        listing: String,
        /// Shows the environment that the hosting sets.
        #[arg(long)]
        show_env: bool,
    },
    /// Names all listings and mistakes.
    List,
}

fn main() -> ExitCode {
    let command = Command::parse();
    show_diagnostics();
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let Some(action) = command.action else {
        let address = Address::new(&command.serve.host, command.serve.port)?;
        runner::serve(&book_root()?, address, command.serve.open)?;
        return Ok(ExitCode::SUCCESS);
    };
    match action {
        Action::Build => {
            let pages = runner::build(&book_root()?)?;
            println!("The book is in {}", pages.display());
        }
        Action::Record { ids } => runner::record(&book_root()?, &ids)?,
        Action::Run { listing, show_env } => {
            let status = runner::run(&book_root()?, &listing, show_env)?;
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
        // A reader may look at the first lines only.
        Action::List => {
            let _ = std::io::stdout().write_all(runner::list(&book_root()?)?.as_bytes());
        }
    }
    Ok(ExitCode::SUCCESS)
}
