//! `millstream configs`: settings of topics and brokers, with the words and output of `kafka-configs`.

use std::io::Write;
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::protocol::StrBytes;
use serde_json::json;

use crate::admin::Admin;
use crate::admin::configs::Resource;
use crate::client::{ConnectArgs, read_properties, split_property};
use crate::error::{CliError, output};
use crate::topics::select::name;

/// Describe and change settings of topics and brokers.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("action").required(true).args(["describe", "alter"])),
    after_help = "Examples:\n  \
    millstream configs --describe --topic lines --all\n  \
    millstream configs --describe --entity-type brokers --entity-name 1 --json\n  \
    millstream configs --alter --topic lines --add-config retention.ms=3600000,cleanup.policy=[compact,delete]\n  \
    millstream configs --alter --entity-type brokers --entity-default --delete-config log.retention.ms"
)]
pub struct ConfigsArgs {
    /// Print settings that were changed
    #[arg(long)]
    describe: bool,
    /// Change settings
    #[arg(long)]
    alter: bool,
    /// Print every setting, defaults too
    #[arg(long)]
    all: bool,
    /// Settings to set; a value with commas stands in square brackets
    #[arg(long, value_name = "KEY=VALUE,…", requires = "alter")]
    add_config: Option<String>,
    /// File of settings to set, one key=value a line
    #[arg(long, value_name = "FILE", requires = "alter", conflicts_with = "add_config")]
    add_config_file: Option<PathBuf>,
    /// Settings that go back to their defaults
    #[arg(long, value_name = "KEY,…", requires = "alter", value_delimiter = ',')]
    delete_config: Vec<String>,
    /// Whose settings; without a name those of all are described
    #[arg(long, value_name = "TYPE")]
    entity_type: Option<EntityType>,
    /// Name of the topic or id of the broker
    #[arg(long, value_name = "NAME", group = "entity", requires = "entity_type")]
    entity_name: Option<String>,
    /// What holds for all brokers
    #[arg(long, group = "entity", requires = "entity_type")]
    entity_default: bool,
    /// Short for --entity-type topics --entity-name NAME
    #[arg(long, value_name = "NAME", group = "entity", conflicts_with = "entity_type")]
    topic: Option<String>,
    /// Short for --entity-type brokers --entity-name ID
    #[arg(long, value_name = "ID", group = "entity", conflicts_with = "entity_type")]
    broker: Option<i32>,
    /// Print settings as JSON
    #[arg(long, requires = "describe")]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EntityType {
    Topics,
    Brokers,
}

/// Runs the subcommand.
pub fn run(args: &ConfigsArgs) -> Result<(), CliError> {
    let named = resource(args)?;
    if args.alter {
        return alter(args, named.as_ref());
    }
    let mut admin = Admin::connect(&args.connect)?;
    let resources = match named {
        Some(one) => vec![one],
        None => all(args, &mut admin)?,
    };
    let mut found = Vec::new();
    for resource in resources {
        let mut configs = admin.describe_configs(&resource)?;
        configs.retain(|config| args.all || is_own(&resource, config));
        found.push((resource, configs));
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let objects: Vec<_> = found
            .iter()
            .map(|(resource, configs)| as_json(resource, configs))
            .collect();
        return match objects.as_slice() {
            [one] => writeln!(out, "{one}"),
            several => writeln!(out, "{}", serde_json::Value::from(several)),
        }
        .map_err(output);
    }
    for (resource, configs) in &found {
        let title = match (args.all, resource) {
            (true, _) => "All",
            (false, Resource::BrokerDefault) => "Default",
            (false, _) => "Dynamic",
        };
        writeln!(out, "{title} configs for {resource} are:").map_err(output)?;
        for config in configs {
            writeln!(out, "  {}", shown(config)).map_err(output)?;
        }
    }
    Ok(())
}

fn alter(args: &ConfigsArgs, resource: Option<&Resource>) -> Result<(), CliError> {
    let resource = resource.ok_or_else(|| {
        CliError::new("whose settings change? give --entity-name, or --entity-default for all brokers")
    })?;
    let set = match (&args.add_config, &args.add_config_file) {
        (Some(text), _) => parse_settings(text)?,
        (None, Some(path)) => read_properties(path)?,
        (None, None) => Vec::new(),
    };
    if set.is_empty() && args.delete_config.is_empty() {
        return Err(CliError::new(
            "--alter changes nothing: give --add-config, --add-config-file or --delete-config",
        ));
    }
    Admin::connect(&args.connect)?.alter_configs(resource, &set, &args.delete_config)?;
    let default = if *resource == Resource::BrokerDefault {
        "default "
    } else {
        ""
    };
    writeln!(
        std::io::stdout(),
        "Completed updating {default}config for {resource}."
    )
    .map_err(output)
}

/// The one resource that the options name; `None` where they name a type alone.
fn resource(args: &ConfigsArgs) -> Result<Option<Resource>, CliError> {
    let broker = |text: &str| {
        text.parse()
            .map(|id| Some(Resource::Broker(id)))
            .map_err(|_| CliError::new(format!("--entity-name {text}: a broker's name is its number")))
    };
    match (&args.topic, args.broker, args.entity_type, &args.entity_name) {
        (Some(topic), ..) => Ok(Some(Resource::Topic(topic.clone()))),
        (_, Some(id), ..) => Ok(Some(Resource::Broker(id))),
        (_, _, Some(EntityType::Topics), Some(name)) => Ok(Some(Resource::Topic(name.clone()))),
        (_, _, Some(EntityType::Brokers), Some(name)) => broker(name),
        (_, _, Some(EntityType::Brokers), None) if args.entity_default => Ok(Some(Resource::BrokerDefault)),
        (_, _, Some(_), None) if !args.entity_default => Ok(None),
        _ => Err(CliError::new(
            "whose settings? give --topic NAME, --broker ID, or --entity-type with --entity-name; defaults for all there are of \
             brokers alone",
        )),
    }
}

/// All resources of a type.
fn all(args: &ConfigsArgs, admin: &mut Admin) -> Result<Vec<Resource>, CliError> {
    if matches!(args.entity_type, Some(EntityType::Topics)) {
        let topics = admin.topics()?;
        return Ok(topics
            .iter()
            .map(|topic| Resource::Topic(name(topic).to_owned()))
            .collect());
    }
    let brokers = admin.brokers().keys().map(|id| Resource::Broker(*id));
    Ok(brokers.chain([Resource::BrokerDefault]).collect())
}

/// Whether the setting was changed on this resource itself.
fn is_own(resource: &Resource, config: &DescribeConfigsResourceResult) -> bool {
    match resource {
        Resource::Topic(_) => config.config_source == 1,
        Resource::Broker(_) => config.config_source == 2,
        Resource::BrokerDefault => config.config_source == 3,
    }
}

fn shown(config: &DescribeConfigsResourceResult) -> String {
    let value = |value: Option<&str>| value.unwrap_or("null").to_owned();
    let synonyms: Vec<_> = config
        .synonyms
        .iter()
        .map(|one| {
            format!(
                "{}:{}={}",
                source(one.source),
                one.name,
                value(one.value.as_deref())
            )
        })
        .collect();
    let name = &config.name;
    let value = value(config.value.as_deref());
    format!(
        "{name}={value} sensitive={} synonyms={{{}}}",
        config.is_sensitive,
        synonyms.join(", ")
    )
}

fn as_json(resource: &Resource, configs: &[DescribeConfigsResourceResult]) -> serde_json::Value {
    let text = |value: &Option<StrBytes>| value.as_ref().map(ToString::to_string);
    let configs = configs.iter().map(|config| {
        let synonyms = config.synonyms.iter().map(|one| {
            json!({
                "name": one.name.as_str(),
                "value": text(&one.value),
                "source": source(one.source),
            })
        });
        json!({
            "name": config.name.as_str(),
            "value": text(&config.value),
            "source": source(config.config_source),
            "read_only": config.read_only,
            "sensitive": config.is_sensitive,
            "synonyms": synonyms.collect::<Vec<_>>(),
        })
    });
    json!({ "resource": resource.to_string(), "configs": configs.collect::<Vec<_>>() })
}

const fn source(code: i8) -> &'static str {
    match code {
        1 => "DYNAMIC_TOPIC_CONFIG",
        2 => "DYNAMIC_BROKER_CONFIG",
        3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        4 => "STATIC_BROKER_CONFIG",
        5 => "DEFAULT_CONFIG",
        _ => "UNKNOWN",
    }
}

/// Splits `a=1,b=[x,y]` into pairs; a comma inside brackets belongs to the value.
fn parse_settings(text: &str) -> Result<Vec<(String, String)>, CliError> {
    let mut parts = vec![String::new()];
    let mut inside = false;
    for letter in text.chars() {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            ',' if !inside => parts.push(String::new()),
            other => parts.last_mut().expect("it begins with one").push(other),
        }
    }
    let pairs = parts.iter().map(|part| {
        let (key, value) = split_property("--add-config", part.trim())?;
        Ok((key.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_in_brackets_is_one_value() {
        let pairs = parse_settings("cleanup.policy=[compact,delete],retention.ms=1").unwrap();
        assert_eq!(pairs[0], ("cleanup.policy".into(), "compact,delete".into()));
        assert_eq!(pairs[1], ("retention.ms".into(), "1".into()));
        assert!(parse_settings("retention.ms").is_err());
    }
}
