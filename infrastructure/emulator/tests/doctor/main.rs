//! `amr-emulator doctor`, through the command: every cause that it can name is created here, by an emulator with a fault or by a
//! small server on loopback, and must be named.

mod authority;
mod examination;
mod servers;

mod credential;
mod emulator;
mod name_and_network;
mod sign_in;
mod tls;
mod token;
mod whole;

/// The tests' own text, to see that none of the causes was left out.
const SOURCES: &[&str] = &[
    include_str!("credential.rs"),
    include_str!("emulator.rs"),
    include_str!("name_and_network.rs"),
    include_str!("sign_in.rs"),
    include_str!("tls.rs"),
    include_str!("token.rs"),
    include_str!("whole.rs"),
];

#[test]
fn every_cause_of_the_help_is_created_by_a_test() {
    let help = examination::help();
    let (_, causes) = help.split_once("Exit codes").expect("the help lists the exit codes");
    // A cause stands behind seven spaces, before its explanation.
    let causes: Vec<&str> = causes.lines().filter_map(|line| line.strip_prefix("       ")).collect();
    assert!(causes.len() > 40, "{causes:?}");
    for line in causes {
        let (cause, _) = line.split_once(' ').unwrap_or_else(|| panic!("'{line}' is the rest of a broken line"));
        let created = format!("is_caused_by(\"{cause}\"");
        // The formatter may have put the cause on a line of its own.
        let creates = |source: &&str| source.split_whitespace().collect::<String>().contains(&created);
        assert!(SOURCES.iter().any(creates), "no test creates {cause}");
    }
}
