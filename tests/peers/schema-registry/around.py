"""What the checks stand on: the registry, the worker, Confluent's client, and the count of what held."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient

BOOTSTRAP = os.environ["BOOTSTRAP"]
WORK = pathlib.Path(os.environ["WORK"])
RUN = format(int(time.time() * 1000) % 100_000_000, "x")  # no topic of a run before it, on a broker that stays
PATIENCE = 60
JSON = "application/vnd.schemaregistry.v1+json"

passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    if good:
        passed += 1
        print(f"ok     {name}", flush=True)
    else:
        failed += 1
        print(f"FAILED {name}", flush=True)
        for line in str(detail).splitlines()[:20]:
            print("    " + line[:800], flush=True)


def wait(condition, patience=PATIENCE):
    """What `condition` gives as soon as that is something, else what it gave last."""
    end = time.monotonic() + patience
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def ask(method, url, body=None):
    """(status, answer); status 0 if nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    kind = "application/json" if "/apis/" not in url else JSON
    request = urllib.request.Request(url, method=method, data=data, headers={"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            status, answer = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, answer = error.code, error.read()
    except OSError as error:
        return 0, str(error)
    try:
        return status, json.loads(answer) if answer else None
    except ValueError:
        return status, answer


class Registry:
    """Apicurio Registry, its schemas in memory."""

    def __init__(self, home, name):
        self.name = name
        self.log = WORK / f"{name}.log"
        jar = next(iter([*home.glob("*-runner.jar"), *home.glob("quarkus-run.jar")]))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}",
                 "-jar", str(jar)], stdout=log, stderr=log, cwd=WORK)
        wait(lambda: ask("GET", f"{self.url}/subjects")[0] == 200 or self.process.poll() is not None)
        if self.process.poll() is not None or ask("GET", f"{self.url}/subjects")[0] != 200:
            self.process.kill()
            raise SystemExit(f"{name} does not come up:\n{self.log.read_text(errors='replace')[-3000:]}")
        self.client = SchemaRegistryClient({"url": self.url})

    def versions(self, subject):
        status, answer = ask("GET", f"{self.url}/subjects/{subject}/versions")
        return answer if status == 200 else []

    def latest(self, subject):
        return ask("GET", f"{self.url}/subjects/{subject}/versions/latest")[1]

    def backward(self, subject):
        """Only compatible schemas from now on."""
        status, answer = ask("PUT", f"{self.url}/config/{subject}", {"compatibility": "BACKWARD"})
        check(f"{subject} is to stay compatible", status == 200, answer)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Worker:
    """`millstream connect standalone`."""

    def __init__(self):
        self.properties, self.out, self.log = WORK / "worker.properties", WORK / "worker.out", WORK / "worker.log"
        self.properties.write_text(f"""bootstrap.servers={BOOTSTRAP}
listeners=http://127.0.0.1:0
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.file.filename={WORK}/offsets
offset.flush.interval.ms=200
topic.creation.enable=true
""")
        self.start()

    def start(self):
        with open(self.out, "wb") as out, open(self.log, "ab") as log:
            self.process = subprocess.Popen([os.environ["MILLSTREAM_BIN"], "connect", "standalone", str(self.properties)], stdout=out, stderr=log)
        found = wait(lambda: re.search(r"ready on (\S+)", self.out.read_text()) or self.process.poll() is not None)
        if not isinstance(found, re.Match):
            raise SystemExit(f"the worker does not come up:\n{self.log.read_text(errors='replace')[-3000:]}")
        self.url = found[1]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def make(self, name, config):
        """Makes or changes a connector with one task."""
        status, answer = ask("PUT", f"{self.url}/connectors/{name}/config", {"tasks.max": "1", **config})
        if status not in (200, 201):
            check(f"the connector {name} is made", False, answer)

    def delete(self, name):
        ask("DELETE", f"{self.url}/connectors/{name}")

    def trace(self, name):
        """What the failed task of a connector says, or nothing."""
        status, answer = ask("GET", f"{self.url}/connectors/{name}/status")
        tasks = answer["tasks"] if status == 200 else []
        return next((task["trace"] for task in tasks if task["state"] == "FAILED"), "")

    def why(self, *names):
        traces = [self.trace(name) for name in names]
        return "\n".join(filter(None, traces)) or self.log.read_text(errors="replace")[-2000:]


def rows(path):
    """The JSON lines of a file, without those that are still being written."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def produce(topic, *pairs):
    """Sends keys and values that are bytes."""
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    for key, value in pairs:
        producer.produce(topic, key=key, value=value)
    if left := producer.flush(PATIENCE):
        raise RuntimeError(f"{left} records of {topic} cannot be sent")


def consume(topic, count):
    """The first values of a topic, as bytes."""
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": f"reader-{RUN}-{topic}", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False})
    consumer.subscribe([topic])
    values, end = [], time.monotonic() + PATIENCE
    while len(values) < count and time.monotonic() < end:
        message = consumer.poll(0.2)
        if message is not None and not message.error():
            values.append(message.value())
    consumer.close()
    return values
