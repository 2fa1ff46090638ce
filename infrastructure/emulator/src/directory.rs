//! The directory: one tenant, its identities, and which of them may use the cache. Fixed ids by default, chosen so that a
//! person tells an object id from a client id at a glance.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::azure;

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
#[derive(Clone, Debug, Serialize)]
pub struct Identity {
    /// How settings, the log and the command line call it.
    pub name: String,
    /// What kind it is.
    #[serde(flatten)]
    pub kind: IdentityKind,
    /// Object id of its principal.
    pub object_id: ObjectId,
    /// Its client id.
    pub client_id: ClientId,
    /// How long its tokens are valid; `None` for what Azure gives.
    pub token_lifetime: Option<Duration>,
    /// The access policy assignment on the cache, if it has one.
    pub assignment: Option<Assignment>,
}

/// The kinds of identity.
#[derive(Clone, Debug, Serialize)]
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
    /// An application with a client secret.
    ServicePrincipal {
        /// Object id of the app registration: not the user name, though many guides say so.
        application_object_id: ObjectId,
        /// The client secret. Not a secret here: everybody's emulator has the same.
        #[serde(skip)]
        secret: String,
    },
}

/// An access policy assignment: who may use the cache, and how.
#[derive(Clone, Debug, Serialize)]
pub struct Assignment {
    /// Redis ACL rules, as Azure's `accessString`.
    pub access_string: String,
}

impl Directory {
    /// The fixed directory that an emulator starts with.
    pub fn fixed() -> Self {
        let object = |n: u128| ObjectId::new(0x0b1ec700_0000_4000_8000_000000000000 + n);
        let client = |n: u128| ClientId::new(0xc11e4700_0000_4000_8000_000000000000 + n);
        let full = || Some(Assignment { access_string: azure::DEFAULT_ACCESS_STRING.to_owned() });
        let user_assigned = |name: &str| IdentityKind::UserAssigned {
            resource_id: format!(
                "/subscriptions/5b5c4700-0000-4000-8000-000000000000/resourcegroups/emulator/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
            ),
        };
        let identity = |n: u128, name: &str, kind: IdentityKind, assignment: Option<Assignment>| Identity {
            name: name.to_owned(),
            kind,
            object_id: object(n),
            client_id: client(n),
            token_lifetime: None,
            assignment,
        };
        Directory {
            tenant_id: Uuid::from_u128(0x7e4a4700_0000_4000_8000_000000000000),
            identities: vec![
                identity(1, "system", IdentityKind::SystemAssigned, full()),
                identity(2, "user", user_assigned("user"), full()),
                identity(
                    3,
                    "service-principal",
                    IdentityKind::ServicePrincipal {
                        application_object_id: ObjectId::new(0xa9900000_0000_4000_8000_000000000003),
                        secret: "emulator~client~secret~known~to~everybody".to_owned(),
                    },
                    full(),
                ),
                identity(4, "unassigned", user_assigned("unassigned"), None),
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

    pub(crate) fn service_principal(&self, client_id: ClientId) -> Option<(&Identity, &str)> {
        self.identities.iter().find_map(|identity| match &identity.kind {
            IdentityKind::ServicePrincipal { secret, .. } if identity.client_id == client_id => {
                Some((identity, secret.as_str()))
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
            IdentityKind::ServicePrincipal { .. } => {
                let (shortest, longest) = azure::SERVICE_PRINCIPAL_LIFETIME;
                let spread = (longest - shortest).as_secs();
                shortest + Duration::from_secs(u64::from(Uuid::new_v4().as_fields().0) % (spread + 1))
            }
        })
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
}
