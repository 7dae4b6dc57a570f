#!/usr/bin/env python3
"""Measures file connectors beside Kafka Connect 4.2's: same broker, same lines, same property files, runs taken in turn.

    tests/benches/connect.py [--runs 5] [--only start,source,sink,pair,many] [--megabytes 1000] [--converter string|json]

Systems: `java` is Kafka Connect's standalone worker with its FileStream connectors, `ours` is `millstream connect standalone`.

start   until GET /connectors/NAME/status says that the task is RUNNING
source  lines of a file go to a topic
sink    records of a topic go to a file; ours fsyncs it, Kafka Connect's does not
pair    both at once, file to file
many    a hundred connectors with a task each: memory, start

`CPU` is the worker's, user's and kernel's, with its start; `work CPU` begins when the task is RUNNING. Rates are per second of `work CPU`.
A run counts only if what arrived is what was sent: the topic's record count, the sink's bytes. Prints the median of each figure, its
range, and ours as a multiple of Java's. Build first:  cargo build --locked --release -p millstream
"""

import argparse
import filecmp
import json
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import wire
from brokers import HERE, KAFKA, Broker, cpu, free_port, install_kafka, java, memory
from word_count import corpus

UNITS = {"running": "ms", "wall": "s", "CPU": "s", "work CPU": "s", "lines/CPU-s": "k/s", "memory": "MB", "broker CPU": "s"}
CONVERTERS = {"string": "org.apache.kafka.connect.storage.StringConverter", "json": "org.apache.kafka.connect.json.JsonConverter"}
PATIENCE = 1800  # seconds
MANY = 100


class Worker:
    """A standalone worker with connectors, running."""

    def __init__(self, bench, system, connectors):
        self.names = list(connectors)
        bench.workers += 1
        folder = bench.folder / f"worker-{bench.workers}"
        folder.mkdir()
        self.port = free_port()
        settings = self.settings(bench, system, folder)
        files = [self.properties(folder / "worker.properties", settings)]
        files += [self.properties(folder / f"{name}.properties", {"name": name} | connector) for name, connector in connectors.items()]
        command = [bench.binary, "connect", "standalone", *files]
        if system == "java":
            # Its own choice of heap, as connect-standalone.sh does it.
            command = self.java(*files)
            command.insert(1, "-Xms256M")
        self.log = open(folder / "out.log", "wb")
        self.begun = time.perf_counter()
        self.process = subprocess.Popen([*map(str, command)], cwd=folder, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        while not all(self.is_running(name) for name in self.names):
            assert self.process.poll() is None and time.perf_counter() - self.begun < 300, f"no RUNNING: see {self.log.name}"
            time.sleep(0.002)
        self.running_ms = (time.perf_counter() - self.begun) * 1000
        self.start_cpu = self.cpu()

    def java(self, *files):
        return java("org.apache.kafka.connect.cli.ConnectStandalone", *files, heap="-Xmx2G")

    def settings(self, bench, system, folder):
        """The worker's own properties."""
        settings = {
            "bootstrap.servers": bench.broker.address,
            "key.converter": CONVERTERS[bench.arguments.converter],
            "value.converter": CONVERTERS[bench.arguments.converter],
            "offset.storage.file.filename": folder / "offsets",
            "offset.flush.interval.ms": 10000,
            "listeners": f"http://127.0.0.1:{self.port}",
            # Java's sink asks for 500 records at a time unless told; both get the same.
            "consumer.max.poll.records": 500,
        }
        if system == "ours":
            del settings["consumer.max.poll.records"]
        return settings

    @staticmethod
    def properties(path, settings):
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return path

    def is_running(self, name):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/connectors/{name}/status", timeout=5) as answer:
                tasks = json.load(answer)["tasks"]
                assert all(task["state"] != "FAILED" for task in tasks), tasks
                return bool(tasks) and all(task["state"] == "RUNNING" for task in tasks)
        except (urllib.error.URLError, ConnectionError, socket.timeout):
            return False

    def cpu(self):
        return cpu(self.process.pid)

    def wait(self, done):
        """Waits until `done()`; seconds since the worker's start."""
        while not done():
            assert self.process.poll() is None and time.perf_counter() - self.begun < PATIENCE, f"it does not end: see {self.log.name}"
            time.sleep(0.02)
        return time.perf_counter() - self.begun

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Bench:
    """What all scenarios share: the broker, the lines, the results."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.workers, self.topics = arguments, folder, 0, 0
        self.binary = arguments.binary.absolute()
        self.broker = Broker(arguments.broker, folder / "broker", self.binary)
        self.text = folder / "lines.txt"
        corpus(self.text, arguments.megabytes * 1_000_000)
        with open(self.text, "rb+") as text:
            # Java's source never delivers a last line that does not end.
            text.seek(-1, 2)
            if text.read(1) != b"\n":
                text.write(b"\n")
        with open(self.text, "rb") as text:
            self.lines = sum(1 for _ in text)
        self.rows = {}

    def topic(self):
        self.topics += 1
        name = f"lines-{self.topics}"
        create = ["topics", "--create", "--topic", name, "--partitions", "1", "--replication-factor", "1"]
        subprocess.run([self.binary, *create, "--bootstrap-server", self.broker.address], check=True, stdout=subprocess.DEVNULL)
        return name

    def delete(self, topic):
        delete = ["topics", "--delete", "--topic", topic, "--bootstrap-server", self.broker.address]
        subprocess.run([self.binary, *delete], check=True, stdout=subprocess.DEVNULL)

    def end(self, topic):
        with socket.create_connection(("127.0.0.1", self.broker.port), 60) as connection:
            return wire.offsets(wire.call(connection, wire.latest_offsets(topic, [0])))[0]

    def source(self, topic, file=None):
        return {"connector.class": "FileStreamSource", "tasks.max": 1, "file": file or self.text, "topic": topic}

    def sink(self, topic, file):
        return {"connector.class": "FileStreamSink", "tasks.max": 1, "file": file, "topics": topic}

    def run(self, system, connectors, done):
        """Runs connectors until `done()`; the figures."""
        broker = self.broker.cpu()
        worker = Worker(self, system, connectors)
        try:
            wall = worker.wait(done)
            used, work = worker.cpu(), worker.cpu() - worker.start_cpu
            return {
                "running": worker.running_ms,
                "wall": wall,
                "CPU": used,
                "work CPU": work,
                "lines/CPU-s": self.lines / work / 1000,
                "memory": memory(worker.process.pid),
                "broker CPU": self.broker.cpu() - broker,
            }
        finally:
            worker.stop()

    def in_turn(self, run):
        return self.arguments.systems if run % 2 == 0 else self.arguments.systems[::-1]

    def add(self, scenario, system, figures):
        shown = ", ".join(f"{figure} {value:.4g}" for figure, value in figures.items())
        print(f"{scenario} {system}: {shown}", file=sys.stderr, flush=True)
        for figure, value in figures.items():
            self.rows.setdefault((scenario, figure), {}).setdefault(system, []).append(value)

    def show(self):
        print(f"\n{'scenario':10} {'figure':14} {'unit':5}" + "".join(f"{system:>34}" for system in self.arguments.systems))
        for (scenario, figure), values in self.rows.items():
            line = f"{scenario:10} {figure:14} {UNITS[figure]:5}"
            base = statistics.median(values["java"]) if "java" in values else None
            for system in self.arguments.systems:
                if system not in values:
                    line += " " * 34
                    continue
                middle = statistics.median(values[system])
                ratio = f" {middle / base:6.3g}×" if base and system != "java" else ""
                line += f"{f'{middle:.4g} ({min(values[system]):.4g}–{max(values[system]):.4g}){ratio}':>34}"
            print(line)


def start(bench):
    for run in range(bench.arguments.runs):
        for system in bench.in_turn(run):
            topic, empty = bench.topic(), bench.folder / "empty.txt"
            empty.touch()
            worker = Worker(bench, system, {"source": bench.source(topic, empty)})
            bench.add("start", system, {"running": worker.running_ms, "CPU": worker.start_cpu, "memory": memory(worker.process.pid)})
            worker.stop()


def source(bench):
    for run in range(bench.arguments.runs):
        for system in bench.in_turn(run):
            topic = bench.topic()
            figures = bench.run(system, {"source": bench.source(topic)}, lambda: bench.end(topic) >= bench.lines)
            assert bench.end(topic) == bench.lines, "a line came twice"
            bench.add("source", system, figures)
            bench.delete(topic)


def sink(bench):
    topic = bench.topic()
    # Written by Kafka Connect's own converter, so that both read the same.
    bench.run("java", {"source": bench.source(topic)}, lambda: bench.end(topic) >= bench.lines)
    for run in range(bench.arguments.runs):
        for system in bench.in_turn(run):
            out = bench.folder / "out.txt"
            out.unlink(missing_ok=True)
            size = bench.text.stat().st_size
            # A group of its own, which begins at the beginning.
            figures = bench.run(system, {f"sink-{system}-{run}": bench.sink(topic, out)}, lambda: out.exists() and out.stat().st_size >= size)
            assert filecmp.cmp(bench.text, out, shallow=False), "the sink's file is another one"
            bench.add("sink", system, figures)
    bench.delete(topic)


def pair(bench):
    for run in range(bench.arguments.runs):
        for system in bench.in_turn(run):
            topic, out = bench.topic(), bench.folder / "out.txt"
            out.unlink(missing_ok=True)
            size = bench.text.stat().st_size
            connectors = {"source": bench.source(topic), f"pair-{system}-{run}": bench.sink(topic, out)}
            figures = bench.run(system, connectors, lambda: out.exists() and out.stat().st_size >= size)
            assert filecmp.cmp(bench.text, out, shallow=False), "the sink's file is another one"
            bench.add("pair", system, figures)
            bench.delete(topic)


def many(bench):
    topic = bench.topic()
    files = [bench.folder / f"many-{number}.txt" for number in range(MANY)]
    for run in range(bench.arguments.runs):
        for system in bench.in_turn(run):
            before = bench.end(topic)
            for number, file in enumerate(files):
                file.write_text(f"line of {number}\n")
            connectors = {f"many-{number}": bench.source(topic, file) for number, file in enumerate(files)}
            worker = Worker(bench, system, connectors)
            wall = worker.wait(lambda: bench.end(topic) >= before + MANY)
            figures = {"running": worker.running_ms, "wall": wall, "CPU": worker.cpu(), "memory": memory(worker.process.pid)}
            worker.stop()
            bench.add("many", system, figures)


SCENARIOS = {"start": start, "source": source, "sink": sink, "pair": pair, "many": many}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")
    parser.add_argument("--binary", type=Path, default=HERE.parents[1] / "target/release/millstream")
    parser.add_argument("--folder", type=Path, help="for texts and logs; kept [default: a temporary one]")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", type=listed, default=list(SCENARIOS))
    parser.add_argument("--systems", type=listed, default=["java", "ours"])
    parser.add_argument("--broker", choices=["kafka", "sync", "os"], default="kafka")
    parser.add_argument("--converter", choices=CONVERTERS, default="string")
    parser.add_argument("--megabytes", type=float, default=1000)
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(SCENARIOS):
        parser.error(f"no scenario of the name {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    install_kafka()
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        shutil.rmtree(folder / "broker", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(arguments, folder)
        try:
            for name in arguments.only:
                SCENARIOS[name](bench)
        finally:
            bench.broker.process.kill()
            bench.broker.process.wait()
            bench.show()


if __name__ == "__main__":
    main()
