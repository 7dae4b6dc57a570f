//! The keys that every connector has.
//!
//! They are those of Kafka Connect 4.2 with the same types, defaults, groups and order, so that forms and property files carry over. Beyond
//! them: dead letters for sources, and `restart.*` for how failed connectors and tasks are started again.
//!
//! Owns: [`source_def`], [`sink_def`], [`topic_creation_def`]. Does not own: the keys of plugins, which stand behind these, and what checks
//! need a registry of plugins (the herder's validation).
mod values;

use self::values::{
    control_free, duplicate_free, literally, non_blank, regular_expression, topics, whichever_case,
};
use super::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance, Width};

/// The group of keys about errors, as forms show it.
const ERRORS: &str = "Error Handling";
/// The group of keys about topics that sources make.
const TOPIC_CREATION: &str = "Topic Creation";
/// The group of keys about transactions of sources.
const EXACTLY_ONCE: &str = "Exactly Once Support";
/// The group of keys about starting again.
const RESTARTS: &str = "Restarts";

/// The keys of every source.
///
/// ```
/// use millstream_connect::config::{ConfigMap, connector};
///
/// let given = ConfigMap::from([
///     ("name".to_owned(), "lines".to_owned()),
///     ("connector.class".to_owned(), "FileStreamSource".to_owned()),
/// ]);
/// let parsed = connector::source_def().parse(&given)?;
/// assert_eq!(parsed.int("tasks.max"), 1);
/// assert_eq!(parsed.string("transaction.boundary"), "poll");
/// # Ok::<(), millstream_connect::config::ConfigErrors>(())
/// ```
pub fn source_def() -> ConfigDef {
    let support = &["REQUIRED", "REQUESTED"];
    let boundaries = &["INTERVAL", "POLL", "CONNECTOR"];
    common(ConfigDef::new())
        .with(
            with_default("topic.creation.groups", ConfigType::List, "", Importance::Low,
                "Names of groups of topics that this source makes. Each has keys topic.creation.GROUP.include, .exclude, .partitions, \
                .replication.factor and any setting of topics; topic.creation.default.* is for all others.")
                .checked(duplicate_free)
                .grouped(TOPIC_CREATION, 1, Width::Long, "Topic Creation Groups"),
        )
        .with(
            with_default("exactly.once.support", ConfigType::String, "requested", Importance::Medium,
                "Permitted values are requested, required. With required the connector is refused unless it can deliver exactly once with its \
                configuration and the worker has exactly.once.source.support=enabled.")
                .checked(whichever_case(support))
                .grouped(EXACTLY_ONCE, 2, Width::Short, "Exactly once support"),
        )
        .with(
            with_default("transaction.boundary", ConfigType::String, "poll", Importance::Medium,
                "Permitted values are: poll, interval, connector. Where transactions end: behind each batch of a task (poll), when \
                transaction.boundary.interval.ms have passed (interval), or where the connector says (connector).")
                .checked(whichever_case(boundaries))
                .grouped(EXACTLY_ONCE, 3, Width::Short, "Transaction Boundary"),
        )
        .with(
            optional("transaction.boundary.interval.ms", ConfigType::Long, Importance::Low,
                "With transaction.boundary=interval, the milliseconds between commits; without it the worker's offset.flush.interval.ms. \
                Longer means fewer commits, and records that readers see later.")
                .between(0, i64::MAX)
                .grouped(EXACTLY_ONCE, 4, Width::Short, "Transaction boundary interval"),
        )
        .with(
            optional("offsets.storage.topic", ConfigType::String, Importance::Low,
                "A topic of its own for this source's offsets; made if it does not exist. Without it they are in the worker's topic. Of \
                no effect in standalone mode.")
                .checked(non_blank)
                .grouped("offsets.topic", 1, Width::Long, "Offsets topic"),
        )
        .and(dead_letters())
        .and(restart_def())
        .and(stall_def())
}

/// The keys of every sink.
///
/// ```
/// use millstream_connect::config::{ConfigMap, connector};
///
/// let mut given = ConfigMap::from([("name".to_owned(), "files".to_owned())]);
/// given.insert("connector.class".to_owned(), "FileStreamSink".to_owned());
/// given.insert("topics".to_owned(), "lines, words".to_owned());
/// assert_eq!(connector::sink_def().parse(&given)?.list("topics"), ["lines", "words"]);
/// # Ok::<(), millstream_connect::config::ConfigErrors>(())
/// ```
pub fn sink_def() -> ConfigDef {
    common(ConfigDef::new())
        .with(
            with_default("topics", ConfigType::List, "", Importance::High, "Topics to read, separated by commas. Either these or topics.regex.")
                .checked(topics)
                .grouped("Common", 4, Width::Long, "Topics"),
        )
        .with(
            with_default("topics.regex", ConfigType::String, "", Importance::High,
                "A regular expression that the whole name of a topic to read has to match. Either this or topics.")
                .checked(regular_expression)
                .grouped("Common", 4, Width::Long, "Topics regex"),
        )
        .and(dead_letters())
        .and(restart_def())
        .and(stall_def())
}

/// The keys `topic.creation.default.*` and `topic.creation.GROUP.*` for the groups that `given` names; none if a source does not use topic
/// creation (there are no `topic.creation.default.*` keys, and no groups). What else stands behind a group's prefix is a setting of topics.
///
/// ```
/// use millstream_connect::config::{ConfigMap, connector};
///
/// let given = ConfigMap::from([
///     ("topic.creation.default.partitions".to_owned(), "4".to_owned()),
///     ("topic.creation.default.replication.factor".to_owned(), "-1".to_owned()),
/// ]);
/// let parsed = connector::topic_creation_def(&given).parse(&given)?;
/// assert_eq!(parsed.int("topic.creation.default.partitions"), 4);
/// # Ok::<(), millstream_connect::config::ConfigErrors>(())
/// ```
pub fn topic_creation_def(given: &ConfigMap) -> ConfigDef {
    if !given.keys().any(|key| key.starts_with("topic.creation.")) {
        return ConfigDef::new();
    }
    let default = |what: &str| {
        given
            .get(&format!("topic.creation.default.{what}"))
            .map(String::as_str)
    };
    let mut def = creation_group("default", Some(".*"), None, None);
    for group in groups_of(given) {
        def = def.and(creation_group(
            group,
            None,
            default("partitions"),
            default("replication.factor"),
        ));
    }
    def
}

/// The names in `topic.creation.groups`.
fn groups_of(given: &ConfigMap) -> impl Iterator<Item = &str> {
    let groups = given.get("topic.creation.groups").map_or("", String::as_str);
    groups
        .split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty() && *group != "default")
}

/// One group's keys: what has no default must be given.
fn creation_group(
    group: &str,
    include: Option<&str>,
    partitions: Option<&str>,
    replicas: Option<&str>,
) -> ConfigDef {
    let name = |what: &str| format!("topic.creation.{group}.{what}");
    let key = |what: &str, kind, default: Option<&str>, documentation: &str| match default {
        Some(default) => ConfigKey::with_default(&name(what), kind, default, Importance::Low, documentation),
        None => ConfigKey::required(&name(what), kind, Importance::Low, documentation),
    };
    let positive = |value: &str| match value.trim().parse::<i64>() {
        Ok(number) if number == 0 || number < -1 => {
            Err("give a positive number, or -1 for the broker's default".to_owned())
        }
        _ => Ok(()),
    };
    let include = if group == "default" { include } else { Some("") };
    let (list, documentation) = (
        ConfigType::List,
        "Regular expressions of the topics that are in this group.",
    );
    let not = "Regular expressions of topics that are not in this group; they win over include.";
    let replicas = key(
        "replication.factor",
        ConfigType::Short,
        replicas,
        "Replicas of new topics; -1 is the broker's default.",
    );
    let partitions = key(
        "partitions",
        ConfigType::Int,
        partitions,
        "Partitions of new topics; -1 is the broker's default.",
    );
    [
        (
            key("include", list, include, documentation),
            "Inclusion Topic Pattern for",
        ),
        (key("exclude", list, Some(""), not), "Exclusion Topic Pattern for"),
        (replicas.checked(positive), "Replication Factor for Topics in"),
        (partitions.checked(positive), "Partition Count for Topics in"),
    ]
    .into_iter()
    .zip(1..)
    .fold(ConfigDef::new(), |def, ((key, display), order)| {
        def.with(key.grouped(group, order, Width::Long, &format!("{display} {group}")))
    })
}

/// A key with a default; shorter to read in lists.
fn with_default(
    name: &str,
    kind: ConfigType,
    default: &str,
    importance: Importance,
    documentation: &str,
) -> ConfigKey {
    ConfigKey::with_default(name, kind, default, importance, documentation)
}

/// A key that may be left out.
fn optional(name: &str, kind: ConfigType, importance: Importance, documentation: &str) -> ConfigKey {
    ConfigKey::optional(name, kind, importance, documentation)
}

/// What sources and sinks share, in Kafka's order.
fn common(def: ConfigDef) -> ConfigDef {
    let def = def
        .with(
            ConfigKey::required("name", ConfigType::String, Importance::High, "The connector's name; no other connector has it.")
                .checked(control_free)
                .grouped("Common", 1, Width::Medium, "Connector name"),
        )
        .with(
            ConfigKey::required("connector.class", ConfigType::String, Importance::High,
                "Which plugin it is: the class of Kafka's plugin, or its last part with or without Connector. FileStreamSource, \
                FileStreamSourceConnector and org.apache.kafka.connect.file.FileStreamSourceConnector are the same.")
                .grouped("Common", 2, Width::Long, "Connector class"),
        )
        .with(version("connector.plugin.version", "connector", 3, "Connector version", Importance::Medium))
        .with(
            with_default("tasks.max", ConfigType::Int, "1", Importance::High, "The most tasks that this connector is divided into.")
                .between(1, i64::MAX)
                .grouped("Common", 4, Width::Short, "Tasks max"),
        )
        .with(
            with_default("tasks.max.enforce", ConfigType::Boolean, "true", Importance::Low,
                "(Deprecated) Whether a connector that wants more than tasks.max tasks fails; with false it gets them.")
                .grouped("Common", 5, Width::Short, "Enforce tasks max"),
        );
    let def = converters(def)
        .with(
            with_default("transforms", ConfigType::List, "", Importance::Low,
                "Names of transforms, in their order; transforms.NAME.type says which, and transforms.NAME.* are their keys.")
                .checked(duplicate_free)
                .grouped("Transforms", 12, Width::Long, "Transforms"),
        )
        .with(
            with_default("predicates", ConfigType::List, "", Importance::Low,
                "Names of predicates that transforms ask for; predicates.NAME.type says which, and predicates.NAME.* are their keys.")
                .checked(duplicate_free)
                .grouped("Predicates", 13, Width::Long, "Predicates"),
        )
        .with(
            with_default("config.action.reload", ConfigType::String, "restart", Importance::Low,
                "What happens when a config provider says that a value changed: restart the connector, or none.")
                .checked(literally(&["none", "restart"]))
                .grouped("Common", 14, Width::Medium, "Reload Action"),
        );
    errors(def)
}

/// A key that says which version of a plugin is wanted.
fn version(name: &str, what: &str, order: i32, display: &str, importance: Importance) -> ConfigKey {
    optional(
        name,
        ConfigType::String,
        importance,
        &format!("Version of the {what}. There is one of each, so this is accepted for the sake of existing files and has no effect."),
    )
    .grouped("Common", order, Width::Medium, display)
}

fn converters(mut def: ConfigDef) -> ConfigDef {
    let each = [
        ("key", "Key", "keys", 6),
        ("value", "Value", "values", 8),
        ("header", "Header", "headers", 10),
    ];
    for (part, shown, plural, order) in each {
        let documentation = format!(
            "Between data and the bytes of {plural}: the class of Kafka's converter or its last part. Without it the worker's, with the \
            worker's {part}.converter.* keys."
        );
        def = def
            .with(
                optional(
                    &format!("{part}.converter"),
                    ConfigType::Class,
                    Importance::Low,
                    &documentation,
                )
                .grouped("Common", order, Width::Short, &format!("{shown} converter class")),
            )
            .with(ConfigKey {
                width: Width::Short,
                ..version(
                    &format!("{part}.converter.plugin.version"),
                    &format!("{part} converter"),
                    order + 1,
                    &format!("{shown} converter version"),
                    Importance::Low,
                )
            });
    }
    def
}

fn errors(def: ConfigDef) -> ConfigDef {
    def.with(
        with_default("errors.retry.timeout", ConfigType::Long, "0", Importance::Medium,
            "How long, in milliseconds, a failed operation is repeated; 0 is not at all, -1 without an end.")
            .grouped(ERRORS, 1, Width::Medium, "Retry Timeout for Errors"),
    )
    .with(
        with_default("errors.retry.delay.max.ms", ConfigType::Long, "60000", Importance::Medium,
            "The longest pause between two attempts, in milliseconds; pauses grow up to it, and vary by chance then.")
            .grouped(ERRORS, 2, Width::Medium, "Maximum Delay Between Retries for Errors"),
    )
    .with(
        with_default("errors.tolerance", ConfigType::String, "none", Importance::Medium,
            "What happens when a record cannot be handled: none fails the task, all skips the record (it goes to the dead letters, if \
            there are).")
            .checked(literally(&["none", "all"]))
            .grouped(ERRORS, 3, Width::Short, "Error Tolerance"),
    )
    .with(
        with_default("errors.log.enable", ConfigType::Boolean, "false", Importance::Medium,
            "Whether each error is logged with what failed; without it only those are that are not tolerated.")
            .grouped(ERRORS, 4, Width::Short, "Log Errors"),
    )
    .with(
        with_default("errors.log.include.messages", ConfigType::Boolean, "false", Importance::Medium,
            "Whether the log says which record it was: a sink's topic, partition, offset and time, a source's key and value, too.")
            .grouped(ERRORS, 5, Width::Short, "Log Error Details"),
    )
}

/// Kafka has them for sinks; here sources have them, too.
fn dead_letters() -> ConfigDef {
    ConfigDef::new()
        .with(
            with_default("errors.deadletterqueue.topic.name", ConfigType::String, "", Importance::Medium,
                "The topic for records that cannot be handled, for errors.tolerance=all; without it they are dropped. A source's are written as \
                far as they were made.")
                .grouped(ERRORS, 6, Width::Medium, "Dead Letter Queue Topic Name"),
        )
        .with(
            with_default("errors.deadletterqueue.topic.replication.factor", ConfigType::Short, "3", Importance::Medium,
                "Replicas of that topic when it is made.")
                .grouped(ERRORS, 7, Width::Medium, "Dead Letter Queue Topic Replication Factor"),
        )
        .with(
            with_default("errors.deadletterqueue.context.headers.enable", ConfigType::Boolean, "false", Importance::Medium,
                "Whether dead letters get headers __connect.errors.* that say what went wrong and where.")
                .grouped(ERRORS, 8, Width::Medium, "Enable Error Context Headers"),
        )
}

/// The keys `restart.*`: how what failed is started again. Kafka Connect leaves that to its users.
pub fn restart_def() -> ConfigDef {
    ConfigDef::new()
        .with(
            with_default("restart.policy", ConfigType::String, "on-failure", Importance::Medium,
                "Whether a failed connector or task is started again by itself: on-failure, or never. What failed because its \
                configuration is wrong waits for another configuration.")
                .checked(literally(&["on-failure", "never"]))
                .grouped(RESTARTS, 1, Width::Short, "Restart Policy"),
        )
        .with(
            with_default("restart.backoff.ms", ConfigType::Long, "1000", Importance::Low,
                "The pause before the first start, in milliseconds; it doubles with each further one, and varies by a fifth.")
                .between(1, i64::MAX)
                .grouped(RESTARTS, 2, Width::Short, "First Pause"),
        )
        .with(
            with_default("restart.backoff.max.ms", ConfigType::Long, "300000", Importance::Low, "The longest pause, in milliseconds.")
                .between(1, i64::MAX)
                .grouped(RESTARTS, 3, Width::Short, "Longest Pause"),
        )
        .with(
            with_default("restart.attempts.max", ConfigType::Int, "-1", Importance::Low,
                "How often it is started again before it stays FAILED; -1 is without an end.")
                .between(-1, i64::MAX)
                .grouped(RESTARTS, 4, Width::Short, "Most Restarts"),
        )
        .with(
            with_default("restart.reset.ms", ConfigType::Long, "600000", Importance::Low,
                "After running so long, in milliseconds, a failure counts as the first one again.")
                .between(0, i64::MAX)
                .grouped(RESTARTS, 5, Width::Short, "Forget Failures After"),
        )
}

/// The keys `task.stall.*`: what happens to a task that does not come back from a call of its connector.
pub fn stall_def() -> ConfigDef {
    ConfigDef::new()
        .with(
            optional("task.stall.timeout.ms", ConfigType::Long, Importance::Medium,
                "How long, in milliseconds, a task may be in one call of its connector before it is reported; 0 is for ever. Without it the \
                worker's.")
                .between(0, i64::MAX)
                .grouped(RESTARTS, 6, Width::Short, "Stall Timeout"),
        )
        .with(stall_action(None).grouped(RESTARTS, 7, Width::Short, "Stall Action"))
}

/// The key `task.stall.action`, of a connector or, with a default, of a worker.
pub(super) fn stall_action(default: Option<&str>) -> ConfigKey {
    let documentation = "What happens to a task that is in one call for longer than task.stall.timeout.ms: report (a warning in the log, a trace in \
        its status, and a worker that is not healthy), or restart (it is abandoned, too, and started again as what failed is). What an abandoned sink \
        is doing may still be done while its successor works: restart is for sinks that can be repeated.";
    let name = "task.stall.action";
    let key = match default {
        Some(default) => with_default(
            name,
            ConfigType::String,
            default,
            Importance::Medium,
            documentation,
        ),
        None => optional(name, ConfigType::String, Importance::Medium, documentation),
    };
    key.checked(literally(&["report", "restart"]))
}

#[cfg(test)]
mod tests;
