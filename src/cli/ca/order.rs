//! The arguments of `muster ca register` and the files that they name.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use secrecy::{ExposeSecret, SecretString};

use crate::intake::manifest;
use muster_core::advice::{Advice, Exit};
use muster_core::certificate::chain::{self, PickedCertificate};
use muster_core::job::{
    CertificateMode, DEFAULT_TARGET, Name, RegisterCaCertificate, RegistrationConfig, Tag, UNBATCHED,
};
use muster_core::proof::verification_certificate;
use time::OffsetDateTime;

/// The CA, and how to register it.
#[derive(Args, Debug)]
pub(super) struct CaOrder {
    /// The CA's certificate, PEM or DER.
    #[arg(value_name = "FILE")]
    ca: PathBuf,
    /// Target (account and region), by its name in the settings.
    #[arg(long, default_value = DEFAULT_TARGET, value_name = "NAME")]
    pub(super) target: Name,
    /// Batch under which the registration is counted.
    #[arg(long, default_value = UNBATCHED, value_name = "NAME")]
    pub(super) batch: Name,
    /// How AWS finds the account of a connecting device: `default`, by its CA, which requires proof that you own the
    /// CA's key; `sni-only`, by the server name that the device sends.
    #[arg(long, ignore_case = true, default_value = "default", value_parser = mode())]
    pub(super) mode: CertificateMode,
    /// The CA's private key (PEM), to create the proof; `-` is standard input. The key is never sent or stored.
    #[arg(long, value_name = "FILE", conflicts_with = "verification")]
    key: Option<PathBuf>,
    /// A certificate signed by the CA with the registration code of `muster ca code` as its common name.
    #[arg(long, value_name = "FILE")]
    verification: Option<PathBuf>,
    /// Registers the CA as ACTIVE, so that certificates it issued can be registered; AWS's default is INACTIVE. If AWS
    /// already has the CA and it is INACTIVE, activates it, which needs `iot:UpdateCACertificate`.
    #[arg(long)]
    activate: bool,
    /// Lets devices register their own certificates when they first connect.
    #[arg(long)]
    allow_auto_registration: bool,
    /// Provisioning template for these devices, by its name in the account.
    #[arg(long, value_name = "NAME", conflicts_with = "template_body")]
    template: Option<String>,
    /// Provisioning template for these devices, as a JSON file.
    #[arg(long, value_name = "FILE", requires = "role")]
    template_body: Option<PathBuf>,
    /// IAM role that the template uses.
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// Tag of the CA. Can be repeated.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<Tag>,
}

/// Arguments that contradict each other.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum OrderError {
    /// Mode DEFAULT without a proof.
    #[error("mode DEFAULT needs proof that you own the CA's key: pass --key or --verification")]
    NoProof {
        /// The account's registration code, if AWS returned it.
        code: Option<String>,
    },
    /// Mode `SNI_ONLY` with a proof.
    #[error("mode SNI_ONLY takes no proof of the CA's key: omit --key and --verification")]
    ProofUnwanted,
}

impl Advice for OrderError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::NoProof { code: Some(code) } => {
                format!("the registration code is {code}; `muster ca code` shows how to create a certificate with it")
            }
            Self::NoProof { code: None } => "`muster ca code` shows how to create a proof".to_owned(),
            Self::ProofUnwanted => "or register it with --mode default".to_owned(),
        };
        Some(hint.into())
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// The proof of ownership of a CA's key.
pub(super) enum ProofSource {
    /// The key itself.
    Key(SecretString),
    /// A certificate signed with the key.
    Certificate(String),
    /// No proof is needed.
    Unneeded,
}

fn mode() -> impl TypedValueParser<Value = CertificateMode> {
    PossibleValuesParser::new(["default", "sni-only"]).map(|text| {
        if text.eq_ignore_ascii_case("default") { CertificateMode::Default } else { CertificateMode::SniOnly }
    })
}

/// Parses a tag; the value may contain further equals signs.
fn tag(text: &str) -> Result<Tag, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Tag { key: key.to_owned(), value: Some(value.to_owned()) }),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

impl CaOrder {
    /// Reads the CA's file.
    pub(super) fn read_ca(&self) -> anyhow::Result<String> {
        manifest::read_text(&self.ca).with_context(|| cannot_read(&self.ca))
    }

    /// Reads the proof of the CA's key.
    pub(super) fn read_proof(&self) -> anyhow::Result<ProofSource> {
        Ok(match (self.mode, &self.key, &self.verification) {
            (CertificateMode::SniOnly, None, None) => ProofSource::Unneeded,
            (CertificateMode::SniOnly, _, _) => return Err(OrderError::ProofUnwanted.into()),
            (CertificateMode::Default, None, None) => return Err(OrderError::NoProof { code: None }.into()),
            (CertificateMode::Default, Some(path), _) => ProofSource::Key(read_text(path)?.into()),
            (CertificateMode::Default, None, Some(path)) => ProofSource::Certificate(read_certificate(path)?),
        })
    }

    /// Returns the fields of the call. `code` is the registration code; a mode without proof does not need it.
    pub(super) fn request(
        &self,
        ca: String,
        proof: ProofSource,
        code: Option<&str>,
    ) -> anyhow::Result<RegisterCaCertificate> {
        let verification_certificate = match proof {
            ProofSource::Unneeded => None,
            ProofSource::Certificate(pem) => Some(pem),
            // Without a CA certificate there is no proof to create; the precheck reports what is wrong with the input.
            ProofSource::Key(key) => match chain::find_end(&ca).ok().filter(|ca| ca.certificate.is_ca()) {
                Some(PickedCertificate { certificate: ca, .. }) => Some(verification_certificate(
                    &ca,
                    key.expose_secret(),
                    code.unwrap_or_default(),
                    OffsetDateTime::now_utc(),
                )?),
                None => None,
            },
        };
        Ok(RegisterCaCertificate {
            ca_certificate: ca,
            verification_certificate,
            set_as_active: self.activate,
            allow_auto_registration: self.allow_auto_registration,
            registration_config: self.registration_config()?,
            tags: self.tags.clone(),
            certificate_mode: Some(self.mode),
        })
    }

    /// Returns the command line that activates the CA.
    pub(super) fn activating_command(&self) -> String {
        let mut words = vec!["muster ca register".to_owned(), quoted(&self.ca.display().to_string())];
        if self.mode == CertificateMode::SniOnly {
            words.push("--mode sni-only".to_owned());
        }
        for (option, path) in [("--key", &self.key), ("--verification", &self.verification)] {
            words.extend(path.as_ref().map(|path| format!("{option} {}", quoted(&path.display().to_string()))));
        }
        if self.target.as_str() != DEFAULT_TARGET {
            words.push(format!("--target {}", self.target));
        }
        words.push("--activate".to_owned());
        words.join(" ")
    }

    fn registration_config(&self) -> anyhow::Result<Option<RegistrationConfig>> {
        let config = RegistrationConfig {
            template_body: self.template_body.as_deref().map(read_text).transpose()?,
            role_arn: self.role.clone(),
            template_name: self.template.clone(),
        };
        Ok((config != RegistrationConfig::default()).then_some(config))
    }
}

/// Reads a certificate file, PEM or DER; `-` is standard input.
fn read_certificate(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") { read_text(path) } else { manifest::read_text(path).with_context(|| cannot_read(path)) }
}

/// Reads a text file; `-` is standard input.
fn read_text(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|read| text = read)
    };
    read.with_context(|| cannot_read(path))?;
    Ok(text)
}

/// Quotes a word for a shell if necessary.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/+@=-:,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell_only_if_needed() {
        for (word, expected) in [("ca.pem", "ca.pem"), ("my ca.pem", "'my ca.pem'"), ("a'b", r"'a'\''b'"), ("", "''")] {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn a_tag_value_may_contain_equals_signs() {
        let tag_of = |key: &str, value: &str| Ok(Tag { key: key.into(), value: Some(value.into()) });
        assert_eq!(tag("plant=3"), tag_of("plant", "3"));
        assert_eq!(tag("a=b=c"), tag_of("a", "b=c"));
        assert_eq!(tag("a="), tag_of("a", ""));
        assert!(tag("a").is_err() && tag("=a").is_err());
    }
}
