//! Debezium's transforms, which its users chain behind its sources, by their class names and with their keys.
//!
//! * `unwrap`: `io.debezium.transforms.ExtractNewRecordState`, the row instead of the change;
//! * `outbox`: `io.debezium.transforms.outbox.EventRouter`, events out of a table of them;
//! * `router`: `io.debezium.transforms.ByLogicalTableRouter`, many tables to one topic.
//!
//! They know changes by the names of their schemas (`….Envelope`), whoever made them: what passes a topic on its way to a sink is
//! unwrapped, too. `io.debezium.transforms.Filter` and `ContentBasedRouter` are not among them: they run scripts, for which there is no engine here.
mod envelope;
#[cfg(test)]
mod golden;
mod outbox;
mod router;
mod unwrap;

use millstream_connect::plugin::Registry;

/// A plugin: its type, its class, its keys, and what makes a transform from a parsed configuration and the one that was given.
macro_rules! plugin {
    ($plugin:ident, $class:literal, $keys:path, $new:expr) => {
        #[doc = concat!("The plugin `", $class, "`.")]
        pub(super) struct $plugin;

        impl millstream_connect::plugin::Plugin for $plugin {
            fn class(&self) -> &'static str {
                $class
            }

            fn config_def(&self) -> millstream_connect::config::ConfigDef {
                $keys()
            }
        }

        impl millstream_connect::plugin::TransformPlugin for $plugin {
            fn new_transform(
                &self,
                config: &millstream_connect::config::ConfigMap,
            ) -> Result<Box<dyn millstream_connect::plugin::Transform>, millstream_connect::plugin::PluginError>
            {
                let parsed = $keys().parse(config)?;
                Ok(Box::new($new(&parsed, config)?))
            }
        }
    };
}

use plugin;

/// Adds all of them.
pub(crate) fn register(registry: Registry) -> Registry {
    registry
        .with_transform(unwrap::ExtractNewRecordState)
        .with_transform(outbox::EventRouter)
        .with_transform(router::ByLogicalTableRouter)
}
