#!/usr/bin/env python3
"""Measures the release binary: word count on 100 MB of licence texts, and the broker's start and idle memory.

    tests/benches/word_count.py [--runs 5] [--megabytes 100] [--threads 1] [--binary target/release/millstream]

Prints the median and the range of each figure. A run counts only if its counts equal those of coreutils.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

LICENCES = Path("/usr/share/common-licenses")
COUNT = r"""LC_ALL=C; export LC_ALL; tr A-Z a-z <"$0" | tr -cs a-z0-9 '\n' | sed '/^$/d' | sort | uniq -c"""


def corpus(path, size):
    """Writes the licence texts again and again until `size` bytes are reached."""
    text = b"".join(p.read_bytes() for p in sorted(LICENCES.iterdir()))
    with open(path, "wb") as out:
        while out.tell() < size:
            out.write(text)


def measured(command):
    """Runs a command; gives its standard output, wall seconds, CPU seconds and peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    assert status == 0, f"{command} ended with status {status}"
    return output, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def show(name, values, unit):
    print(f"{name:32} {statistics.median(values):10.2f} {unit:8} ({min(values):.2f} to {max(values):.2f})")


def bench_word_count(arguments, directory):
    path = directory / "text"
    corpus(path, arguments.megabytes * 1_000_000)
    table = subprocess.run(["sh", "-c", COUNT, path], check=True, capture_output=True, text=True).stdout
    expected = {word: int(count) for count, word in (line.split() for line in table.splitlines())}
    command = [arguments.binary, "word-count", "--quiet", "--output", "json", "--top", "100000000", "--threads", str(arguments.threads), path]
    walls, cpus, peaks = [], [], []
    for _ in range(arguments.runs):
        output, wall, cpu, peak = measured(command)
        result = json.loads(output)
        assert {row["word"]: row["count"] for row in result["top"]} == expected, "the counts differ from coreutils'"
        walls.append(wall)
        cpus.append(cpu)
        peaks.append(peak)
    words = result["words"]
    print(f"word-count: {path.stat().st_size / 1e6:.0f} MB, {result['lines']} lines, {words} words, {result['distinct']} distinct, "
          f"{arguments.threads} thread(s), {arguments.runs} runs")
    show("wall", walls, "s")
    show("words per second", [words / wall / 1e6 for wall in walls], "M/s")
    show("CPU", cpus, "s")
    show("words per CPU-second", [words / cpu / 1e6 for cpu in cpus], "M/s")
    show("peak resident memory", peaks, "MB")


def bench_broker(arguments, directory):
    starts, idle = [], []
    for run in range(max(arguments.runs, 5)):
        started = time.perf_counter()
        command = [arguments.binary, "broker", "--log", "error", "--data-dir", directory / f"data-{run}", "--listener", "127.0.0.1:0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = process.stdout.readline()
        starts.append((time.perf_counter() - started) * 1000)
        assert "ready" in line, line
        time.sleep(1)
        status = Path(f"/proc/{process.pid}/status").read_text()
        idle.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
        process.terminate()
        assert process.wait(30) == 0
    print(f"broker: {len(starts)} starts in a new directory")
    show("start until ready", starts, "ms")
    show("resident memory, idle", idle, "MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--binary", default=Path(__file__).resolve().parents[2] / "target/release/millstream")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench_word_count(arguments, Path(directory))
        bench_broker(arguments, Path(directory))


if __name__ == "__main__":
    main()
