//! Encrypted connections, by what `database.ssl.mode` asks for.
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::mysql::config::{TlsConfig, TlsMode};

/// Encrypts a connection to `host`; the error is why not, and what helps.
/// Why there is no encrypted connection.
#[derive(Debug)]
pub(super) enum NoTls {
    /// It cannot be made as it was asked for: another configuration may help.
    Refused(String),
    /// The connection broke meanwhile, as where a server dies: another try may help.
    Lost(String),
}

pub(super) async fn encrypt(
    socket: TcpStream,
    host: &str,
    config: &TlsConfig,
) -> Result<TlsStream<TcpStream>, NoTls> {
    let client = client(config).map_err(NoTls::Refused)?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| NoTls::Refused(format!("{host} is neither a host's name nor an address")))?;
    let connector = TlsConnector::from(Arc::new(client));
    connector
        .connect(name, socket)
        .await
        .map_err(|error| explain(&error, config.mode))
}

fn explain(error: &std::io::Error, mode: TlsMode) -> NoTls {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let Some(cause) = cause else {
        let remedy = match mode {
            TlsMode::Preferred => "",
            _ => {
                "; if it always ends the connection there, see the server's log for why it takes no TLS 1.2 or 1.3"
            }
        };
        return NoTls::Lost(format!("{error}{remedy}"));
    };
    let remedy = match cause {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "; its certificate must have database.hostname among its alternative names (subjectAltName), or \
             database.ssl.mode=verify_ca does not look at names"
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "; set database.ssl.ca to a PEM file with the authority that signed its certificate"
        }
        Error::AlertReceived(_) | Error::PeerIncompatible(_) => {
            "; TLS 1.2 or 1.3 is needed, and a client certificate (database.ssl.cert, database.ssl.key) where the server asks for one"
        }
        _ => "",
    };
    NoTls::Refused(format!("{error}{remedy}"))
}

fn client(config: &TlsConfig) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier(config, provider)?);
    let Some((certificates, key)) = &config.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates_of(certificates)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        format!(
            "{} has no private key in PEM that is not encrypted: {error}",
            key.display()
        )
    })?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| format!("{} and its key cannot be used: {error}", certificates.display()))
}

fn certificates_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: String| format!("{} cannot be read as PEM: {error}", path.display());
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(error.to_string()))?;
    match certificates.is_empty() {
        true => Err(wrong("it has no certificate".to_owned())),
        false => Ok(certificates),
    }
}

fn verifier(
    config: &TlsConfig,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    if !matches!(config.mode, TlsMode::VerifyCa | TlsMode::VerifyIdentity) {
        return Ok(Arc::new(Anybody(provider)));
    }
    let mut roots = RootCertStore::empty();
    match &config.ca {
        Some(path) => {
            for certificate in certificates_of(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| format!("{} has a certificate that is none: {error}", path.display()))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(match config.mode {
        TlsMode::VerifyCa => Arc::new(AnyName(verifier)),
        _ => verifier,
    })
}

/// Takes every certificate; the connection is encrypted, whoever it is with.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes what a known authority signed, whatever name it is for.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The chain is looked at before the name.
        match self
            .0
            .verify_server_cert(certificate, intermediates, name, ocsp, now)
        {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
