//! The form body of AWS's query protocol: `Action=AssumeRole&RoleArn=...`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The fields of a form, as they were sent.
pub(super) struct Form<'a>(Cow<'a, str>);

impl<'a> Form<'a> {
    pub(super) fn read(body: &'a [u8]) -> Self {
        Self(String::from_utf8_lossy(body))
    }

    /// Returns the decoded value of a field, if present.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let mut fields = self.0.split('&').filter_map(|field| field.split_once('='));
        let (_, value) = fields.find(|(key, _)| *key == name)?;
        Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_full_name_and_decoded() {
        let form = Form::read(b"Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam&Note=a+b%2Bc");
        assert_eq!(form.get("Action").as_deref(), Some("AssumeRole"));
        assert_eq!(form.get("RoleArn").as_deref(), Some("arn:aws:iam"));
        assert_eq!(form.get("Note").as_deref(), Some("a b+c"));
        assert_eq!(form.get("Role"), None);
    }
}
