//! Settings with a notation of their own: durations, addresses, and URLs whose password is masked.

use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use muster_core::format::span;

/// A duration with a unit, such as `100ms`, `8s` or `5m`; greater than zero and at most 7 days.
///
/// No setting has a meaning at zero. Clocks, SQS and Postgres each overflow somewhere above the maximum.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(Duration);

/// Why text is not a valid [`Time`].
#[derive(Debug, thiserror::Error)]
pub enum TimeError {
    /// It is not a duration with a unit.
    #[error("expected a time with a unit, such as `100ms`, `8s` or `5m`: {0}")]
    Unreadable(#[from] humantime::DurationError),
    /// It is zero.
    #[error("expected a time above zero")]
    Zero,
    /// It is longer than [`Time::MAX`].
    #[error("expected a time of at most {}, found {}", span(Time::MAX), span(*.0))]
    TooLong(Duration),
}

impl Time {
    /// Maximum duration of a setting: 7 days. SQS keeps a message for at most 14.
    pub const MAX: Duration = Duration::from_hours(7 * 24);
}

impl From<Duration> for Time {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Time> for Duration {
    fn from(time: Time) -> Self {
        time.0
    }
}

impl TryFrom<String> for Time {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let duration = humantime::parse_duration(&text)?;
        match duration {
            Duration::ZERO => Err(TimeError::Zero),
            _ if duration > Self::MAX => Err(TimeError::TooLong(duration)),
            _ => Ok(Self(duration)),
        }
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        format_exactly(time.0)
    }
}

/// Formats a duration for a settings file: exactly, in the largest unit that divides it.
fn format_exactly(time: Duration) -> String {
    const NANOS: [(u128, &str); 7] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let nanos = time.as_nanos();
    let is_whole = |(unit, _): &&(u128, &str)| nanos.is_multiple_of(*unit);
    let (unit, name) = NANOS.iter().find(is_whole).expect("every time is a whole number of nanoseconds");
    format!("{}{name}", nanos / unit)
}

/// Serializes an address, or `off`. A missing key means the default, so "no address" needs its own word.
pub(super) mod address_or_off {
    use std::net::SocketAddr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    const OFF: &str = "off";

    #[expect(clippy::ref_option, reason = "serde passes fields by reference")]
    pub(in crate::config) fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str(OFF),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == OFF {
            return Ok(None);
        }
        let wrong =
            || D::Error::custom(format_args!("expected an address such as `127.0.0.1:9464` or `off`, found `{text}`"));
        text.parse().map(Some).map_err(|_| wrong())
    }
}

/// Serializes a database URL without its password.
pub(super) fn masked_url<S: Serializer>(url: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&mask(url.expose_secret()))
}

/// Serializes a secret without its value.
pub(super) fn masked<S: Serializer>(_: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(MASK)
}

/// Returns whether a secret is not set.
pub(super) fn is_empty(secret: &SecretString) -> bool {
    secret.expose_secret().is_empty()
}

/// Replaces a secret.
const MASK: &str = "***";

/// Masks the password of a URL, before the host or in a parameter. If it is unclear which part is the password, it
/// masks too much rather than too little.
fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    // A password may contain unescaped special characters, so it ends at the last `@`.
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let user = match user.map(|user| (user, user.split_once(':'))) {
        Some((_, Some((name, _)))) => format!("{name}:{MASK}@"),
        Some((user, None)) if user.contains('?') => return MASK.to_owned(),
        Some((user, None)) => format!("{user}@"),
        None => String::new(),
    };
    let (place, parameters) = rest.split_once('?').map_or((rest, None), |(place, rest)| (place, Some(rest)));
    let parameters = parameters.map(|parameters| {
        let parameters: Vec<_> = parameters.split('&').map(mask_parameter).collect();
        format!("?{}", parameters.join("&"))
    });
    format!("{scheme}://{user}{place}{}", parameters.unwrap_or_default())
}

fn mask_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if name.contains("password") => format!("{name}={MASK}"),
        _ => parameter.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_and_is_at_most_a_week() {
        let read = |text: &str| Time::try_from(text.to_owned()).map(Duration::from);
        assert_eq!(read("1500ms").unwrap(), Duration::from_millis(1500));
        assert!(matches!(read("8"), Err(TimeError::Unreadable(_))));
        assert!(matches!(read("0s"), Err(TimeError::Zero)));
        assert_eq!(read("7d").unwrap(), Time::MAX);
        for text in ["7d 1ns", "18446744073709551615s"] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().starts_with("expected a time of at most 7 days, found "), "{error}");
        }
    }

    #[test]
    fn a_duration_is_formatted_exactly() {
        for text in ["7d", "36h", "90s", "1500ms", "100ms", "5m", "1us", "1000001ns"] {
            let time = Time::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(time), text);
        }
    }

    #[test]
    fn only_the_password_of_a_url_is_masked() {
        let table = [
            ("postgres://localhost/muster", "postgres://localhost/muster"),
            ("postgres://ada@db:5432/muster", "postgres://ada@db:5432/muster"),
            (
                "postgres://ada:secret@db:5432/muster?sslmode=require",
                "postgres://ada:***@db:5432/muster?sslmode=require",
            ),
            ("postgres://ada:s/e?c#r@e:t@db/muster", "postgres://ada:***@db/muster"),
            ("postgres://db/muster?user=ada&password=secret", "postgres://db/muster?user=ada&password=***"),
            ("postgres://ada@db/muster?password=se@cret", "***"),
            ("host=db password=secret", "***"),
        ];
        for (url, masked) in table {
            assert_eq!(mask(url), masked);
        }
    }
}
