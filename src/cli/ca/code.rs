//! `muster ca code`: the account's registration code, and what it is for.

use std::process::ExitCode;

use clap::Args;

use crate::cli::stdout;
use crate::cli::talk::talk;
use crate::config::Config;
use crate::operator::ca_registration::CaRegistration;
use muster_core::job::{DEFAULT_TARGET, Name};

/// Prints the account's registration code, and on standard error how a CA's key proves it.
///
/// A CA in mode DEFAULT is registered with a certificate that its key signed and that has this code as its common name.
/// Where the key is at hand, `muster ca register --key` makes that certificate by itself.
#[derive(Args, Debug)]
pub(super) struct CodeCommand {
    /// The account and region, by its name in the settings.
    #[arg(long, default_value = DEFAULT_TARGET, value_name = "NAME")]
    target: Name,
}

impl CodeCommand {
    /// Asks AWS.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let code = CaRegistration::connect(config, &self.target).await?.registration_code().await?;
        stdout::print(format_args!("{code}\n"))?;
        talk(&format!(
            "hint: where the CA's key is, make a verification certificate with\n{}\nand register with `muster ca register \
             ca.pem --verification verification.pem`",
            commands(&code)
        ));
        Ok(ExitCode::SUCCESS)
    }
}

/// The commands that make a verification certificate.
fn commands(code: &str) -> String {
    format!(
        "  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out verification.key
  openssl req -new -key verification.key -subj /CN={code} -out verification.csr
  openssl x509 -req -in verification.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -sha256 -out \
         verification.pem"
    )
}
