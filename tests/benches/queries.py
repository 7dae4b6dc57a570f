#!/usr/bin/env python3
"""Measures questions to a store of a running job while it works: point reads of random keys, in process and over HTTP.

    tests/benches/queries.py [--keys 10000000] [--updates 1000000] [--reads 200000]

The job (examples/bench_queries.rs) counts keys. First every key comes once; then --updates a second come, of random keys, while it is
asked: by its own process (`job.store("counts")`), and over HTTP by --connections of this one, which stay open. Every read has to find
its key. The broker is Millstream's with --broker (its flush.mode). Prints percentiles in microseconds; Python's own share of an answer over HTTP
is in them. `updates` is what came meanwhile. Build first:
    cargo build --locked --release -p millstream -p millstream-examples
"""

import argparse
import http.client
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from brokers import HERE, Broker, cpu, memory

CHUNK = 100_000  # lines written at once
STUCK = 600.0


class Job:
    """The process that is asked."""

    def __init__(self, arguments, broker, folder):
        pairs = {"application.id": "queries", "bootstrap.servers": broker.address, "queries.listener": "127.0.0.1:0",
                 "state.dir": str(folder / "state"), "num.stream.threads": str(arguments.threads),
                 "commit.interval.ms": str(arguments.commit_interval_ms), "processing.guarantee": arguments.guarantee}
        pairs |= dict(pair.split("=", 1) for pair in arguments.ours)
        command = [str(arguments.binaries / "bench_queries"), "keys", "counts", *(f"{key}={value}" for key, value in pairs.items())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.line().removeprefix("started ").strip()

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the job has ended")
        return line

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.line())

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait() == 0, "the job failed"


class Updates:
    """Lines of random keys at a rate, until it is stopped."""

    def __init__(self, produce, keys, rate):
        self.produce, self.keys, self.rate = produce, keys, rate
        self.written, self.going, self.random = 0, True, random.Random(7)
        # Python makes no million random lines a second: pieces are drawn from some that are ready.
        piece = max(1, min(CHUNK, rate // 10))
        self.pieces = [self.lines(piece) for _ in range(max(1, min(20, 2_000_000 // piece)))]
        self.piece = piece
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def lines(self, count):
        return "".join(f"key{self.random.randrange(self.keys)}\n" for _ in range(count)).encode()

    def run(self):
        due = time.monotonic()
        while self.going:
            self.produce.stdin.write(self.random.choice(self.pieces))
            self.produce.stdin.flush()
            self.written += self.piece
            due += self.piece / self.rate
            time.sleep(max(0.0, due - time.monotonic()))

    def stop(self):
        self.going = False
        self.thread.join()


def over_http(arguments, address, number, times):
    chosen = random.Random(number)
    connection = http.client.HTTPConnection(address, timeout=60)
    for _ in range(arguments.http_reads // arguments.connections):
        target = f"/stores/counts?key=%5B%22key{chosen.randrange(arguments.keys)}%22%5D"
        begun = time.perf_counter()
        connection.request("GET", target)
        answer = connection.getresponse()
        body = answer.read()
        times.append(time.perf_counter() - begun)
        assert answer.status == 200, body
        assert json.loads(body)["rows"][0]["n"] > 0, body


def http_figures(arguments, address):
    times = []
    threads = [threading.Thread(target=over_http, args=(arguments, address, number, times)) for number in range(arguments.connections)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    assert len(times) == arguments.http_reads // arguments.connections * arguments.connections, "a connection failed"
    times.sort()
    at = lambda part: times[int((len(times) - 1) * part)] * 1e6
    return {"reads": len(times), "per_s": len(times) / took, "p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "max": at(1)}


def show(name, figures, updates):
    text = "  ".join(f"{figure} {value:,.0f}" for figure, value in figures.items())
    print(f"{name:12} {text}  updates {updates:,.0f}/s", flush=True)


def measure(arguments, folder):
    binary = arguments.binaries / "millstream"
    broker = Broker(arguments.broker, folder / "broker", binary)
    command = lambda *words: [str(binary), *map(str, words), "--bootstrap-server", broker.address]
    try:
        for topic, partitions in (("keys", arguments.partitions), ("counts", 1)):
            subprocess.run(command("topics", "--create", "--topic", topic, "--partitions", partitions), check=True, stdout=subprocess.DEVNULL)
        produce = subprocess.Popen(command("produce", "--topic", "keys"), stdin=subprocess.PIPE)
        for first in range(0, arguments.keys, CHUNK):
            last = min(arguments.keys, first + CHUNK)
            produce.stdin.write("".join(f"key{key}\n" for key in range(first, last)).encode())
        produce.stdin.close()
        assert produce.wait() == 0, "the keys cannot be produced"
        job, until = Job(arguments, broker, folder), time.monotonic() + STUCK
        while (there := job.ask("keys")) < arguments.keys:
            if time.monotonic() > until:
                sys.exit(f"only {there} of {arguments.keys} keys came")
            time.sleep(0.5)
        print(f"{arguments.keys:,} keys, {memory(job.process.pid, 'VmRSS'):,.0f} MB", flush=True)
        produce = subprocess.Popen(command("produce", "--topic", "keys"), stdin=subprocess.PIPE)
        updates = Updates(produce, arguments.keys, arguments.updates)
        time.sleep(arguments.warmup)
        for run in range(arguments.runs):
            read = f"read {arguments.reads} {arguments.readers} {arguments.keys}"
            for name, figures in (("in process", lambda: job.ask(read)), ("HTTP", lambda: http_figures(arguments, job.address))):
                before, begun, spent = updates.written, time.monotonic(), cpu(job.process.pid)
                found = figures()
                if "found" in found:
                    assert found["found"] == found["reads"], found
                took = time.monotonic() - begun
                show(name, found | {"CPU%": (cpu(job.process.pid) - spent) / took * 100}, (updates.written - before) / took)
        updates.stop()
        produce.stdin.close()
        assert produce.wait() == 0, "the updates cannot be produced"
        job.stop()
    finally:
        broker.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=Path, default=HERE.parents[1] / "target/release", help="folder of the binaries")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--broker", choices=["sync", "os"], default="os")
    parser.add_argument("--guarantee", choices=["exactly_once_v2", "at_least_once"], default="exactly_once_v2")
    parser.add_argument("--commit-interval-ms", type=int, default=100)
    parser.add_argument("--ours", action="append", default=[], metavar="KEY=VALUE", help="configuration of the job")
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--updates", type=int, default=1_000_000, help="a second")
    parser.add_argument("--reads", type=int, default=200_000, help="in process")
    parser.add_argument("--readers", type=int, default=1, help="threads that read in process")
    parser.add_argument("--http-reads", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=float, default=3, help="seconds of updates before it is asked")
    arguments = parser.parse_args()
    # So that what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as temporary:
        measure(arguments, Path(temporary))


if __name__ == "__main__":
    main()
