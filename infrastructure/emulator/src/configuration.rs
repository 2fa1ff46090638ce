//! What an emulator starts with: the tenant, its identities, and the cache with its assignments. Fixed by default; a file in
//! TOML gives another.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::assignment::{Assignment, AssignmentName, access_rules};
use crate::cache::ClusteringPolicy;
use crate::directory::{
    CertificateSource, ClientId, Credential, DEFAULT_TENANT, DefaultIds, Directory, FederatedCredential, Identity,
    IdentityKind, ObjectId, default_resource_id,
};
use crate::environment::Environment;
use crate::{Error, azure};

/// What an emulator starts with.
///
/// ```
/// use azure_managed_redis_emulator::Configuration;
///
/// let configuration = Configuration::parse(
///     r#"
///     clustering-policy = "OSSCluster"
///
///     [identities.orders]
///     kind = "user-assigned"
///     token-lifetime = "5m"
///
///     [assignments.orders]
///     identity = "orders"
///     access-string = "+@read ~orders:*"
///     "#,
/// )?;
/// assert_eq!(configuration.assignments[0].object_id, configuration.directory.identities[0].object_id);
/// # Ok::<(), azure_managed_redis_emulator::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The tenant and its identities.
    pub directory: Directory,
    /// Who may use the cache.
    pub assignments: Vec<Assignment>,
    /// How the cache is clustered.
    pub clustering_policy: ClusteringPolicy,
    /// Whether access keys work. Off, as on a new cache of Azure.
    pub access_keys: bool,
}

impl Configuration {
    /// The fixed one: everybody of the fixed directory has an assignment with full access, except `unassigned`.
    pub fn fixed() -> Self {
        let directory = Directory::fixed();
        let assigned = directory.identities.iter().filter(|identity| identity.name != "unassigned");
        let assignments = assigned
            .map(|identity| Assignment {
                name: identity.name.replace('-', "").parse().expect("letters"),
                object_id: identity.object_id,
                access_string: azure::DEFAULT_ACCESS_STRING.to_owned(),
            })
            .collect();
        Configuration { directory, assignments, clustering_policy: ClusteringPolicy::default(), access_keys: false }
    }

    /// Reads a file. Paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let error = |why: String| Error::Configuration { path: path.to_owned(), why };
        let text = fs::read_to_string(path).map_err(|e| error(format!("it can't be read: {e}")))?;
        Self::from_text(&text, path.parent().unwrap_or(Path::new(""))).map_err(error)
    }

    /// Reads a text. Paths in it are relative to the current folder.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let error = |why| Error::Configuration { path: PathBuf::from("the configuration"), why };
        Self::from_text(text, Path::new("")).map_err(error)
    }

    fn from_text(text: &str, folder: &Path) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        let identities: Vec<Identity> = written
            .identities
            .into_iter()
            .map(|(name, identity)| identity.checked(&name, folder).map_err(|why| format!("identity '{name}': {why}")))
            .collect::<Result<_, _>>()?;
        check_ids(&identities)?;
        let directory = Directory { tenant_id: written.tenant_id.unwrap_or(DEFAULT_TENANT), identities };
        let mut assignments: Vec<Assignment> = Vec::new();
        for (name, assignment) in written.assignments {
            let assignment =
                assignment.checked(&name, &directory).map_err(|why| format!("assignment '{name}': {why}"))?;
            if let Some(other) = assignments.iter().find(|other| other.object_id == assignment.object_id) {
                let (name, object_id, other) = (name, assignment.object_id.to_string(), other.name.as_str().to_owned());
                return Err(Error::DuplicateAssignment { name, object_id, other }.to_string());
            }
            assignments.push(assignment);
        }
        Ok(Configuration {
            directory,
            assignments,
            clustering_policy: match written.clustering_policy {
                Some(name) => name.parse().map_err(|e: Error| e.to_string())?,
                None => ClusteringPolicy::default(),
            },
            access_keys: written.access_keys,
        })
    }
}

/// A time as people write it: `6s`, `5m`, `1h`, or a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(pub Duration);

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no time; write 6s, 5m or 1h");
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let seconds = match &text[digits.len()..] {
            "s" | "" => Some(number),
            "m" => number.checked_mul(60),
            "h" => number.checked_mul(3600),
            _ => return Err(wrong()),
        };
        match seconds {
            Some(seconds @ 1..=31_536_000) => Ok(Lifetime(Duration::from_secs(seconds))),
            _ => Err(format!("'{text}' is not between one second and a year")),
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    tenant_id: Option<Uuid>,
    clustering_policy: Option<String>,
    #[serde(default)]
    access_keys: bool,
    #[serde(default)]
    identities: IndexMap<String, WrittenIdentity>,
    #[serde(default)]
    assignments: IndexMap<String, WrittenAssignment>,
}

/// An identity in a configuration, and in a request that creates one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct WrittenIdentity {
    pub(crate) kind: Kind,
    pub(crate) object_id: Option<ObjectId>,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) token_lifetime: Option<String>,
    pub(crate) resource_id: Option<String>,
    pub(crate) application_object_id: Option<ObjectId>,
    pub(crate) user_principal_name: Option<String>,
    #[serde(default)]
    pub(crate) secrets: Vec<String>,
    #[serde(default)]
    pub(crate) certificates: Vec<PathBuf>,
    #[serde(default)]
    pub(crate) generated_certificate: bool,
    #[serde(default)]
    pub(crate) federated_credentials: Vec<WrittenFederatedCredential>,
}

/// The kinds of identity, as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    SystemAssigned,
    UserAssigned,
    ServicePrincipal,
    User,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct WrittenFederatedCredential {
    pub(crate) issuer: Option<String>,
    pub(crate) subject: String,
    pub(crate) audience: Option<String>,
    pub(crate) keys: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenAssignment {
    identity: Option<String>,
    object_id: Option<ObjectId>,
    access_string: Option<String>,
}

impl WrittenIdentity {
    /// The identity, with what was left out filled in.
    pub(crate) fn checked(self, name: &str, folder: &Path) -> Result<Identity, String> {
        check_name(name)?;
        self.refuse_misplaced()?;
        let ids = DefaultIds::of(name);
        let credentials = self.credentials(folder)?;
        let kind = match self.kind {
            Kind::SystemAssigned => IdentityKind::SystemAssigned,
            Kind::UserAssigned => IdentityKind::UserAssigned {
                resource_id: self.resource_id.unwrap_or_else(|| default_resource_id(name)),
            },
            Kind::ServicePrincipal => IdentityKind::ServicePrincipal {
                application_object_id: self.application_object_id.unwrap_or(ids.application_object_id),
                credentials,
            },
            Kind::User => IdentityKind::User {
                user_principal_name: self.user_principal_name.unwrap_or_else(|| format!("{name}@emulator.example")),
            },
        };
        let default_client = if self.kind == Kind::User { azure::AZURE_CLI } else { ids.client_id };
        Ok(Identity {
            name: name.to_owned(),
            kind,
            object_id: self.object_id.unwrap_or(ids.object_id),
            client_id: self.client_id.unwrap_or(default_client),
            token_lifetime: match self.token_lifetime {
                Some(text) => Some(text.parse::<Lifetime>()?.0),
                None => None,
            },
        })
    }

    /// What belongs to another kind is a mistake, not something to pass over.
    fn refuse_misplaced(&self) -> Result<(), String> {
        let only_of = |kind: Kind, name: &str, set: bool| match set && self.kind != kind {
            true => Err(format!("'{name}' belongs to another kind of identity")),
            false => Ok(()),
        };
        only_of(Kind::UserAssigned, "resource-id", self.resource_id.is_some())?;
        only_of(Kind::User, "user-principal-name", self.user_principal_name.is_some())?;
        let application = Kind::ServicePrincipal;
        only_of(application, "application-object-id", self.application_object_id.is_some())?;
        only_of(application, "secrets", !self.secrets.is_empty())?;
        only_of(application, "certificates", !self.certificates.is_empty())?;
        only_of(application, "generated-certificate", self.generated_certificate)?;
        only_of(application, "federated-credentials", !self.federated_credentials.is_empty())
    }

    fn credentials(&self, folder: &Path) -> Result<Vec<Credential>, String> {
        let mut credentials: Vec<Credential> = Vec::new();
        for secret in &self.secrets {
            if secret.is_empty() {
                return Err("a secret is empty".to_owned());
            }
            credentials.push(Credential::Secret(secret.clone()));
        }
        if self.generated_certificate {
            credentials.push(Credential::Certificate(CertificateSource::Generated));
        }
        for file in &self.certificates {
            credentials.push(Credential::Certificate(CertificateSource::File(folder.join(file))));
        }
        for federated in &self.federated_credentials {
            if federated.issuer.is_some() != federated.keys.is_some() {
                return Err(
                    "a federated credential with an 'issuer' of its own needs that issuer's 'keys', a JWKS file, \
                            because the emulator fetches nothing; without either, the issuer is the emulator itself"
                        .to_owned(),
                );
            }
            credentials.push(Credential::Federated(FederatedCredential {
                issuer: federated.issuer.clone(),
                subject: federated.subject.clone(),
                audience: federated.audience.clone().unwrap_or_else(|| azure::FEDERATED_AUDIENCE.to_owned()),
                keys: federated.keys.as_ref().map(|file| folder.join(file)),
            }));
        }
        Ok(credentials)
    }
}

impl WrittenAssignment {
    fn checked(self, name: &str, directory: &Directory) -> Result<Assignment, String> {
        let name: AssignmentName = name.parse().map_err(|e: Error| e.to_string())?;
        let object_id = match (self.identity, self.object_id) {
            (Some(identity), None) => match directory.identity(&identity) {
                Some(identity) => identity.object_id,
                None => {
                    return Err(format!("there is no identity '{identity}'; the directory has: {}", directory.names()));
                }
            },
            (None, Some(object_id)) => object_id,
            _ => return Err("it needs either 'identity', a name, or 'object-id'".to_owned()),
        };
        let access_string = self.access_string.unwrap_or_else(|| azure::DEFAULT_ACCESS_STRING.to_owned());
        access_rules(&access_string).map_err(|e| e.to_string())?;
        Ok(Assignment { name, object_id, access_string })
    }
}

/// Names are names of files too, and one is the name of what is no identity.
fn check_name(name: &str) -> Result<(), String> {
    if name == Environment::ACCESS_KEY {
        return Err(format!("'{name}' stands for a program that signs in with an access key; take another name"));
    }
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err("its name may have letters, digits, '-', '_' and '.' only".to_owned());
    }
    Ok(())
}

/// No two identities may be taken for each other.
pub(crate) fn check_ids(identities: &[Identity]) -> Result<(), String> {
    let mut object_ids = HashMap::new();
    let mut client_ids: HashSet<ClientId> = HashSet::new();
    let mut has_system = false;
    for identity in identities {
        check_name(&identity.name).map_err(|why| format!("identity '{}': {why}", identity.name))?;
        if let Some(other) = object_ids.insert(identity.object_id, &identity.name) {
            return Err(format!("the identities '{other}' and '{}' have the same object id", identity.name));
        }
        if identity.client_id != azure::AZURE_CLI && !client_ids.insert(identity.client_id) {
            return Err(format!("the identity '{}' has the client id of another", identity.name));
        }
        if identity.kind == IdentityKind::SystemAssigned {
            if has_system {
                return Err("an application has one system-assigned identity at most".to_owned());
            }
            has_system = true;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_configuration_is_one_that_could_be_written() {
        let configuration = Configuration::fixed();
        check_ids(&configuration.directory.identities).unwrap();
        assert_eq!(configuration.assignments.len(), configuration.directory.identities.len() - 1);
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let text =
            "[identities.orders]\nkind = 'service-principal'\nsecrets = ['s']\n[assignments.a]\nidentity = 'orders'";
        let configuration = Configuration::parse(text).unwrap();
        let identity = &configuration.directory.identities[0];
        assert!(identity.client_id.to_string().starts_with("c11e47"));
        assert_eq!(configuration.assignments[0].access_string, azure::DEFAULT_ACCESS_STRING);
        assert_eq!(configuration.clustering_policy, ClusteringPolicy::NoCluster);
        assert!(!configuration.access_keys);
    }

    #[test]
    fn what_is_listed_stays_in_its_order() {
        let text = "[identities.b]\nkind = 'user-assigned'\n[identities.a]\nkind = 'user-assigned'";
        assert_eq!(Configuration::parse(text).unwrap().directory.names(), "b, a");
    }

    #[test]
    fn each_mistake_is_named() {
        let user = "[identities.u]\nkind = 'user-assigned'\n";
        let cases = [
            ("nonsense", "expected"),
            ("tenantid = 'x'", "unknown field `tenantid`"),
            ("clustering-policy = 'Sharded'", "NoCluster, EnterpriseCluster and OSSCluster"),
            ("[identities.u]\nkind = 'group'", "unknown variant `group`"),
            ("[identities.u]\nkind = 'user-assigned'\nobject-id = 'me'", "'me' is no GUID"),
            ("[identities.u]\nkind = 'user-assigned'\nsecrets = ['x']", "'secrets' belongs to another kind"),
            ("[identities.u]\nkind = 'user-assigned'\ntoken-lifetime = 'long'", "'long' is no time"),
            ("[identities.'a b']\nkind = 'user-assigned'", "its name may have letters"),
            (&format!("{user}[assignments.my-app]\nidentity = 'u'"), "^[A-Za-z0-9]{1,60}$"),
            (&format!("{user}[assignments.app]\nidentity = 'x'"), "there is no identity 'x'; the directory has: u"),
            (&format!("{user}[assignments.app]"), "either 'identity'"),
            (&format!("{user}[assignments.app]\nidentity = 'u'\naccess-string = 'on'"), "InvalidAccessString"),
            (
                &format!("{user}[assignments.a]\nidentity = 'u'\n[assignments.b]\nidentity = 'u'"),
                "due to duplicate entries",
            ),
            ("[identities.access-key]\nkind = 'user'", "signs in with an access key; take another name"),
            (
                "[identities.a]\nkind = 'system-assigned'\n[identities.b]\nkind = 'system-assigned'",
                "one system-assigned identity at most",
            ),
        ];
        for (text, says) in cases {
            let error = Configuration::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}\nsays\n{error}\nand not {says}");
        }
    }
}
