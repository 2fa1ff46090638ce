//! The cache resource behind the Redis ports: its clustering policy, who may use it, and the engines that hold its data.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use serde::{Deserialize, Serialize};

use crate::assignment::{Assignment, AssignmentName, access_rules};
use crate::directory::ObjectId;
use crate::engine::{Engine, EngineInfo, Shards};
use crate::keys::write_private;
use crate::{Error, azure, token};

/// How the cache is clustered. Named as in Azure's `clusteringPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusteringPolicy {
    /// One endpoint and one shard: any client, no rule about slots.
    #[default]
    NoCluster,
    /// One endpoint in front of several shards: any client, but most commands may only have keys of one slot.
    EnterpriseCluster,
    /// The Redis Cluster API: a cluster client, which connects to every shard.
    #[serde(rename = "OSSCluster")]
    OssCluster,
}

impl ClusteringPolicy {
    /// All of them, by Azure's names.
    pub const ALL: &[(&str, ClusteringPolicy)] = &[
        ("NoCluster", ClusteringPolicy::NoCluster),
        ("EnterpriseCluster", ClusteringPolicy::EnterpriseCluster),
        ("OSSCluster", ClusteringPolicy::OssCluster),
    ];

    /// Azure's name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, policy)| *policy == self).map_or("", |(name, _)| name)
    }

    /// How many engines there are.
    pub(crate) fn shards(self) -> usize {
        if self == ClusteringPolicy::OssCluster { 3 } else { 1 }
    }
}

impl std::str::FromStr for ClusteringPolicy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, policy)| *policy).ok_or_else(|| Error::ClusteringPolicy { name: text.to_owned() })
    }
}

/// The two access keys of a cache. Whoever has one signs in as the user `default`, or with no user name at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKeys {
    /// The primary key.
    pub primary: String,
    /// The secondary key.
    pub secondary: String,
}

impl AccessKeys {
    /// Those that a state folder keeps; made and written there if there are none yet.
    pub(crate) fn kept_in(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("access-keys");
        let error = |why: String| Error::State { path: path.clone(), why };
        match fs::read_to_string(&path) {
            Ok(text) => match text.lines().collect::<Vec<_>>()[..] {
                [primary, secondary] if !primary.is_empty() && !secondary.is_empty() => {
                    Ok(AccessKeys { primary: primary.to_owned(), secondary: secondary.to_owned() })
                }
                _ => Err(error("it has other than two lines, the access keys; delete it to get new ones".to_owned())),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let keys = Self::random();
                let text = format!("{}\n{}\n", keys.primary, keys.secondary);
                write_private(&path, &text).map_err(|e| error(e.to_string()))?;
                Ok(keys)
            }
            Err(e) => Err(error(e.to_string())),
        }
    }

    pub(crate) fn random() -> Self {
        let key = || {
            use base64::Engine as _;
            let bytes = token::random_bytes(33);
            base64::engine::general_purpose::STANDARD.encode(bytes)
        };
        AccessKeys { primary: key(), secondary: key() }
    }
}

/// One cache.
pub(crate) struct Cache {
    pub(crate) policy: ClusteringPolicy,
    pub(crate) info: EngineInfo,
    /// They stay the same when they are switched off and on.
    keys: AccessKeys,
    /// Where engines have their folders.
    folder: PathBuf,
    users: Mutex<Users>,
    nodes: RwLock<Vec<Arc<Node>>>,
    /// Held while engines come and go.
    shards: Mutex<Option<Shards>>,
}

/// An engine's place: a shard, or the whole cache.
pub(crate) struct Node {
    /// From 0.
    pub(crate) shard: usize,
    engine: RwLock<Option<Arc<Engine>>>,
}

struct Users {
    assignments: Vec<Assignment>,
    /// The passwords that the engines know the users by. They never leave the machine and change with every start.
    passwords: BTreeMap<ObjectId, String>,
    /// The password that the engines know the holder of an access key by, while access keys work.
    key_password: Option<String>,
}

impl Node {
    /// The engine, if it runs.
    pub(crate) fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn set(&self, engine: Option<Arc<Engine>>) {
        *self.engine.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = engine;
    }
}

impl Cache {
    /// Starts the engines, with nobody who may use them yet. `ports` are the addresses of the shards of an `OSSCluster`.
    pub(crate) fn start(
        policy: ClusteringPolicy,
        info: EngineInfo,
        keys: AccessKeys,
        folder: &Path,
        ports: &[u16],
    ) -> Result<Self, Error> {
        let (shards, engines) = if policy == ClusteringPolicy::OssCluster {
            let (shards, engines) = Shards::start(&info, folder, ports)?;
            (Some(shards), engines)
        } else {
            (None, vec![Engine::start(&info, &folder.join("engine"), policy, None)?])
        };
        let node = |(shard, engine)| Arc::new(Node { shard, engine: RwLock::new(Some(Arc::new(engine))) });
        Ok(Cache {
            policy,
            info,
            keys,
            folder: folder.to_owned(),
            users: Mutex::new(Users { assignments: Vec::new(), passwords: BTreeMap::new(), key_password: None }),
            nodes: RwLock::new(engines.into_iter().enumerate().map(node).collect()),
            shards: Mutex::new(shards),
        })
    }

    /// All places for engines.
    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// A place whose engine runs: where the cache's own endpoint leads.
    pub(crate) fn any_node(&self) -> Option<Arc<Node>> {
        self.nodes().into_iter().find(|node| node.engine().is_some())
    }

    fn engines(&self) -> Vec<Arc<Engine>> {
        self.nodes().iter().filter_map(|node| node.engine()).collect()
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// All assignments.
    pub(crate) fn assignments(&self) -> Vec<Assignment> {
        self.users().assignments.clone()
    }

    /// Creates the assignment, or changes the one of that name. One that exists keeps its connections. True if it is new.
    pub(crate) fn assign(&self, assignment: Assignment) -> Result<bool, Error> {
        access_rules(&assignment.access_string)?;
        let mut users = self.users();
        if let Some(other) =
            users.assignments.iter().find(|it| it.object_id == assignment.object_id && it.name != assignment.name)
        {
            return Err(Error::DuplicateAssignment {
                name: assignment.name.to_string(),
                object_id: assignment.object_id.to_string(),
                other: other.name.to_string(),
            });
        }
        if let Some(other) = users.assignments.iter().find(|it| it.name == assignment.name)
            && other.object_id != assignment.object_id
        {
            return Err(Error::AssignmentOfAnother {
                name: assignment.name.to_string(),
                object_id: other.object_id.to_string(),
            });
        }
        let password = match users.passwords.get(&assignment.object_id) {
            Some(password) => password.clone(),
            None => token::random_text(32),
        };
        for engine in self.engines() {
            engine.set_user(&assignment.object_id.to_string(), &password, &assignment.access_string)?;
        }
        users.passwords.insert(assignment.object_id, password);
        match users.assignments.iter_mut().find(|it| it.name == assignment.name) {
            Some(known) => {
                *known = assignment;
                Ok(false)
            }
            None => {
                users.assignments.push(assignment);
                Ok(true)
            }
        }
    }

    /// Takes an assignment out, so that nobody signs in by it any more. The engines still know the user until
    /// [`Cache::forget`].
    pub(crate) fn unassign(&self, name: &AssignmentName) -> Result<Assignment, Error> {
        let mut users = self.users();
        let Some(at) = users.assignments.iter().position(|it| it.name == *name) else {
            let known: Vec<_> = users.assignments.iter().map(|it| it.name.to_string()).collect();
            return Err(Error::UnknownAssignment { name: name.to_string(), known: known.join(", ") });
        };
        let assignment = users.assignments.remove(at);
        users.passwords.remove(&assignment.object_id);
        Ok(assignment)
    }

    /// Takes the user of a removed assignment from the engines, with every connection that is left, unless there is an assignment
    /// again.
    pub(crate) fn forget(&self, object_id: ObjectId) -> Result<(), Error> {
        let users = self.users();
        if users.passwords.contains_key(&object_id) {
            return Ok(());
        }
        self.engines().iter().try_for_each(|engine| engine.delete_user(&object_id.to_string()))
    }

    /// The password that the engines know the principal by, if it has an assignment.
    pub(crate) fn password(&self, principal: ObjectId) -> Option<String> {
        self.users().passwords.get(&principal).cloned()
    }

    /// The access keys, if they are switched on.
    pub(crate) fn access_keys(&self) -> Option<AccessKeys> {
        self.users().key_password.as_ref().map(|_| self.keys.clone())
    }

    /// The password that the engines know the holder of an access key by, if `key` is one.
    pub(crate) fn password_for_key(&self, key: &[u8]) -> Option<String> {
        use aws_lc_rs::constant_time::verify_slices_are_equal;
        let users = self.users();
        let password = users.key_password.as_ref()?;
        let is_one = [&self.keys.primary, &self.keys.secondary]
            .iter()
            .fold(false, |found, one| verify_slices_are_equal(one.as_bytes(), key).is_ok() | found);
        is_one.then(|| password.clone())
    }

    /// Switches access keys on.
    pub(crate) fn switch_access_keys_on(&self) -> Result<AccessKeys, Error> {
        let mut users = self.users();
        if users.key_password.is_none() {
            let password = token::random_text(32);
            for engine in self.engines() {
                engine.set_user(azure::ACCESS_KEY_USER, &password, azure::DEFAULT_ACCESS_STRING)?;
            }
            users.key_password = Some(password);
        }
        Ok(self.keys.clone())
    }

    /// Switches access keys off. Connections are another's business. False if they were off.
    pub(crate) fn switch_access_keys_off(&self) -> Result<bool, Error> {
        let was_on = self.users().key_password.take().is_some();
        if was_on {
            self.engines().iter().try_for_each(|engine| engine.delete_user(azure::ACCESS_KEY_USER))?;
        }
        Ok(was_on)
    }

    /// Deletes all data.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.engines().iter().try_for_each(|engine| engine.flush())
    }

    /// Ends every engine; its data is lost. False if none ran.
    pub(crate) fn stop_engines(&self) -> bool {
        let _shards = self.shards.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let nodes = self.nodes();
        let running = self.engines();
        nodes.iter().for_each(|node| node.set(None));
        running.iter().for_each(|engine| engine.stop());
        !running.is_empty()
    }

    /// Starts the engines again, empty, if they do not run. `ports` as for [`Cache::start`].
    pub(crate) fn start_engines(&self, ports: &[u16]) -> Result<bool, Error> {
        let mut shards = self.shards.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let nodes = self.nodes();
        if nodes.iter().any(|node| node.engine().is_some()) {
            return Ok(false);
        }
        let folder = self.folder.join(token::random_guid().simple().to_string().split_at(8).0);
        let engines = if self.policy == ClusteringPolicy::OssCluster {
            let (started, engines) = Shards::start(&self.info, &folder, ports)?;
            *shards = Some(started);
            engines
        } else {
            vec![Engine::start(&self.info, &folder, self.policy, None)?]
        };
        for (node, engine) in nodes.iter().zip(engines) {
            self.introduce_users(&engine)?;
            node.set(Some(Arc::new(engine)));
        }
        Ok(true)
    }

    /// Replaces the engine of a shard by another, which has its data and, in an `OSSCluster`, is found at `port`. The old one
    /// has ended before the new one answers, so commands fail in between, as in a failover of Azure.
    pub(crate) fn fail_over(&self, shard: usize, port: u16) -> Result<(), Error> {
        let mut shards = self.shards.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let nodes = self.nodes();
        let node = nodes.get(shard).ok_or(Error::UnknownShard { shard, shards: nodes.len() })?;
        let Some(old) = node.engine() else { return Err(Error::EngineStopped) };
        let snapshot = old.snapshot()?;
        node.set(None);
        old.stop();
        let engine = match shards.as_mut() {
            Some(shards) => {
                let others: Vec<_> =
                    nodes.iter().filter(|other| other.shard != shard).filter_map(|other| other.engine()).collect();
                let others: Vec<&Engine> = others.iter().map(Arc::as_ref).collect();
                shards.replace(&self.info, &self.folder, shard, port, &snapshot, &others)?
            }
            None => {
                let folder = self.folder.join(token::random_guid().simple().to_string().split_at(8).0);
                fs::create_dir_all(&folder)
                    .and_then(|()| fs::copy(&snapshot, folder.join(snapshot.file_name().unwrap_or_default())))
                    .map_err(|e| Error::State { path: folder.clone(), why: e.to_string() })?;
                Engine::start(&self.info, &folder, self.policy, None)?
            }
        };
        self.introduce_users(&engine)?;
        node.set(Some(Arc::new(engine)));
        Ok(())
    }

    /// Tells a new engine of everybody.
    fn introduce_users(&self, engine: &Engine) -> Result<(), Error> {
        let users = self.users();
        for assignment in &users.assignments {
            if let Some(password) = users.passwords.get(&assignment.object_id) {
                engine.set_user(&assignment.object_id.to_string(), password, &assignment.access_string)?;
            }
        }
        if let Some(password) = &users.key_password {
            engine.set_user(azure::ACCESS_KEY_USER, password, azure::DEFAULT_ACCESS_STRING)?;
        }
        Ok(())
    }
}
