"""Compares two workers' answers to one call, but for the differences that connect/golden/rest/differences.json names."""

import json

# What only one side writes into a task's configuration.
TASK_KEYS = ("task.class", "task.id", "connector.class", "file.task.count")


class Differences:
    """Those among the workers that are compared, and which of them were met."""

    def __init__(self, path, among):
        all_of_them = json.loads(path.read_text())
        # What holds for distributed workers alone goes before what holds for all.
        all_of_them.sort(key=lambda difference: difference.get("among") != "distributed")
        self.its = [difference for difference in all_of_them if difference.get("among", "all") in among]
        self.met = set()

    def of(self, call):
        method, path, body = call["method"], call["path"], call.get("body") or ""
        for number, difference in enumerate(self.its):
            its_path, its_body = difference["path"], difference["body"]
            same_path = path.startswith(its_path[:-1]) if its_path.endswith("*") else path == its_path
            same_body = body == its_body[1:] if its_body.startswith("=") else its_body in body
            if difference["method"] == method and same_path and same_body:
                self.met.add(number)
                return difference["ours"], difference["why"]
        return None, None

    def unmet(self):
        return [difference for number, difference in enumerate(self.its) if number not in self.met]


def names_of(configs):
    return {entry["value"]["name"] if "value" in entry else entry["name"] for entry in configs}


def without_own(call, ours, java, left_out):
    """Both answers without what ours has in addition: keys of its file connectors and of all connectors, groups, plugins."""
    path = call["path"]
    if isinstance(ours, dict) and isinstance(java, dict) and "configs" in ours and "configs" in java:
        known = names_of(java["configs"])
        ours = dict(ours, configs=recommended_by_both(ours["configs"], java["configs"]))
        ours = dict(ours, configs=[entry for entry in ours["configs"] if entry["value"]["name"] in known - set(left_out)],
                    groups=[group for group in ours["groups"] if group in java["groups"]])
        java = dict(java, configs=[entry for entry in java["configs"] if entry["value"]["name"] not in left_out])
        if left_out:
            ours, java = dict(ours, error_count=None), dict(java, error_count=None)
    if isinstance(ours, list) and isinstance(java, list):
        if path.rstrip("/").startswith("/connector-plugins/"):
            ours = [entry for entry in ours if entry["name"] in names_of(java)]
        elif path.startswith("/connector-plugins"):
            # Ours has more plugins.
            ours = [entry for entry in ours if entry["class"] in {entry["class"] for entry in java}]
        elif path.rstrip("/").endswith("/tasks"):
            ours, java = tasks_of(ours), tasks_of(java)
        elif path.split("?")[0].rstrip("/") == "/connectors":
            ours, java = sorted(ours), sorted(java)
    return ours, java


def recommended_by_both(ours, java):
    """Ours has more converters to recommend."""
    recommended = {entry["value"]["name"]: entry["value"]["recommended_values"] for entry in java}

    def shown(value):
        return [text for text in value["recommended_values"] if text in recommended.get(value["name"], [])]

    return [dict(entry, value=dict(entry["value"], recommended_values=shown(entry["value"]))) for entry in ours]


def without_versions(value, key=None):
    """Without what names a program's build: plugins are of the version of the program that they come with."""
    if key in ("commit", "version") and value is not None:
        return key.upper()
    if isinstance(value, dict):
        if str(value.get("name")).endswith(".plugin.version"):
            hidden = {"default_value": None, "value": None, "recommended_values": []}
            return {key: hidden.get(key, value[key]) for key in value}
        return {name: without_versions(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_versions(inner) for inner in value]
    return value


def tasks_of(tasks):
    return [dict(task, config={key: value for key, value in task["config"].items() if key not in TASK_KEYS}) for task in tasks]


def unlike(call, ours, java, differences):
    """What is different, in a line; None if all is as it should be."""
    expected, why = differences.of(call)
    if isinstance(expected, dict) and "status" in expected:
        return None if ours["status"] == expected["status"] else f"status {ours['status']} is not {expected['status']} ({why})"
    if ours["status"] != java["status"]:
        return f"status {ours['status']} is not {java['status']}: {str(ours['answer'])[:300]} / {str(java['answer'])[:300]}"
    for name in ("content-type", "location", "allow"):
        # Java names no type where it says nothing.
        if name in java["answered"] and ours["answered"].get(name) != java["answered"][name]:
            return f"{name} {ours['answered'].get(name)} is not {java['answered'][name]}"
    ours, java = without_versions(ours["answer"]), without_versions(java["answer"])
    if expected == "text":
        alike = isinstance(ours, dict) and ours.keys() == java.keys() and ours["error_code"] == java["error_code"]
        return None if alike else f"another kind of answer: {ours} / {java}"
    left_out = expected["keys"] if expected else []
    ours, java = without_own(call, ours, java, left_out)
    return None if ours == java else first_difference(ours, java, "answer")


def first_difference(ours, java, place):
    """Where two answers part."""
    if isinstance(ours, dict) and isinstance(java, dict) and ours.keys() == java.keys():
        key = next(key for key in ours if ours[key] != java[key])
        return first_difference(ours[key], java[key], f"{place}.{key}")
    if isinstance(ours, list) and isinstance(java, list) and len(ours) == len(java):
        place_of = next(index for index in range(len(ours)) if ours[index] != java[index])
        return first_difference(ours[place_of], java[place_of], f"{place}[{place_of}]")
    return f"{place}: ours {json.dumps(ours)[:400]}\n      Java {json.dumps(java)[:400]}"
