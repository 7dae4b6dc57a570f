use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use super::super::double::Double;
use super::super::{RegistryConfig, SchemaRegistry};
use super::*;

const SCHEMA: &str = "\"string\"";

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden/tls")
        .join(name)
}

/// A registry with the server's certificate; with `asks` it wants to know who its clients are.
fn registry(asks: bool) -> Double {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
        let all = CertificateDer::pem_file_iter(pem(name)).unwrap();
        all.map(Result::unwrap).collect()
    };
    let key = PrivateKeyDer::from_pem_file(pem("server.pem")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = match asks {
        false => config.with_no_client_auth(),
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(certificates("ca.pem").remove(0)).unwrap();
            let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(clients.build().unwrap())
        }
    };
    Double::start_with_tls(config.with_single_cert(certificates("server.pem"), key).unwrap())
}

/// What asking the registry at `url` for a schema's id comes to, with these keys.
fn asked(url: &str, more: &[(&str, String)]) -> Result<i32, PluginError> {
    let mut given = BTreeMap::from([
        ("schema.registry.url".to_owned(), url.to_owned()),
        ("http.read.timeout.ms".to_owned(), "20000".to_owned()),
    ]);
    given.extend(more.iter().map(|(key, text)| ((*key).to_owned(), text.clone())));
    let config = super::super::keys().parse(&given)?;
    let mut client = SchemaRegistry::new(RegistryConfig::new(&config, false)?, "AVRO");
    let found = client.for_writing("t", None, &Arc::from(SCHEMA))?;
    Ok(found.id)
}

fn whole(error: &PluginError) -> String {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}")
}

fn file(key: &'static str, name: &str) -> (&'static str, String) {
    (key, pem(name).display().to_string())
}

fn text(key: &'static str, name: &str) -> (&'static str, String) {
    (key, std::fs::read_to_string(pem(name)).unwrap())
}

#[test]
fn a_registry_is_trusted_by_a_file_or_a_text() {
    let double = registry(false);
    double.demand("user:geheim");
    let user = [
        ("basic.auth.credentials.source", "USER_INFO".to_owned()),
        ("basic.auth.user.info", "user:geheim".to_owned()),
    ];
    for trusted in [file(TRUSTED_FILE, "ca.pem"), text(TRUSTED, "ca.pem")] {
        let mut keys = vec![trusted];
        keys.extend(user.clone());
        assert_eq!(asked(&double.url(), &keys).map_err(|error| whole(&error)), Ok(1));
    }
    let by_name = format!("https://user:geheim@localhost:{}", double.port());
    let trusted = [file(TRUSTED_FILE, "ca.pem")];
    assert_eq!(asked(&by_name, &trusted).map_err(|error| whole(&error)), Ok(1));
    assert_eq!(double.requests().len(), 3);
}

#[test]
fn nobody_else_is_trusted() {
    let double = registry(false);
    // Those that browsers trust have not signed it.
    let error = asked(&double.url(), &[]).unwrap_err();
    assert!(
        whole(&error).to_lowercase().contains("certificate"),
        "{}",
        whole(&error)
    );
    let error = asked(&double.url(), &[file(TRUSTED_FILE, "client.pem")]).unwrap_err();
    assert!(
        whole(&error).to_lowercase().contains("certificate"),
        "{}",
        whole(&error)
    );
    // The certificate is for another name.
    let other = format!("https://127.0.0.2:{}", double.port());
    assert!(asked(&other, &[file(TRUSTED_FILE, "ca.pem")]).is_err());
    assert!(double.requests().is_empty());
}

#[test]
fn a_registry_may_ask_who_its_clients_are() {
    let double = registry(true);
    let trusted = file(TRUSTED_FILE, "ca.pem");
    assert!(asked(&double.url(), std::slice::from_ref(&trusted)).is_err());
    let by_file = [trusted.clone(), file(OWN_FILE, "client.pem")];
    assert_eq!(
        asked(&double.url(), &by_file).map_err(|error| whole(&error)),
        Ok(1)
    );
    let by_text = [
        trusted,
        text(OWN_CHAIN, "client.pem"),
        text(OWN_KEY, "client.pem"),
    ];
    assert_eq!(
        asked(&double.url(), &by_text).map_err(|error| whole(&error)),
        Ok(1)
    );
}

#[test]
fn what_is_no_pem_is_told_without_showing_it() {
    let url = "https://localhost:1";
    let wrong = |keys: &[(&str, String)]| whole(&asked(url, keys).unwrap_err());
    let of = |key: &'static str, text: &str| (key, text.to_owned());
    let missing = wrong(&[of(TRUSTED_FILE, "/no/such/file.pem")]);
    assert!(
        missing.contains(TRUSTED_FILE) && missing.contains("/no/such/file.pem"),
        "{missing}"
    );
    let none = wrong(&[of(TRUSTED, "geheim")]);
    assert!(
        none.contains("holds no certificate") && !none.contains("geheim"),
        "{none}"
    );
    let half = wrong(&[text(OWN_KEY, "client.pem")]);
    assert!(half.contains("go together"), "{half}");
    let no_key = wrong(&[file(OWN_FILE, "ca.pem")]);
    assert!(no_key.contains("holds no private key"), "{no_key}");
    let java = wrong(&[of(TRUSTED_TYPE, "JKS")]);
    assert!(java.contains("keytool"), "{java}");
}
