//! Errors of the ledger, and what each means for the rows and for the connection.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::time::Duration;

use crate::config::url_source::UrlError;
use muster_core::advice::{Advice, Exit};
use muster_core::format::span;

/// An error of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The URL is not a valid Postgres URL.
    #[error("database url: {error}")]
    Url {
        /// The setting that the URL comes from.
        setting: &'static str,
        /// Why it is not valid.
        error: sqlx::Error,
    },
    /// The URL cannot be read from its file or command.
    #[error("database url: {0}")]
    UrlSource(UrlError),
    /// The server did not answer in time.
    #[error("postgres did not answer within {}", span(*.0))]
    Timeout(Duration),
    /// The server or the connection failed.
    #[error("postgres: {}", cause(.0))]
    Database(sqlx::Error),
    /// The schema is missing or older than this program, or a migration failed.
    #[error("schema: {0}")]
    Schema(String),
    /// A target's name already belongs to another account or region.
    #[error("target `{target}` is account {found} in the ledger, but the credentials now belong to {wanted}")]
    TargetChanged {
        /// The target's name.
        target: String,
        /// Account and region in the ledger.
        found: String,
        /// Account and region of the credentials.
        wanted: String,
    },
    /// The ledger contains a word that this version does not know.
    #[error("the ledger column `{column}` contains {found:?}, which this version does not know")]
    UnknownWord {
        /// The column.
        column: &'static str,
        /// The unknown word.
        found: String,
    },
}

/// SQLSTATE class of a refused login.
const LOGIN_REFUSED: &str = "28";

/// SQLSTATE codes of a prepared statement that does not exist, or already exists: a pooler gave the next transaction
/// another session.
pub(super) const POOLER_CODES: [&str; 2] = ["26000", "42P05"];

/// Hint for an error caused by a pooler.
pub const POOLER_HINT: &str = "a pooler between Muster and Postgres loses prepared statements: PgBouncer in transaction mode \
                               needs version 1.21 and max_prepared_statements above 0, or set pool_mode = session";

/// Returns the message of an sqlx error. For an error of the server, sqlx would add the line in the server's source
/// code, which helps nobody.
fn cause(error: &sqlx::Error) -> Cow<'_, str> {
    match error {
        sqlx::Error::Database(error) => error.message().into(),
        error => error.to_string().into(),
    }
}

/// No `#[from]`: the message already contains the cause, so a chain of causes must not repeat it.
impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl LedgerError {
    /// Returns how to fix the error, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            error if error.is_caused_by_a_pooler() => Some(POOLER_HINT),
            Self::Timeout(_) | Self::Database(_) | Self::Url { setting: "database.url", .. } => {
                Some("check `database.url`, and `database.root_certificate` if the server's CA is not a public one")
            }
            Self::Url { setting: "database.url_file", .. } => Some("check what is in the file of `database.url_file`"),
            Self::Url { .. } => Some("check what the command of `database.url_command` prints"),
            Self::UrlSource(_) => {
                Some("check `database.url_file` or `database.url_command`; run the command by hand, as Muster's user")
            }
            Self::TargetChanged { .. } => Some("use another target name for another account or region"),
            Self::Schema(_) | Self::UnknownWord { .. } => None,
        }
    }

    /// Returns whether the server refused the login: a wrong password, or a role that does not exist.
    pub fn is_login_refused(&self) -> bool {
        self.sqlstate().is_some_and(|code| code.starts_with(LOGIN_REFUSED))
    }

    /// Returns whether the connection was refused: nothing listens at the server's address.
    pub(super) fn is_refused_connection(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused)
    }

    /// Returns whether a connection may succeed soon: the server is starting, or has no connection left.
    pub(super) fn may_recover_soon(&self) -> bool {
        let code = self.sqlstate().unwrap_or_default();
        self.is_refused_connection() || code == "57P03" || code.starts_with("53")
    }

    /// Returns whether a pooler lost a prepared statement.
    pub fn is_caused_by_a_pooler(&self) -> bool {
        self.sqlstate().is_some_and(|code| POOLER_CODES.contains(&&*code))
    }

    /// Returns the class of the error, one of [`ERROR_CLASSES`].
    pub fn class(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Database(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut) => "connection",
            _ => {
                let code = self.sqlstate().unwrap_or_default();
                ERROR_CLASSES.into_iter().find(|class| code.starts_with(class)).unwrap_or("other")
            }
        }
    }

    /// Returns the SQLSTATE code, if the server answered with an error.
    pub fn sqlstate(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.code(),
            _ => None,
        }
    }

    /// Returns whether one of the rows caused the error, so that the others can be written without it: its data (class
    /// 22), a constraint (23), a too large index row (54000), or an existing row that only a newer version can read.
    pub fn is_caused_by_a_row(&self) -> bool {
        let code = self.sqlstate().unwrap_or_default();
        let is_data_error = code.starts_with("22") || code.starts_with("23") || code == "54000";
        is_data_error || matches!(self, Self::UnknownWord { .. })
    }

    /// Returns whether an immediate retry is likely to succeed: a deadlock or a serialization failure.
    pub fn is_conflict(&self) -> bool {
        self.class() == "40"
    }

    /// Returns whether the connection can be used for the next operation: not if it broke, if the server is shutting
    /// down, or if the server became read-only in a failover.
    pub(super) fn leaves_connection_sound(&self) -> bool {
        match self {
            Self::Timeout(_) => false,
            Self::Database(sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. }) => true,
            Self::Database(_) => {
                let code = self.sqlstate();
                code.is_some_and(|code| !["08", "57P", "25006"].iter().any(|lost| code.starts_with(lost)))
            }
            _ => true,
        }
    }
}

/// The classes of errors: no answer, no connection, SQLSTATE classes (08 connection, 22 data, 23 constraint, 25
/// read-only, 40 deadlock, 53 resources, 54 limits, 57 shutdown), and the rest.
pub const ERROR_CLASSES: [&str; 11] =
    ["timeout", "connection", "08", "22", "23", "25", "40", "53", "54", "57", "other"];

impl Advice for LedgerError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Self::hint(self).map(Cow::Borrowed)
    }

    fn exit(&self) -> Exit {
        // Classes 53 and 57: the server starts, stops, or has no connection left.
        let is_away = matches!(self.class(), "timeout" | "connection" | "08" | "53" | "57");
        match self {
            error if error.is_login_refused() => Exit::Denied,
            _ if is_away => Exit::Unreachable,
            _ => Exit::Error,
        }
    }
}
