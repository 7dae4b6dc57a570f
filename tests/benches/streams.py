#!/usr/bin/env python3
"""Measures stream jobs beside Kafka Streams 4.2: same broker, same input, same output, runs taken in turn.

    tests/benches/streams.py [--runs 5] [--only words,restore,join,scaling] [--broker kafka|sync|os] [--guarantee at_least_once]

Systems: `java` is Kafka Streams as it comes (RocksDB, a cache, the JVM's own choice of heap; streams/Job.java), `ours` the same
job with millstream-streams (examples/bench_job.rs). Both commit every --commit-interval-ms, Kafka Streams' own default. The
broker is Apache Kafka, or Millstream's with --broker (its flush.mode).

words    counts words of licence texts and of a generated text with many distinct words, in one partition and in four
restore  state of many keys, written by the job itself, is read back by a process that has nothing on its disk
state    keys and counts alone are four times statestore.cache.max.bytes: what memory does that take?
join     records of two topics whose keys meet within an hour of event time: the job's disk as well, its own and the broker's for it
latency  windows of events at a fixed rate: from an event to the reader of a committed result that includes it
scaling  cost of a record by number of records and of keys; --save writes a CSV file and a diagram

`wall` and `CPU` begin with the start of the process, JVM and all (`start` says how long until it has its partitions), and end
with the commit of the last result; `CPU` is the job's, user's and kernel's; `broker` is what the broker spent and had written to the
disk meanwhile. A run counts only if what readers of committed records find is right. Words are compared with coreutils'.
Prints the median of each figure, its range, and ours as a multiple of Java's. Build first:
    cargo build --locked --release -p millstream -p millstream-examples -p millstream-tests
"""

import argparse
import csv
import itertools
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import svg
import wire
from brokers import HERE, KAFKA, Broker, cpu, install_kafka, memory
from word_count import COUNT, corpus

UNITS = {
    "records/s": "k/s",
    "records/CPU-s": "k/s",
    "words/CPU-s": "k/s",
    "wall": "s",
    "CPU": "s",
    "start": "s",
    "memory": "MB",
    "broker CPU": "s",
    "broker writes": "MB",
    "state": "MB",
    "changelogs": "MB",
    "load": "%",
    "p50": "ms",
    "p99": "ms",
    "p99.9": "ms",
}
LOOK_EVERY = 0.05  # seconds
SETTLE = 2.0  # seconds without a commit: the job has nothing left to do
STUCK = 120.0
STATE_KEY_BYTES = 200
SAMPLE = 200  # keys that a restored state is asked for
JOIN_MS = 4 * 3_600_000  # event time of what is joined
JOIN_WINDOW_MS = 3_600_000
JOIN_VALUE = "a value of forty bytes, as they may come "


class Bench:
    """What all scenarios share: the broker, the programs, a folder, the results."""

    def __init__(self, arguments, folder, classes, settings=()):
        self.arguments, self.folder, self.classes = arguments, folder, classes
        self.binary = arguments.binaries / "millstream"
        self.broker = Broker(arguments.broker, folder / "broker", self.binary, settings)
        self.rows = {}
        self.applications = 0

    def command(self, *words, stdin=None, stdout=subprocess.DEVNULL, stderr=None):
        command = [str(self.binary), *map(str, words), "--bootstrap-server", self.broker.address]
        return subprocess.run(command, check=True, stdin=stdin, stdout=stdout, stderr=stderr)

    def create(self, topic, partitions):
        self.command("topics", "--create", "--topic", topic, "--partitions", partitions, "--replication-factor", 1)

    def load(self, topic, partitions, text):
        """A new topic with the lines of a file."""
        self.create(topic, partitions)
        if partitions == 1:
            return self.append(topic, text)
        # As many lines in each: the producer's own spreading leaves some with half of the others'.
        part = self.folder / "part"
        for partition in range(partitions):
            with open(text, "rb") as lines, open(part, "wb") as out:
                out.writelines(itertools.islice(lines, partition, None, partitions))
            self.append(topic, part, "--partition", partition)

    def append(self, topic, text, *options):
        with open(text, "rb") as lines:
            self.command("produce", "--topic", topic, *options, stdin=lines)

    def delete(self, *topics):
        for topic in topics:
            self.command("topics", "--delete", "--topic", topic)

    def ends(self, topic, partitions, committed=False):
        """The ends of a topic's partitions, or of what is committed in them; -1 where there is none."""
        numbers = list(range(partitions))
        with socket.create_connection(("127.0.0.1", self.broker.port), 60) as connection:
            if committed:
                return wire.offsets(wire.call(connection, wire.committed_ends(topic, numbers))[4:])
            return wire.offsets(wire.call(connection, wire.latest_offsets(topic, numbers)))

    def committed(self, application):
        with socket.create_connection(("127.0.0.1", self.broker.port), 60) as connection:
            return wire.group_offsets(wire.call(connection, wire.committed_offsets(application)))

    def counts(self, topic):
        """The last count of each word that readers of committed records find."""
        options = ["--from-beginning", "--isolation-level", "read_committed", "--timeout-ms", "5000", "--property", "print.key=true"]
        command = [str(self.binary), "consume", "--topic", topic, "--bootstrap-server", self.broker.address, *options]
        reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        found = {}
        for line in reader.stdout:
            word, _, value = line.rstrip(b"\n").partition(b"\t")
            found[word] = value
        assert reader.wait() == 0, "the output cannot be read"
        return {word.decode(): int(value.removeprefix(b'{"count":').removesuffix(b"}")) for word, value in found.items()}

    def pairs(self, topic):
        """The keys of a topic of pairs, each as often as readers of committed records find it."""
        options = ["--from-beginning", "--isolation-level", "read_committed", "--timeout-ms", "5000", "--property", "print.key=true"]
        command = [str(self.binary), "consume", "--topic", topic, "--bootstrap-server", self.broker.address, *options]
        reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        keys = []
        for line in reader.stdout:
            key, _, value = line.rstrip(b"\n").partition(b"\t")
            sides = json.loads(value)
            assert sides["l"].split()[0] == sides["r"].split()[0] == key.decode(), f"{value} is not of {key}"
            keys.append(int(key[1:]))
        assert reader.wait() == 0, "the output cannot be read"
        return keys

    def log_bytes(self, prefix):
        """What the topics whose names begin so take on the broker's disk."""
        found = subprocess.run([str(self.binary), "log-dirs", "--describe", "--bootstrap-server", self.broker.address],
                               check=True, capture_output=True, text=True).stdout
        described = json.loads(next(line for line in found.splitlines() if line.startswith("{")))
        partitions = [partition for broker in described["brokers"] for folder in broker["logDirs"] for partition in folder["partitions"]]
        return sum(partition["size"] for partition in partitions if partition["partition"].startswith(prefix))

    def application(self, system):
        """A name that no job had before."""
        self.applications += 1
        return f"{system}-{self.applications}"

    def in_turn(self, run):
        """The systems, in an order that changes from run to run."""
        return self.arguments.systems if run % 2 == 0 else self.arguments.systems[::-1]

    def add(self, scenario, system, figures):
        for figure, value in figures.items():
            self.rows.setdefault((scenario, figure), {}).setdefault(system, []).append(value)

    def show(self):
        print(f"\n{'scenario':42} {'figure':14} {'unit':5}" + "".join(f"{system:>34}" for system in self.arguments.systems))
        for (scenario, figure), values in self.rows.items():
            line = f"{scenario:42} {figure:14} {UNITS[figure]:5}"
            base = statistics.median(values["java"]) if "java" in values else None
            for system in self.arguments.systems:
                if system not in values:
                    line += " " * 34
                    continue
                middle = statistics.median(values[system])
                ratio = f" {middle / base:6.3g}×" if base and system != "java" else ""
                line += f"{f'{middle:.4g} ({min(values[system]):.4g}–{max(values[system]):.4g}){ratio}':>34}"
            print(line)


class Job:
    """A process of a job, and what it and the broker use while it runs."""

    binary, main_class = "bench_job", "Job"

    def __init__(self, bench, system, application, source, output, threads, kind="words", config=()):
        arguments = bench.arguments
        self.bench, self.system, self.application = bench, system, application
        self.state = bench.folder / "state" / application
        self.shuffles = kind != "join"
        config = {
            "application.id": application,
            "bootstrap.servers": bench.broker.address,
            "num.stream.threads": threads,
            "processing.guarantee": arguments.guarantee,
            "commit.interval.ms": arguments.commit_interval_ms,
            "state.dir": self.state,
        } | dict(config)
        config |= dict(pair.split("=", 1) for pair in (arguments.java if system == "java" else arguments.ours))
        pairs = [f"{key}={value}" for key, value in config.items()]
        self.log = open(bench.folder / f"{system}.log", "ab")
        self.broker_before = bench.broker.cpu(), bench.broker.written()
        self.begun = time.perf_counter()
        self.process = subprocess.Popen([*self.program(), kind, source, output, *pairs], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)
        self.started, self.said = None, []
        threading.Thread(target=self.listen, daemon=True).start()

    def program(self):
        if self.system == "ours":
            return [self.bench.arguments.binaries / self.binary]
        return ["java", *self.bench.arguments.java_options.split(), f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}", "-cp",
                f"{self.bench.classes}:{KAFKA}/libs/*", self.main_class]

    def listen(self):
        for line in self.process.stdout:
            self.said.append(line.strip())
            if self.started is None and line.strip() == "started":
                self.started = time.perf_counter() - self.begun

    def expect_alive(self):
        assert self.process.poll() is None, f"{self.system} ended by itself: see {self.log.name} (--folder keeps it)"

    def figures(self):
        """What has been used up to now."""
        self.expect_alive()
        pid, broker = self.process.pid, self.bench.broker
        return {
            "wall": time.perf_counter() - self.begun,
            "CPU": cpu(pid),
            "start": self.started or 0.0,
            "memory": memory(pid),
            "broker CPU": broker.cpu() - self.broker_before[0],
            "broker writes": (broker.written() - self.broker_before[1]) / 1e6,
        }

    def shuffled(self, partitions):
        """The ends of its repartition topics, by topic and partition."""
        if not self.shuffles:
            return {}
        topic = f"{self.application}-counts-repartition"
        return {(topic, n): end for n, end in enumerate(self.bench.ends(topic, partitions))}

    def work_off(self, source, ends):
        """Waits until all of the input is counted; the figures as of the last commit."""
        return self.work_off_all({(source, n): end for n, end in enumerate(ends)}, len(ends))

    def work_off_all(self, sources, partitions):
        """As [`work_off`], of several topics: ends by topic and partition."""
        last, figures, changed = None, None, 0.0
        while True:
            time.sleep(LOOK_EVERY)
            self.expect_alive()
            assert last is None or time.perf_counter() - changed < STUCK, f"no commit for {STUCK} s, and these are the last: {last}"
            committed = self.bench.committed(self.application)
            if committed != last:
                last, figures, changed = committed, self.figures(), time.perf_counter()
            if time.perf_counter() - changed < SETTLE or any(committed.get(place, 0) < end for place, end in sources.items()):
                continue
            # Behind the last records there are only the ends of transactions. Whether that was so, the output tells.
            if all(end >= 0 and committed.get(place, 0) >= end - 16 for place, end in self.shuffled(partitions).items()):
                return figures

    def until_written(self, output, before):
        """Waits until more than `before` is committed in partition 0 of the output."""
        while self.bench.ends(output, 1, committed=True)[0] <= before:
            self.figures()
            time.sleep(LOOK_EVERY / 5)
        return self.figures()

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        """Ends the job, as its user would unless something has failed."""
        try:
            if failure is None:
                self.process.stdin.close()
                assert self.process.wait(120) == 0, f"{self.system} did not end well: see {self.log.name} (--folder keeps it)"
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()

    def forget(self, *topics, step="counts"):
        """Removes all that the job has made."""
        shutil.rmtree(self.state, ignore_errors=True)
        self.bench.delete(f"{self.application}-{step}-repartition", f"{self.application}-{step}-changelog", *topics)


def rates(figures, records, words=None):
    """The figures with what they mean per second."""
    rated = {"records/s": records / figures["wall"] / 1e3, "records/CPU-s": records / figures["CPU"] / 1e3}
    if words:
        rated["words/CPU-s"] = words / figures["CPU"] / 1e3
    return rated | figures


def generated(path, size, distinct):
    """A text of about `size` bytes with `distinct` words: each once, the others the rarer the higher their number (Zipf)."""
    source, vocabulary = random.Random(1), [f"{number:x}" for number in range(distinct)]
    rarity = [1 / (rank + 10) for rank in range(distinct)]
    length = 1 + sum(len(word) * weight for word, weight in zip(vocabulary, rarity)) / sum(rarity)
    once = sum(map(len, vocabulary)) + distinct
    words = source.choices(vocabulary, weights=rarity, k=max(int((size - once) / length), 0)) + vocabulary
    source.shuffle(words)
    with open(path, "w") as out:
        for first in range(0, len(words), 10):
            out.write(" ".join(words[first:first + 10]) + "\n")


def numbered(path, records, keys, width=0):
    """A word a line, of `keys` words in turn, neighbours far apart; with at least `width` digits."""
    step = int(keys * 0.618) | 1
    while keys % step == 0 and step > 1 or any(keys % prime == 0 == step % prime for prime in (2, 3, 5, 7, 11, 13)):
        step += 2
    with open(path, "w") as out:
        for first in range(0, records, 100_000):
            out.writelines(f"k{number * step % keys:0{width}}\n" for number in range(first, min(first + 100_000, records)))


def check_numbered(counts, records, keys):
    assert len(counts) == min(records, keys) and sum(counts.values()) == records, f"{len(counts)} keys, {sum(counts.values())} records"
    assert max(counts.values()) - min(counts.values()) <= 1, "keys that came equally often have different counts"


def measured(bench, system, source, ends, threads, check, config=()):
    """One job from its start to its last commit, on a topic that is there."""
    application, partitions = bench.application(system), len(ends)
    output = f"{application}-counts"
    bench.create(output, partitions)
    os.sync()
    with Job(bench, system, application, source, output, threads, config=config) as job:
        figures = job.work_off(source, ends)
    check(bench.counts(output))
    job.forget(output)
    return figures


def words(bench):
    arguments, size = bench.arguments, int(bench.arguments.megabytes * 1e6)
    texts = {"licences": lambda path: corpus(path, size), f"{arguments.distinct} distinct": lambda path: generated(path, size, arguments.distinct)}
    for number, (name, make) in enumerate(texts.items()):
        if name.split()[-1] not in arguments.texts:
            continue
        text = bench.folder / f"text-{number}"
        make(text)
        table = subprocess.run(["sh", "-c", COUNT, text], check=True, capture_output=True, text=True).stdout
        expected = {word: int(count) for count, word in (line.split() for line in table.splitlines())}
        total = sum(expected.values())

        def check(counts):
            assert counts == expected, f"counts differ from coreutils': {sum(counts.values())} words of {total}, {len(counts)} of {len(expected)}"

        for partitions in arguments.partitions:
            topic = f"text-{number}-{partitions}"
            bench.load(topic, partitions, text)
            ends = bench.ends(topic, partitions)
            lines = sum(ends)
            note(f"{name}: {text.stat().st_size / 1e6:.0f} MB, {lines} lines, {total} words, {len(expected)} distinct, partitions of {ends} lines")
            for run in range(arguments.runs):
                for threads in [threads for threads in arguments.threads if threads <= partitions]:
                    for system in bench.in_turn(run):
                        figures = measured(bench, system, topic, ends, threads, check)
                        bench.add(f"{name}, {partitions} part., {threads} thread(s)", system, rates(figures, lines, total))
                note(f"{name}, {partitions} partition(s): run {run + 1} of {arguments.runs}")
            bench.delete(topic)


def restore(bench):
    arguments, keys = bench.arguments, bench.arguments.restore_keys
    text, sample = bench.folder / "keys", bench.folder / "sample"
    numbered(text, keys, keys)
    asked = [f"k{number * max(keys // SAMPLE, 1)}" for number in range(min(SAMPLE, keys))]
    sample.write_text(" ".join(asked) + "\n")
    built = {}
    for system in arguments.systems:
        application = bench.application(system)
        topic, output = f"{application}-keys", f"{application}-counts"
        bench.load(topic, 1, text)
        bench.create(output, 1)
        with Job(bench, system, application, topic, output, 1) as job:
            job.work_off(topic, bench.ends(topic, 1))
        built[system] = application
        note(f"restore: {system} has built its state")
    for run in range(arguments.runs):
        for system in bench.in_turn(run):
            application = built[system]
            topic, output = f"{application}-keys", f"{application}-counts"
            shutil.rmtree(bench.folder / "state" / application, ignore_errors=True)
            # A line waits for the job; its counts are readable once the state is whole.
            bench.append(topic, sample)
            before = bench.ends(output, 1, committed=True)[0]
            os.sync()
            with Job(bench, system, application, topic, output, 1) as job:
                figures = job.until_written(output, before)
                time.sleep(SETTLE)
            for line in job.said:
                note(f"restore: {system}: {line}")
            bench.add(f"restore of {keys} keys", system, rates(figures, keys))
        note(f"restore: run {run + 1} of {arguments.runs}")
    for system, application in built.items():
        counts = bench.counts(f"{application}-counts")
        assert all(counts[key] == 1 + arguments.runs for key in asked), "a restored count is wrong"
        assert len(counts) == keys and sum(counts.values()) == keys + arguments.runs * len(asked), "counts are wrong"


def state(bench):
    arguments = bench.arguments
    limit = int(arguments.state_megabytes * 1e6)
    keys = 4 * limit // (STATE_KEY_BYTES + 8)
    text, records = bench.folder / "state-keys", 2 * keys
    numbered(text, records, keys, STATE_KEY_BYTES - 1)
    bench.load("state-keys", 1, text)
    ends = bench.ends("state-keys", 1)
    for run in range(arguments.runs):
        for system in bench.in_turn(run):
            figures = measured(bench, system, "state-keys", ends, 1, lambda counts: check_numbered(counts, records, keys),
                               {"statestore.cache.max.bytes": limit})
            bench.add(f"{4 * arguments.state_megabytes:g} MB of state, limit {arguments.state_megabytes:g} MB", system, rates(figures, records))
        note(f"state: run {run + 1} of {arguments.runs}")
    bench.delete("state-keys")


def sides(folder, records):
    """Both sides of a join as lines of a key and a value, in the order of their event time, and the numbers of the keys that meet."""
    source, step = random.Random(1), JOIN_MS / records
    left, right, met = folder / "left", folder / "right", []
    begin, times = 1_700_000_000_000, []
    for number in range(records):
        # Nine of ten meet, wherever in the window; the others are too far behind.
        near = source.randrange(10) > 0
        apart = source.randrange(-JOIN_WINDOW_MS // 2, JOIN_WINDOW_MS // 2) if near else JOIN_WINDOW_MS + source.randrange(1, 600_000)
        times.append((max(begin + int(number * step) + apart, begin), number))
        if near:
            met.append(number)
    with open(left, "w") as out:
        for number in range(records):
            out.write(f'k{number}\t{{"at":{begin + int(number * step)},"v":"k{number} {JOIN_VALUE}"}}\n')
    times.sort()
    with open(right, "w") as out:
        for at, number in times:
            out.write(f'k{number}\t{{"at":{at},"v":"k{number} {JOIN_VALUE}"}}\n')
    return left, right, met


def join(bench):
    arguments, records = bench.arguments, bench.arguments.join_records
    left, right, met = sides(bench.folder, records)
    for partitions in arguments.partitions:
        topics, ends = [f"left-{partitions}", f"right-{partitions}"], {}
        for topic, text in zip(topics, (left, right)):
            bench.create(topic, partitions)
            bench.append(topic, text, "--property", "parse.key=true", "--property", "key.separator=\t")
            ends |= {(topic, n): end for n, end in enumerate(bench.ends(topic, partitions))}
        for run in range(arguments.runs):
            for threads in [threads for threads in arguments.threads if threads <= partitions]:
                for system in bench.in_turn(run):
                    application = bench.application(system)
                    output = f"{application}-pairs"
                    bench.create(output, partitions)
                    os.sync()
                    with Job(bench, system, application, ",".join(topics), output, threads, "join") as job:
                        figures = job.work_off_all(ends, partitions)
                        # Blocks, as some files are longer than what is written in them.
                        state = sum(file.stat().st_blocks * 512 for file in job.state.rglob("*") if file.is_file())
                        changelogs = bench.log_bytes(f"{application}-joined")
                    keys = bench.pairs(output)
                    assert sorted(keys) == met, f"{len(keys)} pairs, {len(set(keys))} of them distinct, instead of {len(met)}"
                    names = ["joined"] if system == "ours" else ["joined-this-join-store", "joined-other-join-store"]
                    shutil.rmtree(job.state, ignore_errors=True)
                    bench.delete(output, *[f"{application}-{name}-changelog" for name in names])
                    bench.add(f"join of 2 × {records}, {partitions} part., {threads} thread(s)", system,
                              rates(figures, 2 * records) | {"state": state / 1e6, "changelogs": changelogs / 1e6})
            note(f"join, {partitions} partition(s): run {run + 1} of {arguments.runs}")
        bench.delete(*topics)


def latency(bench):
    arguments = bench.arguments
    for run in range(arguments.runs):
        for system in bench.in_turn(run):
            application = bench.application(system)
            events, output = f"{application}-events", f"{application}-windows"
            for topic in (events, output):
                bench.create(topic, arguments.latency_partitions)
            with Job(bench, system, application, events, output, 1, "windows") as job:
                while job.started is None:
                    job.figures()
                    time.sleep(LOOK_EVERY)
                time.sleep(SETTLE)
                begin = int(time.time() // 10 * 10_000)
                before, began = job.figures(), time.perf_counter()
                probe = subprocess.run([arguments.binaries / "stream-latency", bench.broker.address, events, output,
                                        *map(str, (begin, arguments.latency_rate, arguments.latency_keys, arguments.latency_warmup,
                                                   arguments.latency_seconds))], capture_output=True, text=True)
                took, after = time.perf_counter() - began, job.figures()
            assert probe.returncode == 0, probe.stderr
            found = json.loads(probe.stdout)
            note(f"latency: {system}: {probe.stdout.strip()}")
            job.forget(events, output, step="per-key")
            if found["missing"]:
                note(f"latency: {system} did not keep up: a minute after the last event, {found['missing']} were in no result")
                continue
            bench.add(f"windows, {arguments.latency_rate} events/s, {arguments.latency_keys} keys", system,
                      {figure: found[figure] for figure in ("p50", "p99", "p99.9")}
                      | {"load": (after["CPU"] - before["CPU"]) / took * 100, "memory": after["memory"]})
        note(f"latency: run {run + 1} of {arguments.runs}")


def scaling(bench):
    arguments, rows = bench.arguments, []
    sizes = [(records, arguments.scaling_keys_fixed) for records in arguments.scaling_records]
    sizes += [(arguments.scaling_records_fixed, keys) for keys in arguments.scaling_keys]
    for records, keys in dict.fromkeys(sizes):
        text, topic = bench.folder / "numbers", f"numbers-{records}-{keys}"
        numbered(text, records, keys)
        bench.load(topic, 1, text)
        text.unlink()
        ends = bench.ends(topic, 1)
        for run in range(arguments.runs):
            for system in bench.in_turn(run):
                figures = measured(bench, system, topic, ends, 1, lambda counts: check_numbered(counts, records, keys))
                bench.add(f"{records} records, {keys} keys", system, rates(figures, records))
                rows.append({"system": system, "records": records, "keys": keys, "run": run + 1}
                            | {figure.replace(" ", "_"): round(value, 3) for figure, value in figures.items()}
                            | {"CPU_us_per_record": round(figures["CPU"] / records * 1e6, 4)})
            note(f"scaling, {records} records, {keys} keys: run {run + 1} of {arguments.runs}")
        bench.delete(topic)
    if arguments.save:
        arguments.save.mkdir(parents=True, exist_ok=True)
        with open(arguments.save / "streams-scaling.csv", "w", newline="") as out:
            writer = csv.DictWriter(out, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        (arguments.save / "streams-scaling.svg").write_text(svg.diagram([
            by(rows, "records", arguments.scaling_records, "keys", arguments.scaling_keys_fixed),
            by(rows, "keys", arguments.scaling_keys, "records", arguments.scaling_records_fixed),
        ]))


def by(rows, across, values, held, at):
    """A panel of the diagram: the median cost of a record over `across`, while `held` stays as it is."""
    names = {"java": "Kafka Streams", "ours": "Millstream"}
    series = []
    for system in dict.fromkeys(row["system"] for row in rows):
        costs = lambda value: [row["CPU_us_per_record"] for row in rows
                               if row["system"] == system and row[across] == value and row[held] == at]
        series.append((names[system], [(value, statistics.median(costs(value))) for value in values if costs(value)]))
    return f"CPU time a record, {at:,} {held}".replace(",", " "), across, "µs", series


def note(text):
    print(text, file=sys.stderr, flush=True)


SCENARIOS = {"words": words, "restore": restore, "state": state, "join": join, "latency": latency, "scaling": scaling}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda kind: lambda text: [kind(word) for word in text.split(",")]
    parser.add_argument("--binaries", type=Path, default=HERE.parents[1] / "target/release", help="folder of the release binaries")
    parser.add_argument("--folder", type=Path, help="for texts, logs and state; kept [default: a temporary one]")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", type=listed(str), default=list(SCENARIOS))
    parser.add_argument("--systems", type=listed(str), default=["java", "ours"])
    parser.add_argument("--broker", choices=["kafka", "sync", "os"], default="kafka")
    parser.add_argument("--guarantee", choices=["exactly_once_v2", "at_least_once"], default="exactly_once_v2")
    parser.add_argument("--commit-interval-ms", type=int, default=100)
    parser.add_argument("--java-options", default="", help="of the JVM, e.g. -Xmx512m")
    parser.add_argument("--java", action="append", default=[], metavar="KEY=VALUE", help="configuration of Kafka Streams")
    parser.add_argument("--ours", action="append", default=[], metavar="KEY=VALUE", help="configuration of ours")
    parser.add_argument("--megabytes", type=float, default=100, help="of each text")
    parser.add_argument("--texts", type=listed(str), default=["licences", "distinct"])
    parser.add_argument("--distinct", type=int, default=1_000_000, help="words of the generated text")
    parser.add_argument("--partitions", type=listed(int), default=[1, 4])
    parser.add_argument("--threads", type=listed(int), default=[1, 2])
    parser.add_argument("--restore-keys", type=int, default=10_000_000)
    parser.add_argument("--state-megabytes", type=float, default=64, help="the limit; the state is four times as large")
    parser.add_argument("--join-records", type=int, default=5_000_000, help="of each side")
    parser.add_argument("--latency-rate", type=int, default=100_000, help="events a second")
    parser.add_argument("--latency-keys", type=int, default=1_000)
    parser.add_argument("--latency-partitions", type=int, default=1)
    parser.add_argument("--latency-warmup", type=int, default=20, help="seconds that are not timed")
    parser.add_argument("--latency-seconds", type=int, default=30)
    parser.add_argument("--scaling-records", type=listed(int), default=[10**6, 10**7, 10**8])
    parser.add_argument("--scaling-keys", type=listed(int), default=[10**4, 10**5, 10**6, 10**7])
    parser.add_argument("--scaling-keys-fixed", type=int, default=10**5, help="while the records vary")
    parser.add_argument("--scaling-records-fixed", type=int, default=10**7, help="while the keys vary")
    parser.add_argument("--save", type=Path, help="folder for streams-scaling.csv and .svg")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(SCENARIOS):
        parser.error(f"no scenario of the name {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    # So that what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    classes = install_kafka(HERE / "streams/Job.java")
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(arguments, folder, classes)
        try:
            for name in arguments.only:
                SCENARIOS[name](bench)
        finally:
            bench.broker.process.kill()
            bench.broker.process.wait()
            bench.show()


if __name__ == "__main__":
    main()
