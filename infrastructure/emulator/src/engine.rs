//! The real Redis or Valkey server behind the front: found, started on a unix socket, told its users, ended with us.

mod cluster;
mod commands;
mod find;
mod process;
mod wheel;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use redis::{Connection, ConnectionLike, Value};

use crate::assignment::access_rules;
use crate::cache::ClusteringPolicy;
use crate::{Error, azure, token};

pub(crate) use cluster::{ClusterNode, Shards};
pub(crate) use commands::{Begin, CommandTable, Find, KeySpec};
pub use find::EngineInfo;
pub(crate) use find::find;
pub(crate) use process::on_the_starting_thread;

/// How long a start may take before it counts as failed. It takes some 20 ms.
const START_TIME: Duration = Duration::from_secs(15);

/// The user that the emulator itself signs in as.
const OWN_USER: &str = "amr-emulator";

/// The file in an engine's folder that a snapshot is written to, and read from by the one that takes its place.
const SNAPSHOT: &str = "snapshot.rdb";

/// A running engine. Dropping it ends it.
pub(crate) struct Engine {
    process: Mutex<process::EngineProcess>,
    folder: PathBuf,
    control: Mutex<Connection>,
    /// What no user may do, whatever the access string says.
    blocked: Vec<String>,
    pub(crate) commands: CommandTable,
    socket: PathBuf,
}

impl Engine {
    /// Starts an engine in `folder`, which is made if need be; its parent must be private and short-named. With a snapshot in
    /// that folder it begins with that data.
    pub(crate) fn start(
        info: &EngineInfo,
        folder: &Path,
        policy: ClusteringPolicy,
        cluster: Option<&ClusterNode>,
    ) -> Result<Self, Error> {
        let why = |e: std::io::Error| Error::State { path: folder.to_owned(), why: e.to_string() };
        fs::create_dir_all(folder).map_err(why)?;
        let socket = folder.join("redis.sock");
        let password = token::random_text(32);
        let mut config = format!(
            "port 0\n\
             bind 127.0.0.1\n\
             unixsocket \"{socket}\"\n\
             unixsocketperm 700\n\
             dir \"{folder}\"\n\
             dbfilename {SNAPSHOT}\n\
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
        for module in &info.modules {
            config.push_str(&format!("loadmodule \"{}\"\n", module.display()));
        }
        if let Some(node) = cluster {
            config.push_str(&node.settings(folder).map_err(why)?);
        }
        let mut process = process::EngineProcess::start(&info.path, config, &folder.join("engine.log"))?;
        let mut control = connect(&mut process, &socket, &password)?;
        let commands: Vec<Value> = redis::cmd("COMMAND").query(&mut control).map_err(engine_error)?;
        let commands = CommandTable::read(&commands);
        Ok(Engine {
            process: Mutex::new(process),
            folder: folder.to_owned(),
            blocked: commands.blocked(policy),
            commands,
            control: Mutex::new(control),
            socket,
        })
    }

    /// Makes `name` a user with the rights of `access_string`, less what is blocked on Azure. A user that there is already
    /// keeps its connections.
    pub(crate) fn set_user(&self, name: &str, password: &str, access_string: &str) -> Result<(), Error> {
        let rules = access_rules(access_string)?;
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg(name).arg("reset").arg("on").arg(format!("#{}", sha256_hex(password)));
        for rule in rules {
            command.arg(rule);
        }
        // Last, so that no access string brings them back.
        for name in &self.blocked {
            command.arg(format!("-{name}"));
        }
        self.query::<()>(&command).map_err(|error| Error::InvalidAccessString {
            access_string: access_string.to_owned(),
            why: match error.code() {
                Some(code) => format!("{code} {}", error.detail().unwrap_or_default()),
                None => error.to_string(),
            },
        })
    }

    /// Takes a user away, and every connection that is signed in as them.
    pub(crate) fn delete_user(&self, name: &str) -> Result<(), Error> {
        let command = if name == azure::ACCESS_KEY_USER {
            // This one can not be deleted.
            redis::cmd("ACL").arg("SETUSER").arg(name).arg("reset").arg("off").to_owned()
        } else {
            redis::cmd("ACL").arg("DELUSER").arg(name).to_owned()
        };
        self.query::<Value>(&command).map(drop).map_err(engine_error)
    }

    /// Deletes all data.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.command(&["FLUSHALL"]).map(drop)
    }

    /// Writes all data into the engine's folder, for the one that takes its place. Gives the file.
    pub(crate) fn snapshot(&self) -> Result<PathBuf, Error> {
        self.command(&["SAVE"])?;
        Ok(self.folder.join(SNAPSHOT))
    }

    /// Ends it now, whoever else holds it. Dropping the last holder does the same.
    pub(crate) fn stop(&self) {
        self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).stop();
    }

    /// Path of the socket that it listens on.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    fn command(&self, words: &[&str]) -> Result<Value, Error> {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(word);
        }
        self.query(&command).map_err(engine_error)
    }

    fn query<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> redis::RedisResult<T> {
        let mut control = self.control.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        command.query(&mut *control)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        // An emulator can outlive many engines. What can't be deleted now goes with the emulator's own folder.
        let _ = fs::remove_dir_all(&self.folder);
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
