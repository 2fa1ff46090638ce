//! Identities, and the settings of a program that runs as one.

use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use axum::Json as Reply;
use axum::extract::State;
use hyper::StatusCode;
use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::act;
use super::guard::Guarded;
use super::problem::{BadBody, BadQuery, Conflicting, NotThere, Problem};
use super::request::{Json, Path, Query};
use crate::Error;
use crate::configuration::{Kind, WrittenFederatedCredential, WrittenIdentity};
use crate::control::{Control, Token};
use crate::directory::{ClientId, Credential, Directory, Identity, IdentityKind, ObjectId};
use crate::environment::Hosting;

/// An identity that can ask for tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = Identity)]
pub(super) struct IdentityReply {
    /// How settings, events and the command call it
    name: String,
    kind: Kind,
    /// Object id of its principal: the user name that Redis expects
    #[schema(value_type = Uuid)]
    object_id: ObjectId,
    /// Its client id. Of a person: that of the Azure CLI, through which they sign in
    #[schema(value_type = Uuid)]
    client_id: ClientId,
    /// How long its tokens are valid; null for what Azure gives
    token_lifetime_seconds: Option<u64>,
    /// Of a user-assigned identity: its ARM resource id
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: Option<String>,
    /// Of a service principal: object id of the app registration
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    application_object_id: Option<ObjectId>,
    /// Of a service principal: by what it can prove who it is, without any secret
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<Vec<CredentialKind>>,
    /// Of a person: the name that they sign in with
    #[serde(skip_serializing_if = "Option::is_none")]
    user_principal_name: Option<String>,
}

/// The kinds of credential that an application can have.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum CredentialKind {
    Secret,
    Certificate,
    Federated,
}

/// All identities of the directory.
#[derive(Serialize, ToSchema)]
pub(super) struct Identities {
    identities: Vec<IdentityReply>,
}

/// An identity as it is to be. What names it and is left out stays as it was; of a new identity it follows from the name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewIdentity {
    kind: Kind,
    /// Object id of its principal
    #[schema(value_type = Option<Uuid>)]
    object_id: Option<ObjectId>,
    /// Its client id
    #[schema(value_type = Option<Uuid>)]
    client_id: Option<ClientId>,
    /// How long its tokens are valid, at most a year; without it as long as Azure's
    token_lifetime_seconds: Option<u64>,
    /// Of a user-assigned identity: its ARM resource id
    resource_id: Option<String>,
    /// Of a service principal: object id of the app registration
    #[schema(value_type = Option<Uuid>)]
    application_object_id: Option<ObjectId>,
    /// Of a person: the name that they sign in with
    user_principal_name: Option<String>,
    /// Of a service principal: its client secrets
    #[serde(default, deserialize_with = "secrets")]
    secrets: Vec<String>,
    /// Of a service principal: PEM files with its registered certificates, as absolute paths
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    certificates: Vec<PathBuf>,
    /// Of a service principal: whether the emulator makes a certificate for it
    #[serde(default)]
    generated_certificate: bool,
    /// Of a service principal: whose tokens it may show in place of a secret
    #[serde(default)]
    federated_credentials: Vec<NewFederatedCredential>,
}

/// A federated identity credential.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewFederatedCredential {
    /// The claim `iss` of the token; without it the emulator is the issuer
    issuer: Option<String>,
    /// The claim `sub`
    subject: String,
    /// The claim `aud`; without it Azure's default
    audience: Option<String>,
    /// The issuer's keys, a JWKS file, as an absolute path; only with an issuer of its own
    #[schema(value_type = Option<String>)]
    keys: Option<PathBuf>,
}

/// What is to change of an identity. What is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityChange {
    /// How long its next tokens are valid, at most a year; null for what Azure gives
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    token_lifetime_seconds: Option<Option<u64>>,
    /// Of a service principal: its client secrets from now on
    #[serde(default, deserialize_with = "given_secrets")]
    #[schema(value_type = Vec<String>, required = false)]
    secrets: Option<Vec<String>>,
}

/// Tells null from nothing.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A list of secrets, none of which is ever repeated in an error.
fn secrets<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    serde_json::from_value(value).map_err(|_| serde::de::Error::custom("not a list of texts"))
}

fn given_secrets<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    secrets(from).map(Some)
}

impl From<&Identity> for IdentityReply {
    fn from(identity: &Identity) -> Self {
        let mut reply = IdentityReply {
            name: identity.name.clone(),
            kind: Kind::SystemAssigned,
            object_id: identity.object_id,
            client_id: identity.client_id,
            token_lifetime_seconds: identity.token_lifetime.map(|lifetime| lifetime.as_secs()),
            resource_id: None,
            application_object_id: None,
            credentials: None,
            user_principal_name: None,
        };
        match &identity.kind {
            IdentityKind::SystemAssigned => {}
            IdentityKind::UserAssigned { resource_id } => {
                reply.kind = Kind::UserAssigned;
                reply.resource_id = Some(resource_id.clone());
            }
            IdentityKind::ServicePrincipal { application_object_id, credentials } => {
                reply.kind = Kind::ServicePrincipal;
                reply.application_object_id = Some(*application_object_id);
                let kind = |credential: &Credential| match credential {
                    Credential::Secret(_) => CredentialKind::Secret,
                    Credential::Certificate(_) => CredentialKind::Certificate,
                    Credential::Federated(_) => CredentialKind::Federated,
                };
                reply.credentials = Some(credentials.iter().map(kind).collect());
            }
            IdentityKind::User { user_principal_name } => {
                reply.kind = Kind::User;
                reply.user_principal_name = Some(user_principal_name.clone());
            }
        }
        reply
    }
}

impl NewIdentity {
    /// The identity of that name, beside what is already known of it.
    fn checked(self, name: &str, known: Option<&Identity>) -> Result<Identity, Error> {
        let is_absolute = |path: &PathBuf| path.is_absolute();
        let files = self.certificates.iter().chain(self.federated_credentials.iter().filter_map(|it| it.keys.as_ref()));
        let wrong = |why: String| Error::Identity { name: name.to_owned(), why };
        if let Some(relative) = files.into_iter().find(|path| !is_absolute(path)) {
            let why =
                format!("the path {} is relative, and the emulator runs in a folder of its own", relative.display());
            return Err(wrong(format!("{why}; give an absolute one")));
        }
        let known = known.map(IdentityReply::from).filter(|known| known.kind == self.kind);
        let known = known.as_ref();
        let written = WrittenIdentity {
            kind: self.kind,
            object_id: self.object_id.or(known.map(|known| known.object_id)),
            client_id: self.client_id.or(known.map(|known| known.client_id)),
            token_lifetime: self.token_lifetime_seconds.map(|seconds| seconds.to_string()),
            resource_id: self.resource_id.or(known.and_then(|known| known.resource_id.clone())),
            application_object_id: self.application_object_id.or(known.and_then(|known| known.application_object_id)),
            user_principal_name: self.user_principal_name.or(known.and_then(|known| known.user_principal_name.clone())),
            secrets: self.secrets,
            certificates: self.certificates,
            generated_certificate: self.generated_certificate,
            federated_credentials: self
                .federated_credentials
                .into_iter()
                .map(|credential| WrittenFederatedCredential {
                    issuer: credential.issuer,
                    subject: credential.subject,
                    audience: credential.audience,
                    keys: credential.keys,
                })
                .collect(),
        };
        written.checked(name, FilePath::new("")).map_err(wrong)
    }
}

impl IdentityChange {
    /// What becomes of an identity.
    fn applied_to(self, mut identity: Identity) -> Result<Identity, Error> {
        let wrong = |why: &str| Err(Error::Identity { name: identity.name.clone(), why: why.to_owned() });
        match self.token_lifetime_seconds {
            None => {}
            Some(None) => identity.token_lifetime = None,
            Some(Some(seconds @ 1..=31_536_000)) => identity.token_lifetime = Some(Duration::from_secs(seconds)),
            Some(Some(_)) => return wrong("a token's lifetime is between one second and a year"),
        }
        if let Some(secrets) = self.secrets {
            let IdentityKind::ServicePrincipal { credentials, .. } = &mut identity.kind else {
                return wrong("'secrets' belongs to another kind of identity");
            };
            if secrets.iter().any(String::is_empty) {
                return wrong("a secret is empty");
            }
            credentials.retain(|credential| !matches!(credential, Credential::Secret(_)));
            credentials.extend(secrets.into_iter().map(Credential::Secret));
        }
        Ok(identity)
    }
}

fn find<'a>(directory: &'a Directory, name: &str) -> Result<&'a Identity, Error> {
    let unknown = || Error::UnknownIdentity { name: name.to_owned(), known: directory.names() };
    directory.identity(name).ok_or_else(unknown)
}

/// All identities
#[utoipa::path(
    get, path = "/v1/identities", tag = "directory", security(("token" = [])),
    responses((status = 200, description = "The directory", body = Identities), Guarded)
)]
pub(super) async fn identities(State(control): State<Control>) -> Reply<Identities> {
    Reply(Identities { identities: control.directory().identities.iter().map(IdentityReply::from).collect() })
}

/// An identity
#[utoipa::path(
    get, path = "/v1/identities/{name}", tag = "directory", security(("token" = [])),
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The identity", body = IdentityReply), Guarded, NotThere)
)]
pub(super) async fn identity(
    State(control): State<Control>,
    Path(name): Path<String>,
) -> Result<Reply<IdentityReply>, Problem> {
    Ok(Reply(find(&control.directory(), &name)?.into()))
}

/// Adds an identity, or replaces the one of that name
///
/// Tokens that it already has stay good. To change only its tokens' lifetime or its secrets, use PATCH.
#[utoipa::path(
    put, path = "/v1/identities/{name}", tag = "directory", security(("token" = [])),
    params(("name" = String, Path, description = "Its name: letters, digits, '-', '_' and '.'")),
    request_body = NewIdentity,
    responses(
        (status = 200, description = "It is changed", body = IdentityReply),
        (status = 201, description = "It is added", body = IdentityReply),
        Guarded, BadBody, Conflicting
    )
)]
pub(super) async fn put_identity(
    State(control): State<Control>,
    Path(name): Path<String>,
    Json(new): Json<NewIdentity>,
) -> Result<(StatusCode, Reply<IdentityReply>), Problem> {
    act(control, move |control| {
        let directory = control.directory();
        let known = directory.identity(&name);
        let identity = new.checked(&name, known)?;
        let reply = IdentityReply::from(&identity);
        control.set_identity(identity)?;
        Ok((if known.is_some() { StatusCode::OK } else { StatusCode::CREATED }, Reply(reply)))
    })
    .await
}

/// Changes some of an identity
#[utoipa::path(
    patch, path = "/v1/identities/{name}", tag = "directory", security(("token" = [])),
    params(("name" = String, Path, description = "Its name")),
    request_body = IdentityChange,
    responses((status = 200, description = "It is changed", body = IdentityReply), Guarded, BadBody, NotThere)
)]
pub(super) async fn patch_identity(
    State(control): State<Control>,
    Path(name): Path<String>,
    Json(change): Json<IdentityChange>,
) -> Result<Reply<IdentityReply>, Problem> {
    act(control, move |control| {
        let identity = change.applied_to(find(&control.directory(), &name)?.clone())?;
        let reply = IdentityReply::from(&identity);
        control.set_identity(identity)?;
        Ok(Reply(reply))
    })
    .await
}

/// Removes an identity
///
/// It gets no more tokens. Those that it has stay good until they expire, and so does its assignment.
#[utoipa::path(
    delete, path = "/v1/identities/{name}", tag = "directory", security(("token" = [])),
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is removed"), Guarded, NotThere)
)]
pub(super) async fn delete_identity(
    State(control): State<Control>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    act(control, move |control| control.remove_identity(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where the program runs, and what it needs besides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Surroundings {
    hosting: Option<String>,
    #[serde(default)]
    proxy: bool,
    #[serde(default)]
    pfx: bool,
}

/// The environment of a program that runs as this identity
///
/// The names and values are those that the hosting sets in Azure, and what makes the program trust the emulator. A client secret
/// may be among them. Programs in Rust and Go may not run with the hosting `imds`: their libraries call the real address.
#[utoipa::path(
    get, path = "/v1/identities/{name}/environment", tag = "directory", security(("token" = [])),
    params(
        ("name" = String, Path, description = "Its name"),
        ("hosting" = Option<String>, Query, description = "app-service, as without it, imds or msi-2017"),
        ("proxy" = Option<bool>, Query, description = "Whether it reaches Entra ID through the emulator's proxy"),
        ("pfx" = Option<bool>, Query, description = "Whether its certificate is in PKCS#12 and not in PEM")
    ),
    responses(
        (status = 200, description = "Names and values", body = std::collections::BTreeMap<String, String>),
        Guarded, NotThere, BadQuery
    )
)]
pub(super) async fn environment(
    State(control): State<Control>,
    Path(name): Path<String>,
    Query(surroundings): Query<Surroundings>,
) -> Result<Reply<IndexMap<String, String>>, Problem> {
    let environment = act(control, move |control| {
        let hosting = surroundings.hosting.map_or(Ok(Hosting::default()), |hosting| hosting.parse())?;
        let mut environment = control.environment_in(hosting, &name)?;
        if surroundings.proxy {
            environment = environment.through_proxy();
        }
        if surroundings.pfx {
            environment = environment.with_pfx()?;
        }
        Ok(environment)
    })
    .await?;
    Ok(Reply(environment.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

/// A token, and who signs in with it.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(super) struct TokenReply {
    /// Object id of the principal: the user name
    #[schema(value_type = Uuid)]
    user_name: ObjectId,
    /// The password
    token: String,
    /// Seconds that it is good for
    expires_in: u64,
    /// Until when, in seconds since 1970
    expires_on: u64,
}

/// Makes a token for Redis, without anybody having asked Entra ID for it
///
/// As the identity would get it at this moment. No fault concerns it.
#[utoipa::path(
    post, path = "/v1/identities/{name}/tokens", tag = "directory", security(("token" = [])),
    params(("name" = String, Path, description = "Its name")),
    responses((status = 201, description = "The token", body = TokenReply), Guarded, NotThere)
)]
pub(super) async fn issue_token(
    State(control): State<Control>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Reply<TokenReply>), Problem> {
    act(control, move |control| {
        let Token { user_name, secret, lifetime, expires } = control.issue_token(&name)?;
        let reply = TokenReply { user_name, token: secret, expires_in: lifetime.as_secs(), expires_on: expires };
        Ok((StatusCode::CREATED, Reply(reply)))
    })
    .await
}
