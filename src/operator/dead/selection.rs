//! Selects dead letters.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use muster_core::job::{Job, Name};

/// Which dead letters to process. The default selects none.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct DeadSelection {
    /// Every message.
    pub all: bool,
    /// Ids of messages. Empty: not selected by id.
    pub ids: Vec<String>,
    /// Only jobs of this batch. `None`: not selected by batch.
    pub batch: Option<Name>,
}

impl DeadSelection {
    /// Returns whether a message is selected; `job` is the job it contains, if any.
    pub fn is_selected(&self, id: &str, job: Option<&Job>) -> bool {
        let is_of_batch = self.batch.as_ref().is_some_and(|batch| job.is_some_and(|job| job.batch == *batch));
        self.all || is_of_batch || self.ids.iter().any(|named| named == id)
    }

    /// Returns the number of distinct messages named; `None` if they were not selected by id.
    pub fn n_named(&self) -> Option<usize> {
        let mut ids: Vec<&String> = self.ids.iter().collect();
        ids.sort_unstable();
        ids.dedup();
        (!ids.is_empty()).then_some(ids.len())
    }

    /// Returns the selection in words, for a question.
    pub fn described(&self) -> String {
        match (&self.batch, self.n_named()) {
            (Some(batch), _) => format!("all jobs of batch {batch}"),
            (None, Some(1)) => "1 message".to_owned(),
            (None, Some(n)) => format!("{n} messages"),
            (None, None) => "everything".to_owned(),
        }
    }

    /// Returns the selection for the audit.
    pub(super) fn audited(&self) -> Value {
        match &self.batch {
            Some(batch) => json!({ "batch": batch }),
            None if self.all => json!("all"),
            None => json!({ "messages": self.ids }),
        }
    }
}
