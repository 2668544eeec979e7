//! Tags: their constraints, and the three operations that change and list the tags of a CA.

use std::collections::{BTreeMap, HashMap};

use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::json;

use super::error::{invalid, not_found, too_many};
use super::rules::check_length;
use super::{Iot, request};
use crate::answer::{AwsError, Reply};
use muster_core::certificate::CertificateId;

/// Maximum number of tags on one CA, and in one call.
const TAGS_MAX: usize = 50;

/// The prefix of keys reserved for AWS, in any case.
const RESERVED: &str = "aws:";

/// A tag as it appears in requests.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SandboxTag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagResource {
    resource_arn: String,
    tags: Vec<SandboxTag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UntagResource {
    resource_arn: String,
    tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceTags {
    resource_arn: String,
}

/// Checks the tags of one call and returns them by key.
pub(super) fn checked(tags: Vec<SandboxTag>) -> Result<BTreeMap<String, String>, AwsError> {
    if tags.len() > TAGS_MAX {
        return Err(invalid(format!("{} tags, but at most {TAGS_MAX} are allowed", tags.len())));
    }
    let mut by_key = BTreeMap::new();
    for SandboxTag { key, value } in tags {
        check_key(&key)?;
        check_length("tag value", &value, 0..=256)?;
        if by_key.insert(key, value).is_some() {
            return Err(invalid("two tags have the same key"));
        }
    }
    Ok(by_key)
}

fn check_key(key: &str) -> Result<(), AwsError> {
    check_length("tag key", key, 1..=128)?;
    if key.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED)) {
        return Err(invalid("a tag key begins with 'aws:', which is reserved for AWS"));
    }
    let is_separator = |c: char| c.is_whitespace() && !c.is_control();
    if key.chars().all(|c| c.is_alphanumeric() || is_separator(c) || "_.:/=+-@".contains(c)) {
        return Ok(());
    }
    Err(invalid("a tag key has characters other than letters, digits, spaces and _.:/=+-@"))
}

impl Iot {
    pub(super) fn tag_resource(&self, body: &[u8]) -> Reply {
        let TagResource { resource_arn, tags } = request::body(body)?;
        let (id, tags) = (self.tagged(&resource_arn)?, checked(tags)?);
        self.change_tags(id, &resource_arn, |present| {
            let n_new = tags.keys().filter(|key| !present.contains_key(*key)).count();
            if present.len() + n_new > TAGS_MAX {
                return Err(too_many(format!("The CA certificate has more than {TAGS_MAX} tags")));
            }
            present.extend(tags);
            Ok(())
        })
    }

    pub(super) fn untag_resource(&self, body: &[u8]) -> Reply {
        let UntagResource { resource_arn, tag_keys } = request::body(body)?;
        self.change_tags(self.tagged(&resource_arn)?, &resource_arn, |present| {
            present.retain(|key, _| !tag_keys.contains(key));
            Ok(())
        })
    }

    pub(super) fn list_tags(&self, head: &Parts) -> Reply {
        let ResourceTags { resource_arn } = request::query(head)?;
        let ca = self.authorities.find(self.tagged(&resource_arn)?).ok_or_else(|| no_resource(&resource_arn))?;
        let tags = ca.registered.tags.iter();
        let tags: Vec<_> = tags.map(|(key, value)| HashMap::from([("Key", key), ("Value", value)])).collect();
        Ok(json!({ "tags": tags }).to_string())
    }

    fn change_tags(
        &self,
        id: CertificateId,
        arn: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), AwsError>,
    ) -> Reply {
        let changed = self.authorities.change(id, |ca| change(&mut ca.registered.tags));
        changed.ok_or_else(|| no_resource(arn))??;
        Ok("{}".to_owned())
    }

    /// Returns the CA that an ARN names; in the sandbox, only CAs have tags.
    fn tagged(&self, arn: &str) -> Result<CertificateId, AwsError> {
        if !arn.starts_with("arn:") {
            return Err(invalid("resourceArn is not an ARN"));
        }
        let own = arn.rsplit('/').next().and_then(|id| id.parse().ok()).filter(|&id| self.arn("cacert", id) == arn);
        own.ok_or_else(|| no_resource(arn))
    }
}

fn no_resource(arn: &str) -> AwsError {
    not_found(format!("The resource {arn} does not exist"))
}
