//! `muster show`: everything that the ledger knows about a certificate.

use std::process::ExitCode;

use clap::Args;

use super::open_ledger::open_ledger;
use super::stdout;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::operator::certificates::{CertificateQuery, NothingKnown, QueryKind, ShownCertificate, look_up};

/// Shows everything that the ledger knows about a certificate.
///
/// Shows each of its rows, one per batch: its outcome and why, every AWS call with its request id, and what it waits
/// for. The certificate's own fields are read from the copy in the ledger.
#[derive(Args, Debug)]
pub(super) struct ShowCommand {
    /// The certificate: a PEM or DER file, its id (64 hex digits), its serial number as OpenSSL prints it, or the
    /// producer's name (`ref`) for the device.
    certificate: String,
    /// What CERTIFICATE is, if it is ambiguous.
    #[arg(long = "as", value_enum, value_name = "WHAT")]
    kind: Option<QueryKind>,
    /// Also asks AWS at each target that the ledger names; needs iot:DescribeCertificate.
    #[arg(long)]
    aws: bool,
    /// Prints only the certificate, as PEM.
    #[arg(long, conflicts_with_all = ["aws", "json"])]
    pem: bool,
    /// Prints everything as JSON.
    #[arg(long)]
    json: bool,
}

impl ShowCommand {
    /// Looks up the certificate and prints it.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let query = CertificateQuery::of_argument(&self.certificate, self.kind)?;
        let ledger = open_ledger(config).await?;
        let shown = self.look_up(config, &ledger, &query).await;
        ledger.close().await;
        let shown = shown?;
        if self.pem {
            stdout::print(shown.pem().ok_or_else(|| NothingKnown::Pem(query.to_string()))?)?;
        } else if self.json {
            stdout::print_json(&shown)?;
        } else {
            stdout::print(shown)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn look_up(
        &self,
        config: &Config,
        ledger: &Ledger,
        query: &CertificateQuery,
    ) -> anyhow::Result<ShownCertificate> {
        let mut shown = look_up(ledger, query).await?;
        if self.aws {
            shown.ask_aws(config, ledger).await?;
        }
        Ok(shown)
    }
}
