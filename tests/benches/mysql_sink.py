"""The scenario `sink` of mysql.py: rows of a topic into a table, beside Debezium's JDBC sink and what the server takes at most."""

import subprocess
import time

from brokers import HERE, KAFKA, cpu, memory
from connect import Worker

REPOSITORY = HERE.parents[1]
SERVER = REPOSITORY / "tests/mysql/server"
JSON = "org.apache.kafka.connect.json.JsonConverter"
OF_ROW = ("id", "customer", "price", "note", "made", "done")
SYSTEMS = ["java", "tuned", "ours"]
# One sum over all that a table has.
SUM = f"SELECT COUNT(*), SUM(CRC32(CONCAT_WS('|', {', '.join(OF_ROW)}))) FROM"
ROWS_OF_INSERT = 1000


class JsonWorker(Worker):
    """Records as JSON with schemas, which Debezium's sink asks for."""

    def settings(self, bench, system, folder):
        return {
            "bootstrap.servers": bench.broker.address,
            "key.converter": JSON, "value.converter": JSON,
            "offset.storage.file.filename": folder / "offsets",
            "offset.flush.interval.ms": 1000,
            "listeners": f"http://127.0.0.1:{self.port}",
        }

    def java(self, *files):
        jars = subprocess.run([REPOSITORY / "tests/mysql/debezium", "jars", "sink"], check=True, capture_output=True, text=True).stdout.strip()
        log4j = f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}"
        return ["java", "-Xmx2G", log4j, "-cp", f"{KAFKA}/libs/*:{jars}", "org.apache.kafka.connect.cli.ConnectStandalone", *files]


class Session:
    """A client of the server that stays, so that asking costs the server next to nothing."""

    def __init__(self, bench):
        command = [SERVER, "sql", bench.arguments.server, bench.folder / "server", "-N", "--unbuffered"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, question):
        self.process.stdin.write(question + ";\n")
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def connector(bench, system, topic, mode):
    """The sink's properties; with `tuned` what makes Debezium's fast."""
    url = f"jdbc:mysql://127.0.0.1:{bench.port}/copy"
    properties = {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "tasks.max": 1, "topics": topic,
        "connection.username": "root", "connection.password": "", "insert.mode": mode, "primary.key.mode": "record_key",
        "collection.name.format": "rows_of", "schema.evolution": "none",
    }
    if system == "tuned":
        url += "?rewriteBatchedStatements=true"
        properties |= {"batch.size": 5000, "consumer.override.max.poll.records": 5000}
    return properties | {"connection.url": url}


def fill_topic(bench):
    """A topic with the table's rows, flat, with schemas; its name."""
    bench.fill("sinkrows", bench.arguments.rows)
    topic, source = bench.connector("sinkrows", "initial_only")
    source |= {"transforms": "unwrap", "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState"}
    worker = JsonWorker(bench, "ours", {topic: source})
    worker.wait(lambda: bench.end(topic) >= bench.arguments.rows)
    worker.stop()
    return topic


def prepare(bench, mode):
    """The table that is written to: empty, or, where rows are replaced, with others of the same keys."""
    bench.sql("CREATE DATABASE IF NOT EXISTS copy; USE copy; DROP TABLE IF EXISTS rows_of; CREATE TABLE rows_of LIKE shop.sinkrows;")
    if mode == "upsert":
        step = 50_000
        last = int(bench.sql("SELECT MAX(id) FROM shop.sinkrows"))
        bench.sql("".join(
            f"INSERT INTO copy.rows_of SELECT id, customer + 1, price, CONCAT('old ', note), made, 1 - done FROM shop.sinkrows WHERE id > {start} AND id <= {start + step};"
            for start in range(0, last, step)))


class Watch:
    """When the first and the last row are there, and what the server used between."""

    def __init__(self, bench, mode):
        self.bench, self.session = bench, Session(bench)
        self.server = int((bench.folder / "server/pid").read_text())
        self.first, self.last = bench.sql("SELECT MIN(id), MAX(id) FROM shop.sinkrows").split()
        self.old = " AND note NOT LIKE 'old %'" if mode == "upsert" else ""
        self.begun, self.used = None, cpu(self.server)

    def has(self, row):
        return self.session.ask(f"SELECT COUNT(*) FROM copy.rows_of WHERE id = {row}{self.old}") == "1"

    def done(self):
        if self.begun is None and self.has(self.first):
            self.begun, self.used = time.perf_counter(), cpu(self.server)
        return self.has(self.last)

    def figures(self):
        wall = time.perf_counter() - self.begun
        return {"rows/s": self.bench.arguments.rows / wall / 1000, "wall": wall, "server CPU": cpu(self.server) - self.used}

    def compare(self):
        """Both tables are the same."""
        until = time.time() + 60
        while (copy := self.bench.sql(f"{SUM} copy.rows_of")) != (source := self.bench.sql(f"{SUM} shop.sinkrows")):
            assert time.time() < until, f"{copy} came of {source}"
            time.sleep(0.5)
        self.session.close()


def through(bench, system, topic, mode):
    """Runs a sink until all rows are there; the figures."""
    prepare(bench, mode)
    watch = Watch(bench, mode)
    bench.names += 1
    name = f"sink{bench.names}"
    worker = JsonWorker(bench, "ours" if system == "ours" else "java", {name: connector(bench, system, topic, mode)})
    try:
        worker.wait(watch.done)
        figures = watch.figures()
        used = worker.cpu() - worker.start_cpu
        figures |= {"work CPU": used, "rows/CPU-s": bench.arguments.rows / max(used, 0.01) / 1000, "memory": memory(worker.process.pid)}
    finally:
        worker.stop()
    watch.compare()
    return figures


def limits(bench, mode):
    """What the server takes of one client: INSERTs of a thousand rows, each a transaction; and a file that it reads itself."""
    file = bench.folder / "server" / f"rows-{time.time_ns()}.tsv"
    bench.sql(f"SELECT {', '.join(OF_ROW)} INTO OUTFILE '{file}' FROM shop.sinkrows")
    names = ", ".join(OF_ROW)
    newer = ", ".join(f"{name} = VALUES({name})" for name in OF_ROW[1:])
    behind = f" ON DUPLICATE KEY UPDATE {newer}" if mode == "upsert" else ""
    statements = file.with_suffix(".sql")
    with open(file) as rows, open(statements, "w") as out:
        now = []
        for line in rows:
            number, customer, price, note, made, done = line.rstrip("\n").split("\t")
            now.append(f"({number},{customer},{price},'{note}','{made}',{done})")
            if len(now) == ROWS_OF_INSERT:
                out.write(f"INSERT INTO copy.rows_of ({names}) VALUES {','.join(now)}{behind};\n")
                now = []
        if now:
            out.write(f"INSERT INTO copy.rows_of ({names}) VALUES {','.join(now)}{behind};\n")
    replace = "REPLACE " if mode == "upsert" else ""
    load = f"LOAD DATA INFILE '{file}' {replace}INTO TABLE copy.rows_of ({names})"
    client = [SERVER, "sql", bench.arguments.server, bench.folder / "server", "-N"]
    for system in ("INSERTs", "LOAD DATA"):
        prepare(bench, mode)
        watch = Watch(bench, mode)
        watch.begun = time.perf_counter()
        if system == "INSERTs":
            with open(statements) as text:
                subprocess.run(client, stdin=text, check=True, stderr=subprocess.DEVNULL)
        else:
            bench.sql(load)
        bench.add(f"sink {mode}", system, watch.figures())
        watch.compare()
    file.unlink()
    statements.unlink()


def sink(bench):
    topic = fill_topic(bench)
    systems = [system for system in SYSTEMS if system in bench.arguments.systems or (system == "tuned" and "java" in bench.arguments.systems)]
    for mode in ("insert", "upsert"):
        for run in range(bench.arguments.runs):
            for system in systems if run % 2 == 0 else systems[::-1]:
                bench.add(f"sink {mode}", system, through(bench, system, topic, mode))
            limits(bench, mode)
