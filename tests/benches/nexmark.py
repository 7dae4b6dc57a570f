#!/usr/bin/env python3
"""Measures the queries of Nexmark beside Kafka Streams 4.2: same broker, same bytes, runs taken in turn, every output checked.

    tests/benches/nexmark.py [--events 10000000] [--queries q1,q17] [--runs 5] [--systems java,ours] [--broker kafka|sync|os]
    tests/benches/nexmark.py check QUERY OUTPUT --data FOLDER

Systems: `java` is Kafka Streams as it comes (nexmark/Q….java, one file a query), `ours` millstream-streams (examples/nexmark_job.rs, which
has those queries that the DSL can express). The events are those of `nexmark generate`: persons, auctions and bids as Beam's model makes them, up
to four seconds out of order. What a query answers over the same files says DuckDB (nexmark/QUERY.sql); a run counts only if the last value
of each key, or the rows, that readers of committed records find are those, floats to 1e-9.

`CPU` is the job's, user's and kernel's, from when it has its partitions (`start` says how long that takes) to the commit of the last
result; `wall` begins then, too; `memory` is the peak. Prints the median of each figure, its range, and ours as a multiple of Java's. Needs
`duckdb` (python/requirements.txt), and
    cargo build --locked --release -p millstream -p millstream-examples -p millstream-tests

`check` compares an output that was kept, as printed by
    millstream consume --topic TOPIC --from-beginning --isolation-level read_committed --timeout-ms 5000 \\
        --property print.offset=true --property print.key=true
with the answer over the files of FOLDER, and says the first difference.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from brokers import HERE, cpu, install_kafka
from nexmark_answers import QUERIES, Answers
from streams import Bench, Job, note

PREFIX = "nexmark-"
TOPICS = ("persons", "auctions", "bids", "side")


class NexmarkBench(Bench):
    """The broker with the events in its topics, and the answers."""

    def __init__(self, arguments, folder, classes):
        super().__init__(arguments, folder, classes)
        self.binary = arguments.binary or self.binary
        self.data = folder / f"events-{arguments.events}-{arguments.partitions}-{arguments.seed}"
        self.answers, self.ends_of = None, {}

    def prepare(self):
        """Events into files, topics and DuckDB's tables."""
        self.generate()
        self.load_all()
        database = self.folder / f"{self.data.name}.duckdb"
        database.unlink(missing_ok=True)
        self.answers = Answers(self.data, str(database))

    def generate(self):
        """The files: those of an earlier run if they are whole."""
        arguments = self.arguments
        command = lambda task: [arguments.binaries / "nexmark", task, self.data, *map(str, (arguments.events, arguments.partitions, arguments.seed))]
        if subprocess.run(command("check"), stderr=subprocess.DEVNULL).returncode:
            subprocess.run(command("generate"), check=True)
        note(f"{arguments.events} events in {sum(file.stat().st_size for file in self.data.iterdir()) / 1e6:.0f} MB")

    def load_all(self):
        partitions = self.arguments.partitions
        for topic in TOPICS:
            self.create(PREFIX + topic, partitions)
            for partition in range(partitions):
                self.append(PREFIX + topic, self.data / f"{topic}-{partition}.tsv", "--partition", partition, "--property", "parse.key=true")
            self.ends_of[topic] = self.ends(PREFIX + topic, partitions)
        note(f"ends of partitions: {self.ends_of}")

    def topics(self):
        command = [str(self.binary), "topics", "--list", "--bootstrap-server", self.broker.address]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    def output(self, topic, path):
        """What readers of committed records find, with offsets and keys."""
        properties = ["--property", "print.offset=true", "--property", "print.key=true"]
        with open(path, "wb") as out, open(self.folder / "consume.log", "ab") as log:
            self.command("consume", "--topic", topic, "--from-beginning", "--isolation-level", "read_committed", "--timeout-ms", 5000,
                         *properties, stdout=out, stderr=log)


class NexmarkJob(Job):
    """A process that answers a query."""

    binary, main_class = "nexmark_job", "Nexmark"
    cpu_of_start = 0.0

    def listen(self):
        for line in self.process.stdout:
            self.said.append(line.strip())
            if self.started is None and line.strip() == "started":
                self.cpu_of_start = cpu(self.process.pid)
                self.started = time.perf_counter() - self.begun

    def shuffled(self, partitions):
        topics = [topic for topic in self.bench.topics() if topic.startswith(f"{self.application}-") and topic.endswith("-repartition")]
        return {(topic, n): end for topic in topics for n, end in enumerate(self.bench.ends(topic, partitions))}

    def forget(self):
        shutil.rmtree(self.state, ignore_errors=True)
        for topic in self.bench.topics():
            if topic.startswith(f"{self.application}-"):
                self.bench.delete(topic)


def measured(bench, system, name):
    """One run of a query, from its start to its last commit: its figures, and what is wrong with its output."""
    arguments, application = bench.arguments, bench.application(f"{system}-{name}")
    output = f"{application}-output"
    bench.create(output, arguments.partitions)
    os.sync()
    sources = {(PREFIX + topic, n): end for topic in QUERIES[name].inputs for n, end in enumerate(bench.ends_of[topic])}
    with NexmarkJob(bench, system, application, PREFIX, output, arguments.threads, kind=name) as job:
        figures = job.work_off_all(sources, arguments.partitions)
    path = bench.folder / f"{application}.tsv"
    bench.output(output, path)
    difference = bench.answers.difference(name, path)
    if difference is None:
        path.unlink()
    job.forget()
    # Of few events, it may be less than is counted.
    figures["CPU"] = max(figures["CPU"] - job.cpu_of_start, 0.01)
    figures["wall"] -= figures["start"]
    return {"records/CPU-s": arguments.events / figures["CPU"] / 1e3} | figures, difference


def run(arguments, folder):
    ours = subprocess.run([arguments.binaries / "nexmark_job", "queries"], check=True, capture_output=True, text=True).stdout.split()
    has = {"java": list(QUERIES), "ours": ours}
    classes = install_kafka(*sorted((HERE / "nexmark").glob("*.java")), folder="nexmark") if "java" in arguments.systems else None
    bench, wrong = NexmarkBench(arguments, folder, classes), []
    try:
        bench.prepare()
        for name in arguments.queries or [name for name in QUERIES if any(name in has[system] for system in arguments.systems)]:
            for number in range(arguments.runs):
                for system in bench.in_turn(number):
                    if name not in has[system]:
                        continue
                    try:
                        figures, difference = measured(bench, system, name)
                    except (AssertionError, IndexError) as failure:
                        # The latter if a process ends just when its memory is looked at.
                        figures, difference = None, f"{name}: {failure}"
                    if difference is None:
                        bench.add(name, system, figures)
                    else:
                        wrong.append(f"{system}: {difference}")
                        note(wrong[-1])
                note(f"{name}: run {number + 1} of {arguments.runs}")
    finally:
        bench.broker.process.kill()
        bench.broker.process.wait()
        bench.show()
    if wrong:
        sys.exit("\n".join(["not counted:", *wrong]))


def bench_main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--queries", type=listed, help=f"some of {','.join(QUERIES)} [default: all]")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--systems", type=listed, default=["java", "ours"])
    parser.add_argument("--partitions", type=int, default=1, help="of each topic")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--binaries", type=Path, default=HERE.parents[1] / "target/release", help="folder of nexmark, nexmark_job and millstream")
    parser.add_argument("--binary", type=Path, help="millstream, if it is another one")
    parser.add_argument("--folder", type=Path, help="for events, answers, logs and state; kept [default: a temporary one]")
    parser.add_argument("--broker", choices=["kafka", "sync", "os"], default="kafka")
    parser.add_argument("--guarantee", choices=["exactly_once_v2", "at_least_once"], default="exactly_once_v2")
    parser.add_argument("--commit-interval-ms", type=int, default=100)
    parser.add_argument("--java-options", default="", help="of the JVM, e.g. -Xmx512m")
    parser.add_argument("--java", action="append", default=[], metavar="KEY=VALUE", help="configuration of Kafka Streams")
    parser.add_argument("--ours", action="append", default=[], metavar="KEY=VALUE", help="configuration of ours")
    arguments = parser.parse_args()
    if unknown := set(arguments.queries or ()) - set(QUERIES):
        parser.error(f"no query of the name {', '.join(unknown)}; there are {', '.join(QUERIES)}")
    # So that what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        run(arguments, folder)


def check_main():
    parser = argparse.ArgumentParser(prog="nexmark.py check", description="Compares an output with DuckDB's answer.")
    parser.add_argument("query", choices=QUERIES)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of the events' files")
    arguments = parser.parse_args(sys.argv[2:])
    if difference := Answers(arguments.data).difference(arguments.query, arguments.output):
        sys.exit(difference)
    print("ok")


if __name__ == "__main__":
    check_main() if sys.argv[1:2] == ["check"] else bench_main()
