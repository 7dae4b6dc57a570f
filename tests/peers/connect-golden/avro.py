#!/usr/bin/env python3
"""Writes connect/golden/avro.jsonl: Avro data that fastavro wrote, with what they are for AvroConverter. Run by hand; needs fastavro 1.13.1.

  python3 tests/peers/connect-golden/avro.py >connect/golden/avro.jsonl

Each line is a case: {"connect": the Connect schema in the notation of Converters.java (none: not looked at), "avro": the text of the Avro schema, "bytes": the data
in hex, "plain": the value as plain JSON (bytes in hex, decimals as their unscaled bytes, of unions {branch: value}, of maps with other keys than texts
[[key, value]…])}. With "written" the text is what the Connect schema is to be written as.
"""

import io
import json
import random

import fastavro

RANDOM = random.Random(20261)
DATA = "org.apache.kafka.connect.data."


def plain(schema, datum, names):
    """The datum as plain JSON."""
    if isinstance(schema, str):
        schema = names.get(schema, schema)
    if isinstance(schema, list):
        branch, datum = datum
        if branch == "null":
            return None
        its = next(b for b in schema if branch.rsplit(".")[-1] == type_name(b, names).rsplit(".")[-1])
        value = plain(its, datum, names)
        return value if len(schema) == 2 and "null" in schema else {branch.rsplit(".")[-1]: value}
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind in ("bytes", "fixed"):
        return datum.hex()
    if kind == "array":
        items = schema["items"]
        values = [plain(items, item, names) for item in datum]
        entry = names.get(items, items) if isinstance(items, str) else items
        if isinstance(entry, dict) and (entry.get("name", "").endswith("MapEntry") or entry.get("connect.internal.type")):
            return [[value["key"], value["value"]] for value in values]
        return values
    if kind == "map":
        return {key: plain(schema["values"], value, names) for key, value in datum.items()}
    if kind == "record":
        return {field["name"]: plain(field["type"], datum[field["name"]], names) for field in schema["fields"]}
    return datum


def type_name(schema, names):
    if isinstance(schema, str):
        return schema
    if "name" in schema:
        return (schema["namespace"] + "." if schema.get("namespace") else "") + schema["name"]
    return schema["type"]


def find_names(schema, names):
    if isinstance(schema, list):
        for branch in schema:
            find_names(branch, names)
    elif isinstance(schema, dict):
        if "name" in schema:
            names[schema["name"]] = schema
            names[type_name(schema, names)] = schema
        for part in ("items", "values"):
            if part in schema:
                find_names(schema[part], names)
        for field in schema.get("fields", []):
            find_names(field["type"], names)


def without_logical(schema):
    """The schema without logical types, so that fastavro takes the underlying values."""
    if isinstance(schema, list):
        return [without_logical(branch) for branch in schema]
    if isinstance(schema, dict):
        return {key: without_logical(value) for key, value in schema.items() if key != "logicalType" and not key.startswith("connect.")}
    return schema


def case(avro, datum, connect=None, written=False):
    names = {}
    find_names(avro, names)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(without_logical(avro)), datum)
    text = json.dumps(avro, separators=(",", ":"), ensure_ascii=False)
    shown = anything(datum) if isinstance(avro, dict) and avro.get("name") == "Anything" else plain(avro, datum, names)
    line = {"avro": text, "bytes": out.getvalue().hex(), "plain": shown}
    if connect is not None:
        line["connect"] = connect
    if written:
        line["written"] = True
    print(json.dumps(line, ensure_ascii=False))


def connect(kind, optional=False, **more):
    return {"type": kind, "optional": optional, **more}


def by_hand():
    for kind, its, datum in [("boolean", "boolean", True), ("int32", "int", -2147483648), ("int64", "long", 9223372036854775807), ("float32", "float", 1.5),
                             ("float64", "double", -0.1), ("string", "string", "né"), ("bytes", "bytes", b"\x00\xff")]:
        case(its, datum, connect(kind), True)
        case(["null", its], ("null", None), connect(kind, True), True)
        case(["null", its], (its, datum), connect(kind, True), True)
        case({"type": "array", "items": its}, [datum, datum], connect("array", items=connect(kind)), True)
        case({"type": "map", "values": ["null", its]}, {"a": (its, datum), "b": ("null", None)},
             connect("map", keys=connect("string"), values=connect(kind, True)), True)
    int8 = {"type": "int", "connect.type": "int8"}
    case(int8, -128, connect("int8"), True)
    case({"type": "int", "connect.type": "int16"}, 32767, connect("int16"), True)
    case({"type": "int", "connect.doc": "a \"doc\"", "connect.version": 3, "connect.parameters": {"a": "1"}, "connect.name": "x.Y"}, 7,
         connect("int32", name="x.Y", version=3, doc="a \"doc\"", parameters=[["a", "1"]]), True)
    case({"type": "int", "connect.version": 1, "connect.name": DATA + "Date", "logicalType": "date"}, 18000, connect("int32", name=DATA + "Date", version=1), True)
    case({"type": "int", "connect.version": 1, "connect.name": DATA + "Time", "logicalType": "time-millis"}, 86399999,
         connect("int32", name=DATA + "Time", version=1), True)
    case({"type": "long", "connect.version": 1, "connect.name": DATA + "Timestamp", "logicalType": "timestamp-millis"}, -1,
         connect("int64", name=DATA + "Timestamp", version=1), True)
    case({"type": "int", "logicalType": "date"}, 18000, connect("int32", name=DATA + "Date", version=1))
    for scale, unscaled in [(2, b"\x01\x00"), (0, b"\xff"), (-1, b"\x7f"), (70, b"\x01")]:
        decimal = connect("bytes", name=DATA + "Decimal", version=1, parameters=[["scale", str(scale)]])
        avro = {"type": "bytes", "scale": scale, "precision": 64, "connect.version": 1, "connect.parameters": {"scale": str(scale)},
                "connect.name": DATA + "Decimal", "logicalType": "decimal"}
        case(avro, unscaled, decimal, True)
        case(["null", avro], ("bytes", unscaled), dict(decimal, optional=True), True)
    case({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, b"\x01",
         connect("bytes", name=DATA + "Decimal", version=1, parameters=[["scale", "2"], ["connect.decimal.precision", "9"]]))
    case({"type": "fixed", "name": "F", "namespace": "n", "size": 4, "logicalType": "decimal", "precision": 9, "scale": 2}, b"\xff\xff\xff\x01")
    case({"type": "fixed", "name": "F", "namespace": "n", "size": 3, "connect.parameters": {"connect.fixed.size": "3"}, "connect.name": "n.F"}, b"abc",
         connect("bytes", name="n.F", parameters=[["connect.fixed.size", "3"]]), True)
    structs()
    pairs_and_unions()


def structs():
    inner = {"type": "record", "name": "Inner", "namespace": "a.b", "fields": [{"name": "n", "type": "int"}], "connect.name": "a.b.Inner"}
    connect_inner = connect("struct", name="a.b.Inner", fields=[["n", connect("int32")]])
    same_space = {key: value for key, value in inner.items() if key != "namespace"}
    case(inner, {"n": 1}, connect_inner, True)
    outer = {"type": "record", "name": "Outer", "namespace": "a.b", "fields": [
        {"name": "one", "type": same_space},
        {"name": "two", "type": "Inner"},
        {"name": "three", "type": ["null", "Inner"], "default": None},
        {"name": "text", "type": [{"type": "string", "connect.default": "d"}, "null"], "default": "d"},
        {"name": "number", "type": {"type": "int", "connect.default": 7}, "default": 7},
        {"name": "float", "type": {"type": "float", "connect.default": 1.1}, "default": 1.100000023841858},
        {"name": "maybe", "type": ["null", "double"], "default": None}], "connect.version": 2, "connect.name": "a.b.Outer"}
    fields = [["one", connect_inner], ["two", connect_inner], ["three", dict(connect_inner, optional=True)],
              ["text", connect("string", True, default={"string": "d"})], ["number", connect("int32", default={"int32": "7"})],
              ["float", connect("float32", default={"float32": "1066192077"})], ["maybe", connect("float64", True)]]
    datum = {"one": {"n": 1}, "two": {"n": 2}, "three": ("null", None), "text": ("string", "x"), "number": 3, "float": 0.5, "maybe": ("double", 2.5)}
    case(outer, datum, connect("struct", name="a.b.Outer", version=2, fields=fields), True)
    case(outer, dict(datum, three=("a.b.Inner", {"n": 3}), maybe=("null", None)), connect("struct", name="a.b.Outer", version=2, fields=fields), True)
    case(["null", inner], ("a.b.Inner", {"n": 5}), dict(connect_inner, optional=True), True)
    other = dict(inner, namespace="c")
    other["connect.name"] = "c.Inner"
    case({"type": "record", "name": "O", "fields": [{"name": "x", "type": inner}, {"name": "y", "type": other}], "connect.name": "O"},
         {"x": {"n": 1}, "y": {"n": 2}},
         connect("struct", name="O", fields=[["x", connect_inner], ["y", dict(connect_inner, name="c.Inner")]]), True)
    unnamed = {"type": "record", "name": "ConnectDefault", "namespace": "io.confluent.connect.avro", "fields": [
        {"name": "x", "type": {"type": "record", "name": "ConnectDefault2", "fields": [{"name": "n", "type": "int"}]}},
        {"name": "y", "type": "ConnectDefault2"}]}
    one = connect("struct", fields=[["n", connect("int32")]])
    case(unnamed, {"x": {"n": 1}, "y": {"n": 2}}, connect("struct", fields=[["x", one], ["y", one]]), True)
    documented = {"type": "record", "name": "D", "namespace": "a", "doc": "the record", "fields": [{"name": "n", "type": "int", "doc": "the field", "default": 3}]}
    case(documented, {"n": 1}, connect("struct", name="a.D", parameters=[["io.confluent.connect.avro.record.doc", "the record"],
         ["io.confluent.connect.avro.field.doc.n", "the field"]],
         fields=[["n", connect("int32", default={"int32": "3"}, parameters=[["io.confluent.connect.avro.field.default", "true"]])]]))


def pairs_and_unions():
    entry = {"type": "record", "name": "MapEntry", "namespace": "io.confluent.connect.avro", "fields": [{"name": "key", "type": "int"},
             {"name": "value", "type": ["null", "string"], "default": None}]}
    case({"type": "array", "items": entry}, [{"key": 1, "value": ("string", "a")}, {"key": 2, "value": ("null", None)}],
         connect("map", keys=connect("int32"), values=connect("string", True)), True)
    named = {"type": "record", "name": "M", "namespace": "a", "fields": [{"name": "key", "type": "long"}, {"name": "value", "type": "int"}], "connect.internal.type": "MapEntry"}
    case({"type": "array", "items": named, "connect.name": "a.M"}, [{"key": 5, "value": 6}], connect("map", name="a.M", keys=connect("int64"), values=connect("int32")), True)
    record = {"type": "record", "name": "R", "namespace": "a", "fields": [{"name": "n", "type": "int"}]}
    for branch, value in [("null", None), ("int", 5), ("string", "x"), ("a.R", {"n": 1})]:
        case({"type": "record", "name": "U", "namespace": "u", "fields": [{"name": "u", "type": ["null", "int", "string", record]}]}, {"u": (branch, value)})
    case({"type": "enum", "name": "E", "namespace": "a", "symbols": ["X", "Y"]}, "Y",
         connect("string", name="a.E", parameters=[["io.confluent.connect.avro.Enum", "a.E"], ["io.confluent.connect.avro.Enum.X", "X"],
                                                   ["io.confluent.connect.avro.Enum.Y", "Y"]]))
    for value in [True, 1.5, 5, "x", [1, "a", None, [True]], [], {"a": 1, "b": [None]}]:
        case(ANYTHING, wrapped(value))


def optional(name, its):
    return {"name": name, "type": ["null", its], "default": None}


ANYTHING = {"type": "record", "name": "Anything", "namespace": "io.confluent.connect.avro", "fields": [
    optional("boolean", "boolean"), optional("bytes", "bytes"), optional("double", "double"), optional("float", "float"), optional("int", "int"),
    optional("long", "long"), optional("string", "string"), optional("array", {"type": "array", "items": "Anything"}),
    optional("map", {"type": "array", "items": {"type": "record", "name": "MapEntry", "fields": [{"name": "key", "type": "Anything"}, {"name": "value", "type": "Anything"}]}})]}


def wrapped(value):
    kinds = {bool: "boolean", float: "double", int: "long", str: "string", list: "array", dict: "map"}
    out = {field["name"]: None for field in ANYTHING["fields"]}
    if value is not None:
        its = value
        if isinstance(value, list):
            its = [wrapped(item) for item in value]
        elif isinstance(value, dict):
            its = [{"key": wrapped(key), "value": wrapped(item)} for key, item in value.items()]
        out[kinds[type(value)]] = its
    return out


def anything(datum):
    for kind, value in datum.items():
        if value is not None:
            if kind == "array":
                return [anything(item) for item in value]
            if kind == "map":
                return {anything(entry["key"]): anything(entry["value"]) for entry in value}
            return value
    return None


def at_random():
    for _ in range(400):
        counter = [0]
        schema = random_schema(3, counter)
        case(schema, random_datum(schema))


def random_schema(depth, counter, in_union=False):
    kinds = ["boolean", "int", "long", "float", "double", "bytes", "string"]
    kind = RANDOM.choice(kinds + (["array", "map", "record", "record", "fixed"] + ([] if in_union else ["union", "optional"]) if depth else []))
    counter[0] += 1
    name = f"N{counter[0]}"
    if kind == "array":
        return {"type": kind, "items": random_schema(depth - 1, counter)}
    if kind == "map":
        return {"type": kind, "values": random_schema(depth - 1, counter)}
    if kind == "record":
        fields = [{"name": f"f{i}", "type": random_schema(depth - 1, counter)} for i in range(RANDOM.randint(1, 5))]
        return {"type": kind, "name": name, "namespace": "r.s", "fields": fields}
    if kind == "fixed":
        return {"type": kind, "name": name, "namespace": "r.s", "size": RANDOM.randint(1, 5)}
    if kind == "optional":
        its = random_schema(depth - 1, counter, True)
        return ["null", its] if RANDOM.random() < 0.5 else [its, "null"]
    if kind == "union":
        branches = RANDOM.sample(kinds, RANDOM.randint(2, 4))
        return (["null"] if RANDOM.random() < 0.5 else []) + branches + [{"type": "record", "name": name, "namespace": "r.s", "fields": [{"name": "n", "type": "int"}]}]
    return kind


def random_datum(schema):
    if isinstance(schema, list):
        branch = RANDOM.choice(schema)
        return (type_name(branch, {}), random_datum(branch))
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "null":
        return None
    if kind == "boolean":
        return RANDOM.random() < 0.5
    if kind == "int":
        return RANDOM.getrandbits(32) - 2**31 >> RANDOM.randrange(32)
    if kind == "long":
        return RANDOM.getrandbits(64) - 2**63 >> RANDOM.randrange(64)
    if kind == "float":
        return RANDOM.randrange(-10**6, 10**6) / 64
    if kind == "double":
        return RANDOM.gauss(0, 1) * 10 ** RANDOM.randrange(-20, 20)
    if kind == "string":
        return "".join(RANDOM.choice("abc é€😀\"\\\n") for _ in range(RANDOM.randrange(80) if RANDOM.random() < 0.1 else RANDOM.randrange(8)))
    if kind == "bytes":
        return RANDOM.randbytes(RANDOM.randrange(10))
    if kind == "fixed":
        return RANDOM.randbytes(schema["size"])
    if kind == "array":
        return [random_datum(schema["items"]) for _ in range(RANDOM.randrange(4))]
    if kind == "map":
        return {f"k{i}": random_datum(schema["values"]) for i in range(RANDOM.randrange(4))}
    return {field["name"]: random_datum(field["type"]) for field in schema["fields"]}


by_hand()
at_random()
