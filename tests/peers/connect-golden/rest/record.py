#!/usr/bin/env python3
"""Records what the standalone worker of Kafka Connect answers to a list of calls, for the tests of the REST API.

    record.py http://127.0.0.1:PORT > connect/golden/rest/calls.json

The worker has to be fresh (no connectors), with JsonConverter for keys and values, the file connectors, and a topic `golden` of one
partition on its cluster. What differs from run to run is replaced: the worker's address, the cluster's id, times and traces. Documentation
is left out."""

import json
import sys

from asking import answered, settled

SOURCE = {"connector.class": "FileStreamSource", "topic": "golden", "file": "/nowhere/golden.txt"}
SINK = {"connector.class": "FileStreamSink", "topics": "golden", "file": "/tmp/golden-sink.txt"}
BROKEN = {**SINK, "file": "/nowhere/at/all/sink.txt"}

base = sys.argv[1]
recorded = []


def call(method, path, body=None, content_type="application/json", accept=None):
    """One call. A body that is a text is sent as it is."""
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    headers = {}
    if content_type is not None and body is not None:
        headers["Content-Type"] = content_type
    if accept:
        headers["Accept"] = accept
    its = {"method": method, "path": path, "headers": headers, "body": text}
    recorded.append(its | answered(base, its))


def settle(name, connector, tasks):
    """Waits until the connector and its tasks have these states; it is recorded, so that whoever asks again waits, too."""
    seen = settled(base, name, connector, tasks)
    if seen is not None:
        raise SystemExit(f"{name} is not {connector} {tasks}: {seen}")
    recorded.append({"settle": name, "connector": connector, "tasks": tasks})


def server():
    call("GET", "/")
    call("HEAD", "/")
    call("POST", "/", {})
    call("GET", "/health")
    call("GET", "/nope")
    call("GET", "/connectors")
    call("GET", "/connectors/")
    call("HEAD", "/connectors")
    call("OPTIONS", "/connectors")
    call("DELETE", "/connectors")
    call("PUT", "/connectors", {})
    call("GET", "/connectors", accept="text/html")
    call("GET", "/connectors", accept="application/json")
    call("GET", "/connectors?expand=status&expand=info")
    call("GET", "/connectors?expand=bogus")


def plugins():
    call("GET", "/connector-plugins")
    call("GET", "/connector-plugins/")
    call("GET", "/connector-plugins?connectorsOnly=true")
    call("GET", "/connector-plugins?connectorsOnly=nope")
    for name in ["FileStreamSource", "FileStreamSourceConnector", "FileStreamSink", "Nope", "",
                 "org.apache.kafka.connect.file.FileStreamSinkConnector"]:
        call("GET", f"/connector-plugins/{name}/config")
    call("POST", "/connector-plugins", {})
    call("GET", "/connector-plugins/FileStreamSource/config/validate")
    call("GET", "/connector-plugins/FileStreamSource")


def validate(plugin, config, **more):
    call("PUT", f"/connector-plugins/{plugin}/config/validate", config, **more)


def validations():
    source, sink = {"name": "x", **SOURCE}, {"name": "x", **SINK}
    validate("FileStreamSource", source)
    validate("FileStreamSink", sink)
    validate("org.apache.kafka.connect.file.FileStreamSinkConnector", sink)
    validate("FileStreamSinkConnector", sink)
    validate("FileStreamSource", {**source, "name": "", "tasks.max": "0", "tasks.max.enforce": "x", "config.action.reload": "y",
                                  "errors.retry.timeout": "k", "errors.tolerance": "ALL", "errors.log.enable": "1",
                                  "exactly.once.support": "z", "transaction.boundary": "q", "transaction.boundary.interval.ms": "-1",
                                  "offsets.storage.topic": "", "topic.creation.groups": "a,a", "batch.size": "zz"})
    validate("FileStreamSource", {**source, "key.converter": "nope", "header.converter": "org.apache.kafka.connect.NopeConverter"})
    validate("FileStreamSource", {**source, "name": "a\u0001b", "tasks.max": "99999999999", "offsets.storage.topic": " "})
    validate("FileStreamSource", {**source, "exactly.once.support": "required"})
    validate("FileStreamSource", {**source, "transaction.boundary": "connector"})
    validate("FileStreamSource", {"connector.class": "FileStreamSource"})
    validate("FileStreamSource", {**source, "unknown.key": "1", "tasks.maxx": "2"})
    validate("FileStreamSink", {**sink, "topics.regex": "a"})
    validate("FileStreamSink", {"name": "x", "connector.class": "FileStreamSink"})
    validate("FileStreamSink", {"name": "x", "connector.class": "FileStreamSink", "topics.regex": "golden.*"})
    validate("FileStreamSink", {"name": "x", "connector.class": "FileStreamSink", "topics.regex": "a["})
    validate("FileStreamSink", {**sink, "topics": "a,,b"})
    validate("FileStreamSink", {**sink, "topics": "a,a"})
    validate("FileStreamSink", {**sink, "errors.deadletterqueue.topic.name": "golden"})
    validate("FileStreamSink", {"name": "x", "connector.class": "FileStreamSink", "topics.regex": "golden.*",
                                "errors.deadletterqueue.topic.name": "golden-dead"})
    validate("FileStreamSink", {**sink, "connector.class": "FileStreamSource"})
    validate("FileStreamSink", {"name": "x"})
    validate("FileStreamSink", {})
    validate("Nope", sink)
    validate("Nope", {"name": "x", "connector.class": "Nope"})
    validate("FileStreamSink", {**sink, "connector.plugin.version": "9.9"})
    validate("FileStreamSink", {**sink, "key.converter": "org.apache.kafka.connect.storage.StringConverter"})
    validate("FileStreamSink", {**sink, "consumer.override.max.poll.records": "7", "producer.override.acks": "1"})
    validate("FileStreamSink", {**sink, "tasks.max": 2})
    validate("FileStreamSink", {**sink, "tasks.max": None})
    validate("FileStreamSink", {**sink, "tasks.max": {"a": 1}})
    validate("FileStreamSink", {**sink, "tasks.max": True})
    validate("FileStreamSink", "{")
    validate("FileStreamSink", "[]")
    validate("FileStreamSink", "")
    validate("FileStreamSink", "null")
    validate("FileStreamSink", json.dumps(sink), content_type="text/plain")
    validate("FileStreamSink", json.dumps(sink), content_type=None)
    validate("FileStreamSink", json.dumps(sink), content_type="application/json; charset=utf-8")


def create(body, **more):
    call("POST", "/connectors", body, **more)


def creations():
    create("")
    create("{")
    create("[]")
    create("null")
    create({})
    create({"name": "a"})
    create({"config": SOURCE})
    create({"name": "", "config": SOURCE})
    create({"name": "a", "config": SOURCE, "unknown": 1})
    create({"name": "a", "config": {**SOURCE, "name": "b"}})
    create({"name": "a", "config": {}})
    create({"name": "a", "config": "x"})
    create({"name": "a", "config": {"topic": "golden"}})
    create({"name": "a", "config": {"connector.class": "Nope"}})
    create({"name": "a", "config": {"connector.class": "FileStreamSource"}})
    create({"name": "a", "config": {**SOURCE, "tasks.max": "0", "batch.size": "zz"}})
    create({"name": "a", "config": SOURCE, "initial_state": "BOGUS"})
    create({"name": "a", "config": SOURCE}, content_type="text/plain")
    create({"name": "a", "config": SOURCE})
    settle("a", "RUNNING", ["RUNNING"])
    create({"name": "a", "config": SOURCE})
    create({"name": "paused one", "config": SOURCE, "initial_state": "PAUSED"})
    settle("paused one", "PAUSED", [])
    create({"name": "stopped/one", "config": SOURCE, "initial_state": "stopped"})
    settle("stopped/one", "STOPPED", [])
    create({"name": "100%", "config": {**SOURCE, "name": "100%"}})
    settle("100%", "RUNNING", ["RUNNING"])
    create({"name": "  blanks  ", "config": SOURCE})
    settle("blanks", "RUNNING", ["RUNNING"])
    create({"name": "sink", "config": SINK})
    settle("sink", "RUNNING", ["RUNNING"])
    create({"name": "broken", "config": BROKEN})
    settle("broken", "RUNNING", ["FAILED"])
    create({"name": "numbers", "config": {**SOURCE, "tasks.max": 3, "batch.size": 7, "other": None}})


def reads():
    call("GET", "/connectors")
    call("GET", "/connectors/")
    call("GET", "/connectors?expand=status")
    call("GET", "/connectors?expand=info")
    call("GET", "/connectors?expand=status&expand=info")
    names = ["a", "paused%20one", "stopped%2Fone", "100%25", "sink", "broken", "nobody", "a/", "blanks"]
    for name in names:
        call("GET", f"/connectors/{name}")
        if name.endswith("/"):
            continue
        for what in ["status", "config", "tasks", "topics", "offsets", "tasks-config"]:
            call("GET", f"/connectors/{name}/{what}")
    for path in ["a/status/", "a/tasks/0/status", "a/tasks/7/status", "a/tasks/x/status", "broken/tasks/0/status", "nobody/tasks/0/status",
                 "a/tasks/0", "a/nope", "a/tasks/", "stopped/one", "100%"]:
        call("GET", f"/connectors/{path}")
    call("POST", "/connectors/a", {})
    call("POST", "/connectors/a/config", {})
    call("GET", "/connectors/a/pause")
    call("POST", "/connectors/a/tasks", [])
    call("PUT", "/connectors/a/fence", "[]")


def changes():
    config = {**SOURCE, "batch.size": "5"}
    call("PUT", "/connectors/a/config", config)
    settle("a", "RUNNING", ["RUNNING"])
    call("PUT", "/connectors/a/config", {**config, "name": "a"})
    settle("a", "RUNNING", ["RUNNING"])
    call("PUT", "/connectors/a/config", {**config, "name": "b"})
    call("PUT", "/connectors/a/config", {**config, "batch.size": "zz"})
    call("PUT", "/connectors/a/config", "[]")
    call("PUT", "/connectors/a/config", "")
    call("PUT", "/connectors/a/config", {})
    call("PUT", "/connectors/new%20one/config", config)
    settle("new one", "RUNNING", ["RUNNING"])
    call("PUT", "/connectors/a/config", {**config, "batch.size": 6, "nothing": None})
    settle("a", "RUNNING", ["RUNNING"])
    call("PATCH", "/connectors/a/config", {"batch.size": "8"})
    settle("a", "RUNNING", ["RUNNING"])
    call("PATCH", "/connectors/a/config", {"batch.size": None, "extra": "1"})
    settle("a", "RUNNING", ["RUNNING"])
    call("PATCH", "/connectors/a/config", {"topic": None})
    call("PATCH", "/connectors/a/config", "[]")
    call("PATCH", "/connectors/a/config", {})
    settle("a", "RUNNING", ["RUNNING"])
    call("PATCH", "/connectors/nobody/config", {"a": "b"})
    call("GET", "/connectors/a/config")


def states():
    call("PUT", "/connectors/a/pause")
    settle("a", "PAUSED", ["PAUSED"])
    call("GET", "/connectors/a/status")
    call("PUT", "/connectors/a/pause")
    call("PUT", "/connectors/a/resume")
    settle("a", "RUNNING", ["RUNNING"])
    call("PUT", "/connectors/a/stop")
    settle("a", "STOPPED", [])
    call("GET", "/connectors/a/status")
    call("GET", "/connectors/a/tasks")
    call("GET", "/connectors/a")
    call("PUT", "/connectors/a/stop")
    call("PUT", "/connectors/a/pause")
    settle("a", "PAUSED", [])
    call("PUT", "/connectors/a/resume")
    settle("a", "RUNNING", ["RUNNING"])
    for action in ["pause", "resume", "stop"]:
        call("PUT", f"/connectors/nobody/{action}")
        call("POST", f"/connectors/a/{action}")
    call("PUT", "/connectors/a/pause/")
    settle("a", "PAUSED", ["PAUSED"])
    call("PUT", "/connectors/a/resume", {})
    settle("a", "RUNNING", ["RUNNING"])


def restarts():
    call("POST", "/connectors/a/restart")
    settle("a", "RUNNING", ["RUNNING"])
    call("POST", "/connectors/a/restart?includeTasks=false&onlyFailed=false")
    settle("a", "RUNNING", ["RUNNING"])
    call("POST", "/connectors/a/restart?includeTasks=true")
    settle("a", "RUNNING", ["RUNNING"])
    call("POST", "/connectors/a/restart?onlyFailed=true")
    settle("a", "RUNNING", ["RUNNING"])
    call("POST", "/connectors/broken/restart?includeTasks=true&onlyFailed=true")
    settle("broken", "RUNNING", ["FAILED"])
    call("POST", "/connectors/a/restart?includeTasks=maybe")
    settle("a", "RUNNING", ["RUNNING"])
    call("POST", "/connectors/nobody/restart")
    call("POST", "/connectors/nobody/restart?includeTasks=true")
    call("PUT", "/connectors/a/restart")
    call("POST", "/connectors/a/tasks/0/restart")
    settle("a", "RUNNING", ["RUNNING"])
    call("POST", "/connectors/nobody/tasks/0/restart")
    call("POST", "/connectors/a/tasks/x/restart")


def topics():
    call("GET", "/connectors/a/topics")
    call("PUT", "/connectors/a/topics/reset")
    call("PUT", "/connectors/nobody/topics/reset")
    call("POST", "/connectors/a/topics/reset")


def offsets():
    filename = {"filename": SOURCE["file"]}
    good = {"offsets": [{"partition": filename, "offset": {"position": 20}}]}
    call("GET", "/connectors/a/offsets")
    call("PATCH", "/connectors/a/offsets", good)
    call("DELETE", "/connectors/a/offsets")
    call("PATCH", "/connectors/nobody/offsets", good)
    call("DELETE", "/connectors/nobody/offsets")
    call("POST", "/connectors/a/offsets", good)
    call("PUT", "/connectors/a/stop")
    settle("a", "STOPPED", [])
    for body in ["", "{", "[]", {}, {"offsets": None}, {"offsets": []}, {"offsets": [{}]}, {"offsets": [{"offset": {"position": 1}}]},
                 {"offsets": [{"partition": filename}]}, {"offsets": [{"partition": filename, "offset": None, "x": 1}]},
                 {"offsets": [{"partition": filename, "offset": {"position": -1}}]},
                 {"offsets": [{"partition": {"other": "x"}, "offset": {"position": 1}}]},
                 {"offsets": good["offsets"] * 2}, {"wrong": []}, {"offsets": "x"}, {"offsets": [7]}]:
        call("PATCH", "/connectors/a/offsets", body)
    call("PATCH", "/connectors/a/offsets", good)
    call("GET", "/connectors/a/offsets")
    call("PATCH", "/connectors/a/offsets", {"offsets": [{"partition": filename, "offset": None}]})
    call("GET", "/connectors/a/offsets")
    call("PATCH", "/connectors/a/offsets", good)
    call("DELETE", "/connectors/a/offsets")
    call("GET", "/connectors/a/offsets")
    sink_offsets()


def sink_offsets():
    partition = {"kafka_topic": "golden", "kafka_partition": 0}
    call("GET", "/connectors/sink/offsets")
    call("PUT", "/connectors/sink/stop")
    settle("sink", "STOPPED", [])
    entries = [
        [{"partition": {"kafka_partition": 0}, "offset": {"kafka_offset": 0}}],
        [{"partition": {"kafka_topic": "golden"}, "offset": {"kafka_offset": 0}}],
        [{"partition": {**partition, "kafka_partition": "x"}, "offset": {"kafka_offset": 0}}],
        [{"partition": {**partition, "kafka_partition": -1}, "offset": {"kafka_offset": 0}}],
        [{"partition": partition, "offset": {"kafka_offset": "x"}}],
        [{"partition": partition, "offset": {"kafka_offset": -4}}],
        [{"partition": partition, "offset": {"other": 1}}],
        [{"partition": partition, "offset": {"kafka_offset": 0}}],
    ]
    for entry in entries:
        call("PATCH", "/connectors/sink/offsets", {"offsets": entry})
    call("GET", "/connectors/sink/offsets")
    call("PATCH", "/connectors/sink/offsets",
         {"offsets": [{"partition": {"kafka_topic": "golden", "kafka_partition": "0"}, "offset": {"kafka_offset": "0"}}]})
    call("PATCH", "/connectors/sink/offsets", {"offsets": [{"partition": partition, "offset": None}]})
    call("GET", "/connectors/sink/offsets")
    call("PATCH", "/connectors/sink/offsets", {"offsets": [{"partition": partition, "offset": {"kafka_offset": 0}}]})
    call("DELETE", "/connectors/sink/offsets")
    call("GET", "/connectors/sink/offsets")


def loggers():
    call("GET", "/admin/loggers/root")
    call("GET", "/admin/loggers/no.such.logger")
    call("PUT", "/admin/loggers/golden.logger", {"level": "DEBUG"})
    call("GET", "/admin/loggers/golden.logger")
    call("PUT", "/admin/loggers/golden.logger?scope=worker", {"level": "warn"})
    call("PUT", "/admin/loggers/golden.logger?scope=cluster", {"level": "ERROR"})
    call("PUT", "/admin/loggers/golden.logger?scope=bogus", {"level": "INFO"})
    call("GET", "/admin/loggers/golden.logger")
    call("PUT", "/admin/loggers/golden.logger", {"level": "LOUD"})
    call("PUT", "/admin/loggers/golden.logger", {})
    call("PUT", "/admin/loggers/golden.logger", {"level": None})
    call("PUT", "/admin/loggers/golden.logger", "[]")
    call("PUT", "/admin/loggers/golden.logger", "")
    call("POST", "/admin/loggers/golden.logger", {})
    call("GET", "/admin/nope")


def deletions():
    call("DELETE", "/connectors/nobody")
    call("PATCH", "/connectors/a/config", {"name": "b"})
    # What it restarts and does not have leaves FAILED tasks behind, so these stand here.
    call("POST", "/connectors/new%20one/tasks/9/restart")
    call("POST", "/connectors/new%20one/tasks/-1/restart")
    call("POST", "/connectors/stopped%2Fone/tasks/0/restart")
    names = ["a", "paused%20one", "stopped%2Fone", "100%25", "sink", "broken", "new%20one", "numbers"]
    for name in names:
        call("DELETE", f"/connectors/{name}")
    call("DELETE", "/connectors/a")
    call("GET", "/connectors/a/status")
    call("GET", "/connectors/a/offsets")


for part in [server, plugins, validations, creations, reads, changes, states, restarts, topics, offsets, loggers, deletions]:
    part()
lines = (json.dumps({key: value for key, value in call.items() if value is not None}, ensure_ascii=False) for call in recorded)
print("[\n" + ",\n".join(lines) + "\n]")
