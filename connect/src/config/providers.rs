//! References to values that stand elsewhere: `${file:/run/secrets.properties:password}`.
//!
//! Secrets belong into no configuration that the REST API shows. A reference names a provider, perhaps a path, and a key; it is resolved when
//! something is started, and shown as it was written. The providers are Kafka's `FileConfigProvider`, `DirectoryConfigProvider` and
//! `EnvVarConfigProvider`.
//!
//! Owns: the providers and resolving. Does not own: when it happens. No error shows a value.
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::secrets::Secrets;
use super::{ConfigErrors, ConfigMap, properties};

/// The largest file that values are read from.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Kafka's form of a reference: provider, an optional path, key.
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\$\{([^}]*?):(?:([^}]*?):)?([^}]*?)\}").expect("the pattern is a constant, and tested")
});

/// Whether `text` holds something that looks like a reference.
///
/// ```
/// use millstream_connect::config::providers::is_reference;
///
/// assert!(is_reference("${env:PASSWORD}"));
/// assert!(!is_reference("${topic}-${timestamp}"));
/// ```
pub fn is_reference(text: &str) -> bool {
    text.contains("${") && REFERENCE.is_match(text)
}

/// The text's parts in front of its references, each with the reference behind it; the last has none.
pub(super) fn between_references(text: &str) -> Vec<(&str, &str)> {
    let (mut parts, mut end) = (Vec::new(), 0);
    for found in REFERENCE.find_iter(text) {
        parts.push((&text[end..found.start()], found.as_str()));
        end = found.end();
    }
    parts.push((&text[end..], ""));
    parts
}

/// The providers that a worker's `config.providers` names.
#[derive(Debug, Default)]
pub struct ConfigProviders {
    providers: Vec<(String, Provider)>,
}

#[derive(Debug)]
enum Provider {
    /// Keys of property files.
    File(AllowedPaths),
    /// Each file of a directory is a value.
    Directory(AllowedPaths),
    /// Variables of the environment, those that the pattern allows.
    Environment(Option<Regex>),
}

/// Where files may be; without any everywhere.
#[derive(Debug)]
struct AllowedPaths(Vec<PathBuf>);

impl ConfigProviders {
    /// The providers that a worker's configuration declares.
    ///
    /// ```
    /// use millstream_connect::config::{ConfigMap, providers::ConfigProviders};
    ///
    /// let worker = ConfigMap::from([
    ///     ("config.providers".to_owned(), "env".to_owned()),
    ///     (
    ///         "config.providers.env.class".to_owned(),
    ///         "org.apache.kafka.common.config.provider.EnvVarConfigProvider".to_owned(),
    ///     ),
    /// ]);
    /// let providers = ConfigProviders::of_worker(&worker)?;
    /// let given = ConfigMap::from([("path".to_owned(), "in ${env:PATH}".to_owned())]);
    /// assert_eq!(providers.resolve(&given)?["path"], format!("in {}", std::env::var("PATH").unwrap()));
    /// # Ok::<(), millstream_connect::config::ConfigErrors>(())
    /// ```
    ///
    /// # Errors
    /// Classes that are not known, and parameters that are wrong.
    pub fn of_worker(given: &ConfigMap) -> Result<Self, ConfigErrors> {
        let names = given.get("config.providers").map_or("", String::as_str);
        let (mut providers, mut errors) = (Vec::new(), Vec::new());
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match Provider::declared(name, given) {
                Ok(provider) => providers.push((name.to_owned(), provider)),
                Err(error) => errors.push(error),
            }
        }
        match errors.is_empty() {
            true => Ok(Self { providers }),
            false => Err(ConfigErrors(errors)),
        }
    }

    /// The same configuration with values instead of references. What names no provider of this worker stays as it is.
    ///
    /// # Errors
    /// Each key that refers to what cannot be read.
    pub fn resolve(&self, given: &ConfigMap) -> Result<ConfigMap, ConfigErrors> {
        let (mut resolved, mut errors) = (ConfigMap::new(), Vec::new());
        for (key, text) in given {
            match self.resolve_text(text) {
                Ok(value) => drop(resolved.insert(key.clone(), value)),
                Err(error) => errors.push((key.clone(), error)),
            }
        }
        match errors.is_empty() {
            true => Ok(resolved),
            false => Err(ConfigErrors(errors)),
        }
    }

    /// One text with values instead of references.
    ///
    /// # Errors
    /// Which reference cannot be resolved, and why.
    pub fn resolve_text(&self, text: &str) -> Result<String, String> {
        self.resolve_each(text, &mut |_, _| {})
    }

    /// What the references in `given` stand for; those that cannot be resolved stand for nothing.
    ///
    /// ```
    /// use millstream_connect::config::{ConfigMap, providers::ConfigProviders};
    ///
    /// let worker = ConfigMap::from([
    ///     ("config.providers".to_owned(), "env".to_owned()),
    ///     ("config.providers.env.class".to_owned(), "EnvVarConfigProvider".to_owned()),
    /// ]);
    /// let providers = ConfigProviders::of_worker(&worker)?;
    /// let given = ConfigMap::from([("url".to_owned(), "db://me:${env:PATH}@host".to_owned())]);
    /// let secrets = providers.secrets(&given);
    /// assert_eq!(secrets.hidden(&format!("{} is wrong", std::env::var("PATH").unwrap())), "[hidden] is wrong");
    /// # Ok::<(), millstream_connect::config::ConfigErrors>(())
    /// ```
    pub fn secrets(&self, given: &ConfigMap) -> Secrets {
        let mut resolved = Vec::new();
        for text in given.values() {
            // What cannot be resolved is an error of its own, elsewhere.
            let _ = self.resolve_each(text, &mut |written, value| {
                resolved.push((written.to_owned(), value.to_owned()));
            });
        }
        Secrets::new(resolved)
    }

    /// The same as `resolve_text`; gives each reference with its value to `each`.
    fn resolve_each(&self, text: &str, each: &mut dyn FnMut(&str, &str)) -> Result<String, String> {
        if !is_reference(text) {
            return Ok(text.to_owned());
        }
        let (mut resolved, mut end) = (String::new(), 0);
        for found in REFERENCE.captures_iter(text) {
            let whole = found.get(0).expect("a match has a whole");
            let part = |index: usize| found.get(index).map_or("", |part| part.as_str());
            let provider = self.providers.iter().find(|(name, _)| name == part(1));
            resolved.push_str(&text[end..whole.start()]);
            end = whole.end();
            match provider {
                None => resolved.push_str(whole.as_str()),
                Some((_, provider)) => {
                    let value = provider.value(part(2), part(3));
                    let value = value.map_err(|why| format!("cannot resolve {}: {why}", whole.as_str()))?;
                    each(whole.as_str(), &value);
                    resolved.push_str(&value);
                }
            }
        }
        resolved.push_str(&text[end..]);
        Ok(resolved)
    }
}

impl Provider {
    fn declared(name: &str, given: &ConfigMap) -> Result<Self, (String, String)> {
        let class_key = format!("config.providers.{name}.class");
        let Some(class) = given.get(&class_key) else {
            let missing = "name the class of a provider, such as FileConfigProvider";
            return Err((class_key, missing.to_owned()));
        };
        let parameter = |what: &str| {
            let key = format!("config.providers.{name}.param.{what}");
            let value = given.get(&key).cloned();
            (key, value)
        };
        let paths = || AllowedPaths::declared(parameter("allowed.paths"));
        match class.trim().rsplit('.').next().unwrap_or_default() {
            "FileConfigProvider" => Ok(Self::File(paths()?)),
            "DirectoryConfigProvider" => Ok(Self::Directory(paths()?)),
            "EnvVarConfigProvider" => {
                let (key, pattern) = parameter("allowlist.pattern");
                let whole = pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})$")));
                let allowed = whole.transpose();
                Ok(Self::Environment(
                    allowed.map_err(|error| (key, error.to_string()))?,
                ))
            }
            _ => {
                let known = "FileConfigProvider, DirectoryConfigProvider, EnvVarConfigProvider";
                Err((
                    class_key,
                    format!("{class} is no provider of this program; there are {known}"),
                ))
            }
        }
    }

    fn value(&self, path: &str, key: &str) -> Result<String, String> {
        match self {
            Self::File(allowed) => {
                let text = allowed.read(Path::new(path))?;
                let mut all = properties::parse(&text).map_err(|error| format!("{path}: {error}"))?;
                all.remove(key)
                    .ok_or_else(|| format!("{path} has no key {key}; add it"))
            }
            Self::Directory(allowed) => {
                if key.is_empty() || key.contains('/') || key == ".." {
                    return Err(
                        "give ${NAME:DIRECTORY:FILE}, the file being directly within the directory"
                            .to_owned(),
                    );
                }
                allowed.read(&Path::new(path).join(key))
            }
            Self::Environment(_) if !path.is_empty() => {
                Err("variables of the environment have no path; give ${NAME:VARIABLE}".to_owned())
            }
            Self::Environment(Some(allowed)) if !allowed.is_match(key) => {
                Err(format!("allowlist.pattern does not allow the variable {key}"))
            }
            Self::Environment(_) => std::env::var(key).map_err(|error| match error {
                std::env::VarError::NotPresent => format!("the variable {key} is not set"),
                std::env::VarError::NotUnicode(_) => format!("the variable {key} is no UTF-8"),
            }),
        }
    }
}

impl AllowedPaths {
    fn declared((key, value): (String, Option<String>)) -> Result<Self, (String, String)> {
        let listed = value.unwrap_or_default();
        let mut paths = Vec::new();
        for path in listed.split(',').map(str::trim).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            if !path.is_absolute() || !path.exists() {
                let wrong = format!("{} is no absolute path of something that exists", path.display());
                return Err((key, wrong));
            }
            paths.push(normal(&path));
        }
        Ok(Self(paths))
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        let path = normal(path);
        let shown = path.display();
        // Links are followed before the check, too: a link out of an allowed directory leads nowhere.
        let real = path.canonicalize().map_err(|error| format!("{shown}: {error}"))?;
        let inside = |path: &Path| self.0.iter().any(|allowed| path.starts_with(allowed));
        let linked = |path: &Path| {
            let mut allowed = self.0.iter().filter_map(|allowed| allowed.canonicalize().ok());
            allowed.any(|allowed| path.starts_with(allowed))
        };
        let free = self.0.is_empty();
        if !(free || inside(&path) && linked(&real)) {
            return Err(format!("{shown} is not within allowed.paths"));
        }
        let length = std::fs::metadata(&real)
            .map_err(|error| format!("{shown}: {error}"))?
            .len();
        if length > FILE_BYTES_MAX {
            return Err(format!(
                "{shown} has {length} bytes, more than the {FILE_BYTES_MAX} that are read"
            ));
        }
        std::fs::read_to_string(&real).map_err(|error| format!("{shown}: {error}"))
    }
}

/// A path without `.` and `..`, as `Path.normalize` of Java makes it.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> ConfigMap {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn providers(more: &[(&str, &str)]) -> Result<ConfigProviders, ConfigErrors> {
        let mut all = map(&[
            ("config.providers", "file, dir,env"),
            (
                "config.providers.file.class",
                "org.apache.kafka.common.config.provider.FileConfigProvider",
            ),
            (
                "config.providers.dir.class",
                "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
            ),
            (
                "config.providers.env.class",
                "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
            ),
        ]);
        all.extend(map(more));
        ConfigProviders::of_worker(&all)
    }

    #[test]
    fn references_are_replaced_and_other_text_stays() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secrets.properties");
        std::fs::write(&file, "user=u\npassword = p\\u00e4ss\n").unwrap();
        let (file, path) = (file.display(), directory.path().display());
        let all = providers(&[]).unwrap();
        let resolved = |text: &str| all.resolve_text(text);
        assert_eq!(
            resolved(&format!("${{file:{file}:user}}:${{file:{file}:password}}!")).unwrap(),
            "u:päss!"
        );
        let whole = resolved(&format!("${{dir:{path}:secrets.properties}}")).unwrap();
        assert!(whole.starts_with("user=u\n"));
        assert_eq!(resolved("${other:x} ${topic}").unwrap(), "${other:x} ${topic}");
        assert_eq!(resolved("${env:CARGO_PKG_NAME}").unwrap(), "millstream-connect");
        let missing = resolved(&format!("${{file:{file}:pass}}")).unwrap_err();
        assert!(
            missing.contains("has no key pass") && !missing.contains("päss"),
            "{missing}"
        );
        assert!(
            resolved("${env:NO_SUCH_VARIABLE}")
                .unwrap_err()
                .contains("is not set")
        );
        assert!(resolved(&format!("${{dir:{path}:../x}}")).is_err());
    }

    #[test]
    fn only_allowed_paths_and_variables_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(directory.path().join("outside"), "a=1").unwrap();
        std::fs::write(inside.join("good"), "a=1").unwrap();
        std::os::unix::fs::symlink(directory.path().join("outside"), inside.join("link")).unwrap();
        let shown = inside.display().to_string();
        let all = providers(&[
            ("config.providers.file.param.allowed.paths", &shown),
            ("config.providers.env.param.allowlist.pattern", "CARGO_PKG_.*"),
        ])
        .unwrap();
        assert_eq!(
            all.resolve_text(&format!("${{file:{shown}/good:a}}")).unwrap(),
            "1"
        );
        for path in [format!("{shown}/../outside"), format!("{shown}/link")] {
            let refused = all.resolve_text(&format!("${{file:{path}:a}}")).unwrap_err();
            assert!(refused.contains("not within allowed.paths"), "{refused}");
        }
        assert!(all.resolve_text("${env:CARGO_PKG_NAME}").is_ok());
        assert!(
            all.resolve_text("${env:PATH}")
                .unwrap_err()
                .contains("does not allow")
        );
    }

    #[test]
    fn wrong_declarations_are_named_all_at_once() {
        let wrong = providers(&[
            ("config.providers.file.class", "com.example.VaultConfigProvider"),
            ("config.providers.dir.param.allowed.paths", "relative"),
            ("config.providers.env.param.allowlist.pattern", "("),
        ]);
        assert_eq!(wrong.unwrap_err().0.len(), 3);
    }
}
