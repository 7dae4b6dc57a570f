//! Where answers differ from those of Kafka Connect 4.2, and why.

/// What is compared of an answer that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours {
    /// The status is this, whatever the body says.
    Status(u16),
    /// Status and kind of answer are the same; only the error's text differs.
    Text,
    /// Status, and all of a validation but what these keys say (and the number of errors).
    Keys(&'static [&'static str]),
}

/// A call by its method, its path and a part of its body; the first that fits counts.
pub(super) struct Difference {
    pub method: &'static str,
    pub path: &'static str,
    pub body: &'static str,
    pub ours: Ours,
    pub why: &'static str,
}

const fn differs(
    method: &'static str,
    path: &'static str,
    body: &'static str,
    ours: Ours,
    why: &'static str,
) -> Difference {
    Difference {
        method,
        path,
        body,
        ours,
        why,
    }
}

const ENCODED: &str = "Jetty refuses names with %2F and %25, although connectors may have them";
const NULL_POINTER: &str = "Kafka Connect fails with a NullPointerException; ours says what is missing";
const PARSER: &str = "the text is the JSON parser's own, and ours names no Java class";
const VALIDATE: &str = "/connector-plugins/FileStreamSink/config/validate";
const VALIDATE_SOURCE: &str = "/connector-plugins/FileStreamSource/config/validate";

const GROUPS: &[&str] = &[
    "topic.creation.default.replication.factor",
    "topic.creation.default.partitions",
    "topic.creation.a.replication.factor",
    "topic.creation.a.partitions",
];

/// All of them.
pub(super) static ALL: &[Difference] = &[
    differs(
        "PUT",
        VALIDATE_SOURCE,
        "topic.creation.groups",
        Ours::Keys(GROUPS),
        "keys of topics to make are checked before tasks start, too",
    ),
    differs(
        "POST",
        "/connectors",
        "stopped/one",
        Ours::Status(201),
        "the location's name is encoded, so that it leads somewhere",
    ),
    differs(
        "GET",
        "/connector-plugins//config",
        "",
        Ours::Status(404),
        "Jetty refuses empty parts of paths",
    ),
    differs(
        "GET",
        "/connector-plugins?connectorsOnly=nope",
        "",
        Ours::Status(200),
        "the other plugins are not part of this test",
    ),
    differs(
        "GET",
        "/connectors/stopped%2Fone/tasks-config",
        "",
        Ours::Status(404),
        ENCODED,
    ),
    differs(
        "GET",
        "/connectors/100%25/tasks-config",
        "",
        Ours::Status(404),
        ENCODED,
    ),
    differs(
        "POST",
        "/connectors/stopped%2Fone/tasks/0/restart",
        "",
        Ours::Status(404),
        ENCODED,
    ),
    differs(
        "DELETE",
        "/connectors/stopped%2Fone",
        "",
        Ours::Status(204),
        ENCODED,
    ),
    differs("DELETE", "/connectors/100%25", "", Ours::Status(204), ENCODED),
    differs(
        "GET",
        "/connectors/stopped%2Fone*",
        "",
        Ours::Status(200),
        ENCODED,
    ),
    differs("GET", "/connectors/100%25*", "", Ours::Status(200), ENCODED),
    differs(
        "GET",
        "/connectors/100%",
        "",
        Ours::Status(200),
        "a percent sign that encodes nothing stands for itself",
    ),
    differs(
        "PUT",
        "/connector-plugins/org.apache.kafka.connect.file.FileStreamSinkConnector/config/validate",
        "",
        Ours::Status(200),
        "the full name and the short one are the same plugin",
    ),
    differs(
        "PUT",
        VALIDATE,
        "{\"name\": \"x\"}",
        Ours::Status(400),
        "a missing connector.class is the request's fault",
    ),
    differs(
        "PUT",
        VALIDATE,
        "{}",
        Ours::Status(400),
        "a missing connector.class is the request's fault",
    ),
    differs(
        "PUT",
        "/connector-plugins/Nope/config/validate",
        "\"Nope\"",
        Ours::Status(400),
        "an unknown class is the request's fault",
    ),
    differs(
        "PUT",
        VALIDATE,
        "connector.plugin.version",
        Ours::Status(200),
        "there is one version of each plugin, and files that name Kafka's are accepted",
    ),
    differs(
        "PUT",
        VALIDATE,
        "StringConverter",
        Ours::Keys(&["key.converter.converter.type", "key.converter.converter.encoding"]),
        "the converters of this test have no keys",
    ),
    differs(
        "PUT",
        VALIDATE,
        "consumer.override",
        Ours::Keys(&["consumer.override.max.poll.records", "producer.override.acks"]),
        "settings of clients are librdkafka's to declare",
    ),
    differs(
        "PUT",
        VALIDATE,
        "\"tasks.max\": null",
        Ours::Keys(&["tasks.max"]),
        "one error says it",
    ),
    differs(
        "PUT",
        VALIDATE,
        "\"tasks.max\": true",
        Ours::Keys(&["tasks.max"]),
        "one error says it",
    ),
    differs("PUT", VALIDATE, "\"tasks.max\": {", Ours::Text, PARSER),
    differs(
        "PUT",
        VALIDATE_SOURCE,
        "99999999999",
        Ours::Keys(&["tasks.max"]),
        "one error says it",
    ),
    differs(
        "PUT",
        VALIDATE,
        "\"a[\"",
        Ours::Keys(&["topics.regex"]),
        "the text is the other regular expressions' own",
    ),
    differs(
        "PUT",
        VALIDATE,
        "\"a,,b\"",
        Ours::Keys(&["topics"]),
        "an error says which value it is about",
    ),
    differs(
        "PUT",
        VALIDATE,
        "\"a,a\"",
        Ours::Keys(&["topics"]),
        "an error says which value it is about",
    ),
    differs("PUT", VALIDATE, "=", Ours::Status(400), NULL_POINTER),
    differs("PUT", VALIDATE, "=null", Ours::Status(400), NULL_POINTER),
    differs("PUT", VALIDATE, "={", Ours::Text, PARSER),
    differs("PUT", VALIDATE, "=[]", Ours::Text, PARSER),
    differs("POST", "/connectors", "=", Ours::Status(400), NULL_POINTER),
    differs("POST", "/connectors", "=null", Ours::Status(400), NULL_POINTER),
    differs("POST", "/connectors", "={}", Ours::Status(400), NULL_POINTER),
    differs(
        "POST",
        "/connectors",
        "={\"name\": \"a\"}",
        Ours::Status(400),
        NULL_POINTER,
    ),
    differs("POST", "/connectors", "={", Ours::Text, PARSER),
    differs("POST", "/connectors", "=[]", Ours::Text, PARSER),
    differs("POST", "/connectors", "\"unknown\": 1", Ours::Text, PARSER),
    differs("POST", "/connectors", "\"config\": \"x\"", Ours::Text, PARSER),
    differs("POST", "/connectors", "BOGUS", Ours::Text, PARSER),
    differs(
        "POST",
        "/connectors",
        "\"config\": {}",
        Ours::Text,
        "the error shows no configuration",
    ),
    differs(
        "POST",
        "/connectors",
        "{\"topic\": \"golden\"}",
        Ours::Text,
        "the error shows no configuration",
    ),
    differs(
        "POST",
        "/connectors",
        "Nope",
        Ours::Text,
        "the error lists classes without Java's details",
    ),
    differs("PUT", "/connectors/a/config", "=[]", Ours::Text, PARSER),
    differs(
        "PUT",
        "/connectors/a/config",
        "=",
        Ours::Status(400),
        NULL_POINTER,
    ),
    differs(
        "PUT",
        "/connectors/a/config",
        "={}",
        Ours::Text,
        "the error shows no configuration",
    ),
    differs("PATCH", "/connectors/a/config", "=[]", Ours::Text, PARSER),
    differs(
        "PATCH",
        "/connectors/a/config",
        "\"name\": \"b\"",
        Ours::Status(400),
        "a connector cannot be renamed; Kafka Connect stores a wrong name",
    ),
    differs(
        "PUT",
        "/connectors/nobody/stop",
        "",
        Ours::Status(404),
        "an unknown connector is not found, as for pause and resume",
    ),
    differs(
        "POST",
        "/connectors/nobody/restart",
        "",
        Ours::Status(404),
        NULL_POINTER,
    ),
    differs(
        "POST",
        "/connectors/nobody/tasks/0/restart",
        "",
        Ours::Status(404),
        "an unknown task is not found",
    ),
    differs(
        "PATCH",
        "/connectors/a/offsets",
        "=",
        Ours::Status(400),
        NULL_POINTER,
    ),
    differs("PATCH", "/connectors/a/offsets", "={", Ours::Text, PARSER),
    differs("PATCH", "/connectors/a/offsets", "=[]", Ours::Text, PARSER),
    differs(
        "PATCH",
        "/connectors/a/offsets",
        "={\"offsets\": [{}]}",
        Ours::Status(400),
        "an offset without a partition says nothing",
    ),
    differs(
        "PATCH",
        "/connectors/a/offsets",
        "[{\"offset\"",
        Ours::Status(400),
        "a missing partition is the request's fault",
    ),
    differs("PATCH", "/connectors/a/offsets", "\"x\": 1", Ours::Text, PARSER),
    differs(
        "PATCH",
        "/connectors/a/offsets",
        "\"position\": -1",
        Ours::Status(400),
        "what the plugin refuses is the request's fault",
    ),
    differs(
        "PATCH",
        "/connectors/a/offsets",
        "\"other\"",
        Ours::Status(400),
        "what the plugin refuses is the request's fault",
    ),
    differs("PATCH", "/connectors/a/offsets", "wrong", Ours::Text, PARSER),
    differs(
        "PATCH",
        "/connectors/a/offsets",
        "={\"offsets\": \"x\"}",
        Ours::Text,
        PARSER,
    ),
    differs("PATCH", "/connectors/a/offsets", "[7]", Ours::Text, PARSER),
    differs(
        "PATCH",
        "/connectors/sink/offsets",
        "\"kafka_partition\": -1",
        Ours::Status(400),
        "a negative partition is the request's fault",
    ),
    differs(
        "PATCH",
        "/connectors/sink/offsets",
        "\"kafka_offset\": -4",
        Ours::Status(400),
        "a negative offset is the request's fault",
    ),
    differs("PUT", "/admin/loggers/golden.logger", "=[]", Ours::Text, PARSER),
    differs(
        "PUT",
        "/admin/loggers/golden.logger",
        "=",
        Ours::Status(400),
        NULL_POINTER,
    ),
];

/// The difference that a call has, if it has one. A body that begins with `=` is the whole one; a path may end with `*`.
pub(super) fn of(method: &str, path: &str, body: &str) -> Option<&'static Difference> {
    ALL.iter().find(|difference| {
        let same_path = match difference.path.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => difference.path == path,
        };
        let same_body = match difference.body.strip_prefix('=') {
            Some(whole) => body == whole,
            None => body.contains(difference.body),
        };
        difference.method == method && same_path && same_body
    })
}
