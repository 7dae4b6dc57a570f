#!/usr/bin/env python3
"""Kafka Connect's distributed worker, unmodified: lines of a file go to a topic and from there to another file, through restarts,
kills, pauses and changed offsets. The source is exactly once; a sink is at least once when its worker is killed."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import traceback
import urllib.error
import urllib.request

BOOTSTRAP = os.environ["BOOTSTRAP"]
WORK = pathlib.Path(os.environ["WORK"])
FULL = os.environ["FULL"] == "1"
LIBS = os.environ["KAFKA_LIBS"]
LOG4J = os.environ["LOG4J"]
RUN = format(int(time.time() * 1000) % 100_000_000, "x")
LINES = 40_000 if FULL else 4_000
PATIENCE = 30

passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {name}")
        for line in str(detail).splitlines()[:20]:
            print("    " + line[:400])


def soon(name, condition, detail=lambda: "", patience=PATIENCE):
    """A check that `condition` comes to hold."""
    end = time.monotonic() + patience
    good = False
    while not good and time.monotonic() < end:
        good = condition()
        if not good:
            time.sleep(0.1)
    check(name, good, f"not within {patience} s: {detail() if not good else ''}")
    return good


def java(*arguments):
    return ["java", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={LOG4J}", "-cp", f"{LIBS}/*", *arguments]


def tool(name, *arguments):
    done = subprocess.run(java(f"org.apache.kafka.tools.{name}", "--bootstrap-server", BOOTSTRAP, *arguments), capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


class Worker:
    """A distributed worker; all of them here are one group."""

    def __init__(self, name):
        self.name = name
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.process = None
        self.properties = WORK / f"{name}.properties"
        settings = {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": f"connect-{RUN}",
            "listeners": f"http://127.0.0.1:{self.port}",
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
            "exactly.once.source.support": "enabled",
            "consumer.isolation.level": "read_committed",
            # A killed worker's sink must not hold its partitions for the default 45 s.
            "consumer.session.timeout.ms": "6000",
            "consumer.heartbeat.interval.ms": "500",
            "offset.flush.interval.ms": "500",
            "offset.storage.partitions": "5",
            "status.storage.partitions": "2",
            "scheduled.rebalance.max.delay.ms": "0",
            "session.timeout.ms": "6000",
            "heartbeat.interval.ms": "500",
            "topic.creation.enable": "true",
        }
        for kind in ("config", "offset", "status"):
            settings[f"{kind}.storage.topic"] = f"connect-{RUN}-{kind}"
            settings[f"{kind}.storage.replication.factor"] = "1"
        self.properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def start(self):
        with open(WORK / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(java("org.apache.kafka.connect.cli.ConnectDistributed", str(self.properties)), stdout=log, stderr=log)
        return soon(f"{self.name} comes up", lambda: self.ask("GET", "/connectors")[0] == 200, self.log)

    def log(self):
        return "\n".join((WORK / f"{self.name}.log").read_text(errors="replace").splitlines()[-20:])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            return -1

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ask(self, method, path, body=None):
        """(status, answer); status 0 while there is nobody."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                status, answer = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, answer = error.code, error.read()
        except OSError:
            return 0, None
        try:
            return status, json.loads(answer) if answer else None
        except ValueError:  # a page of the web server's own, while the worker comes up
            return status, answer

    def does(self, method, path, body=None):
        """Asks again while the group rebalances (409) or cannot know yet (500); (status, answer)."""
        end = time.monotonic() + PATIENCE
        while True:
            status, answer = self.ask(method, path, body)
            if status not in (0, 409, 500) or time.monotonic() > end:
                return status, answer
            time.sleep(0.2)

    def state(self, connector):
        """The states of the connector and its tasks."""
        status, answer = self.ask("GET", f"/connectors/{connector}/status")
        return [answer["connector"]["state"], *(task["state"] for task in answer["tasks"])] if status == 200 else []

    def soon_in(self, connector, *states):
        soon(f"{connector} is {', '.join(states)}", lambda: self.state(connector) == list(states), lambda: f"{self.state(connector)}\n{self.log()}")


class Lines:
    """The input file, and what has been written to it."""

    def __init__(self, path):
        self.path = path
        self.all = []
        path.touch()

    def add(self, count):
        # ASCII: the file source takes characters for bytes when it goes on at an offset.
        new = [f"line {len(self.all) + i} {'x' * ((len(self.all) + i) % 90)}" for i in range(count)]
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in new))
        self.all += new


def content(path):
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


def source(lines, topic):
    return {"connector.class": "FileStreamSource", "tasks.max": "1", "file": str(lines.path), "topic": topic, "batch.size": "100",
            "exactly.once.support": "required", "transaction.boundary": "poll", "topic.creation.default.partitions": "1",
            "topic.creation.default.replication.factor": "1"}


def sink(path, topic):
    return {"connector.class": "FileStreamSink", "tasks.max": "1", "file": str(path), "topics": topic}


def made(worker, lines, out, topic):
    """Connectors are made, and copy."""
    status, plugins = worker.does("GET", "/connector-plugins?connectorsOnly=true")
    names = {plugin["class"].rsplit(".", 1)[1] for plugin in plugins or []}
    check("the file connectors are there", {"FileStreamSourceConnector", "FileStreamSinkConnector"} <= names, names)
    status, answer = worker.ask("GET", "/")
    check("the worker knows the cluster", status == 200 and len(answer["kafka_cluster_id"]) == 22, answer)
    status, answer = worker.does("PUT", "/connector-plugins/FileStreamSource/config/validate", {**source(lines, topic), "name": "good"})
    check("a configuration is valid", status == 200 and answer["error_count"] == 0, answer)
    status, answer = worker.does("PUT", "/connector-plugins/FileStreamSource/config/validate", {"connector.class": "FileStreamSource", "name": "bad"})
    check("a configuration without a topic is not", status == 200 and answer["error_count"] > 0, answer)
    lines.add(LINES)
    status, answer = worker.does("POST", "/connectors", {"name": "source", "config": source(lines, topic)})
    check("a source is made", status == 201 and answer["type"] == "source", answer)
    status, answer = worker.does("POST", "/connectors", {"name": "sink", "config": sink(out, topic)})
    check("a sink is made", status == 201, answer)
    status, answer = worker.does("POST", "/connectors", {"name": "sink", "config": sink(out, topic)})
    check("it is not made twice", status == 409, answer)
    worker.soon_in("source", "RUNNING", "RUNNING")
    worker.soon_in("sink", "RUNNING", "RUNNING")
    status, answer = worker.does("GET", "/connectors")
    check("both are listed", sorted(answer or []) == ["sink", "source"], answer)
    copied("the file is copied", lines, out)


def copied(name, lines, out):
    """A check that `out` comes to be the input, line for line."""
    soon(name, lambda: len(content(out)) >= len(lines.all), lambda: f"{len(content(out))} of {len(lines.all)} lines")
    time.sleep(0.3)
    check(f"{name}, line for line", content(out) == lines.all, f"{len(content(out))} of {len(lines.all)} lines")


def offsets(worker, lines):
    size = lines.path.stat().st_size

    def position():
        status, answer = worker.ask("GET", "/connectors/source/offsets")
        return answer["offsets"][0]["offset"]["position"] if status == 200 and answer["offsets"] else None

    soon("the source's offset is the file's size", lambda: position() == size, lambda: f"{position()} of {size}")

    def consumed():
        status, answer = worker.ask("GET", "/connectors/sink/offsets")
        return answer["offsets"][0]["offset"]["kafka_offset"] if status == 200 and answer["offsets"] else 0

    soon("the sink's offset is past all lines", lambda: consumed() >= len(lines.all), consumed)
    status, answer = worker.does("GET", "/connectors/source/topics")
    check("the source's topics", status == 200 and len(answer["source"]["topics"]) == 1, answer)


def paused(worker, lines, out):
    for connector in ("source", "sink"):
        check(f"pause of the {connector}", worker.does("PUT", f"/connectors/{connector}/pause")[0] == 202)
        worker.soon_in(connector, "PAUSED", "PAUSED")
        time.sleep(0.5)
        lines.add(200)
        time.sleep(1.5)
        check(f"nothing goes through a paused {connector}", len(content(out)) == len(lines.all) - 200, len(content(out)))
        check(f"resume of the {connector}", worker.does("PUT", f"/connectors/{connector}/resume")[0] == 202)
        worker.soon_in(connector, "RUNNING", "RUNNING")
        copied(f"the paused {connector} goes on", lines, out)
    for connector in ("source", "sink"):
        status, answer = worker.does("POST", f"/connectors/{connector}/restart?includeTasks=true")
        check(f"restart of the {connector}", status == 202, answer)
    lines.add(100)
    copied("restarted connectors go on", lines, out)


def topics(topic):
    described = tool("TopicCommand", "--describe")
    for kind, partitions in (("config", 1), ("offset", 5), ("status", 2)):
        found = [line for line in described.splitlines() if line.startswith(f"Topic: connect-{RUN}-{kind}\t")]
        check(f"the {kind} topic is compacted, with {partitions} partitions", len(found) == 1 and "cleanup.policy=compact" in found[0]
              and f"PartitionCount: {partitions}\t" in found[0], found)
    groups = tool("GroupsCommand", "--list")
    check("the workers' group is of the protocol connect",
          any(line.split()[:3] == [f"connect-{RUN}", "Classic", "connect"] for line in groups.splitlines()), groups)
    check("the sink's group is a consumers'", any(line.split()[:3] == ["connect-sink", "Classic", "consumer"] for line in groups.splitlines()), groups)


def restarted(worker, lines, out):
    check("the worker stops", worker.stop() in (0, 143), worker.log())
    lines.add(LINES // 4)
    worker.start()
    copied("after a restart nothing is lost or repeated", lines, out)


def killed(worker, lines, out, topic):
    """The source stays exactly once; the sink may repeat what it had not committed."""
    for kill in range(3 if FULL else 2):
        lines.add(LINES // 4)
        time.sleep(0.2 + 0.3 * kill)
        worker.kill()
        lines.add(LINES // 4)
        worker.start()
        soon(f"kill {kill}: nothing is lost", lambda: set(content(out)) >= set(lines.all), lambda: f"{len(set(content(out)))} of {len(lines.all)}\n{worker.log()}")
    again = WORK / "again.txt"
    status, answer = worker.does("PUT", "/connectors/again/config", sink(again, topic))
    check("another sink is made", status == 201, answer)
    copied("the topic has each line once, in order", lines, again)
    check("the other sink is deleted", worker.does("DELETE", "/connectors/again")[0] == 204)
    soon("it is gone", lambda: worker.ask("GET", "/connectors/again")[0] == 404)


def changed(worker, lines, topic):
    """Offsets are read, changed and reset over REST."""
    out = WORK / "changed.txt"
    worker.does("PUT", "/connectors/changed/config", sink(out, topic))
    copied("a sink to be changed", lines, out)
    check("stop of a sink", worker.does("PUT", "/connectors/changed/stop")[0] == 204)
    worker.soon_in("changed", "STOPPED")
    status, answer = worker.does("DELETE", "/connectors/changed/offsets")
    check("its offsets are reset", status == 200, answer)
    out.unlink()
    check("it is resumed", worker.does("PUT", "/connectors/changed/resume")[0] == 202)
    copied("it reads all again", lines, out)
    worker.does("PUT", "/connectors/changed/stop")
    worker.soon_in("changed", "STOPPED")
    status, answer = worker.does("PATCH", "/connectors/changed/offsets",
                                 {"offsets": [{"partition": {"kafka_topic": topic, "kafka_partition": 0}, "offset": {"kafka_offset": 0}}]})
    check("its offsets are changed", status == 200, answer)
    status, answer = worker.does("GET", "/connectors/changed/offsets")
    check("the changed offset", status == 200 and answer["offsets"][0]["offset"]["kafka_offset"] == 0, answer)
    worker.does("DELETE", "/connectors/changed")
    check("stop of the source", worker.does("PUT", "/connectors/source/stop")[0] == 204)
    worker.soon_in("source", "STOPPED")
    half = len("\n".join(lines.all[:len(lines.all) // 2]).encode()) + 1
    status, answer = worker.does("PATCH", "/connectors/source/offsets",
                                 {"offsets": [{"partition": {"filename": str(lines.path)}, "offset": {"position": half}}]})
    check("the source's offset is changed", status == 200, answer)
    worker.does("PUT", "/connectors/source/resume")
    worker.soon_in("source", "RUNNING", "RUNNING")
    twice = WORK / "twice.txt"
    worker.does("PUT", "/connectors/twice/config", sink(twice, topic))
    expected = lines.all + lines.all[len(lines.all) // 2:]
    soon("half of the file is read again", lambda: content(twice) == expected, lambda: f"{len(content(twice))} of {len(expected)} lines")


def second(worker, lines, out):
    """Two workers share the connectors; one is killed."""
    other = Worker("second worker")
    other.start()
    try:
        soon("both workers have work", lambda: len({task["worker_id"] for name in ("source", "sink", "twice")
             for task in [worker.ask("GET", f"/connectors/{name}/status")[1] or {}] for task in task.get("tasks", [])}) == 2)
        other.kill()
        for name in ("source", "sink"):
            worker.soon_in(name, "RUNNING", "RUNNING")
        lines.add(500)
        soon("what the killed worker had goes on", lambda: set(content(out)) >= set(lines.all), worker.log)
    finally:
        other.kill()


def deleted(worker):
    for name in worker.does("GET", "/connectors")[1]:
        check(f"{name} is deleted", worker.does("DELETE", f"/connectors/{name}")[0] == 204)
    soon("no connector is left", lambda: worker.ask("GET", "/connectors") == (200, []))
    status, answer = worker.does("GET", "/connectors/source/status")
    check("a deleted connector has no state", status == 404, answer)
    check("the worker stops at the end", worker.stop() in (0, 143), worker.log())


def main():
    topic = f"lines-{RUN}"
    lines = Lines(WORK / "in.txt")
    out = WORK / "out.txt"
    worker = Worker("worker")
    try:
        worker.start()
        made(worker, lines, out, topic)
        offsets(worker, lines)
        paused(worker, lines, out)
        topics(topic)
        restarted(worker, lines, out)
        killed(worker, lines, out, topic)
        changed(worker, lines, topic)
        if FULL:
            second(worker, lines, out)
        deleted(worker)
    except Exception:  # whatever it is, the counts are printed
        check("comes to its end", False, traceback.format_exc() + worker.log())
    finally:
        if worker.process and worker.process.poll() is None:
            worker.kill()
    print(f"{passed} passed, {failed} failed, 0 left out", flush=True)
    raise SystemExit(1 if failed else 0)


main()
