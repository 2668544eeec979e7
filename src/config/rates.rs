//! The account's quotas, one for each operation, in calls per second.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use muster_core::job::Operation;
use muster_core::rate::Rate;

/// The account's quotas in one region, in calls per second.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetRates {
    /// Quota of RegisterCertificate. The AWS default is 10.
    pub register_certificate: Rate,
    /// Quota of RegisterCertificateWithoutCA. The AWS default is 10.
    pub register_certificate_without_ca: Rate,
    /// Quota of RegisterCACertificate. The AWS default is 10.
    pub register_ca_certificate: Rate,
}

impl TargetRates {
    /// Returns the highest quota, in calls per second.
    pub fn greatest(&self) -> f64 {
        Operation::VARIANTS.iter().map(|&its| self.of(its).per_second()).fold(0.0, f64::max)
    }

    /// Returns the settings key of an operation's quota.
    pub fn key_of(operation: Operation) -> &'static str {
        match operation {
            Operation::RegisterCertificate => "register_certificate",
            Operation::RegisterCertificateWithoutCA => "register_certificate_without_ca",
            Operation::RegisterCACertificate => "register_ca_certificate",
        }
    }

    /// Returns the quota of an operation.
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
        let default = Rate::new(10.0).expect("AWS's default quota is a valid rate");
        Self {
            register_certificate: default,
            register_certificate_without_ca: default,
            register_ca_certificate: default,
        }
    }
}
