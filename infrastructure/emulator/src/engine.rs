//! The real Redis or Valkey server behind the front: found, started on a unix socket, told its users, ended with us.

mod find;
mod process;
mod wheel;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use redis::{Connection, ConnectionLike, Value};

use crate::azure;
use crate::directory::ObjectId;
use crate::{Error, token};

pub use find::EngineInfo;
pub(crate) use process::on_the_starting_thread;

/// How long a start may take before it counts as failed. It takes some 20 ms.
const START_TIME: Duration = Duration::from_secs(15);

/// The user that the emulator itself signs in as.
const OWN_USER: &str = "amr-emulator";

/// A running engine. Dropping it ends it.
pub(crate) struct Engine {
    pub(crate) info: EngineInfo,
    process: process::EngineProcess,
    control: Mutex<Connection>,
    /// What no user may do, whatever the access string says: ACL rules that come last.
    blocked: String,
    /// The engine's own command names, for the log: a client's text is not repeated there unless it is one of them.
    pub(crate) command_names: HashSet<String>,
    passwords: Mutex<BTreeMap<ObjectId, String>>,
}

impl Engine {
    /// Finds an engine and starts it in `folder`, which must be private and short-named.
    pub(crate) fn start(explicit: Option<&Path>, folder: &Path) -> Result<Self, Error> {
        let info = find::find(explicit)?;
        let socket = folder.join("redis.sock");
        let password = token::random_text(32);
        let config = format!(
            "port 0\n\
             unixsocket \"{socket}\"\n\
             unixsocketperm 700\n\
             dir \"{folder}\"\n\
             save \"\"\n\
             appendonly no\n\
             databases 1\n\
             maxclients 20000\n\
             daemonize no\n\
             loglevel warning\n\
             user default off\n\
             user {OWN_USER} on #{hash} ~* &* +@all\n",
            socket = socket.display(),
            folder = folder.display(),
            hash = sha256_hex(&password),
        );
        let mut process = process::EngineProcess::start(&info.path, config, &folder.join("engine.log"))?;
        let mut control = connect(&mut process, &socket, &password)?;
        let commands: Vec<Value> = redis::cmd("COMMAND").query(&mut control).map_err(engine_error)?;
        let commands = CommandTable::read(&commands);
        Ok(Engine {
            info,
            process,
            blocked: commands.blocked(),
            command_names: commands.names,
            control: Mutex::new(control),
            passwords: Mutex::default(),
        })
    }

    /// Makes the principal a user with the rights of `access_string`, less what is blocked on Azure.
    pub(crate) fn assign(&self, principal: ObjectId, access_string: &str) -> Result<(), Error> {
        let rules = access_rules(access_string)?;
        let password = token::random_text(32);
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg(principal.to_string()).arg("reset").arg("on");
        command.arg(format!("#{}", sha256_hex(&password)));
        for rule in rules.chain(self.blocked.split_whitespace()) {
            command.arg(rule);
        }
        let mut control = self.control.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        command.query::<()>(&mut *control).map_err(|error| Error::InvalidAccessString {
            access_string: access_string.to_owned(),
            why: error.to_string(),
        })?;
        self.passwords.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(principal, password);
        Ok(())
    }

    /// The password that the engine knows the principal by. It never leaves the machine and changes with every start.
    pub(crate) fn password(&self, principal: ObjectId) -> Option<String> {
        self.passwords.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&principal).cloned()
    }

    /// Path of the socket that it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.process.folder().join("redis.sock")
    }
}

/// Azure's access strings are ACL rules about commands, keys and channels. Anything else that `ACL SETUSER` takes would
/// reach past the assignment: passwords, `on`, `reset`, and selectors, which later rules do not restrict.
fn access_rules(access_string: &str) -> Result<std::str::SplitAsciiWhitespace<'_>, Error> {
    let allowed = |rule: &str| {
        matches!(rule, "allkeys" | "resetkeys" | "allchannels" | "resetchannels" | "allcommands" | "nocommands")
            || rule.starts_with(['+', '-', '~', '%', '&'])
    };
    match access_string.split_ascii_whitespace().find(|rule| !allowed(rule)) {
        None => Ok(access_string.split_ascii_whitespace()),
        Some(rule) => Err(Error::InvalidAccessString {
            access_string: access_string.to_owned(),
            why: format!("'{rule}' is not a rule about commands (+ -), keys (~ %) or channels (&)"),
        }),
    }
}

fn connect(process: &mut process::EngineProcess, socket: &Path, password: &str) -> Result<Connection, Error> {
    let client = redis::Client::open(format!("unix://{}?user={OWN_USER}&pass={password}", socket.display()))
        .map_err(engine_error)?;
    let started = Instant::now();
    loop {
        if socket.exists()
            && let Ok(mut connection) = client.get_connection()
            && connection.check_connection()
        {
            let _: Result<(), _> = connection.set_read_timeout(Some(START_TIME));
            return Ok(connection);
        }
        if let Some(why) = process.ended() {
            return Err(Error::EngineStart { path: process.program().to_owned(), why });
        }
        if started.elapsed() > START_TIME {
            let why = format!("it did not answer within {} s", START_TIME.as_secs());
            return Err(Error::EngineStart { path: process.program().to_owned(), why });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn engine_error(error: redis::RedisError) -> Error {
    Error::Engine(error.to_string())
}

fn sha256_hex(text: &str) -> String {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the engine says of its own commands.
struct CommandTable {
    names: HashSet<String>,
    administrative: Vec<String>,
}

impl CommandTable {
    /// Reads the reply of `COMMAND`.
    fn read(reply: &[Value]) -> Self {
        let mut table = CommandTable { names: HashSet::new(), administrative: Vec::new() };
        for command in reply {
            table.add(command);
        }
        table
    }

    fn add(&mut self, command: &Value) {
        let Value::Array(fields) = command else { return };
        let Some(name) = fields.first().and_then(text) else { return };
        let is_admin = fields.get(6).is_some_and(|categories| contains(categories, "@admin"));
        let subcommands = match fields.get(9) {
            Some(Value::Array(subcommands)) => subcommands.as_slice(),
            _ => &[],
        };
        // A container (CONFIG, CLIENT …) is blocked by its parts, so that the parts that users have stay theirs.
        if is_admin && subcommands.is_empty() {
            self.administrative.push(name.clone());
        }
        self.names.insert(name);
        for subcommand in subcommands {
            self.add(subcommand);
        }
    }

    /// ACL rules that take away what Azure keeps to itself.
    fn blocked(&self) -> String {
        let mut rules: Vec<String> = self
            .administrative
            .iter()
            .map(String::as_str)
            .filter(|name| !azure::ADMIN_LEFT_TO_USERS.contains(name))
            .chain(azure::BLOCKED_BESIDES_ADMIN.iter().copied().filter(|&name| self.names.contains(name)))
            .map(|name| format!("-{name}"))
            .collect();
        rules.sort();
        rules.dedup();
        rules.join(" ")
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).to_ascii_lowercase()),
        Value::SimpleString(text) => Some(text.to_ascii_lowercase()),
        _ => None,
    }
}

fn contains(list: &Value, wanted: &str) -> bool {
    match list {
        Value::Array(items) | Value::Set(items) => items.iter().any(|item| text(item).as_deref() == Some(wanted)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_string_can_not_reach_past_its_assignment() {
        assert!(access_rules("+@all ~* &*").is_ok());
        assert!(access_rules("-@all +get %R~cache:* resetchannels").is_ok());
        for bad in ["+@all ~* >password", "nopass", "on", "off", "reset", "(+@all ~*)", "#abc", "clearselectors"] {
            let error = access_rules(bad).err().unwrap_or_else(|| panic!("{bad} was accepted")).to_string();
            assert!(error.contains("InvalidAccessString") || error.contains("access string"), "{error}");
        }
    }
}
