//! Which plugins there are.
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::{
    ConverterPlugin, HeaderConverterPlugin, Plugin, PredicatePlugin, SinkPlugin, SourcePlugin,
    TransformPlugin,
};

/// What plugins are for. Names are those of Kafka Connect's REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PluginKind {
    /// A source connector.
    Source,
    /// A sink connector.
    Sink,
    /// A converter of keys and values.
    Converter,
    /// A converter of headers.
    HeaderConverter,
    /// A transform.
    Transformation,
    /// A predicate.
    Predicate,
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Converter => "converter",
            Self::HeaderConverter => "header_converter",
            Self::Transformation => "transformation",
            Self::Predicate => "predicate",
        })
    }
}

/// A name that no plugin has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "Failed to find any class that implements {kind} and which name matches {name}{suggestion}, available: {available}"
)]
pub struct UnknownPlugin {
    /// What was looked for.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// Empty, or which one was probably meant.
    suggestion: String,
    available: String,
}

/// The plugins of a program. A program with connectors of its own adds them to [`Registry::built_in`].
#[derive(Clone, Default)]
pub struct Registry {
    sources: Vec<Arc<dyn SourcePlugin>>,
    sinks: Vec<Arc<dyn SinkPlugin>>,
    converters: Vec<Arc<dyn ConverterPlugin>>,
    header_converters: Vec<Arc<dyn HeaderConverterPlugin>>,
    transforms: Vec<Arc<dyn TransformPlugin>>,
    predicates: Vec<Arc<dyn PredicatePlugin>>,
}

macro_rules! of_kind {
    ($add:ident, $find:ident, $all:ident, $trait:ident, $what:literal) => {
        #[doc = concat!("The same and a plugin that is a ", $what, ".")]
        #[must_use]
        pub fn $add(mut self, plugin: impl $trait + 'static) -> Self {
            self.$all.push(Arc::new(plugin));
            self
        }

        #[doc = concat!("The ", $what, " called `name`: its class, the end of it, or an alias.")]
        ///
        /// # Errors
        /// [`UnknownPlugin`], with those there are.
        pub fn $find(&self, name: &str) -> Result<Arc<dyn $trait>, UnknownPlugin> {
            let found = self.$all.iter().find(|plugin| answers(&***plugin, name));
            found.cloned().ok_or_else(|| {
                let classes = self.$all.iter().map(|plugin| plugin.class());
                unknown($what, name, classes)
            })
        }

        #[doc = concat!("All that are a ", $what, ".")]
        pub fn $all(&self) -> &[Arc<dyn $trait>] {
            &self.$all
        }
    };
}

impl Registry {
    /// No plugins.
    pub fn new() -> Self {
        Self::default()
    }

    /// The converters, transforms and predicates of Kafka Connect, and no connectors.
    pub fn built_in() -> Self {
        let registry = crate::converter::register(Self::new());
        let registry = crate::transform::register(registry);
        crate::predicate::register(registry)
    }

    of_kind!(with_source, source, sources, SourcePlugin, "source connector");
    of_kind!(with_sink, sink, sinks, SinkPlugin, "sink connector");
    of_kind!(
        with_converter,
        converter,
        converters,
        ConverterPlugin,
        "converter"
    );
    of_kind!(
        with_header_converter,
        header_converter,
        header_converters,
        HeaderConverterPlugin,
        "header converter"
    );
    of_kind!(
        with_transform,
        transform,
        transforms,
        TransformPlugin,
        "transformation"
    );
    of_kind!(
        with_predicate,
        predicate,
        predicates,
        PredicatePlugin,
        "predicate"
    );

    /// Every plugin with its kind, in the order in which they were added.
    pub fn all(&self) -> Vec<(PluginKind, &dyn Plugin)> {
        let mut all: Vec<(PluginKind, &dyn Plugin)> = Vec::new();
        all.extend(
            self.sinks
                .iter()
                .map(|plugin| (PluginKind::Sink, &**plugin as &dyn Plugin)),
        );
        all.extend(
            self.sources
                .iter()
                .map(|plugin| (PluginKind::Source, &**plugin as &dyn Plugin)),
        );
        all.extend(
            self.converters
                .iter()
                .map(|plugin| (PluginKind::Converter, &**plugin as &dyn Plugin)),
        );
        let headers = self.header_converters.iter();
        all.extend(headers.map(|plugin| (PluginKind::HeaderConverter, &**plugin as &dyn Plugin)));
        all.extend(
            self.transforms
                .iter()
                .map(|plugin| (PluginKind::Transformation, &**plugin as &dyn Plugin)),
        );
        all.extend(
            self.predicates
                .iter()
                .map(|plugin| (PluginKind::Predicate, &**plugin as &dyn Plugin)),
        );
        all
    }
}

/// Whether a plugin is called `name`.
fn answers<P: Plugin + ?Sized>(plugin: &P, name: &str) -> bool {
    let class = plugin.class();
    let simple = class.rsplit('.').next().unwrap_or(class);
    name == class
        || name == simple
        || simple.strip_suffix("Connector") == Some(name)
        || plugin.aliases().contains(&name)
}

fn unknown<'a>(kind: &'static str, name: &str, classes: impl Iterator<Item = &'a str>) -> UnknownPlugin {
    let classes: Vec<&str> = classes.collect();
    let end = |class: &str| class.rsplit('.').next().unwrap_or_default().to_lowercase();
    let scored = classes
        .iter()
        .map(|class| (strsim::damerau_levenshtein(&end(class), &end(name)), *class));
    let suggestion = match scored.min() {
        Some((distance, class)) if distance <= 1 + end(name).len() / 5 => format!(" (did you mean {class}?)"),
        _ => String::new(),
    };
    UnknownPlugin {
        kind,
        name: name.to_owned(),
        suggestion,
        available: classes.join(", "),
    }
}
