//! [`Tls`]: TLS to a backend's server, by rustls with ring.

use std::sync::Arc;
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::url::Authorities;

/// The trusted authorities, read once. A clone shares it.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Trusts the authorities in this PEM file; without one, those of the system.
    ///
    /// # Errors
    ///
    /// One sentence that says what is wrong with them.
    pub(crate) fn new(ca: Option<&Authorities>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match ca {
            Some(Authorities { file, shown }) => {
                let certificates = CertificateDer::pem_file_iter(file)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>);
                let certificates = certificates
                    .map_err(|error| format!("cannot read certificates from {shown}: {error}"))?;
                for certificate in certificates {
                    let added = roots.add(certificate);
                    added.map_err(|error| format!("a certificate in {shown}: {error}"))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            let place = ca.map_or("the system's certificate store", |ca| &ca.shown);
            return Err(format!(
                "there is no certificate authority in {place}: name a PEM file of them by ?ca=FILE"
            ));
        }
        // The provider is named, since a process may hold several.
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(self.0.clone())
            .connect(name, stream)
            .await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use super::{Authorities, Tls};

    #[test]
    fn authorities_that_cannot_be_read_are_named() {
        let rows = [
            ("/does/not/exist.pem", "/does/not/exist.pem"),
            (
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
                "?ca=FILE",
            ),
        ];
        for (file, part) in rows {
            let authorities = Authorities {
                file: file.to_owned(),
                shown: file.to_owned(),
            };
            let text = Tls::new(Some(&authorities)).unwrap_err();
            assert!(text.contains(part), "{file}: {text}");
        }
    }
}
