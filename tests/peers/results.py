#!/usr/bin/env python3
"""Reads the JSON events of Go's test2json on standard input, prints a line per test and how many passed.

  results.py FOLDER    the peer's folder: left-out.txt (and, in a bounded run, full-only.txt) name what is not run

Lines of those files are "NAME  reason"; "#" starts a comment. A test that the suite itself skips fails here unless
left-out.txt gives the reason. Only tests without subtests are counted, and a parent that fails by itself.
"""

import json
import os
import pathlib
import sys


def listed(path):
    """The names in a list of tests, each with its reason."""
    if not path.exists():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.split(None, 1) for line in lines if line and not line.startswith("#"))
    return {name: reason for name, reason in pairs}


def not_run(folder):
    """What this run leaves out, by the peer's lists."""
    names = listed(folder / "left-out.txt")
    if os.environ.get("FULL") != "1":
        names |= listed(folder / "full-only.txt")
    return names


def main():
    left_out = not_run(pathlib.Path(sys.argv[1]))
    ended, output, running = {}, {}, set()
    for line in sys.stdin:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            print(line, end="")
            continue
        name, action = event.get("Test", ""), event["Action"]
        if action == "output":
            output.setdefault(name, []).append(event["Output"])
        elif name and action == "run":
            running.add(name)
        elif name and action in ("pass", "fail", "skip"):
            running.discard(name)
            ended[name] = action
            parent = any(other.startswith(name + "/") for other in ended)
            failed_below = any(other.startswith(name + "/") and ended[other] == "fail" for other in ended)
            if parent and (action != "fail" or failed_below):
                del ended[name]
            elif action == "pass":
                print(f"ok     {name} ({event.get('Elapsed', 0):.1f} s)", flush=True)
            elif action == "skip" and name in left_out:
                print(f"left out {name}: {left_out[name]}", flush=True)
            else:
                ended[name] = "fail"
                why = "" if action == "fail" else ": skipped, and left-out.txt gives no reason"
                print(f"FAILED {name}{why}", flush=True)
                print("".join(output.get(name, [])), end="", flush=True)
    if running or not ended:
        print("".join(output.get("", [])), end="")
    for name in running:
        ended[name] = "fail"
        print(f"FAILED {name}: did not end")
        print("".join(output.get(name, [])[-100:]), end="")
    for name in left_out:
        if name not in ended:
            print(f"left out {name}: {left_out[name]}")
    passed = sum(action == "pass" for action in ended.values())
    failed = sum(action == "fail" for action in ended.values())
    skipped = len(set(left_out) - {name for name, action in ended.items() if action != "skip"})
    print(f"{passed} passed, {failed} failed, {skipped} left out")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
