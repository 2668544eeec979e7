//! Why the ledger did not do what was asked, and what that says about rows and connections.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::time::Duration;

use crate::config::url_source::UrlError;
use muster_core::advice::{Advice, Exit};
use muster_core::format::span;

/// Why the ledger did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The URL is none that Postgres understands.
    #[error("database url: {error}")]
    Url {
        /// The setting that it comes from.
        setting: &'static str,
        /// Why.
        error: sqlx::Error,
    },
    /// The URL cannot be read from where it is to be found.
    #[error("database url: {0}")]
    UrlSource(UrlError),
    /// The server did not answer in time.
    #[error("postgres did not answer within {}", span(*.0))]
    Timeout(Duration),
    /// The server or the connection failed.
    #[error("postgres: {}", cause(.0))]
    Database(sqlx::Error),
    /// The schema is missing, older or newer than this program.
    #[error("schema: {0}")]
    Schema(String),
    /// A target's name already stands for another account or region.
    #[error("target `{target}` is account {found} in the ledger, the credentials now belong to {wanted}")]
    TargetChanged {
        /// The target's name.
        target: String,
        /// Account and region in the ledger.
        found: String,
        /// Account and region of the credentials.
        wanted: String,
    },
    /// The ledger holds a word that this version does not know.
    #[error("the ledger's {column} holds {found:?}, which this version does not know")]
    UnknownWord {
        /// The column.
        column: &'static str,
        /// What it holds.
        found: String,
    },
}

/// SQLSTATE class of a refused login.
const LOGIN_REFUSED: &str = "28";

/// The codes of a prepared statement that is not there, or there already, where a pooler gave the next transaction another
/// session.
pub(super) const POOLER_CODES: [&str; 2] = ["26000", "42P05"];

/// How to fix it.
pub const POOLER_HINT: &str = "a pooler between Muster and Postgres loses prepared statements: PgBouncer in transaction mode \
                               needs version 1.21 and max_prepared_statements above 0, or set pool_mode = session";

/// What sqlx met. It adds the line of the server's own source, which tells nobody anything.
fn cause(error: &sqlx::Error) -> Cow<'_, str> {
    match error {
        sqlx::Error::Database(error) => error.message().into(),
        error => error.to_string().into(),
    }
}

/// The text has the cause already, so that a chain of causes does not repeat it.
impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl LedgerError {
    /// What to do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            error if error.is_of_a_pooler() => Some(POOLER_HINT),
            Self::Timeout(_) | Self::Database(_) | Self::Url { setting: "database.url", .. } => {
                Some("check `database.url`, and `database.root_certificate` where the server's CA is not a public one")
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

    /// Says whether the server refuses the login: a wrong password, or a role that is not there.
    pub fn is_login_refused(&self) -> bool {
        self.sqlstate().is_some_and(|code| code.starts_with(LOGIN_REFUSED))
    }

    /// Says whether nobody listens where the server should be.
    pub(super) fn is_refused_connection(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused)
    }

    /// Says whether a connection may be made in a moment: the server is starting, or has none left.
    pub(super) fn may_pass_soon(&self) -> bool {
        let code = self.sqlstate().unwrap_or_default();
        self.is_refused_connection() || code == "57P03" || code.starts_with("53")
    }

    /// Says whether a pooler lost a prepared statement.
    pub fn is_of_a_pooler(&self) -> bool {
        self.sqlstate().is_some_and(|code| POOLER_CODES.contains(&&*code))
    }

    /// The class of the error, one of [`ERROR_CLASSES`].
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

    /// The server's own code of the error, where the server answered.
    pub fn sqlstate(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.code(),
            _ => None,
        }
    }

    /// Says whether one of the rows is to blame, so that the others can be written without it: its data (class 22), a
    /// constraint (23), an index row too large (54000), or a row there that only a newer program can read.
    pub fn is_rows_fault(&self) -> bool {
        let code = self.sqlstate().unwrap_or_default();
        let is_the_servers_word = code.starts_with("22") || code.starts_with("23") || code == "54000";
        is_the_servers_word || matches!(self, Self::UnknownWord { .. })
    }

    /// Says whether the same is likely to go through at once: a deadlock or a serialization failure.
    pub fn is_momentary(&self) -> bool {
        self.class() == "40"
    }

    /// Says whether the connection can do the next operation: not where it broke, where the server shuts down, or
    /// where it became read-only in a failover.
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

/// The classes of errors: no answer, no connection, classes of SQLSTATE (08 connection, 22 data, 23 constraint, 25
/// read-only, 40 deadlock, 53 resources, 54 limits, 57 shut down), and the rest.
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
