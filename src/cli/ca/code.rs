//! `muster ca code`: the account's registration code and how to use it.

use std::process::ExitCode;

use clap::Args;

use crate::cli::stdout;
use crate::cli::talk::talk;
use crate::config::Config;
use crate::operator::ca_registration::CaRegistration;
use muster_core::job::{DEFAULT_TARGET, Name};

/// Prints the account's registration code and, on standard error, how to use it.
///
/// To register a CA in mode DEFAULT, AWS requires a verification certificate: signed with the CA's key, with this code
/// as its common name. If you have the key, `muster ca register --key` creates that certificate for you.
#[derive(Args, Debug)]
pub(super) struct CodeCommand {
    /// Target (account and region), by its name in the settings.
    #[arg(long, default_value = DEFAULT_TARGET, value_name = "NAME")]
    target: Name,
}

impl CodeCommand {
    /// Asks AWS for the code.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let code = CaRegistration::connect(config, &self.target).await?.registration_code().await?;
        stdout::print(format_args!("{code}\n"))?;
        talk(&format!(
            "hint: on the machine with the CA's key, create a verification certificate with\n{}\nand register it with \
             `muster ca register ca.pem --verification verification.pem`",
            commands(&code)
        ));
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the OpenSSL commands that create a verification certificate.
fn commands(code: &str) -> String {
    format!(
        "  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out verification.key
  openssl req -new -key verification.key -subj /CN={code} -out verification.csr
  openssl x509 -req -in verification.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -sha256 -out \
         verification.pem"
    )
}
