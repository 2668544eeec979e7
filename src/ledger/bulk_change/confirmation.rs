//! The confirmation of a planned change: it begins at most once, and never without its audit entry.

use serde_json::{Value, json};

use super::{BulkChange, PLAN_VALID_FOR, RUNNER_ALIVE_FOR, change};
use crate::ledger::audit::{AuditAction, note};
use crate::ledger::{Ledger, LedgerError, storable};

/// Longest list of a filter that the audit entry repeats; of a longer one it has the length. The change itself has all.
const AUDITED_MAX: usize = 100;

/// The answer to a confirmation.
#[derive(Clone, Debug, PartialEq)]
pub enum Begin {
    /// It began: the caller, and nobody else, must carry it out.
    Begun(BulkChange),
    /// It was begun before.
    AlreadyBegun(BulkChange),
    /// It was planned more than an hour ago and must be planned anew.
    Expired,
    /// There is no such plan, or not any more.
    Unknown,
}

impl Ledger {
    /// Begins a planned change and records it in the audit. Of several calls for one plan, at most one gets
    /// [`Begin::Begun`].
    ///
    /// # Errors
    /// After an error nothing began, unless the COMMIT was in doubt. A change that began without its caller knowing
    /// counts as interrupted after [`RUNNER_ALIVE_FOR`]: nobody carries it out.
    pub async fn begin_change(&self, id: &str, who: &str) -> Result<Begin, LedgerError> {
        let claim = "-- begin_change
            update bulk_changes
            set begun_at = now(), begun_by = $2, runner_until = clock_timestamp() + make_interval(secs => $3)
            where id = $1 and begun_at is null and planned_at > clock_timestamp() - make_interval(secs => $4)";
        let seconds = [RUNNER_ALIVE_FOR, PLAN_VALID_FOR].map(|time| time.as_secs_f64());
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let query = sqlx::query(claim).bind(storable(id)).bind(storable(who)).bind(seconds[0]).bind(seconds[1]);
            let is_ours = query.execute(&mut *transaction).await?.rows_affected() == 1;
            let Some(change) = change(&mut transaction, id).await? else { return Ok(Begin::Unknown) };
            if !is_ours {
                return Ok(if change.begun.is_some() { Begin::AlreadyBegun(change) } else { Begin::Expired });
            }
            let action = change.action.into();
            let action = AuditAction { who, action, what: &format!("change {id}"), detail: audit_detail(&change) };
            note(&mut transaction, &action).await?;
            transaction.commit().await?;
            Ok(Begin::Begun(change))
        })
        .await
    }
}

/// Returns the audit detail: filter and count.
fn audit_detail(change: &BulkChange) -> Value {
    let mut filter = serde_json::from_str(&change.filter).unwrap_or_else(|_| Value::String(change.filter.clone()));
    if let Value::Object(fields) = &mut filter {
        for list in fields.values_mut() {
            if let Some(n) = list.as_array().map(Vec::len).filter(|&n| n > AUDITED_MAX) {
                *list = json!({ "n": n });
            }
        }
    }
    json!({ "filter": filter, "expected": change.n_expected, "more": change.is_more })
}
