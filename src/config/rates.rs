//! The account's quotas: one for each operation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use muster_core::job::Operation;
use muster_core::rate::Rate;

/// Calls a second.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetRates {
    /// RegisterCertificate; AWS gives 10 to an account that did not ask for more.
    pub register_certificate: Rate,
    /// RegisterCertificateWithoutCA; likewise.
    pub register_certificate_without_ca: Rate,
    /// RegisterCACertificate; likewise.
    pub register_ca_certificate: Rate,
}

impl TargetRates {
    /// Calls a second of the operation that has most.
    pub fn greatest(&self) -> f64 {
        Operation::VARIANTS.iter().map(|&its| self.of(its).per_second()).fold(0.0, f64::max)
    }

    /// The key of an operation's quota.
    pub fn key_of(operation: Operation) -> &'static str {
        match operation {
            Operation::RegisterCertificate => "register_certificate",
            Operation::RegisterCertificateWithoutCA => "register_certificate_without_ca",
            Operation::RegisterCACertificate => "register_ca_certificate",
        }
    }

    /// The quota of an operation.
    pub fn of(&self, operation: Operation) -> Rate {
        match operation {
            Operation::RegisterCertificate => self.register_certificate,
            Operation::RegisterCertificateWithoutCA => self.register_certificate_without_ca,
            Operation::RegisterCACertificate => self.register_ca_certificate,
        }
    }
}

impl Default for TargetRates {
    fn default() -> Self {
        let default = Rate::new(10.0).expect("AWS's default quota is a rate");
        Self {
            register_certificate: default,
            register_certificate_without_ca: default,
            register_ca_certificate: default,
        }
    }
}
