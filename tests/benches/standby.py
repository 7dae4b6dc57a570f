#!/usr/bin/env python3
"""Measures how long a job stands still where one of its two processes is killed, with a standby copy and without.

    tests/benches/standby.py [--keys 10000000] [--runs 3] [--systems ours,java] [--broker kafka|sync|os]

Two processes count --keys keys, half of them each (examples/bench_job.rs; `java`: the same with Kafka Streams 4.2, streams/Job.java), once
with num.standby.replicas=0 and once with 1. When all is counted, and copied, some of the keys are written again and again, and one process
is killed (kill -9). `outage` is the time until a reader of committed records has new counts of all of these keys, less the session timeout,
without which nobody can know that a process is dead; --round milliseconds and a commit are in it. `restored` is how many records of the changelog the
other process read for it, `copied` how many it had read before. In the end all counts have to be right.

A transaction that the dead process left open holds up readers until the broker looks for such ones: every 10 s with Apache Kafka as it comes, so
that chance would decide what is measured. Whichever broker it is, it looks every second here, and transactions may be open for half a session:
the wait is over before the session is. Build first:
    cargo build --locked --release -p millstream -p millstream-examples -p millstream-tests
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import streams
from brokers import HERE, free_port, install_kafka
from streams import Bench, Job, numbered

streams.UNITS |= {"outage": "s", "restored": "", "copied": "", "disk": "MB"}
# How often brokers look for transactions that were open for too long.
SETTINGS = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000}
STUCK = 900.0
STILL = 5.0  # seconds without a change on the disk: a copy of Kafka Streams, which does not say, is there


class Counted:
    """Notes when new counts of keys can be read."""

    def __init__(self, bench, topic):
        options = ["--isolation-level", "read_committed", "--property", "print.key=true", "--property", "print.value=false"]
        self.process = subprocess.Popen([str(bench.binary), "consume", "--topic", topic, "--bootstrap-server", bench.broker.address, *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.seen = {}
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.seen[line.strip()] = time.monotonic()

    def until(self, keys, after, job):
        """Waits until all of these have new counts; when the last came."""
        begun = time.monotonic()
        while any(self.seen.get(key, 0.0) <= after for key in keys):
            job.expect_alive()
            missing = [key for key in keys if self.seen.get(key, 0.0) <= after]
            assert time.monotonic() - begun < STUCK, f"no new counts of {len(missing)} of {len(keys)} keys, such as {missing[0]}"
            time.sleep(0.005)
        return max(self.seen[key] for key in keys)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.thread.join()


class Probes:
    """Writes some keys again and again."""

    def __init__(self, bench, topic, keys, pause):
        self.process = subprocess.Popen([str(bench.binary), "produce", "--topic", topic, "--bootstrap-server", bench.broker.address],
                                        stdin=subprocess.PIPE)
        self.lines, self.pause, self.rounds, self.going = b"".join(key + b"\n" for key in keys), pause, 0, True
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def write(self):
        try:
            while self.going:
                self.process.stdin.write(self.lines)
                self.process.stdin.flush()
                self.rounds += 1
                time.sleep(self.pause)
        except BrokenPipeError:
            if self.going:
                raise

    def stop(self):
        self.going = False
        self.thread.join()
        self.process.stdin.close()
        assert self.process.wait() == 0, "the keys cannot be written"

    def end(self):
        """Whatever it does: nobody waits for what it would still write."""
        self.going = False
        self.process.kill()
        self.process.wait()


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Member:
    """One of the two processes."""

    def __init__(self, bench, system, application, number, source, output, replicas):
        arguments = bench.arguments
        self.metrics = free_port()
        self.folder = bench.folder / "state" / f"{application}-{number}"
        # The session ends so long after the last heartbeat, whenever that was.
        timeout = {"session.timeout.ms": arguments.session_timeout_ms, "heartbeat.interval.ms": 200, "num.standby.replicas": replicas, "state.dir": self.folder}
        if system == "ours":
            timeout |= {"metrics.listener": f"127.0.0.1:{self.metrics}", "transaction.timeout.ms": arguments.session_timeout_ms // 2}
        else:
            timeout |= {"producer.transaction.timeout.ms": arguments.session_timeout_ms // 2}
        self.system = system
        self.job = Job(bench, system, application, source, output, arguments.threads, config=timeout)

    def sums(self, *names):
        """The sums of counters of ours."""
        page = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10).read().decode()
        lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
        found = {name: [float(value) for metric, value in lines if metric.split("{")[0] == f"millstream_streams_{name}"] for name in names}
        return [found[name] for name in names]

    def restored(self):
        if self.system == "java":
            return 0, 0
        restored, copied = self.sums("restored_records_total", "standby_records_total")
        return sum(restored), sum(copied)

    def until_copied(self, copies):
        """Waits until it has a copy of all that the other one works on."""
        begun, last, changed = time.monotonic(), None, time.monotonic()
        while time.monotonic() - begun < STUCK:
            self.job.expect_alive()
            if self.system == "ours":
                (lags,) = self.sums("standby_lag_records")
                if len(lags) >= copies and not any(lags):
                    return
            else:
                now = size(self.folder)
                last, changed = now, (changed if now == last else time.monotonic())
                if time.monotonic() - changed > STILL:
                    return
            time.sleep(0.2)
        sys.exit("the copies do not catch up")

    def kill(self):
        self.job.process.kill()
        self.job.process.wait()
        self.job.log.close()


def measure(bench, system, replicas, run, text):
    arguments = bench.arguments
    application = bench.application(f"{system}-standby")
    source, output = f"{application}-keys", f"{application}-counted"
    bench.load(source, arguments.partitions, text)
    bench.create(output, 1)
    ends = bench.ends(source, arguments.partitions)
    members = [Member(bench, system, application, 0, source, output, replicas)]
    counted = probes = None
    try:
        members[0].job.work_off(source, ends)
        # Later, so that it never had what the first one keeps.
        members.append(Member(bench, system, application, 1, source, output, replicas))
        other = members[1]
        while other.job.started is None:
            other.job.expect_alive()
            time.sleep(0.1)
        other.until_copied(arguments.partitions // 2 if replicas else 0)
        step = max(1, arguments.keys // arguments.probes)
        width = len(f"{arguments.keys}")
        keys = [f"k{key:0{width}}".encode() for key in range(0, arguments.keys, step)][:arguments.probes]
        counted = Counted(bench, output)
        probes = Probes(bench, source, keys, arguments.round_ms / 1e3)
        counted.until(keys, 0.0, other.job)
        before = other.restored()
        members[0].kill()
        killed = time.monotonic()
        # What had been committed is on its way still.
        last = counted.until(keys, killed + min(1.0, arguments.session_timeout_ms / 2e3), other.job)
        probes.stop()
        after = other.restored()
        figures = {"outage": last - killed - arguments.session_timeout_ms / 1e3, "disk": size(other.folder) / 1e6}
        if system == "ours":
            figures |= {"restored": after[0] - before[0], "copied": before[1]}
        with other.job:
            other.job.work_off(source, bench.ends(source, arguments.partitions))
        found = bench.counts(output)
        wanted = arguments.keys + probes.rounds * len(keys)
        assert len(found) == arguments.keys and sum(found.values()) == wanted, f"{len(found)} keys, {sum(found.values())} of {wanted} records"
        name = f"{arguments.keys:,} keys, num.standby.replicas={replicas}"
        bench.add(name, system, figures)
        print(f"{name} {system} run {run + 1}: " + "  ".join(f"{figure} {value:,.3f}" for figure, value in figures.items()), flush=True)
    finally:
        if probes is not None:
            probes.end()
        if counted is not None:
            counted.stop()
        for member in members:
            member.job.process.kill()
            member.job.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=Path, default=HERE.parents[1] / "target/release", help="folder of the binaries")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--systems", type=lambda text: text.split(","), default=["java", "ours"])
    parser.add_argument("--replicas", type=lambda text: [int(number) for number in text.split(",")], default=[0, 1])
    parser.add_argument("--broker", choices=["kafka", "sync", "os"], default="kafka")
    parser.add_argument("--guarantee", choices=["exactly_once_v2", "at_least_once"], default="exactly_once_v2")
    parser.add_argument("--commit-interval-ms", type=int, default=100)
    parser.add_argument("--session-timeout-ms", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--probes", type=int, default=200, help="keys that are written again")
    parser.add_argument("--round-ms", type=int, default=100, help="between two times")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ours", action="append", default=[], metavar="KEY=VALUE", help="configuration of our job")
    parser.add_argument("--java", action="append", default=[], metavar="KEY=VALUE", help="configuration of Java's")
    parser.add_argument("--java-options", default="", help="of its JVM")
    arguments = parser.parse_args()
    if arguments.session_timeout_ms < 4000:
        parser.error("--session-timeout-ms is 4000 at least: else a transaction may outlast the session")
    needs_kafka = arguments.broker == "kafka" or "java" in arguments.systems
    classes = install_kafka(HERE / "streams/Job.java") if needs_kafka else None
    # So that what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as temporary:
        bench = Bench(arguments, Path(temporary), classes, SETTINGS)
        try:
            text = bench.folder / "keys"
            numbered(text, arguments.keys, arguments.keys, len(f"{arguments.keys}"))
            for run in range(arguments.runs):
                for replicas in arguments.replicas:
                    for system in bench.in_turn(run):
                        measure(bench, system, replicas, run, text)
            bench.show()
        finally:
            bench.broker.stop()


if __name__ == "__main__":
    main()
