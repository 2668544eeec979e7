//! Broken input for what reads input: the pure files of Muster, built without the AWS SDKs.
//!
//! [`targets`] says what must hold whatever the bytes are, [`mutator`] makes bytes from a corpus. The corpus is made by
//! hand and by `specimen`: certificates without their keys.

#[path = "../../src"]
mod pure {
    pub mod certificate;
    pub mod figures;
    pub mod hold;
    pub mod job;
    pub mod outcome;
    pub mod precheck;
    pub mod specimen {
        //! Of the specimens only those that need no library to be made.
        pub mod hostile;
    }
}

pub mod mutator;
pub mod targets;

pub use pure::{certificate, figures, hold, job, outcome, precheck, specimen};
