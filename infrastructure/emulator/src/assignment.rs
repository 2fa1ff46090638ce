//! What the cache knows of its users: access policy assignments, and the access keys if they are switched on.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::directory::ObjectId;
use crate::{Error, azure};

/// An access policy assignment: who may use the cache, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assignment {
    /// Its name among the cache's assignments.
    pub name: AssignmentName,
    /// Object id of the principal.
    pub object_id: ObjectId,
    /// Redis ACL rules, as Azure's `accessString`.
    pub access_string: String,
}

/// The name of an assignment: letters and digits only, at most 60, as Azure wants it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct AssignmentName(String);

impl AssignmentName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for AssignmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AssignmentName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let is_good = (1..=60).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_good { Ok(AssignmentName(name.to_owned())) } else { Err(Error::AssignmentName { name: name.to_owned() }) }
    }
}

impl<'de> Deserialize<'de> for AssignmentName {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The rules of an access string, in order. Azure's access strings are ACL rules about commands, keys and channels. Anything
/// else that `ACL SETUSER` takes would reach past the assignment: passwords, `on`, `reset`, and selectors, which later rules
/// do not restrict.
pub(crate) fn access_rules(access_string: &str) -> Result<std::str::SplitAsciiWhitespace<'_>, Error> {
    let allowed = |rule: &str| {
        matches!(rule, "allkeys" | "resetkeys" | "allchannels" | "resetchannels" | "allcommands" | "nocommands")
            || rule.starts_with(['+', '-', '~', '%', '&'])
    };
    match access_string.split_ascii_whitespace().find(|rule| !allowed(rule)) {
        None => Ok(access_string.split_ascii_whitespace()),
        Some(rule) => {
            Err(Error::InvalidAccessString { access_string: access_string.to_owned(), why: azure::refused_rule(rule) })
        }
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
            assert!(error.contains("InvalidAccessString"), "{error}");
        }
    }

    #[test]
    fn a_name_has_letters_and_digits_only() {
        assert!("MyApp1".parse::<AssignmentName>().is_ok());
        for bad in ["", "my-app", "my app", "ä", &"x".repeat(61)] {
            let error = bad.parse::<AssignmentName>().unwrap_err().to_string();
            assert!(error.contains("^[A-Za-z0-9]{1,60}$"), "{error}");
        }
    }
}
