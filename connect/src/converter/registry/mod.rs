//! A client of schema registries that speak Confluent's REST API.
//!
//! Converters that write only the id of a schema before the data ask it for ids and schemas. What was learned is kept, so that a record
//! costs no request; requests go to the registries in turn until one answers. In the place of a service there may be a file.
//!
//! Owns: requests, failover, caches, the file. Does not own: what schemas mean.
mod config;
#[cfg(test)]
pub(super) mod double;
mod file;
mod http;
mod one;
mod request;
mod subject;
mod tls;

use std::collections::HashMap;
use std::sync::Arc;

use self::config::Place;
pub(super) use self::config::{RegistryConfig, keys};
use self::file::FileRegistry;
use self::http::Http;
use self::one::OneSchema;
use self::request::{Answer, Reference, Request};
use crate::plugin::{ErrorKind, PluginError};

/// The byte that begins what is written with the id of a schema.
pub(super) const MAGIC: u8 = 0;

/// How deep schemas may refer to others.
const REFERENCES_DEPTH_MAX: usize = 16;

/// A schema as a registry knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registered {
    /// Its number, the same for all subjects.
    pub(super) id: i32,
    /// Its number within the subject.
    pub(super) version: Option<i32>,
    /// Its text.
    pub(super) text: Arc<str>,
    /// The texts of those it refers to, which come before those that refer to them.
    pub(super) references: Vec<Arc<str>>,
    /// Where they are, as the registry says it.
    refers_to: Vec<Reference>,
}

/// Who answers.
enum Registry {
    Http(Http),
    File(FileRegistry),
    One(OneSchema),
}

impl Registry {
    fn ask(&mut self, request: Request<'_>) -> Result<Answer, PluginError> {
        match self {
            Self::Http(http) => http.ask(request),
            Self::File(file) => file.ask(request),
            Self::One(one) => one.ask(request),
        }
    }
}

/// The client.
pub(super) struct SchemaRegistry {
    registry: Registry,
    config: RegistryConfig,
    /// What this client writes: `AVRO`.
    kind: &'static str,
    /// By subject and text.
    ids: HashMap<(String, Arc<str>), Registered>,
    by_id: HashMap<i32, Registered>,
    latest: HashMap<String, Registered>,
}

impl SchemaRegistry {
    /// For schemas of the type `kind`.
    pub(super) fn new(config: RegistryConfig, kind: &'static str) -> Self {
        Self {
            registry: match &config.place {
                Place::Services(_) => Registry::Http(Http::new(&config)),
                Place::File(path) => Registry::File(FileRegistry::new(path)),
                Place::One(text) => Registry::One(OneSchema::new(text, kind)),
            },
            config,
            kind,
            ids: HashMap::new(),
            by_id: HashMap::new(),
            latest: HashMap::new(),
        }
    }

    /// The schema to write data of `topic` with, whose text is `text` and whose name, if it is a record's, is `name`: as the configuration says,
    /// the one with this text, registered if it is not yet, or the latest of the subject.
    pub(super) fn for_writing(
        &mut self,
        topic: &str,
        name: Option<&str>,
        text: &Arc<str>,
    ) -> Result<Registered, PluginError> {
        let subject = self.config.subjects.subject(topic, self.config.is_key, name)?;
        if self.config.auto_register {
            return self.with_text(&subject, text, &[], true);
        }
        match self.config.use_latest {
            true => self.latest(&subject),
            false => self.with_text(&subject, text, &[], false),
        }
    }

    /// The latest schema of data of `topic`, whose name, if it is a record's, is `name`.
    pub(super) fn latest_of(&mut self, topic: &str, name: Option<&str>) -> Result<Registered, PluginError> {
        let subject = self.config.subjects.subject(topic, self.config.is_key, name)?;
        self.latest(&subject)
    }

    /// The version of the schema with this text in the subject of `topic`, if the subject has it.
    pub(super) fn version(
        &mut self,
        topic: &str,
        name: Option<&str>,
        registered: &Registered,
    ) -> Result<Option<i32>, PluginError> {
        let subject = self.config.subjects.subject(topic, self.config.is_key, name)?;
        // Registering tells no version.
        let key = (subject.clone(), Arc::clone(&registered.text));
        if self.ids.get(&key).is_some_and(|known| known.version.is_none()) {
            self.ids.remove(&key);
        }
        match self.with_text(&subject, &registered.text, &registered.refers_to, false) {
            Ok(found) => Ok(found.version),
            Err(error) if error.kind() == ErrorKind::BadRecord => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn with_text(
        &mut self,
        subject: &str,
        text: &Arc<str>,
        refers_to: &[Reference],
        register: bool,
    ) -> Result<Registered, PluginError> {
        let key = (subject.to_owned(), Arc::clone(text));
        if let Some(known) = self.ids.get(&key) {
            return Ok(known.clone());
        }
        let answer = self.registry.ask(Request::WithText {
            subject,
            kind: self.kind,
            text,
            references: refers_to,
            register,
        })?;
        let registered = Registered {
            id: answer.id,
            version: answer.version,
            text: Arc::clone(text),
            references: Vec::new(),
            refers_to: refers_to.to_vec(),
        };
        bound(&mut self.ids, self.config.schemas_max);
        self.ids.insert(key, registered.clone());
        Ok(registered)
    }

    fn latest(&mut self, subject: &str) -> Result<Registered, PluginError> {
        if let Some(known) = self.latest.get(subject) {
            return Ok(known.clone());
        }
        let answer = self.registry.ask(Request::Latest(subject))?;
        let latest = self.complete(answer, None)?;
        bound(&mut self.latest, self.config.schemas_max);
        self.latest.insert(subject.to_owned(), latest.clone());
        Ok(latest)
    }

    /// The schema with this id.
    pub(super) fn by_id(&mut self, id: i32) -> Result<Registered, PluginError> {
        if let Some(known) = self.by_id.get(&id) {
            return Ok(known.clone());
        }
        let answer = self.registry.ask(Request::ById(id))?;
        let registered = self.complete(answer, Some(id))?;
        bound(&mut self.by_id, self.config.schemas_max);
        self.by_id.insert(id, registered.clone());
        Ok(registered)
    }

    fn complete(&mut self, answer: Answer, id: Option<i32>) -> Result<Registered, PluginError> {
        let kind = answer.kind.as_deref().unwrap_or("AVRO");
        if kind != self.kind {
            let (id, expected) = (id.unwrap_or(answer.id), self.kind);
            return Err(PluginError::bad_record(format!(
                "the schema with the id {id} is of type {kind} and not {expected}: choose the converter for it"
            )));
        }
        let mut references = Vec::new();
        self.add_references(&answer.references, &mut references, 0)?;
        Ok(Registered {
            id: id.unwrap_or(answer.id),
            version: answer.version,
            text: answer.schema.into(),
            references,
            refers_to: answer.references,
        })
    }

    fn add_references(
        &mut self,
        wanted: &[Reference],
        texts: &mut Vec<Arc<str>>,
        depth: usize,
    ) -> Result<(), PluginError> {
        if depth > REFERENCES_DEPTH_MAX {
            return Err(PluginError::bad_record(format!(
                "schemas in the registry refer to others more than {REFERENCES_DEPTH_MAX} deep"
            )));
        }
        for Reference { subject, version, .. } in wanted {
            let answer = self.registry.ask(Request::Version(subject, *version))?;
            self.add_references(&answer.references, texts, depth + 1)?;
            let text: Arc<str> = answer.schema.into();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        Ok(())
    }
}

/// Makes room in a cache that is full.
fn bound<K, V>(cache: &mut HashMap<K, V>, limit: usize) {
    if cache.len() >= limit {
        cache.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::double::Double;
    use super::*;
    use crate::config::ConfigMap;

    fn client(config: &[(&str, &str)]) -> Result<SchemaRegistry, PluginError> {
        let config: ConfigMap = config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let parsed = keys().parse(&config)?;
        Ok(SchemaRegistry::new(RegistryConfig::new(&parsed, false)?, "AVRO"))
    }

    #[test]
    fn schemas_are_registered_once_and_found_again() {
        let double = Double::start();
        let mut registry = client(&[("schema.registry.url", &double.url())]).unwrap();
        let text: Arc<str> = "\"string\"".into();
        let first = registry.for_writing("a/b c", None, &text).unwrap();
        assert_eq!(registry.for_writing("a/b c", None, &text).unwrap(), first);
        assert_eq!(
            double.requests(),
            ["POST /subjects/a%2Fb%20c-value/versions?normalize=false"]
        );
        let other = registry.for_writing("other", None, &text).unwrap();
        assert_eq!(other.id, first.id);
        assert_eq!(registry.by_id(first.id).unwrap().text, text);
        assert_eq!(registry.by_id(first.id).unwrap().text, text);
        assert_eq!(double.requests().len(), 3);
        assert_eq!(registry.version("other", None, &other).unwrap(), Some(1));
        assert_eq!(registry.version("other", None, &other).unwrap(), Some(1));
        assert_eq!(double.requests().len(), 4);
        assert_eq!(registry.version("unknown", None, &other).unwrap(), None);
    }

    #[test]
    fn what_is_not_registered_is_an_error_about_the_record() {
        let double = Double::start();
        let config = [
            ("schema.registry.url", &*double.url()),
            ("auto.register.schemas", "false"),
        ];
        let mut registry = client(&config).unwrap();
        let error = registry.for_writing("t", None, &"\"string\"".into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRecord);
        assert!(
            error.to_string().contains("Subject 't-value' not found"),
            "{error}"
        );
        let error = registry.by_id(7).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRecord);
        assert!(error.to_string().contains("another registry"), "{error}");
    }

    #[test]
    fn the_latest_version_is_used_if_wanted() {
        let double = Double::start();
        double.register("t-value", "\"int\"");
        double.register("t-value", "\"long\"");
        let config = [
            ("schema.registry.url", &*double.url()),
            ("auto.register.schemas", "false"),
            ("use.latest.version", "true"),
        ];
        let latest = client(&config).unwrap().for_writing("t", None, &"\"int\"".into());
        let latest = latest.unwrap();
        assert_eq!((&*latest.text, latest.version), ("\"long\"", Some(2)));
    }

    #[test]
    fn the_next_registry_is_asked_when_one_is_gone_or_broken() {
        let double = Double::start();
        let broken = Double::start();
        broken.fail_with(500);
        let gone = "http://127.0.0.1:1";
        let urls = format!("{gone}, {} , {}/", broken.url(), double.url());
        let mut registry = client(&[("schema.registry.url", &urls)]).unwrap();
        registry.for_writing("t", None, &"\"int\"".into()).unwrap();
        assert_eq!(broken.requests().len(), 1);
        registry.for_writing("u", None, &"\"int\"".into()).unwrap();
        assert_eq!(broken.requests().len(), 1, "the one that answered is asked first");
        double.fail_with(503);
        let error = registry.for_writing("v", None, &"\"int\"".into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retriable);
    }

    #[test]
    fn credentials_are_sent_and_never_shown() {
        let double = Double::start();
        double.demand("user:s3cret");
        let url = double.url();
        let with_user = url.replace("http://", "http://user:s3cret@");
        for config in [
            vec![("schema.registry.url", &*with_user)],
            vec![
                ("schema.registry.url", &*url),
                ("basic.auth.credentials.source", "USER_INFO"),
                ("basic.auth.user.info", "user:s3cret"),
            ],
        ] {
            client(&config)
                .unwrap()
                .for_writing("t", None, &"\"int\"".into())
                .unwrap();
        }
        let wrong = url.replace("http://", "http://user:wr0ng@");
        let mut registry = client(&[("schema.registry.url", &wrong)]).unwrap();
        let error = registry.for_writing("t", None, &"\"int\"".into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UserConfig);
        assert!(!error.to_string().contains("wr0ng"), "{error}");
    }

    #[test]
    fn references_come_first() {
        let double = Double::start();
        double.register("inner", "I");
        let id = double.register_with("outer", "O", &[("inner", 1)]);
        let outermost = double.register_with("outermost", "X", &[("outer", 1), ("inner", 1)]);
        let mut registry = client(&[("schema.registry.url", &double.url())]).unwrap();
        assert_eq!(registry.by_id(id).unwrap().references, ["I".into()]);
        assert_eq!(
            registry.by_id(outermost).unwrap().references,
            ["I".into(), "O".into()]
        );
    }

    #[test]
    fn a_file_may_be_the_registry() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}/the%20schemas", folder.path().display());
        let text: Arc<str> = "\"string\"".into();
        let mut one = client(&[("schema.registry.url", &url)]).unwrap();
        let registered = one.for_writing("t", None, &text).unwrap();
        assert!(folder.path().join("the schemas").exists());
        let mut two = client(&[("schema.registry.url", &url)]).unwrap();
        assert_eq!(two.by_id(registered.id).unwrap().text, text);
        assert_eq!(two.version("t", None, &registered).unwrap(), Some(1));
        assert_eq!(two.version("u", None, &registered).unwrap(), None);
    }

    #[test]
    fn wrong_configurations_are_refused() {
        for (key, value, what) in [
            ("schema.registry.url", "file:", "no path"),
            ("schema.registry.url", "file://host/path", "file:///path"),
            ("schema.registry.url", "file:a,http://b", "alone"),
            ("schema.registry.url", "", "schema.registry.url"),
            ("schema.registry.url", "ftp://a", "https"),
            ("schema.registry.url", "a:80", "http://"),
            ("basic.auth.credentials.source", "KERBEROS", "KERBEROS"),
            ("value.subject.name.strategy", "Mine", "Mine"),
        ] {
            let config = [("schema.registry.url", "http://a"), (key, value)];
            let error = client(&config).err().expect(key);
            assert_eq!(error.kind(), ErrorKind::UserConfig);
            assert!(error.to_string().contains(what), "{error}");
        }
    }
}
