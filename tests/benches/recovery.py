#!/usr/bin/env python3
"""Measures how long a broker with many partitions takes to be back after kill -9.

    tests/benches/recovery.py [--binary target/release/millstream] [--partitions 10000] [--runs 5] [--records 20]

Every partition has records, and every record that was acknowledged must be there again: offsets are compared after each
kill. Prints seconds from the start of the process until it answers, and its memory.
"""

import argparse
import resource
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import wire

PER_TOPIC = 100


def start(binary, folder, port):
    begun = time.perf_counter()
    command = [binary, "broker", "--log", "warn", "--data-dir", folder, "--listener", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert "ready on" in line, line
    return process, int(line.split("ready on 127.0.0.1:")[1].split()[0]), time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=Path(__file__).resolve().parents[2] / "target/release/millstream")
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=20, help="batches of one record in each partition between two kills")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    names = [f"topic-{n}" for n in range(arguments.partitions // PER_TOPIC)]
    numbers = list(range(PER_TOPIC))
    records = wire.batch(b"x" * 200)
    expected, seconds, memories = 0, [], []
    with tempfile.TemporaryDirectory(prefix="millstream-recovery-") as folder:
        process, port, _ = start(arguments.binary, folder, 0)
        begun = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for name in names:
                wire.call(connection, wire.create_topics([(name, PER_TOPIC)]))
        print(f"{len(names) * PER_TOPIC} partitions made in {time.perf_counter() - begun:.1f} s")
        for run in range(arguments.runs):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                for _ in range(arguments.records):
                    for name in names:
                        errors = wire.produce_errors(wire.call(connection, wire.produce([(name, numbers)], records)))
                        assert not errors, errors
            expected += arguments.records
            process.kill()
            process.wait()
            process, port, took = start(arguments.binary, folder, 0)
            seconds.append(took)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                for name in names:
                    ends = wire.offsets(wire.call(connection, wire.latest_offsets(name, numbers)))
                    assert ends == [expected] * PER_TOPIC, f"{name}: {ends}, expected {expected}"
            memories.append(int(Path(f"/proc/{process.pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024)
            print(f"kill {run + 1}: back after {took:.2f} s, {memories[-1]:.0f} MB, every offset {expected}")
        process.terminate()
        process.wait(120)
        process, _, clean = start(arguments.binary, folder, 0)
        process.terminate()
        assert process.wait(120) == 0
    print(f"back after kill -9: {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}); after a clean stop {clean:.2f} s; "
          f"{statistics.median(memories):.0f} MB; open files limit {resource.getrlimit(resource.RLIMIT_NOFILE)}")


main()
