//! Reads the SDK's errors: their own text says only "service error" or "dispatch failure".

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;

/// Most characters of an error's text that are kept.
pub const TEXT_MAX: usize = 500;

/// An error and its causes in one line, cut to [`TEXT_MAX`] characters.
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<_> = causes(error).map(ToString::to_string).collect();
    one_line(&texts.join(": "))
}

/// A text that a service sent, as it may be printed and stored: one line of [`TEXT_MAX`] characters at most.
pub fn one_line(text: &str) -> String {
    text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Says whether an error comes of missing or unusable credentials, before anything was sent.
pub fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<CredentialsError>().is_some())
}

/// An error and what caused it, outermost first.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_service_becomes_one_short_line() {
        let text = format!("first\nERROR second\r\u{1b}[31m\0\u{9b}{}", "x".repeat(TEXT_MAX));
        let line = one_line(&text);
        assert!(line.starts_with("first ERROR second  [31m  xxx"), "{line}");
        assert_eq!(line.chars().count(), TEXT_MAX);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("dispatch failure")]
    struct Outer(#[source] CredentialsError);

    #[test]
    fn missing_credentials_are_found_below_other_errors() {
        let error = Outer(CredentialsError::not_loaded("no profile"));
        assert!(lacks_credentials(&error));
        assert!(in_one_line(&error).starts_with("dispatch failure: "), "{}", in_one_line(&error));
        assert!(!lacks_credentials(&std::io::Error::other("reset")));
    }
}
