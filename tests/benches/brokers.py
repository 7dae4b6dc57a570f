"""The brokers that are measured, each in a process of its own: Apache Kafka 4.2 and `millstream broker`."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import wire

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("MILLSTREAM_TEST_CACHE") or Path.home() / ".cache/millstream-tests")
KAFKA = CACHE / "kafka-4.2.0"
TICKS = os.sysconf("SC_CLK_TCK")


def install_kafka(*sources, folder="benches"):
    """Brings Kafka's jars into the cache, if they are not there; compiles `sources` against them, and gives their classes' folder."""
    classes = KAFKA / folder
    compile_them = f'kafka_compile "{classes}" ' + " ".join(f'"{source}"' for source in sources) if sources else ":"
    script = f'. "{HERE.parent}/peers/lib/kafka.sh"; kafka_needs; {compile_them}'
    if subprocess.run(["bash", "-c", script], env=dict(os.environ, CACHE=str(CACHE))).returncode:
        sys.exit("cannot install Apache Kafka")
    return classes


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def java(*arguments, heap="-Xmx512m"):
    return ["java", heap, f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}", "-cp", f"{KAFKA}/libs/*", *map(str, arguments)]


def cpu(pid):
    """Seconds of CPU time, user's and kernel's, that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid, field="VmHWM"):
    """Resident memory of a process in MB, its peak unless told."""
    return int(Path(f"/proc/{pid}/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


class Broker:
    """A broker's process: its address, what it has used."""

    def __init__(self, system, folder, binary, settings=()):
        """`settings` are keys of brokers, beside those that all benches have."""
        self.system, self.folder, self.settings = system, folder, dict(settings)
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = open(folder / "out.log", "ab")
        self.command = self.kafka_command() if system == "kafka" else self.own_command(binary)
        self.start()

    def own_command(self, binary):
        return [str(binary), "broker", "--data-dir", str(self.folder / "data"), "--listener", self.address,
                "--override", "group.initial.rebalance.delay.ms=0", "--override", f"flush.mode={self.system}",
                *(word for key, value in self.settings.items() for word in ("--override", f"{key}={value}"))]

    def kafka_command(self):
        controller = free_port()
        settings = self.folder / "server.properties"
        settings.write_text(f"""process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={self.folder}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
""" + "".join(f"{key}={value}\n" for key, value in self.settings.items()))
        identity = subprocess.run(java("kafka.tools.StorageTool", "random-uuid"), check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run(java("kafka.tools.StorageTool", "format", "-t", identity, "-c", settings), check=True, stdout=self.log, stderr=self.log)
        return java("-XX:+UseG1GC", "kafka.Kafka", settings, heap="-Xmx1g")

    def start(self, first_record=None):
        """Starts the process; milliseconds until it answers a request, or until a record for the topic `first_record` is acknowledged."""
        begun = time.perf_counter()
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        while not (self.answers() if first_record is None else self.appends(first_record)):
            assert self.process.poll() is None, f"{self.system} did not come up: see {self.folder}/out.log"
            assert time.perf_counter() - begun < 120, f"{self.system} does not answer"
            time.sleep(0.001)
        return (time.perf_counter() - begun) * 1000

    def answers(self):
        """Whether a Metadata request is answered with at least one broker."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(5)
                connection.sendall(bytes.fromhex("00000011 0003 0001 00000001 0003") + b"ben" + bytes.fromhex("00000000"))
                head = connection.recv(12)
                return len(head) == 12 and int.from_bytes(head[8:12]) > 0
        except OSError:
            return False

    def appends(self, topic):
        """Whether a record sent to partition 0 is acknowledged (Produce, version 3, acks=all)."""
        request = wire.produce([(topic, [0])], wire.batch(b"the first record"))
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(20)
                return not wire.produce_errors(wire.call(connection, request))
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)

    def cpu(self):
        return cpu(self.process.pid)

    def memory(self, field="VmHWM"):
        return memory(self.process.pid, field)

    def written(self):
        """Bytes that it had the kernel write to the disk, whether that has happened yet or not."""
        return int(Path(f"/proc/{self.process.pid}/io").read_text().split("write_bytes:")[1].split()[0])
