#!/usr/bin/env python3
"""Measures the MySQL source and sink beside Debezium's: same server, same broker, same property files, runs taken in turn.

    tests/benches/mysql.py [--runs 5] [--only snapshot,binlog,latency,sink] [--rows 1000000] [--server mysql97|mysql56|mariadb]

Systems: `java` is Kafka Connect's standalone worker with Debezium's connector, `ours` is `millstream connect standalone`, `eos` the same with
records and offsets in one transaction. Values are JSON without schemas.

snapshot  a table of six columns is read
binlog    its rows, inserted in transactions of a thousand while the worker was down, are read from the log
latency   1,000 transactions a second of one row each, for 20 seconds: from the server's time at the INSERT, which commits, to when a consumer has the record

sink      the table's rows, flat and with schemas, go from a topic of one partition to a table, `insert`ed, and replacing others (`upsert`).
          `java` is Debezium's JDBC sink, which writes at least once, with its own defaults and one connection; `tuned` is the same with
          rewriteBatchedStatements, statements and polls of 5,000 rows. `INSERTs` and `LOAD DATA` say what the server takes of one client.
          Rates are between the first row in the table and the last; then both tables have to be the same.

`work CPU` is the worker's, user's and kernel's, without its start; rates are rows per second of it. A run counts only if as many records arrived as there
are rows. Prints the median of each figure, its range, and ours as a multiple of Java's. Build first:  cargo build --locked --release -p millstream
"""

import argparse
import json
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

import wire
from brokers import HERE, KAFKA, Broker, install_kafka, memory
from connect import Worker
from mysql_sink import sink

REPOSITORY = HERE.parents[1]
SERVER = REPOSITORY / "tests/mysql/server"
UNITS = {"running": "ms", "wall": "s", "CPU": "s", "work CPU": "s", "rows/CPU-s": "k/s", "rows/s": "k/s", "server CPU": "s", "memory": "MB", "p50": "ms", "p99": "ms", "max": "ms"}
TABLE = "id BIGINT PRIMARY KEY AUTO_INCREMENT, customer INT NOT NULL, price DECIMAL(10,2), note VARCHAR(100), made DATETIME(3), done TINYINT(1)"
OF_ROW = "customer, price, note, made, done"
CHANGES_PER_S, SECONDS = 1000, 20
# A disk that is slow to sync would be what is measured.
SERVER_OPTIONS = ["--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2"]


class CdcWorker(Worker):
    def __init__(self, bench, system, connectors):
        self.kind = "mariadb" if bench.arguments.server == "mariadb" else "mysql97"
        super().__init__(bench, system, connectors)

    def settings(self, bench, system, folder):
        converter = "org.apache.kafka.connect.json.JsonConverter"
        settings = {
            "bootstrap.servers": bench.broker.address,
            "key.converter": converter, "key.converter.schemas.enable": "false",
            "value.converter": converter, "value.converter.schemas.enable": "false",
            "offset.storage.file.filename": bench.folder / f"offsets-{system}",
            "offset.flush.interval.ms": 1000,
            "listeners": f"http://127.0.0.1:{self.port}",
        }
        if system == "eos":
            settings["exactly.once.source.support"] = "enabled"
        return settings

    def java(self, *files):
        debezium = subprocess.run([REPOSITORY / "tests/mysql/debezium", "jars", self.kind], check=True, capture_output=True, text=True).stdout.strip()
        log4j = f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}"
        return ["java", "-Xmx2G", log4j, "-cp", f"{KAFKA}/libs/*:{debezium}", "org.apache.kafka.connect.cli.ConnectStandalone", *files]


class Bench:
    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.workers, self.names = arguments, folder, 0, 0
        self.binary, self.rows = arguments.binary.absolute(), {}
        self.broker = Broker(arguments.broker, folder / "broker", self.binary)
        started = subprocess.run([SERVER, "start", arguments.server, folder / "server", "0", "--", *SERVER_OPTIONS], check=True, capture_output=True, text=True)
        self.port = int(started.stdout.split()[-1])
        self.sql(f"CREATE DATABASE shop; USE shop; CREATE TABLE digits (d INT PRIMARY KEY); INSERT INTO digits VALUES {','.join(f'({d})' for d in range(10))};")

    def sql(self, statements):
        command = [SERVER, "sql", self.arguments.server, self.folder / "server", "-N"]
        ran = subprocess.run(command, input=statements, capture_output=True, text=True)
        if ran.returncode:
            sys.exit(f"{ran.stderr[:2000]}: {statements[:500]}")
        return ran.stdout

    def fill(self, table, rows):
        """A table with so many rows, inserted a thousand at once."""
        thousand = "FROM digits a, digits b, digits c"
        number = "%d + a.d * 100 + b.d * 10 + c.d"
        row = f"{number}, ({number}) / 7, CONCAT('note of row ', {number}, ', with some more text'), '2024-02-29 12:34:56.789' + INTERVAL {number} SECOND, ({number}) % 2"
        self.sql(f"USE shop; CREATE TABLE IF NOT EXISTS {table} ({TABLE});")
        inserts = (f"INSERT INTO {table} ({OF_ROW}) SELECT {row.replace('%d', str(start))} {thousand};" for start in range(0, rows, 1000))
        self.sql("USE shop;" + "\n".join(inserts))

    def connector(self, table, mode):
        self.names += 1
        prefix = f"cdc{self.names}"
        topic = f"{prefix}.shop.{table}"
        create = ["topics", "--create", "--topic", topic, "--partitions", "1", "--replication-factor", "1"]
        subprocess.run([self.binary, *create, "--bootstrap-server", self.broker.address], check=True, stdout=subprocess.DEVNULL)
        java = "mariadb.MariaDb" if self.arguments.server == "mariadb" else "mysql.MySql"
        return topic, {
            "connector.class": f"io.debezium.connector.{java}Connector", "tasks.max": 1,
            "database.hostname": "127.0.0.1", "database.port": self.port, "database.user": "root", "database.password": "",
            "database.server.id": 5000 + self.names, "topic.prefix": prefix, "snapshot.mode": mode,
            "table.include.list": f"shop.{table}", "include.schema.changes": "false",
            "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
            "schema.history.internal.file.filename": self.folder / f"{prefix}.history",
        }

    def end(self, topic):
        with socket.create_connection(("127.0.0.1", self.broker.port), 60) as connection:
            return wire.offsets(wire.call(connection, wire.latest_offsets(topic, [0])))[0]

    def count(self, topic, system):
        """The records of a topic. Transactions end with a marker, which takes an offset, too."""
        if system != "eos":
            return self.end(topic)
        consume = ["consume", "--topic", topic, "--from-beginning", "--timeout-ms", "5000", "--isolation-level", "read_committed"]
        consumed = subprocess.run([self.binary, *consume, "--bootstrap-server", self.broker.address], check=True, capture_output=True)
        return consumed.stdout.count(b"\n")

    def arrive(self, system, name, connector, topic, rows):
        """Runs a connector until `rows` records arrived; the figures."""
        worker = CdcWorker(self, system, {name: connector})
        try:
            wall = worker.wait(lambda: self.end(topic) >= rows)
            used, work = worker.cpu(), worker.cpu() - worker.start_cpu
            figures = {"running": worker.running_ms, "wall": wall, "CPU": used, "work CPU": work, "rows/CPU-s": rows / max(work, 0.01) / 1000}
            figures["memory"] = memory(worker.process.pid)
        finally:
            worker.stop()
        counted = self.count(topic, system)
        assert counted == rows, f"{counted} records of {rows} rows"
        return figures

    def in_turn(self, run):
        return self.arguments.systems if run % 2 == 0 else self.arguments.systems[::-1]

    def add(self, scenario, system, figures):
        print(f"{scenario} {system}: " + ", ".join(f"{figure} {value:.4g}" for figure, value in figures.items()), file=sys.stderr, flush=True)
        for figure, value in figures.items():
            self.rows.setdefault((scenario, figure), {}).setdefault(system, []).append(value)

    def show(self):
        shown = None
        for (scenario, figure), values in self.rows.items():
            if shown != scenario:
                shown, systems = scenario, {system: None for (its, _), values in self.rows.items() if its == scenario for system in values}
                print(f"\n{'scenario':11} {'figure':10} {'unit':5}" + "".join(f"{system:>34}" for system in systems))
            line = f"{scenario:11} {figure:10} {UNITS[figure]:5}"
            base = statistics.median(values["java"]) if "java" in values else None
            for system in systems:
                if system not in values:
                    line += f"{'–':>34}"
                    continue
                middle = statistics.median(values[system])
                ratio = f" {middle / base:6.3g}×" if base and system != "java" else ""
                line += f"{f'{middle:.4g} ({min(values[system]):.4g}–{max(values[system]):.4g}){ratio}':>34}"
            print(line)


def snapshot(bench):
    bench.fill("snapshot", bench.arguments.rows)
    for run in range(bench.arguments.runs):
        for system in bench.in_turn(run):
            topic, connector = bench.connector("snapshot", "initial_only")
            bench.add("snapshot", system, bench.arrive(system, topic, connector, topic, bench.arguments.rows))


def binlog(bench):
    bench.fill("binlog", 0)
    prepared = []
    for run in range(bench.arguments.runs):
        for system in bench.in_turn(run):
            topic, connector = bench.connector("binlog", "no_data")
            prepared.append((system, topic, connector))
    # Each stores where it begins, which a first change makes it do; those of the others are not yet there then.
    for number, (system, topic, connector) in enumerate(prepared):
        worker = CdcWorker(bench, system, {topic: connector})
        time.sleep(1)
        before = bench.end(topic)
        bench.sql(f"USE shop; INSERT INTO binlog ({OF_ROW}) VALUES (1, 1, 'first', NOW(), 1);")
        worker.wait(lambda: bench.end(topic) > before)
        time.sleep(3)
        worker.stop()
        prepared[number] = (system, topic, connector, len(prepared) - number)
    bench.fill("binlog", bench.arguments.rows)
    for system, topic, connector, first in prepared:
        bench.add("binlog", system, bench.arrive(system, topic, connector, topic, bench.arguments.rows + first))


def latency(bench):
    bench.sql("USE shop; CREATE TABLE latency (id BIGINT PRIMARY KEY AUTO_INCREMENT, sent DOUBLE NOT NULL);")
    for run in range(bench.arguments.runs):
        for system in bench.in_turn(run):
            topic, connector = bench.connector("latency", "no_data")
            worker = CdcWorker(bench, system, {topic: connector})
            consume = ["consume", "--topic", topic, "--from-beginning", "--isolation-level", "read_committed", "--bootstrap-server", bench.broker.address]
            consumer = subprocess.Popen([bench.binary, *consume], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            found, wanted = [], CHANGES_PER_S * SECONDS

            def read():
                for line in consumer.stdout:
                    found.append((time.time() - json.loads(line)["after"]["sent"]) * 1000)

            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            time.sleep(3)
            write(bench, wanted)
            until = time.time() + 60
            while len(found) < wanted and time.time() < until:
                time.sleep(0.05)
            assert len(found) == wanted, f"{len(found)} changes of {wanted} arrived"
            figures = {"CPU": worker.cpu() - worker.start_cpu, "memory": memory(worker.process.pid)}
            worker.stop()
            consumer.kill()
            # The first second warms up.
            found = sorted(found[CHANGES_PER_S:])
            figures |= {"p50": found[len(found) // 2], "p99": found[len(found) * 99 // 100], "max": found[-1]}
            bench.add("latency", system, figures)


def write(bench, changes):
    """Inserts rows at a fixed rate."""
    command = [SERVER, "sql", bench.arguments.server, bench.folder / "server", "shop"]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, bufsize=1)
    begun = time.time()
    for change in range(changes):
        due = begun + change / CHANGES_PER_S
        if (wait := due - time.time()) > 0:
            time.sleep(wait)
        client.stdin.write("INSERT INTO latency (sent) VALUES (UNIX_TIMESTAMP(SYSDATE(6)));\n")
        client.stdin.flush()
    client.stdin.close()
    assert client.wait() == 0
    assert time.time() - begun < SECONDS * 1.1, f"the server took {time.time() - begun:.1f} s for {changes} changes"


SCENARIOS = {"snapshot": snapshot, "binlog": binlog, "latency": latency, "sink": sink}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")
    parser.add_argument("--binary", type=Path, default=REPOSITORY / "target/release/millstream")
    parser.add_argument("--folder", type=Path, help="for data and logs; kept [default: a temporary one]")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", type=listed, default=list(SCENARIOS))
    parser.add_argument("--systems", type=listed, default=["java", "ours", "eos"])
    parser.add_argument("--server", choices=["mysql97", "mysql56", "mariadb"], default="mysql97")
    parser.add_argument("--broker", choices=["kafka", "sync", "os"], default="kafka")
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(SCENARIOS):
        parser.error(f"no scenario of the name {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    install_kafka()
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        shutil.rmtree(folder / "broker", ignore_errors=True)
        shutil.rmtree(folder / "server", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(arguments, folder)
        try:
            for name in arguments.only:
                SCENARIOS[name](bench)
        finally:
            bench.broker.process.kill()
            bench.broker.process.wait()
            subprocess.run([SERVER, "stop", folder / "server"])
            bench.show()


if __name__ == "__main__":
    main()
