"""A pytest plugin: runs the suite on a broker that it did not start, prints a line per test and how many passed."""

import os
import pathlib
import sys
import types

import results

LEFT_OUT = results.not_run(pathlib.Path(os.environ["PEER"]))
COUNTS = {"passed": 0, "failed": 0, "left out": 0}


class ExternalService:
    """A broker that runs already; stands in for a module that the source distribution lacks."""

    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        """Nothing to start."""

    def close(self):
        """Nothing to stop."""

    stop = close


class SpawnedService:
    """The suite starts no broker here."""

    def __init__(self, *_):
        raise RuntimeError("a test wants to start a broker of its own: name it in left-out.txt")


sys.modules["test.service"] = types.ModuleType("test.service")
sys.modules["test.service"].ExternalService = ExternalService
sys.modules["test.service"].SpawnedService = SpawnedService


def pytest_configure(config):
    config.option.tbstyle = "native"


def name_of(node):
    return node.rsplit("::", 1)[-1]


def pytest_collection_modifyitems(items):
    run = []
    for item in items:
        if item.name in LEFT_OUT:
            COUNTS["left out"] += 1
            print(f"left out {item.name}: {LEFT_OUT[item.name]}", flush=True)
        else:
            run.append(item)
    items[:] = run


FAILED = set()


def pytest_runtest_logreport(report):
    name = name_of(report.nodeid)
    if report.passed and report.when == "call":
        COUNTS["passed"] += 1
        print(f"ok     {name} ({report.duration:.1f} s)", flush=True)
    elif not report.passed and name not in FAILED:
        FAILED.add(name)
        COUNTS["failed"] += 1
        why = f" in its {report.when}" if report.failed else ": skipped, and left-out.txt gives no reason"
        print(f"FAILED {name}{why}\n{report.longreprtext}", flush=True)


def pytest_collectreport(report):
    if report.failed:
        COUNTS["failed"] += 1
        print(f"FAILED {report.nodeid} cannot be loaded\n{report.longreprtext}", flush=True)


def pytest_sessionfinish():
    print(", ".join(f"{count} {what}" for what, count in COUNTS.items()), flush=True)
