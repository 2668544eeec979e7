//! Why the ledger did not do what was asked, and what that says about rows and connections.

use std::borrow::Cow;
use std::time::Duration;

use super::UrlError;

/// Why the ledger did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is none that Postgres understands.
    #[error("database url: {0}")]
    Url(sqlx::Error),
    /// The URL cannot be read from where it is to be found.
    #[error("database url: {0}")]
    UrlSource(UrlError),
    /// The server did not answer in time.
    #[error("postgres did not answer within {0:?}")]
    Timeout(Duration),
    /// The server or the connection failed.
    #[error("postgres: {0}")]
    Database(#[from] sqlx::Error),
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

/// The codes of a prepared statement that is not there, or there already, where a pooler gave the next transaction another
/// session.
pub(super) const POOLER_CODES: [&str; 2] = ["26000", "42P05"];

/// What mends that.
pub const POOLER_HINT: &str = "a pooler between Muster and Postgres loses prepared statements: PgBouncer in transaction mode \
                               needs version 1.21 and max_prepared_statements above 0, or set pool_mode = session";

impl StoreError {
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
