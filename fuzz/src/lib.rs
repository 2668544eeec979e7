//! Malformed input for everything that reads untrusted input: certificates and messages.
//!
//! [`targets`] checks what must hold for any bytes, [`mutator`] derives inputs from a corpus. The corpus was made by
//! hand and with `specimen`: certificates without their keys.

pub mod mutator;
pub mod targets;
