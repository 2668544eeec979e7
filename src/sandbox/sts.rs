//! STS, as far as a client asks who it is.

use super::answer::{Answer, AwsError};

/// Answers `GetCallerIdentity`, the only action that the sandbox knows.
pub(super) fn get_caller_identity(account: &str, request_id: &str, form: &[u8]) -> Answer {
    let action = form.split(|&byte| byte == b'&').find_map(|field| field.strip_prefix(b"Action="));
    if action != Some(b"GetCallerIdentity") {
        let found = String::from_utf8_lossy(action.unwrap_or_default());
        return Err(AwsError::new(
            400,
            "InvalidAction",
            format!("Could not find operation {found} for version NO_VERSION_SPECIFIED"),
        ));
    }
    Ok(format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{account}:user/sandbox</Arn><UserId>AIDASANDBOX</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>"
    ))
}
