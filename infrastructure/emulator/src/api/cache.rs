//! The cache: who may use it, its connections, its engines.

use axum::Json as Reply;
use axum::extract::State;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::act;
use super::guard::Guarded;
use super::problem::{BadBody, BadQuery, Conflicting, Failing, NotThere, Problem};
use super::request::{Json, Path, Query};
use crate::Error;
use crate::assignment::Assignment;
use crate::cache::AccessKeys;
use crate::control::{Control, OpenConnection};
use crate::directory::ObjectId;

/// An access policy assignment: who may use the cache, and how.
#[derive(Serialize, ToSchema)]
#[schema(as = Assignment)]
pub(super) struct AssignmentReply {
    name: String,
    /// Object id of the principal
    #[schema(value_type = Uuid)]
    object_id: ObjectId,
    /// Name of its identity; null if the directory has none with that object id
    identity: Option<String>,
    /// Redis ACL rules, as Azure's `accessString`
    access_string: String,
}

/// All assignments of the cache.
#[derive(Serialize, ToSchema)]
pub(super) struct Assignments {
    assignments: Vec<AssignmentReply>,
}

/// An assignment as it is to be, for either an identity of the directory or any object id.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAssignment {
    /// Name of the identity
    identity: Option<String>,
    /// Object id of the principal
    #[schema(value_type = Option<Uuid>)]
    object_id: Option<ObjectId>,
    /// Redis ACL rules; without it everything is allowed
    #[schema(example = "+@read ~orders:*")]
    access_string: Option<String>,
}

fn reply(control: &Control, assignment: Assignment) -> AssignmentReply {
    let identity = control.directory().by_object_id(assignment.object_id).map(|identity| identity.name.clone());
    let Assignment { name, object_id, access_string } = assignment;
    AssignmentReply { name: name.to_string(), object_id, identity, access_string }
}

/// All assignments
#[utoipa::path(
    get, path = "/v1/assignments", tag = "cache", security(("token" = [])),
    responses((status = 200, description = "The assignments", body = Assignments), Guarded)
)]
pub(super) async fn assignments(State(control): State<Control>) -> Result<Reply<Assignments>, Problem> {
    let all =
        |control: &Control| control.assignments().into_iter().map(|assignment| reply(control, assignment)).collect();
    act(control, move |control| Ok(Reply(Assignments { assignments: all(control) }))).await
}

fn find(control: &Control, name: &str) -> Result<Assignment, Error> {
    let assignments = control.assignments();
    let known = || assignments.iter().map(|assignment| assignment.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = assignments.iter().find(|assignment| assignment.name.as_str() == name).cloned();
    found.ok_or_else(|| Error::UnknownAssignment { name: name.to_owned(), known: known() })
}

/// An assignment
#[utoipa::path(
    get, path = "/v1/assignments/{name}", tag = "cache", security(("token" = [])),
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The assignment", body = AssignmentReply), Guarded, NotThere)
)]
pub(super) async fn assignment(
    State(control): State<Control>,
    Path(name): Path<String>,
) -> Result<Reply<AssignmentReply>, Problem> {
    act(control, move |control| Ok(Reply(reply(control, find(control, &name)?)))).await
}

/// Creates an assignment, or changes the one of that name
///
/// Changing it changes the rights of connections that are open, and closes none.
#[utoipa::path(
    put, path = "/v1/assignments/{name}", tag = "cache", security(("token" = [])),
    params(("name" = String, Path, description = "Its name: letters and digits, at most 60")),
    request_body = NewAssignment,
    responses(
        (status = 200, description = "It is changed", body = AssignmentReply),
        (status = 201, description = "It is created", body = AssignmentReply),
        Guarded, BadBody, Conflicting
    )
)]
pub(super) async fn put_assignment(
    State(control): State<Control>,
    Path(name): Path<String>,
    Json(new): Json<NewAssignment>,
) -> Result<(StatusCode, Reply<AssignmentReply>), Problem> {
    let object_id = match (&new.identity, new.object_id) {
        (None, Some(object_id)) => object_id,
        (Some(identity), None) => {
            let directory = control.directory();
            let unknown = || Error::UnknownIdentity { name: identity.clone(), known: directory.names() };
            // Not 404: the assignment is what the request is for.
            directory.identity(identity).ok_or_else(|| Problem::wrong(unknown().to_string()))?.object_id
        }
        _ => return Err(Problem::wrong("an assignment needs either 'identity', a name, or 'object_id'")),
    };
    act(control, move |control| {
        let is_new = find(control, &name).is_err();
        let assignment = control.assign(&name, object_id, new.access_string.as_deref())?;
        Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Reply(reply(control, assignment))))
    })
    .await
}

/// Removes an assignment, and drops the connections of its principal
#[utoipa::path(
    delete, path = "/v1/assignments/{name}", tag = "cache", security(("token" = [])),
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is removed"), Guarded, NotThere)
)]
pub(super) async fn delete_assignment(
    State(control): State<Control>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    act(control, move |control| {
        find(control, &name)?;
        control.unassign(&name)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether access keys work, and if so the keys. No other reply, no event and no log holds them.
#[derive(Serialize, ToSchema)]
pub(super) struct AccessKeysReply {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secondary: Option<String>,
}

impl From<Option<AccessKeys>> for AccessKeysReply {
    fn from(keys: Option<AccessKeys>) -> Self {
        let enabled = keys.is_some();
        let (primary, secondary) = keys.map(|keys| (keys.primary, keys.secondary)).unzip();
        AccessKeysReply { enabled, primary, secondary }
    }
}

/// Whether access keys are to work.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessKeysChange {
    enabled: bool,
}

/// The access keys
#[utoipa::path(
    get, path = "/v1/access-keys", tag = "cache", security(("token" = [])),
    responses((status = 200, description = "The keys, if they work", body = AccessKeysReply), Guarded)
)]
pub(super) async fn access_keys(State(control): State<Control>) -> Result<Reply<AccessKeysReply>, Problem> {
    act(control, |control| Ok(Reply(control.access_keys().into()))).await
}

/// Switches access keys on or off
///
/// Switching them off drops every connection, those that signed in with a token too, as on Azure.
#[utoipa::path(
    put, path = "/v1/access-keys", tag = "cache", security(("token" = [])),
    request_body = AccessKeysChange,
    responses((status = 200, description = "The keys, if they work", body = AccessKeysReply), Guarded, BadBody)
)]
pub(super) async fn put_access_keys(
    State(control): State<Control>,
    Json(change): Json<AccessKeysChange>,
) -> Result<Reply<AccessKeysReply>, Problem> {
    act(control, move |control| Ok(Reply(control.switch_access_keys(change.enabled)?.into()))).await
}

/// An open connection to the cache.
#[derive(Serialize, ToSchema)]
pub(super) struct Connection {
    /// Its number in the events
    connection: u64,
    /// The shard that serves it, from 0
    shard: usize,
    /// The identity that has signed in; null before that, and with an access key
    identity: Option<String>,
    /// Whether it has signed in with an access key
    access_key: bool,
}

/// The open connections, the oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Connections {
    connections: Vec<Connection>,
}

/// How many connections were cut.
#[derive(Serialize, ToSchema)]
pub(super) struct Expired {
    expired: usize,
}

/// Whose connections.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    identity: Option<String>,
}

/// The open connections
#[utoipa::path(
    get, path = "/v1/connections", tag = "cache", security(("token" = [])),
    responses((status = 200, description = "The connections", body = Connections), Guarded)
)]
pub(super) async fn connections(State(control): State<Control>) -> Reply<Connections> {
    let show = |open: OpenConnection| {
        let OpenConnection { connection, shard, identity, access_key } = open;
        Connection { connection, shard, identity, access_key }
    };
    Reply(Connections { connections: control.connections().into_iter().map(show).collect() })
}

/// Cuts connections as if their token had run out now
#[utoipa::path(
    delete, path = "/v1/connections", tag = "cache", security(("token" = [])),
    params(("identity" = Option<String>, Query, description = "Whose; without it all that signed in with a token")),
    responses((status = 200, description = "How many there were", body = Expired), Guarded, BadQuery)
)]
pub(super) async fn expire_connections(
    State(control): State<Control>,
    Query(whose): Query<Whose>,
) -> Result<Reply<Expired>, Problem> {
    let cut = control.expire_connections(whose.identity.as_deref());
    // Not 404: the connections are what the request is for.
    cut.map(|expired| Reply(Expired { expired })).map_err(|error| Problem::wrong(error.to_string()))
}

/// The engine that the cache runs on.
#[derive(Serialize, ToSchema)]
pub(super) struct Engine {
    /// `Redis` or `Valkey`
    name: String,
    version: String,
    /// The program
    path: String,
    /// The modules that it is started with
    modules: Vec<String>,
    /// Whether it runs
    running: bool,
}

/// Whether the engine is to run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EngineChange {
    running: bool,
}

pub(super) fn engine_of(control: &Control) -> Engine {
    let info = control.engine();
    Engine {
        name: info.name.clone(),
        version: info.version.clone(),
        path: info.path.display().to_string(),
        modules: info.modules.iter().map(|module| module.display().to_string()).collect(),
        running: control.engine_runs(),
    }
}

/// The engine
#[utoipa::path(
    get, path = "/v1/engine", tag = "cache", security(("token" = [])),
    responses((status = 200, description = "The engine", body = Engine), Guarded)
)]
pub(super) async fn engine(State(control): State<Control>) -> Reply<Engine> {
    Reply(engine_of(&control))
}

/// Stops the engine, or starts it again
///
/// Stopping ends every engine of the cache: its connections close, and new ones too. Its data is lost.
#[utoipa::path(
    put, path = "/v1/engine", tag = "cache", security(("token" = [])),
    request_body = EngineChange,
    responses((status = 200, description = "The engine", body = Engine), Guarded, BadBody, Failing)
)]
pub(super) async fn put_engine(
    State(control): State<Control>,
    Json(change): Json<EngineChange>,
) -> Result<Reply<Engine>, Problem> {
    act(control, move |control| {
        match change.running {
            true => control.start_engine()?,
            false => control.stop_engine(),
        };
        Ok(Reply(engine_of(control)))
    })
    .await
}

/// A shard of the cache.
#[derive(Serialize, ToSchema)]
pub(super) struct Shard {
    /// From 0
    shard: usize,
    /// Its port on localhost
    port: u16,
}

/// The shards of the cache; one, at the cache's own port, unless it is an OSSCluster.
#[derive(Serialize, ToSchema)]
pub(super) struct Shards {
    shards: Vec<Shard>,
}

pub(super) fn shards_of(control: &Control) -> Vec<Shard> {
    control.shards().into_iter().enumerate().map(|(shard, port)| Shard { shard, port }).collect()
}

/// The shards
#[utoipa::path(
    get, path = "/v1/shards", tag = "cache", security(("token" = [])),
    responses((status = 200, description = "The shards", body = Shards), Guarded)
)]
pub(super) async fn shards(State(control): State<Control>) -> Result<Reply<Shards>, Problem> {
    act(control, |control| Ok(Reply(Shards { shards: shards_of(control) }))).await
}

/// Lets another engine take the place of a shard's, with its data
///
/// The shard's connections are closed. In an OSSCluster it is found at another port afterwards.
#[utoipa::path(
    post, path = "/v1/shards/{shard}/failover", tag = "cache", security(("token" = [])),
    params(("shard" = usize, Path, description = "Its number, from 0")),
    responses(
        (status = 200, description = "The shard as it is now", body = Shard),
        Guarded, NotThere, Conflicting, Failing
    )
)]
pub(super) async fn fail_over(
    State(control): State<Control>,
    Path(shard): Path<usize>,
) -> Result<Reply<Shard>, Problem> {
    act(control, move |control| {
        control.fail_over(shard)?;
        let port = control.shards().get(shard).copied().unwrap_or_default();
        Ok(Reply(Shard { shard, port }))
    })
    .await
}
