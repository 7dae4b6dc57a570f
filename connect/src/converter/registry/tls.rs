//! Registries with https: whom to trust, and who this client is. Certificates and keys are PEM, in files or in the configuration itself.
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::PluginError;

const TRUSTED_TYPE: &str = "schema.registry.ssl.truststore.type";
const TRUSTED_FILE: &str = "schema.registry.ssl.truststore.location";
const TRUSTED: &str = "schema.registry.ssl.truststore.certificates";
const OWN_TYPE: &str = "schema.registry.ssl.keystore.type";
const OWN_FILE: &str = "schema.registry.ssl.keystore.location";
const OWN_CHAIN: &str = "schema.registry.ssl.keystore.certificate.chain";
const OWN_KEY: &str = "schema.registry.ssl.keystore.key";

/// The keys, which are those of Confluent's client.
pub(super) fn keys() -> ConfigDef {
    use ConfigType::{Password, String as Text};
    use Importance::{High, Medium};
    let pem = |key: &'static str, of: &str| {
        let documentation = format!("What {of} is in: PEM.");
        ConfigKey::with_default(key, Text, "PEM", Medium, &documentation).checked(move |value| {
            match value.trim().eq_ignore_ascii_case("PEM") {
                true => Ok(()),
                false => Err(format!(
                    "only PEM is read; keytool -importkeystore makes PKCS12 of JKS, and openssl pkcs12 -nodes makes PEM of that, for {key}=PEM"
                )),
            }
        })
    };
    ConfigDef::new()
        .with(pem(TRUSTED_TYPE, "the truststore"))
        .with(ConfigKey::optional(TRUSTED_FILE, Text, High, "A PEM file of the authorities that sign registries' certificates. Without one those that browsers trust are trusted."))
        .with(ConfigKey::optional(TRUSTED, Password, High, "The same as PEM text, instead of a file."))
        .with(pem(OWN_TYPE, "the keystore"))
        .with(ConfigKey::optional(OWN_FILE, Text, High, "A PEM file of the certificates and the key that show registries who this client is, if they ask."))
        .with(ConfigKey::optional(OWN_CHAIN, Password, High, "The certificates as PEM text, instead of a file."))
        .with(ConfigKey::optional(OWN_KEY, Password, High, "The key as PEM text, not encrypted, instead of a file."))
}

/// What a configuration says of TLS.
///
/// # Errors
/// When a file cannot be read, or holds nothing of what it should.
pub(super) fn of(config: &Config) -> Result<TlsConfig, PluginError> {
    let text = |key: &'static str| {
        let given = config.secret(key).map(|secret| secret.reveal().to_owned());
        given
            .filter(|text| !text.trim().is_empty())
            .map(|text| (key, text))
    };
    let file = |key: &'static str| match config.optional_string(key).filter(|path| !path.is_empty()) {
        None => Ok(None),
        Some(path) => std::fs::read_to_string(path)
            .map(|text| Some((key, text)))
            .map_err(|error| {
                PluginError::user_config(format!("{key}={path} cannot be read as PEM: {error}"))
            }),
    };
    let mut tls = TlsConfig::builder();
    if let Some((key, pem)) = text(TRUSTED).map_or_else(|| file(TRUSTED_FILE), |found| Ok(Some(found)))? {
        tls = tls.root_certs(RootCerts::from(certificates(key, &pem)?));
    }
    let own = match (text(OWN_CHAIN), text(OWN_KEY)) {
        (Some((chain_key, chain)), Some((key_key, key))) => {
            Some((certificates(chain_key, &chain)?, private_key(key_key, &key)?))
        }
        (None, None) => match file(OWN_FILE)? {
            Some((key, pem)) => Some((certificates(key, &pem)?, private_key(key, &pem)?)),
            None => None,
        },
        _ => {
            let why = format!("{OWN_CHAIN} and {OWN_KEY} go together; one of them is missing");
            return Err(PluginError::user_config(why));
        }
    };
    let own = own.map(|(chain, key)| ClientCert::new_with_certs(&chain, key));
    Ok(tls.client_cert(own).build())
}

/// All certificates of a text; no error shows any of it.
fn certificates(key: &str, pem: &str) -> Result<Vec<Certificate<'static>>, PluginError> {
    let items = parse_pem(pem.as_bytes()).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let all: Vec<_> = items.collect();
    match all.is_empty() {
        false => Ok(all),
        true => Err(PluginError::user_config(format!(
            "{key} holds no certificate (-----BEGIN CERTIFICATE-----)"
        ))),
    }
}

fn private_key(key: &str, pem: &str) -> Result<PrivateKey<'static>, PluginError> {
    let mut items = parse_pem(pem.as_bytes()).filter_map(|item| match item {
        Ok(PemItem::PrivateKey(found)) => Some(found),
        _ => None,
    });
    items.next().ok_or_else(|| {
        PluginError::user_config(format!(
            "{key} holds no private key (-----BEGIN PRIVATE KEY-----); an encrypted one is not read"
        ))
    })
}

#[cfg(test)]
mod tests;
