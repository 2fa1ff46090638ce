//! The directory: one tenant and its identities. Fixed ids by default, chosen so that a person tells an object id from a
//! client id at a glance.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::azure;
use crate::events::Flow;

/// The object id of a principal: what Redis expects as the user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ObjectId(Uuid);

/// The client id (application id) of an identity: what a client asks Entra ID for a token with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ClientId(Uuid);

macro_rules! id {
    ($name:ident) => {
        impl $name {
            pub(crate) const fn new(id: u128) -> Self {
                $name(Uuid::from_u128(id))
            }
        }
        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            /// Accepts the hyphenated form only, as Azure writes it.
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                let id = Uuid::try_parse(text)?;
                if text.len() == 36 { Ok($name(id)) } else { Uuid::try_parse("not hyphenated").map($name) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                text.parse().map_err(|_| {
                    serde::de::Error::custom(format!(
                        "'{text}' is no GUID; one looks like 0b1ec700-0000-4000-8000-000000000001"
                    ))
                })
            }
        }
    };
}
id!(ObjectId);
id!(ClientId);

/// A tenant with its identities.
#[derive(Clone, Debug, Serialize)]
pub struct Directory {
    /// Id of the tenant.
    pub tenant_id: Uuid,
    /// All identities, in the order in which they are listed.
    pub identities: Vec<Identity>,
}

/// An identity that can ask for tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identity {
    /// How settings, the log and the command line call it.
    pub name: String,
    /// What kind it is.
    #[serde(flatten)]
    pub kind: IdentityKind,
    /// Object id of its principal.
    pub object_id: ObjectId,
    /// Its client id. Of a person: the client id of the Azure CLI, through which they sign in.
    pub client_id: ClientId,
    /// How long its tokens are valid; `None` for what Azure gives.
    pub token_lifetime: Option<Duration>,
}

impl Identity {
    /// How it gets its tokens, if it is not asked: an application by the first of its credentials.
    pub(crate) fn usual_flow(&self) -> Flow {
        match &self.kind {
            IdentityKind::SystemAssigned | IdentityKind::UserAssigned { .. } => Flow::ManagedIdentity,
            IdentityKind::User { .. } => Flow::AzureCli,
            IdentityKind::ServicePrincipal { credentials, .. } => match credentials.first() {
                Some(Credential::Certificate(_)) => Flow::ClientCertificate,
                Some(Credential::Federated(_)) => Flow::FederatedCredential,
                Some(Credential::Secret(_)) | None => Flow::ClientSecret,
            },
        }
    }
}

/// The kinds of identity.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IdentityKind {
    /// The managed identity that belongs to the application itself.
    SystemAssigned,
    /// A managed identity that the application was given.
    UserAssigned {
        /// Its ARM resource id.
        resource_id: String,
    },
    /// An application with credentials of its own.
    ServicePrincipal {
        /// Object id of the app registration: not the user name, though many guides say so.
        application_object_id: ObjectId,
        /// How it may prove who it is; any of them will do.
        #[serde(skip)]
        credentials: Vec<Credential>,
    },
    /// A person, who signs in with the Azure CLI.
    User {
        /// The name that they sign in with.
        user_principal_name: String,
    },
}

/// By what an application proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// A client secret. In the fixed directory it is not a secret: everybody's emulator has the same.
    Secret(String),
    /// A certificate that is registered on the application.
    Certificate(CertificateSource),
    /// A token of another issuer, which the application trusts.
    Federated(FederatedCredential),
}

/// Where a registered certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// The emulator makes it, with its private key, and puts both into a file for the program.
    Generated,
    /// A PEM file. If it holds the private key too, programs are told of it by `AZURE_CLIENT_CERTIFICATE_PATH`.
    File(PathBuf),
}

/// A federated identity credential: whose tokens an application accepts in place of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FederatedCredential {
    /// The claim `iss` of the token; `None` for the issuer that the emulator itself is, which also writes the token file.
    pub issuer: Option<String>,
    /// The claim `sub`, for example `system:serviceaccount:default:app`.
    pub subject: String,
    /// The claim `aud`; Azure's default is `api://AzureADTokenExchange`.
    pub audience: String,
    /// The issuer's keys, a JWKS file: the emulator fetches nothing. Not needed for the emulator's own issuer.
    pub keys: Option<PathBuf>,
}

/// The name rule of the fixed directory's ids and of ids that a configuration leaves out: a prefix that tells the kind of id,
/// and a number.
const OBJECT: u128 = 0x0b1ec700_0000_4000_8000_000000000000;
const CLIENT: u128 = 0xc11e4700_0000_4000_8000_000000000000;
const APPLICATION: u128 = 0xa9900000_0000_4000_8000_000000000000;
const TENANT: u128 = 0x7e4a4700_0000_4000_8000_000000000000;

/// The ids of an identity whose owner named none.
pub(crate) struct DefaultIds {
    pub(crate) object_id: ObjectId,
    pub(crate) client_id: ClientId,
    pub(crate) application_object_id: ObjectId,
}

impl DefaultIds {
    fn numbered(n: u128) -> Self {
        DefaultIds {
            object_id: ObjectId::new(OBJECT + n),
            client_id: ClientId::new(CLIENT + n),
            application_object_id: ObjectId::new(APPLICATION + n),
        }
    }

    /// The same for the same name, so that they survive a restart.
    pub(crate) fn of(name: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let number = hash.as_ref().iter().take(6).fold(0, |number, byte| number << 8 | u128::from(*byte));
        Self::numbered(number)
    }
}

/// The subscription that everything belongs to.
pub(crate) const SUBSCRIPTION: &str = "5b5c4700-0000-4000-8000-000000000000";

/// The resource id of a user-assigned identity whose owner named none.
pub(crate) fn default_resource_id(name: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourcegroups/emulator/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    )
}

/// The tenant's id if none is named.
pub(crate) const DEFAULT_TENANT: Uuid = Uuid::from_u128(TENANT);

impl Directory {
    /// The fixed directory that an emulator starts with.
    pub fn fixed() -> Self {
        let application = |n: u128, credentials: Vec<Credential>| IdentityKind::ServicePrincipal {
            application_object_id: DefaultIds::numbered(n).application_object_id,
            credentials,
        };
        let identity = |n: u128, name: &str, kind: IdentityKind| Identity {
            name: name.to_owned(),
            kind,
            object_id: DefaultIds::numbered(n).object_id,
            client_id: DefaultIds::numbered(n).client_id,
            token_lifetime: None,
        };
        let user_assigned = |name: &str| IdentityKind::UserAssigned { resource_id: default_resource_id(name) };
        let secret = Credential::Secret("emulator~client~secret~known~to~everybody".to_owned());
        let workload = Credential::Federated(FederatedCredential {
            issuer: None,
            subject: "system:serviceaccount:default:workload".to_owned(),
            audience: azure::FEDERATED_AUDIENCE.to_owned(),
            keys: None,
        });
        let developer = IdentityKind::User { user_principal_name: "developer@emulator.example".to_owned() };
        Directory {
            tenant_id: DEFAULT_TENANT,
            identities: vec![
                identity(1, "system", IdentityKind::SystemAssigned),
                identity(2, "user", user_assigned("user")),
                identity(3, "service-principal", application(3, vec![secret])),
                identity(4, "unassigned", user_assigned("unassigned")),
                identity(5, "certificate", application(5, vec![Credential::Certificate(CertificateSource::Generated)])),
                identity(6, "workload", application(6, vec![workload])),
                Identity { client_id: azure::AZURE_CLI, ..identity(7, "developer", developer) },
            ],
        }
    }

    /// The identity with that name.
    pub fn identity(&self, name: &str) -> Option<&Identity> {
        self.identities.iter().find(|identity| identity.name == name)
    }

    pub(crate) fn by_object_id(&self, id: ObjectId) -> Option<&Identity> {
        self.identities.iter().find(|identity| identity.object_id == id)
    }

    pub(crate) fn service_principal(&self, client_id: ClientId) -> Option<(&Identity, &[Credential])> {
        self.identities.iter().find_map(|identity| match &identity.kind {
            IdentityKind::ServicePrincipal { credentials, .. } if identity.client_id == client_id => {
                Some((identity, credentials.as_slice()))
            }
            _ => None,
        })
    }

    /// The managed identity that a request to the hosting's endpoint means.
    pub(crate) fn managed_identity(&self, wanted: &ManagedIdentityId) -> Option<&Identity> {
        self.identities.iter().find(|identity| match (&identity.kind, wanted) {
            (IdentityKind::SystemAssigned, ManagedIdentityId::SystemAssigned) => true,
            (IdentityKind::UserAssigned { .. }, ManagedIdentityId::Client(id)) => identity.client_id.to_string() == *id,
            (IdentityKind::UserAssigned { .. }, ManagedIdentityId::Object(id)) => identity.object_id.to_string() == *id,
            (IdentityKind::UserAssigned { resource_id }, ManagedIdentityId::Resource(id)) => {
                resource_id.eq_ignore_ascii_case(id)
            }
            _ => false,
        })
    }

    pub(crate) fn names(&self) -> String {
        self.identities.iter().map(|identity| identity.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Which managed identity a request asks for. Ids are lower-case text, as they came.
pub(crate) enum ManagedIdentityId {
    SystemAssigned,
    Client(String),
    Object(String),
    Resource(String),
}

impl Identity {
    /// How long its next token is to be valid.
    pub(crate) fn next_lifetime(&self) -> Duration {
        self.token_lifetime.unwrap_or_else(|| match self.kind {
            IdentityKind::SystemAssigned | IdentityKind::UserAssigned { .. } => azure::MANAGED_IDENTITY_LIFETIME,
            IdentityKind::ServicePrincipal { .. } | IdentityKind::User { .. } => {
                let (shortest, longest) = azure::SERVICE_PRINCIPAL_LIFETIME;
                let spread = (longest - shortest).as_secs();
                shortest + Duration::from_secs(u64::from(Uuid::new_v4().as_fields().0) % (spread + 1))
            }
        })
    }
}

impl IdentityKind {
    /// As a person calls it.
    pub fn title(&self) -> &'static str {
        match self {
            IdentityKind::SystemAssigned => "system-assigned",
            IdentityKind::UserAssigned { .. } => "user-assigned",
            IdentityKind::ServicePrincipal { .. } => "service principal",
            IdentityKind::User { .. } => "person",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_ids_of_the_fixed_directory_are_the_same() {
        let directory = Directory::fixed();
        let mut ids: Vec<String> = directory
            .identities
            .iter()
            .flat_map(|identity| [identity.object_id.to_string(), identity.client_id.to_string()])
            .collect();
        ids.push(directory.tenant_id.to_string());
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn service_principal_lifetimes_are_spread_as_in_entra() {
        let directory = Directory::fixed();
        let identity = directory.identity("service-principal").unwrap();
        for _ in 0..100 {
            let seconds = identity.next_lifetime().as_secs();
            assert!((3600..=5400).contains(&seconds), "{seconds}");
        }
    }

    #[test]
    fn an_id_is_a_hyphenated_guid_and_nothing_else() {
        assert!("0b1ec700-0000-4000-8000-000000000001".parse::<ObjectId>().is_ok());
        assert!("0b1ec7000000400080000000000000001".parse::<ObjectId>().is_err());
        assert!("0b1ec700000040008000000000000001".parse::<ObjectId>().is_err());
        assert!("user".parse::<ObjectId>().is_err());
    }

    #[test]
    fn ids_that_nobody_named_come_from_the_name() {
        let (one, again, other) = (DefaultIds::of("orders"), DefaultIds::of("orders"), DefaultIds::of("billing"));
        assert_eq!(one.object_id, again.object_id);
        assert_ne!(one.object_id, other.object_id);
        assert!(one.object_id.to_string().starts_with("0b1ec700-0000-4000-8000-"));
        assert!(one.client_id.to_string().starts_with("c11e4700-0000-4000-8000-"));
    }
}
