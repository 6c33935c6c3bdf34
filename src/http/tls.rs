//! TLS of the HTTPS listener: PEM files -> rustls.

use crate::error::{Error, Kind, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

pub fn server_config(cert: &Path, key: &Path) -> Result<ServerConfig> {
    let wrong = |name: &str, file: &Path| {
        Error::at(Kind::Invalid, name, format!("{name}: {} holds no usable PEM", file.display()))
    };
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|_| wrong("http.tls_cert", cert))?;
    if certificates.is_empty() {
        return Err(wrong("http.tls_cert", cert));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|_| wrong("http.tls_key", key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(|_| wrong("http.tls_key", key))
}
