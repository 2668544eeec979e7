//! Broken input for whatever reads input from outside: certificates and messages.
//!
//! [`targets`] says what must hold whatever the bytes are, [`mutator`] makes bytes from a corpus. The corpus is made by
//! hand and by `specimen`: certificates without their keys.

pub mod mutator;
pub mod targets;
