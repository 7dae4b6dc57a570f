//! Keys or values: most transforms come for both.
use crate::record::{Datum, Record};

/// Which datum of a record a transform is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

impl Side {
    /// The datum in `record`.
    pub(super) fn of(self, record: &mut Record) -> &mut Datum {
        match self {
            Self::Key => &mut record.key,
            Self::Value => &mut record.value,
        }
    }
}

/// A plugin whose transform is for keys or for values: its name without `$Key` and `$Value`, its keys, and what makes one from
/// a [`Side`] and a parsed configuration.
macro_rules! plugin_for_sides {
    ($plugin:ident, $name:literal, $keys:path, $new:expr) => {
        #[doc = concat!("The plugin `", $name, "`.")]
        pub(crate) struct $plugin(pub(crate) $crate::transform::side::Side);

        impl $crate::plugin::Plugin for $plugin {
            fn class(&self) -> &'static str {
                match self.0 {
                    $crate::transform::side::Side::Key => {
                        concat!("org.apache.kafka.connect.transforms.", $name, "$Key")
                    }
                    $crate::transform::side::Side::Value => {
                        concat!("org.apache.kafka.connect.transforms.", $name, "$Value")
                    }
                }
            }

            fn config_def(&self) -> $crate::config::ConfigDef {
                $keys()
            }
        }

        impl $crate::plugin::TransformPlugin for $plugin {
            fn new_transform(
                &self,
                config: &$crate::config::ConfigMap,
            ) -> Result<Box<dyn $crate::plugin::Transform>, $crate::plugin::PluginError> {
                let config = $keys().parse(config)?;
                Ok(Box::new($new(self.0, &config)?))
            }
        }
    };
}

/// A plugin whose transform is for whole records: its name, its keys, and what makes one from a parsed configuration.
macro_rules! plugin_for_records {
    ($plugin:ident, $name:literal, $keys:path, $new:expr) => {
        #[doc = concat!("The plugin `", $name, "`.")]
        pub(crate) struct $plugin;

        impl $crate::plugin::Plugin for $plugin {
            fn class(&self) -> &'static str {
                concat!("org.apache.kafka.connect.transforms.", $name)
            }

            fn config_def(&self) -> $crate::config::ConfigDef {
                $keys()
            }
        }

        impl $crate::plugin::TransformPlugin for $plugin {
            fn new_transform(
                &self,
                config: &$crate::config::ConfigMap,
            ) -> Result<Box<dyn $crate::plugin::Transform>, $crate::plugin::PluginError> {
                let config = $keys().parse(config)?;
                Ok(Box::new($new(&config)?))
            }
        }
    };
}

pub(super) use {plugin_for_records, plugin_for_sides};
