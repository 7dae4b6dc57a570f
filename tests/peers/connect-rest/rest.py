#!/usr/bin/env python3
"""The REST API of Kafka Connect's worker and of ours, on one broker: the calls of connect/golden/rest/calls.json are made to Java's worker and
then to ours, and the answers are compared. Where they may differ stands in connect/golden/rest/differences.json, with the reason; a difference
that is no more fails, too. Standalone workers first; their answers are also compared with the recording that the crate's tests use. Then, in
full, distributed ones with exactly-once sources enabled."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parents[2] / "connect/golden/rest"
sys.path.insert(0, str(HERE.parent / "connect-golden/rest"))

import json  # noqa: E402

from asking import answered, request, settled  # noqa: E402
from compare import Differences, first_difference, unlike  # noqa: E402

BOOTSTRAP = os.environ["BOOTSTRAP"]
WORK = pathlib.Path(os.environ["WORK"])
FULL = os.environ["FULL"] == "1"
RUN = format(int(time.time() * 1000) % 100_000_000, "x")
PATIENCE = 90
# The recording's sink writes here.
SINK_FILE = "/tmp/golden-sink.txt"

passed = failed = 0


def check(name, wrong):
    """A check that nothing is wrong: `wrong` says what is."""
    global passed, failed
    if wrong is None:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {name}\n    {wrong}")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Worker:
    """A worker of Java (`java`) or ours (`ours`), alone (`standalone`) or in a group of its own (`distributed`)."""

    def __init__(self, whose, mode, **more):
        self.name = f"{whose}-{mode}"
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        settings = {
            "bootstrap.servers": BOOTSTRAP,
            "listeners": self.base,
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        }
        if mode == "standalone":
            settings["offset.storage.file.filename"] = str(WORK / f"{self.name}.offsets")
        else:
            group = f"rest-{RUN}-{whose}"
            settings |= {"group.id": group, "exactly.once.source.support": "enabled", "scheduled.rebalance.max.delay.ms": "0",
                         "offset.storage.partitions": "1", "status.storage.partitions": "1", "heartbeat.interval.ms": "300"}
            for kind in ("config", "offset", "status"):
                settings |= {f"{kind}.storage.topic": f"{group}-{kind}", f"{kind}.storage.replication.factor": "1"}
        properties = WORK / f"{self.name}.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in (settings | more).items()))
        if whose == "java":
            command = ["java", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={os.environ['LOG4J']}",
                       "-cp", f"{os.environ['KAFKA_LIBS']}/*", f"org.apache.kafka.connect.cli.Connect{mode.title()}", str(properties)]
        else:
            command = [os.environ["MILLSTREAM_BIN"], "connect", mode, str(properties)]
        with open(WORK / f"{self.name}.log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while not self.ready():
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"{self.name} does not come up:\n{self.log()}")
            time.sleep(0.1)

    def ready(self):
        try:
            return request(self.base, "GET", "/health", None, {})[0] == 200
        except OSError:
            return False

    def log(self):
        return "\n".join((WORK / f"{self.name}.log").read_text(errors="replace").splitlines()[-20:])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def answer(worker, call):
    """The answer to a call; the sink's file is in this run's folder."""
    sent = dict(call, body=call.get("body") and call["body"].replace(SINK_FILE, str(WORK / "sink.txt")))
    got = answered(worker.base, sent)
    return json.loads(json.dumps(got, ensure_ascii=False).replace(str(WORK / "sink.txt"), SINK_FILE))


def rebalances(got):
    """Whether Java's worker refuses for a moment, because its group is busy with the call before."""
    message = got["answer"].get("message", "") if isinstance(got["answer"], dict) else ""
    return got["status"] == 409 and re.search("rebalance|stale", message)


def play(worker, calls, each):
    """Makes all calls; `each` gets the number of a call and its answer. Waits where the recording waited."""
    for number, call in enumerate(calls):
        if "settle" in call:
            seen = settled(worker.base, call["settle"], call["connector"], call["tasks"], PATIENCE)
            check(f"{worker.name}: {call['settle']} is {call['connector']} {call['tasks']}", seen)
            continue
        end = time.monotonic() + PATIENCE
        got = answer(worker, call)
        while rebalances(got) and "java" in worker.name and time.monotonic() < end:
            time.sleep(0.2)
            got = answer(worker, call)
        each(number, call, got)


def named(call):
    return f"{call['method']} {call['path']} {(call.get('body') or '')[:120]}"


# What the recording's worker was set up with: places of plugins, which it found twice, and the length of a path.
SETTING = r"PluginDesc\{[^}]*\}(, )?|available versions: \[[^]]*\]|column: \d+"


def without_setting(got):
    text = json.dumps([got["status"], got["answered"], got.get("answer")], sort_keys=True)
    return json.loads(re.sub(SETTING, "", text).replace('["4.2.0", "4.2.0"]', '["4.2.0"]'))


def against_recording(calls, heard):
    """What Java says is what the recording says it says."""
    for number, call in enumerate(calls):
        if "settle" not in call and call["path"] != "/admin/loggers/root":
            got, recorded = without_setting(heard[number]), without_setting(call)
            check(f"recorded: {named(call)}", None if got == recorded else first_difference(got, recorded, "recorded"))


def compare(mode, calls, among):
    """Java's worker first, then ours: a sink's group may be used by one at a time."""
    heard = {}
    java = Worker("java", mode)
    try:
        play(java, calls, lambda number, call, got: heard.__setitem__(number, got))
    finally:
        java.stop()
    if mode == "standalone":
        against_recording(calls, heard)
    differences = Differences(GOLDEN / "differences.json", among)
    ours = Worker("ours", mode)

    def like(number, call, got):
        wrong = unlike(call, got, heard[number], differences)
        end = time.monotonic() + 15
        # What was begun shows a moment later.
        while wrong and call["method"] == "GET" and time.monotonic() < end:
            time.sleep(0.1)
            wrong = unlike(call, answer(ours, call), heard[number], differences)
        check(f"{mode}: {named(call)}", wrong)

    try:
        play(ours, calls, like)
    finally:
        ours.stop()
    for difference in differences.unmet():
        check(f"{mode}: the difference is met: {difference}", "no call has it")


def main():
    calls = json.loads((GOLDEN / "calls.json").read_text())
    try:
        subprocess.run([os.environ["MILLSTREAM_BIN"], "topics", "create", "--topic", "golden", "--partitions", "1",
                        "--bootstrap-server", BOOTSTRAP], check=True)
        compare("standalone", calls, ("all", "live", "standalone"))
        if FULL:
            compare("distributed", calls, ("all", "live", "distributed"))
    except BaseException:  # whatever it is, the counts are printed
        check("comes to its end", traceback.format_exc())
    print(f"{passed} passed, {failed} failed, 0 left out", flush=True)
    raise SystemExit(1 if failed else 0)


main()
