//! PLACEHOLDER until merge.
use crate::hold::HoldKey;
pub fn title(hold: &HoldKey) -> String { hold.to_string() }
pub fn fix(hold: &HoldKey) -> String { format!("muster holds release {hold}") }
