//! The keys of converters that use a schema registry.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use ureq::tls::TlsConfig;

use super::subject::SubjectNames;
use super::tls;
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance, Secret};
use crate::plugin::PluginError;

const URL: &str = "schema.registry.url";
const FILE: &str = "file:";
/// One schema, percent-encoded, in the place of a registry; for programs that know the schema of data without an id.
const ONE: &str = "schema:";
const SCHEMAS_MAX: &str = "max.schemas.per.subject";
const AUTO_REGISTER: &str = "auto.register.schemas";
const USE_LATEST: &str = "use.latest.version";
const NORMALIZE: &str = "normalize.schemas";
const KEY_STRATEGY: &str = "key.subject.name.strategy";
const VALUE_STRATEGY: &str = "value.subject.name.strategy";
const CREDENTIALS_SOURCE: &str = "basic.auth.credentials.source";
const USER_INFO: &str = "basic.auth.user.info";
const OLD_USER_INFO: &str = "schema.registry.basic.auth.user.info";
const CONNECT_TIMEOUT: &str = "http.connect.timeout.ms";
const READ_TIMEOUT: &str = "http.read.timeout.ms";

/// Where the registry is and how it is used.
#[derive(Debug, Clone)]
pub(in crate::converter) struct RegistryConfig {
    pub(super) place: Place,
    pub(super) is_key: bool,
    pub(super) schemas_max: usize,
    pub(super) auto_register: bool,
    pub(super) use_latest: bool,
    pub(super) normalize: bool,
    pub(super) subjects: SubjectNames,
    pub(super) connect_timeout: Duration,
    pub(super) read_timeout: Duration,
    pub(super) tls: TlsConfig,
}

/// What answers.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Services, of which the next is asked when one does not answer; at least one.
    Services(Vec<Address>),
    /// A file on this machine.
    File(PathBuf),
    /// This schema and no other.
    One(Arc<str>),
}

/// A service.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// Without credentials, and without a slash at its end.
    pub(super) url: String,
    /// The value of the header `Authorization`.
    pub(super) authorization: Option<Secret>,
}

/// The keys.
pub(in crate::converter) fn keys() -> ConfigDef {
    use ConfigType::{Boolean, Class, Int, List, Password, String as Text};
    use Importance::{High, Low, Medium};
    let topic_name = "io.confluent.kafka.serializers.subject.TopicNameStrategy";
    ConfigDef::new()
        .with(ConfigKey::required(URL, List, High, "URLs of schema registries, between commas; the next is asked when one does not answer. Names and passwords may stand in them. Or file:PATH, a file on this machine that is made and does without a service."))
        .with(ConfigKey::with_default(SCHEMAS_MAX, Int, "1000", Low, "How many schemas are kept in memory.").between(1, i32::MAX.into()))
        .with(ConfigKey::with_default(AUTO_REGISTER, Boolean, "true", Medium, "Whether schemas that a subject does not have are registered."))
        .with(ConfigKey::with_default(USE_LATEST, Boolean, "false", Low, "Whether data are written with the latest schema of the subject. Only if auto.register.schemas is false."))
        .with(ConfigKey::with_default(NORMALIZE, Boolean, "false", Low, "Whether the registry is to normalize schemas before it compares them."))
        .with(ConfigKey::with_default(KEY_STRATEGY, Class, topic_name, Medium, "How the subjects of keys are named: TopicNameStrategy, RecordNameStrategy or TopicRecordNameStrategy."))
        .with(ConfigKey::with_default(VALUE_STRATEGY, Class, topic_name, Medium, "How the subjects of values are named."))
        .with(ConfigKey::with_default(CREDENTIALS_SOURCE, Text, "URL", Medium, "Where name and password for the registry are: URL or USER_INFO (basic.auth.user.info)."))
        .with(ConfigKey::with_default(USER_INFO, Password, "", Medium, "Name and password for the registry: name:password."))
        .with(ConfigKey::with_default(OLD_USER_INFO, Password, "", Medium, "An older name of basic.auth.user.info."))
        .with(ConfigKey::with_default(CONNECT_TIMEOUT, Int, "60000", Low, "How long connecting to a registry may take, in milliseconds.").between(1, i32::MAX.into()))
        .with(ConfigKey::with_default(READ_TIMEOUT, Int, "60000", Low, "How long a registry may take to answer, in milliseconds.").between(1, i32::MAX.into()))
        .and(tls::keys())
}

impl RegistryConfig {
    /// From values of the keys (and perhaps others).
    pub(in crate::converter) fn new(config: &Config, is_key: bool) -> Result<Self, PluginError> {
        let ms = |key: &str| Duration::from_millis(u64::try_from(config.int(key)).unwrap_or(1));
        let user = match config.string(CREDENTIALS_SOURCE) {
            "URL" => None,
            "USER_INFO" => {
                let given = |key| config.secret(key).filter(|secret| !secret.reveal().is_empty());
                let info = given(USER_INFO).or_else(|| given(OLD_USER_INFO));
                Some(info.ok_or_else(|| {
                    PluginError::user_config(format!(
                        "{CREDENTIALS_SOURCE}=USER_INFO wants {USER_INFO}=name:password"
                    ))
                })?)
            }
            other => {
                return Err(PluginError::user_config(format!(
                    "{CREDENTIALS_SOURCE} is {other}; there are URL and USER_INFO"
                )));
            }
        };
        let urls: Vec<&str> = config
            .list(URL)
            .iter()
            .map(|url| url.as_str())
            .filter(|url| !url.is_empty())
            .collect();
        let place = place(&urls, user)?;
        let strategy = if is_key { KEY_STRATEGY } else { VALUE_STRATEGY };
        Ok(Self {
            place,
            is_key,
            schemas_max: usize::try_from(config.int(SCHEMAS_MAX)).unwrap_or(1),
            auto_register: config.boolean(AUTO_REGISTER),
            use_latest: config.boolean(USE_LATEST),
            normalize: config.boolean(NORMALIZE),
            subjects: SubjectNames::named(config.string(strategy))?,
            connect_timeout: ms(CONNECT_TIMEOUT),
            read_timeout: ms(READ_TIMEOUT),
            tls: tls::of(config)?,
        })
    }

    /// How many schemas are to be kept.
    pub(in crate::converter) fn schemas_max(&self) -> usize {
        self.schemas_max
    }
}

fn place(urls: &[&str], user: Option<&Secret>) -> Result<Place, PluginError> {
    match urls {
        [] => Err(PluginError::user_config(format!(
            "{URL} is empty: give at least one URL"
        ))),
        [url] if url.starts_with(FILE) => Ok(Place::File(path(&url[FILE.len()..])?)),
        [url] if url.starts_with(ONE) => {
            let text = percent_decode_str(&url[ONE.len()..]).decode_utf8_lossy();
            Ok(Place::One(text.into()))
        }
        urls if urls.iter().any(|url| url.starts_with(FILE)) => Err(PluginError::user_config(format!(
            "{URL} has a file and other URLs: a file stands alone"
        ))),
        urls => {
            let services = urls
                .iter()
                .map(|url| address(url, user))
                .collect::<Result<_, _>>()?;
            Ok(Place::Services(services))
        }
    }
}

/// The path of a URL: `state/schemas.jsonl`, `/var/schemas.jsonl` or `///var/schemas.jsonl`.
fn path(rest: &str) -> Result<PathBuf, PluginError> {
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(path) => {
            return Err(PluginError::user_config(format!(
                "{URL} is file://{path}, a file of another machine; write file:///path, or file:path for a path from where the worker runs"
            )));
        }
        None => rest,
    };
    match percent_decode_str(path).decode_utf8_lossy() {
        path if path.is_empty() => Err(PluginError::user_config(format!("{URL} is file: and no path"))),
        path => Ok(PathBuf::from(path.as_ref())),
    }
}

fn address(url: &str, user: Option<&Secret>) -> Result<Address, PluginError> {
    let known = ["http://", "https://"].into_iter();
    let mut found = known.filter_map(|scheme| Some((scheme, url.strip_prefix(scheme)?)));
    let Some((scheme, rest)) = found.next() else {
        // What stands before the @ may be a password.
        let shown = url.rsplit('@').next().unwrap_or_default();
        return Err(PluginError::user_config(format!(
            "{URL} has the URL {shown}: it has to begin with http://, https:// or file:"
        )));
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (own, place) = match authority.rsplit_once('@') {
        Some((own, host)) => {
            let own = percent_decode_str(own).decode_utf8_lossy().into_owned();
            (Some(Secret::new(own)), &rest[authority.len() - host.len()..])
        }
        None => (None, rest),
    };
    let authorization = user.or(own.as_ref()).map(|info| {
        let encoded = STANDARD.encode(info.reveal());
        Secret::new(format!("Basic {encoded}"))
    });
    Ok(Address {
        url: format!("{scheme}{}", place.trim_end_matches('/')),
        authorization,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_urls() {
        let of = |url: &str| address(url, None).unwrap();
        assert_eq!(of("http://host:80/path/").url, "http://host:80/path");
        assert_eq!(of("https://a:b@host/").url, "https://host");
        assert!(address("ftp://geheim@host", None).is_err_and(|error| !error.to_string().contains("geheim")));
        let with = of("http://us%3Aer:p%40ss@host:80/a@b");
        assert_eq!(with.url, "http://host:80/a@b");
        let expected = format!("Basic {}", STANDARD.encode("us:er:p@ss"));
        assert_eq!(with.authorization.unwrap().reveal(), expected);
    }
}
