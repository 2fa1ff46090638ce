//! Where the running emulator is found, and how it is asked. One that runs by itself writes a file into its state folder; `exec`
//! gives its command two variables.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use azure_managed_redis_emulator::Emulator;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde_json::Value;
use tempfile::NamedTempFile;
use ureq::http::{Request, Response, StatusCode};
use ureq::{Agent, Body};

use crate::{Failure, State};

/// The file, in the form of a shell's assignments, so that scripts can read it too.
pub(crate) const FILE: &str = "control.env";

pub(crate) const ADDRESS: &str = "AMR_EMULATOR_CONTROL";
pub(crate) const TOKEN: &str = "AMR_EMULATOR_CONTROL_TOKEN";
const PROCESS: &str = "AMR_EMULATOR_PROCESS";

/// How long an emulator may take to answer. The longest that it does is to start engines.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// The file of an emulator that runs by itself. Deleted when dropped.
pub(crate) struct Announcement {
    pub(crate) path: PathBuf,
    text: String,
}

impl Announcement {
    /// Makes it known where the emulator is. `state` is its state folder.
    pub(crate) fn of(emulator: &Emulator, state: &Path) -> Result<Self, Failure> {
        let path = state.join(FILE);
        let text = format!(
            "# How to reach the emulator that runs with this state folder. Deleted when it ends.\n\
             {ADDRESS}={}\n{TOKEN}={}\n{PROCESS}={}\n",
            emulator.control_address(),
            emulator.control_token(),
            std::process::id()
        );
        // Whole or not at all, and for nobody else to read.
        NamedTempFile::new_in(state)
            .and_then(|mut file| file.write_all(text.as_bytes()).map(|()| file))
            .and_then(|file| Ok(file.persist(&path)?))
            .map_err(|e| format!("{} can't be written: {e}", path.display()))?;
        Ok(Announcement { path, text })
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Another emulator may have put its own in place of ours.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Refuses a second emulator with a state folder: the first would not be found any more, and its events be lost.
pub(crate) fn none_with(state: &Path) -> Result<(), Failure> {
    let Ok(running) = Running::announced(state) else { return Ok(()) };
    // Who does not answer is ending, or another program that has got the number of a process that was killed.
    let Ok((_, status)) = running.ask("GET", "/v1/status", None) else { return Ok(()) };
    Err(format!(
        "an emulator runs with the state folder {} already, as process {}. Stop it, or give this one another with --state",
        state.display(),
        status["process"]
    )
    .into())
}

/// A name as a part of an address.
pub(crate) fn segment(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Prints what a command is for. Nobody minds if whoever reads it has seen enough.
pub(crate) fn print(text: &str) -> Result<ExitCode, Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A running emulator.
pub(crate) struct Running {
    address: String,
    token: String,
    /// The file that told of it.
    file: Option<PathBuf>,
    agent: Agent,
}

impl Running {
    /// The one that is meant: that of the variables, otherwise that of the state folder.
    pub(crate) fn find(state: &State) -> Result<Self, Failure> {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        match (variable(ADDRESS), variable(TOKEN)) {
            (Some(address), Some(token)) => Self::new(address, token, None),
            (Some(_), None) => {
                Err(format!("{ADDRESS} is set, but not {TOKEN}: one is of no use without the other").into())
            }
            _ => Self::announced(&state.folder()?),
        }
    }

    /// Whether `exec`, or whoever set the variables, says which one is meant.
    pub(crate) fn is_given() -> bool {
        std::env::var_os(ADDRESS).is_some_and(|address| !address.is_empty())
    }

    /// The one of a state folder. An error says that none runs, and why that is known.
    pub(crate) fn announced(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(format!(
                    "no emulator runs with the state folder {}. Start one with `amr-emulator`, or call this from a command below \
                     `amr-emulator exec`",
                    folder.display()
                )
                .into());
            }
            Err(e) => return Err(format!("{} can't be read: {e}", path.display()).into()),
        };
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let (Some(address), Some(token), Some(process)) =
            (value(ADDRESS), value(TOKEN), value(PROCESS).and_then(|id| id.parse().ok()).and_then(Pid::from_raw))
        else {
            return Err(format!("{} is damaged; delete it and start the emulator again", path.display()).into());
        };
        if test_kill_process(process) == Err(Errno::SRCH) {
            let id = process.as_raw_nonzero();
            return Err(format!(
                "no emulator runs any more: {} is left of process {id}, which was killed. Start one with `amr-emulator`",
                path.display()
            )
            .into());
        }
        Self::new(address.to_owned(), token.to_owned(), Some(path))
    }

    fn new(address: String, token: String, file: Option<PathBuf>) -> Result<Self, Failure> {
        // The token is for an emulator on this machine, and for nobody else.
        let authority = address.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').unwrap_or_default();
        if !["127.0.0.1", "localhost", "[::1]"].contains(&host) || port.parse::<u16>().is_err() {
            return Err(
                format!("'{address}' is no address of a control API; one looks like http://127.0.0.1:10004").into()
            );
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(ANSWER_TIME))
            .build()
            .new_agent();
        Ok(Running { address: format!("http://{authority}"), token, file, agent })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What tells this run of an emulator from others.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Asks, and gives the reply: its status and, if it has one, its body. A refusal is an error, in the emulator's words.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value), Failure> {
        let response = self.request(method, path, body)?;
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok((status, Value::Null));
        }
        let body = serde_json::from_reader(response.into_body().into_reader());
        Ok((status, body.map_err(|e| self.strange(&format!("the reply is not JSON: {e}")))?))
    }

    /// Reads events as lines of JSON.
    pub(crate) fn events(&self, since: u64, follow: bool) -> Result<impl BufRead + use<>, Failure> {
        let response = self.request("GET", &format!("/v1/events?since={since}&follow={follow}"), None)?;
        Ok(BufReader::new(response.into_body().into_reader()))
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response<Body>, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address))
            .header("authorization", format!("Bearer {}", self.token));
        let response = match body {
            Some(body) => self.agent.run(request.header("content-type", "application/json").body(body.to_string())?),
            None => self.agent.run(request.body(())?),
        };
        let mut response = response.map_err(|e| self.no_answer(&e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let problem = response.body_mut().read_to_string().unwrap_or_default();
        let detail =
            serde_json::from_str::<Value>(&problem).ok().and_then(|it| Some(it["detail"].as_str()?.to_owned()));
        Err(match (detail, response.status()) {
            (Some(_), StatusCode::UNAUTHORIZED) => {
                let of = match &self.file {
                    Some(file) => format!("{} is not of the emulator that runs at {}", file.display(), self.address),
                    None => format!("{TOKEN} is not the token of the emulator that runs at {}", self.address),
                };
                format!("{of}: each start makes a new token").into()
            }
            (Some(detail), _) => detail.into(),
            (None, status) => self.strange(&format!("it answers {status}")),
        })
    }

    fn no_answer(&self, error: &ureq::Error) -> Failure {
        let whence = self.file.as_ref().map_or_else(|| ADDRESS.to_owned(), |file| file.display().to_string());
        format!("no emulator answers at {}, which {whence} names: {error}. It is ending, or another program has taken its place", self.address)
            .into()
    }

    fn strange(&self, why: &str) -> Failure {
        format!("what answers at {} is no emulator of this version: {why}", self.address).into()
    }
}
