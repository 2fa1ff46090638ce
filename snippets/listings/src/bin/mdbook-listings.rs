//! The preprocessor as the command that an ordinary mdbook runs, see `book.toml`.

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use listings::Listings;
use mdbook_preprocessor::Preprocessor;

const USAGE: &str = "mdbook-listings is run by mdbook, which gives it a book on its standard input: \
                     run `cargo book` or `mdbook build` instead.";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        [] => preprocess(),
        ["supports", renderer] => match Listings::new().supports_renderer(renderer) {
            Ok(true) => return ExitCode::SUCCESS,
            _ => return ExitCode::FAILURE,
        },
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn preprocess() -> Result<()> {
    let (context, book) = mdbook_preprocessor::parse_input(io::stdin().lock()).map_err(|error| error.context(USAGE))?;
    let book = Listings::new().run(&context, book)?;
    serde_json::to_writer(io::stdout().lock(), &book)?;
    Ok(())
}
