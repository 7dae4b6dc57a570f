#!/usr/bin/env python3
"""Measures `millstream broker` and Apache Kafka side by side: same machine, same clients, same data, runs taken in turn.

    tests/benches/kafka.py --binary target/release/millstream [--runs 5] [--only produce,consume,latency,start] [--clients native,java]

Systems: `kafka` (4.2, one KRaft node, as it comes: it acknowledges before anything is on disk), `sync` (Millstream as it
comes: on disk before it acknowledges), `os` (Millstream with flush.mode=os, which promises what Kafka does).
Clients: `native` is librdkafka in `millstream perf`, `java` Kafka's own perf tests. Java's needs four fifths of the machine
for itself, most of it for compiling in the first seconds, and so shows less of the brokers. The latency at a fixed rate is
measured with `millstream perf latency`.
`CPU` and resident memory are the broker process's alone, from /proc. Millstream writes to the disk in its own threads, while
Kafka leaves that to the kernel's: `CPU+disk` is all time of the machine but the client's, until everything is on the disk.
Prints the median of each figure, its range, and its ratio to Kafka's. Takes about an hour with the defaults.
"""

import argparse
import itertools
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from brokers import HERE, TICKS, Broker, install_kafka, java

FIGURES = {  # figure: (unit, whether more is better)
    "records/s": ("k/s", True),
    "p99": ("ms", False),
    "p50": ("ms", False),
    "CPU": ("s/M", False),
    "CPU+disk": ("s/M", False),
    "memory": ("MB", False),
    "start": ("ms", False),
}


def tool(name, *arguments):
    done = subprocess.run(java(f"org.apache.kafka.tools.{name}", *arguments), capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        sys.exit(f"{name} {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def native(binary, *arguments):
    done = subprocess.run([str(binary), *map(str, arguments)], capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        sys.exit(f"millstream {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def topics(broker, binary, *arguments):
    native(binary, "topics", *arguments, "--bootstrap-server", broker.address)


class Java:
    """Kafka's producer and consumer perf tests."""

    @staticmethod
    def produce(broker, topic, records, size, codec):
        """As fast as it goes; its rate and 99th percentile."""
        output = tool("ProducerPerformance", "--topic", topic, "--num-records", records, "--record-size", size, "--throughput", -1,
                      "--producer-props", f"bootstrap.servers={broker.address}", "acks=all", f"compression.type={codec}")
        last = [line for line in output.splitlines() if "99th" in line][-1]
        rate = float(re.search(r"([\d.]+) records/sec", last)[1])
        return {"records/s": rate / 1000, "p99": float(re.search(r"(\d+) ms 99th", last)[1])}

    @staticmethod
    def consume(broker, topic, records):
        """From the start of the topic; its rate while it fetches."""
        output = tool("ConsumerPerformance", "--bootstrap-server", broker.address, "--topic", topic, "--messages", records, "--timeout", 60000)
        columns = output.strip().splitlines()[-1].split(",")
        assert int(float(columns[4])) >= records, output
        return {"records/s": float(columns[9]) / 1000}


class Native:
    """The same by librdkafka."""

    def __init__(self, binary):
        self.binary = binary

    def produce(self, broker, topic, records, size, codec):
        result = json.loads(native(self.binary, "perf", "produce", "--bootstrap-server", broker.address, "--topic", topic, "--num-records",
                                   records, "--record-size", size, "--throughput", -1, "--json", "--producer-props", "acks=all",
                                   f"compression.type={codec}"))
        return {"records/s": result["records_per_second"] / 1000, "p99": result["latency_ms"]["p99"]}

    def consume(self, broker, topic, records):
        result = json.loads(native(self.binary, "perf", "consume", "--bootstrap-server", broker.address, "--topic", topic, "--num-records",
                                   records, "--timeout", 60000, "--json"))
        assert result["records_consumed"] >= records, result
        return {"records/s": result["fetch_records_per_second"] / 1000}


def latency(broker, topic, records, size, binary):
    """From produce to consume at 10,000 records a second."""
    done = subprocess.run([str(binary), "perf", "latency", "--bootstrap-server", broker.address, "--topic", topic, "--num-records", str(records),
                           "--record-size", str(size), "--throughput", "10000", "--warmup-records", "10000", "--json"], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["records_missing"] == 0, result
    return {"p50": result["latency_ms"]["p50"], "p99": result["latency_ms"]["p99"]}


def machine():
    """Seconds of CPU time that the machine has spent, and those of this program's children."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _waiting, irq, softirq = map(int, words[:7])
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (user + nice + system + irq + softirq) / TICKS, children.ru_utime + children.ru_stime


def measured(broker, records, work):
    """Runs `work`; its figures with the CPU seconds per million records of the broker, and of all but the client."""
    os.sync()
    before, all_before, client_before = broker.cpu(), *machine()
    figures = work()
    figures["CPU"] = (broker.cpu() - before) / records * 1e6
    os.sync()
    all_after, client_after = machine()
    figures["CPU+disk"] = (all_after - all_before - client_after + client_before) / records * 1e6
    return figures


class Table:
    """What was measured: scenario → system → figure → values."""

    def __init__(self):
        self.rows = {}

    def add(self, scenario, system, figures):
        for figure, value in figures.items():
            self.rows.setdefault((scenario, figure), {}).setdefault(system, []).append(value)

    def show(self, systems):
        print(f"\n{'scenario':44} {'figure':10} {'unit':5}" + "".join(f"{system:>26}" for system in systems))
        for (scenario, figure), values in self.rows.items():
            line = f"{scenario:44} {figure:10} {FIGURES[figure][0]:5}"
            base = statistics.median(values["kafka"]) if "kafka" in values else None
            for system in systems:
                if system not in values:
                    line += " " * 26
                    continue
                middle = statistics.median(values[system])
                ratio = f" {middle / base:5.2f}×" if base and system != "kafka" else ""
                line += f"{f'{middle:.4g} ({min(values[system]):.4g}–{max(values[system]):.4g}){ratio}':>26}"
            print(line)


def throughput(brokers, arguments, table):
    clients = {"java": Java, "native": Native(arguments.binary)}
    matrix = itertools.product(arguments.clients, arguments.sizes, arguments.partitions, arguments.codecs)
    for name, size, partitions, codec in matrix:
        client = clients[name]
        records = arguments.records if size <= 100 else max(arguments.records // 4, 1)
        scenario = f"{size} B, {partitions} partition(s), {codec}, {name}"
        for run in range(arguments.runs):
            for system, broker in brokers.items():
                topic = f"t-{name}-{size}-{partitions}-{codec}-{run}"
                topics(broker, arguments.binary, "--create", "--topic", topic, "--partitions", partitions, "--replication-factor", 1)
                if "produce" in arguments.only:
                    table.add("produce " + scenario, system, measured(broker, records, lambda: client.produce(broker, topic, records, size, codec)))
                else:
                    client.produce(broker, topic, records, size, codec)
                if "consume" in arguments.only:
                    table.add("consume " + scenario, system, measured(broker, records, lambda: client.consume(broker, topic, records)))
                topics(broker, arguments.binary, "--delete", "--topic", topic)
            print(f"{scenario}: run {run + 1} of {arguments.runs}", file=sys.stderr)


def latencies(brokers, arguments, table):
    for run in range(arguments.runs):
        for system, broker in brokers.items():
            for partitions in arguments.partitions:
                topic = f"latency-{partitions}-{run}"
                topics(broker, arguments.binary, "--create", "--topic", topic, "--partitions", partitions, "--replication-factor", 1)
                records = (arguments.latency_seconds + 1) * 10_000
                figures = measured(broker, records, lambda: latency(broker, topic, records, 100, arguments.binary))
                table.add(f"end to end, 10 k/s, {partitions} partition(s)", system, figures)
                topics(broker, arguments.binary, "--delete", "--topic", topic)
        print(f"latency: run {run + 1} of {arguments.runs}", file=sys.stderr)


def starts(brokers, arguments, table):
    for broker in brokers.values():
        topics(broker, arguments.binary, "--create", "--topic", "first", "--partitions", 1, "--replication-factor", 1)
    for run in range(arguments.runs):
        for system, broker in brokers.items():
            for what, topic in [("an answer", None), ("a record is stored", "first")]:
                broker.stop()
                table.add(f"start until {what}", system, {"start": broker.start(topic)})
            time.sleep(1)
            table.add("after the start", system, {"memory": broker.memory("VmRSS")})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda kind: lambda text: [kind(word) for word in text.split(",")]
    parser.add_argument("--binary", type=Path, default=HERE.parents[1] / "target/release/millstream")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--records", type=int, default=4_000_000, help="of 100 bytes; a quarter of 1 KB")
    parser.add_argument("--systems", type=words(str), default=["kafka", "sync", "os"])
    parser.add_argument("--only", type=words(str), default=["produce", "consume", "latency", "start"])
    parser.add_argument("--clients", type=words(str), default=["native", "java"])
    parser.add_argument("--sizes", type=words(int), default=[100, 1024])
    parser.add_argument("--partitions", type=words(int), default=[1, 16])
    parser.add_argument("--codecs", type=words(str), default=["none", "lz4"])
    parser.add_argument("--latency-seconds", type=int, default=20)
    arguments = parser.parse_args()
    install_kafka()
    table = Table()
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        brokers = {system: Broker(system, Path(folder) / system, arguments.binary) for system in arguments.systems}
        try:
            if {"produce", "consume"} & set(arguments.only):
                throughput(brokers, arguments, table)
            if "latency" in arguments.only:
                latencies(brokers, arguments, table)
            for system, broker in brokers.items():
                table.add("peak, after all of it", system, {"memory": broker.memory()})
            if "start" in arguments.only:
                starts(brokers, arguments, table)
        finally:
            for broker in brokers.values():
                broker.process.kill()
                broker.process.wait()
            table.show(arguments.systems)


main()
