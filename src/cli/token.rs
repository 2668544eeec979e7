//! `muster token`: a new token for the ops page.

use std::process::ExitCode;

use anyhow::anyhow;
use aws_lc_rs::rand;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::stdout;
use super::talk::talk;
use crate::config::http::AccessRole;
use crate::http::guard::Token;

/// Prints a new token for the ops page and its API, and the line for `http.tokens_file`.
///
/// The token has 256 random bits. It is printed once and stored nowhere; the line contains only its SHA-256.
#[derive(Args, Debug)]
pub(super) struct TokenCommand {
    /// Who the token is for; the audit log shows this name.
    name: String,
    /// What it allows.
    #[arg(long, value_enum, default_value_t = RoleArgument::Viewer)]
    role: RoleArgument,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// The roles.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArgument {
    /// Read.
    Viewer,
    /// Read and change.
    Operator,
}

#[derive(Serialize)]
struct NewToken {
    token: String,
    line: String,
}

impl TokenCommand {
    /// Prints the token.
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let role = match self.role {
            RoleArgument::Viewer => AccessRole::Viewer,
            RoleArgument::Operator => AccessRole::Operator,
        };
        let token = random_token()?;
        let line = Token::line(role, &self.name, &token).map_err(|what| anyhow!(what))?;
        if self.json {
            stdout::print_json(&NewToken { token, line })?;
        } else {
            stdout::print(format_args!("token: {token}\nline for http.tokens_file: {line}\n"))?;
            talk("the token is not stored anywhere: give it to its owner now");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns a new token of 256 random bits.
pub(super) fn random_token() -> anyhow::Result<String> {
    let mut bits = [0; 32];
    rand::fill(&mut bits).map_err(|_| anyhow!("the system has no random bits"))?;
    Ok(hex::encode(bits))
}
