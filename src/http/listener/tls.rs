//! The server side of TLS.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;

use muster_core::advice::{Advice, Exit};

/// The only protocol spoken here.
const PROTOCOL: &[u8] = b"http/1.1";

/// The server side of TLS.
#[derive(Clone)]
pub struct Tls(pub(super) TlsAcceptor);

/// Certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct TlsError {
    path: PathBuf,
    cause: String,
}

impl Advice for TlsError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("`http.certificate` is a PEM file with the certificate chain, `http.key` one with its private key".into())
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl Tls {
    /// Reads certificate chain and private key.
    ///
    /// # Errors
    /// A file cannot be read, or the key does not fit the certificate.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let wrong = |path: &Path, cause: String| TlsError { path: path.to_owned(), cause };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|error| wrong(certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(wrong(certificate, "it contains no certificate".to_owned()));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|error| wrong(certificate, error.to_string()))?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self(Arc::new(config).into()))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
