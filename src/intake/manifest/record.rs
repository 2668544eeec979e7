//! One line of a JSON Lines file: a line that `muster enqueue` wrote to a rejects file, or an object with a
//! certificate.

use std::fmt;

use serde::Deserialize;

use muster_core::job::Name;

/// One line.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum JsonRecord {
    /// A certificate.
    Certificate {
        pem: String,
        reference: Option<Name>,
        /// Its original position, if the line is from a rejects file.
        rejected_at: Option<RejectedAt>,
    },
    /// A reject whose text was not kept.
    NotKept(RejectedAt),
    /// Not a valid record.
    Unreadable,
}

/// The original position of a reject.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RejectedAt {
    pub(super) file: String,
    pub(super) line: Option<u64>,
}

/// The fields that matter here. Others are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordFields {
    certificate_pem: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<Name>,
    file: Option<String>,
    line: Option<u64>,
    code: Option<String>,
}

impl JsonRecord {
    /// Returns whether a file with this first line is a JSON Lines file of records.
    pub(super) fn is_in(line: &str) -> bool {
        Self::read(line) != Self::Unreadable
    }

    /// Parses a line.
    pub(super) fn read(line: &str) -> Self {
        let Ok(fields) = serde_json::from_str::<RecordFields>(line) else { return Self::Unreadable };
        let line = fields.line;
        let rejected_at = fields.file.filter(|_| fields.code.is_some()).map(|file| RejectedAt { file, line });
        match (fields.certificate_pem, rejected_at) {
            (Some(pem), rejected_at) => Self::Certificate { pem, reference: fields.reference, rejected_at },
            (None, Some(place)) => Self::NotKept(place),
            (None, None) => Self::Unreadable,
        }
    }
}

/// Prints only sizes: the text may contain secrets.
impl fmt::Debug for JsonRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { pem, reference, .. } => {
                write!(f, "Certificate({} characters, {reference:?})", pem.len())
            }
            Self::NotKept(place) => write!(f, "NotKept({place:?})"),
            Self::Unreadable => f.write_str("Unreadable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reject_is_read_back_with_its_ref() {
        let line = r#"{"file":"a.pem","line":3,"ref":"SN-1","code":"expired","reason":"...","certificatePem":"x"}"#;
        let rejected_at = Some(RejectedAt { file: "a.pem".into(), line: Some(3) });
        let expected = JsonRecord::Certificate { pem: "x".into(), reference: "SN-1".parse().ok(), rejected_at };
        assert!(JsonRecord::read(line) == expected);
    }

    #[test]
    fn a_reject_without_text_keeps_its_position() {
        let line = r#"{"file":"a.pem","line":3,"code":"private_key","reason":"..."}"#;
        assert!(JsonRecord::read(line) == JsonRecord::NotKept(RejectedAt { file: "a.pem".into(), line: Some(3) }));
    }

    #[test]
    fn other_lines_are_not_records() {
        for line in ["", "{", "[]", "{}", r#"{"certificatePem":7}"#, r#"{"file":"a.pem"}"#] {
            assert!(JsonRecord::read(line) == JsonRecord::Unreadable, "{line}");
        }
    }
}
