"""Asking a worker of Connect, and what of its answers does not differ from run to run."""

import http.client
import json
import time
import urllib.parse


def request(base, method, path, body, headers):
    """(status, headers in lower case, text)."""
    address = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
    try:
        connection.request(method, path, body=body.encode() if body is not None else None, headers=headers)
        response = connection.getresponse()
        text = response.read().decode()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, text
    finally:
        connection.close()


def clean(value, key=None):
    """An answer without addresses, ids, times, traces and documentation."""
    if key == "worker_id":
        return "WORKER"
    if key == "trace":
        return "TRACE"
    if key == "kafka_cluster_id":
        return "CLUSTER"
    if key == "last_modified" and value is not None:
        return 0
    if isinstance(value, dict):
        return {name: clean(inner, name) for name, inner in value.items() if name != "documentation"}
    if isinstance(value, list):
        return [clean(inner) for inner in value]
    return value


def answered(base, call):
    """The answer to a call: status, some headers, and the clean body."""
    status, headers, text = request(base, call["method"], call["path"], call.get("body"), call["headers"])
    kept = {name: headers[name] for name in ("content-type", "location", "allow") if name in headers}
    if "location" in kept:
        kept["location"] = kept["location"].replace(base, "BASE")
    try:
        parsed = clean(json.loads(text)) if text else None
    except ValueError:
        parsed = text if len(text) < 300 else text[:40] + "…"
    return {"status": status, "answered": kept, "answer": parsed}


def settled(base, name, connector, tasks, patience=10):
    """Waits until the connector and its tasks have these states: None, or what was seen last."""
    end = time.monotonic() + patience
    while True:
        text = request(base, "GET", "/connectors?expand=status", None, {})[2]
        # Right after a connector was made its status may be missing, and the whole answer with it.
        seen = json.loads(text).get(name, {}).get("status") if text.startswith("{") else None
        if seen and seen["connector"]["state"] == connector and [task["state"] for task in seen["tasks"]] == tasks:
            return None
        if time.monotonic() > end:
            return text[:300]
        time.sleep(0.05)
