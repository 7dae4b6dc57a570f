#!/usr/bin/env python3
"""Writes connect/golden/protobuf.jsonl: messages that Google's Protobuf wrote, with what they are for ProtobufConverter. Run by hand; needs
protobuf 7.36.2, grpcio-tools 1.85.1 and googleapis-common-protos 1.76.0.

  python3 tests/peers/connect-golden/protobuf.py >connect/golden/protobuf.jsonl

Each line is a schema: {"proto": its text, "references": [[path, text]…] that it imports, "places": of the message in it, "cases": [[the data in hex, the value as plain
JSON (bytes in hex, decimals as their unscaled bytes, of oneofs {member: value}, of maps with other keys than texts [[key, value]…])]…]}. With "exact" writing the value
again gives the same bytes. With "connect" (in the notation of Converters.java) the text is what that Connect schema is to be written as: these texts were put down by
hand, from the rules by which Confluent's converter prints, and are compiled here.
"""

import datetime
import json
import random
import tempfile
from pathlib import Path

import google.type.date_pb2
import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor as F
from grpc_tools import protoc

RANDOM = random.Random(20262)
CONNECT = "io.confluent.connect.protobuf."
DATA = "org.apache.kafka.connect.data."
KNOWN = [Path(grpc_tools.__file__).parent / "_proto", Path(google.type.date_pb2.__file__).parent.parent.parent]
META = """syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta {
  string doc = 1;
  map<string, string> params = 2;
}
extend google.protobuf.FieldOptions {
  Meta field_meta = 1088;
}
"""
DECIMAL = """syntax = "proto3";
package confluent.type;
message Decimal {
  bytes value = 1;
  uint32 precision = 2;
  int32 scale = 3;
}
"""
WRAPPERS = {"DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value", "UInt32Value", "BoolValue", "StringValue", "BytesValue"}


def compiled(text, references):
    """The file's descriptor."""
    # Confluent's texts use the option without importing it.
    if "confluent.field_meta" in text:
        head, tail = text.split("\n", 1)
        package = ""
        if tail.startswith("package"):
            package, tail = tail.split("\n", 1)
        text = f'{head}\n{package}\nimport "confluent/meta.proto";\n{tail}'
    with tempfile.TemporaryDirectory() as folder:
        for path, content in [("confluent/meta.proto", META), ("confluent/type/decimal.proto", DECIMAL), ("main.proto", text), *references]:
            file = Path(folder) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        out = Path(folder) / "out"
        paths = [f"-I{path}" for path in [folder, *KNOWN]]
        assert protoc.main(["protoc", *paths, "--include_imports", f"--descriptor_set_out={out}", "main.proto"]) == 0, text
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool.FindFileByName("main.proto")


def at(file, places):
    """The message at these places of the text."""
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    inside, types = proto.message_type, file.message_types_by_name
    for place in places:
        standing = [its for its in inside if not its.options.map_entry]
        message = types[standing[place].name]
        inside, types = standing[place].nested_type, message.nested_types_by_name
    return message


def signed(number):
    return number - (1 << 64) if number >= 1 << 63 else number


def plain_value(field, value):
    if field.type == F.TYPE_MESSAGE:
        return plain(value)
    if field.type == F.TYPE_ENUM:
        return field.enum_type.values_by_number[value].name
    if field.type == F.TYPE_BYTES:
        return value.hex()
    if field.type in (F.TYPE_UINT64, F.TYPE_FIXED64):
        return signed(value)
    return value


def plain(message):
    """What a message is with the defaults of the converter's configuration."""
    its = message.DESCRIPTOR
    name = its.full_name
    if name == "google.protobuf.Timestamp":
        return message.seconds * 1000 + message.nanos // 1000000
    if name == "google.type.Date":
        return (datetime.date(message.year, message.month, message.day) - datetime.date(1970, 1, 1)).days
    if name == "google.type.TimeOfDay":
        return ((message.hours * 60 + message.minutes) * 60 + message.seconds) * 1000 + message.nanos // 1000000
    if name == "confluent.type.Decimal":
        return message.value.hex()
    if name.startswith("google.protobuf.") and its.name in WRAPPERS:
        return plain_value(its.fields[0], message.value)
    result = {}
    real = [oneof for oneof in its.oneofs if not any(is_synthetic(field) for field in oneof.fields)]
    for place, oneof in enumerate(real):
        given = message.WhichOneof(oneof.name)
        result[f"{oneof.name}_{place}"] = {given: plain_value(its.fields_by_name[given], getattr(message, given))} if given else None
    for field in its.fields:
        if field.containing_oneof in real:
            continue
        value = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            key, element = field.message_type.fields
            entries = [[plain_value(key, k), plain_value(element, v)] for k, v in sorted(value.items())]
            result[field.name] = dict(entries) if key.type == F.TYPE_STRING else entries
        elif field.is_repeated and field.message_type and field.message_type.name.endswith("Entry"):
            # A value that is not given is its default, also if it is a message.
            value_field = field.message_type.fields_by_name["value"]
            result[field.name] = {entry.key: plain_value(value_field, entry.value) for entry in value}
        elif field.is_repeated:
            result[field.name] = [plain_value(field, element) for element in value]
        elif (field.type == F.TYPE_MESSAGE or has_keyword(field)) and not message.HasField(field.name):
            result[field.name] = None
        else:
            result[field.name] = plain_value(field, value)
    return result


def is_synthetic(field):
    proto = descriptor_pb2.DescriptorProto()
    field.containing_type.CopyToProto(proto)
    return next(its for its in proto.field if its.name == field.name).proto3_optional


def has_keyword(field):
    file = descriptor_pb2.FileDescriptorProto()
    field.file.CopyToProto(file)
    is_proto2 = file.syntax in ("", "proto2")
    return is_synthetic(field) or (is_proto2 and not field.is_repeated and not field.is_required)


def random_scalar(field):
    kind = field.type
    bits = RANDOM.choice([1, 7, 8, 14, 31])
    if kind in (F.TYPE_INT32, F.TYPE_SINT32, F.TYPE_SFIXED32):
        limit = {"int8": 7, "int16": 15}.get(RANDOM.narrow.get(field.name), bits)
        return RANDOM.randrange(-(1 << limit), 1 << limit)
    if kind in (F.TYPE_UINT32, F.TYPE_FIXED32):
        return RANDOM.randrange(1 << (bits + 1))
    if kind in (F.TYPE_INT64, F.TYPE_SINT64, F.TYPE_SFIXED64):
        return RANDOM.randrange(-(1 << (2 * bits)), 1 << (2 * bits))
    if kind in (F.TYPE_UINT64, F.TYPE_FIXED64):
        return RANDOM.randrange(1 << (2 * bits + 2))
    if kind == F.TYPE_BOOL:
        return RANDOM.random() < 0.5
    if kind in (F.TYPE_FLOAT, F.TYPE_DOUBLE):
        return RANDOM.choice([0.0, 1.5, -0.25, 1024.0, float(RANDOM.randrange(1000)) / 8])
    if kind == F.TYPE_STRING:
        return RANDOM.choice(["", "a", "né€", "x" * RANDOM.randrange(200)])
    if kind == F.TYPE_BYTES:
        return RANDOM.randbytes(RANDOM.choice([0, 1, 20]))
    return RANDOM.choice(field.enum_type.values).number


def fill(message, depth=0):
    its = message.DESCRIPTOR
    if its.full_name == "google.protobuf.Timestamp":
        message.seconds, message.nanos = RANDOM.randrange(-(10**10), 10**10), RANDOM.randrange(1000) * 1000000
    elif its.full_name == "google.type.Date":
        message.year, message.month, message.day = RANDOM.randrange(1600, 2100), RANDOM.randrange(1, 13), RANDOM.randrange(1, 29)
    elif its.full_name == "google.type.TimeOfDay":
        message.hours, message.minutes, message.seconds = RANDOM.randrange(24), RANDOM.randrange(60), RANDOM.randrange(60)
        message.nanos = RANDOM.randrange(1000) * 1000000
    elif its.full_name == "confluent.type.Decimal":
        unscaled = RANDOM.randrange(-(10**12), 10**12)
        message.value = unscaled.to_bytes((unscaled + (unscaled < 0)).bit_length() // 8 + 1, "big", signed=True)
        message.precision, message.scale = len(str(abs(unscaled))), 2
    else:
        for field in its.fields:
            if field.is_required or RANDOM.random() < 0.8:
                fill_field(message, field, depth)


def fill_field(message, field, depth):
    value = getattr(message, field.name)
    count = RANDOM.randrange(3) if depth < 3 else 0
    if field.message_type and field.message_type.GetOptions().map_entry:
        key, element = field.message_type.fields
        for _ in range(count):
            k = random_scalar(key)
            if element.type == F.TYPE_MESSAGE:
                fill(value[k], depth + 1)
            else:
                value[k] = random_scalar(element)
    elif field.is_repeated and field.message_type and field.message_type.name.endswith("Entry"):
        for place in range(count):
            entry = value.add()
            fill(entry, depth + 1)
            entry.key = f"key{place}"
            if entry.DESCRIPTOR.fields_by_name["value"].message_type:
                entry.value.SetInParent()  # as every value that is read is written
    elif field.is_repeated and field.type == F.TYPE_MESSAGE:
        for _ in range(count):
            fill(value.add(), depth + 1)
    elif field.is_repeated:
        value.extend(random_scalar(field) for _ in range(count))
    elif field.type == F.TYPE_MESSAGE:
        value.SetInParent()
        fill(value, depth + 1)
    else:
        setattr(message, field.name, random_scalar(field))


def cases(text, places=(0,), references=(), count=12, exact=False, connect=None, narrow=None):
    RANDOM.narrow = narrow or {}
    message_class = message_factory.GetMessageClass(at(compiled(text, list(references)), places))
    line = {"proto": text, "references": list(references), "places": list(places), "exact": exact}
    if connect is not None:
        line["connect"] = connect
    line["cases"] = []
    for number in range(count):
        message = message_class()
        if number > 0 or any(field.is_required for field in message.DESCRIPTOR.fields):
            fill(message)
        line["cases"].append([message.SerializeToString(deterministic=True).hex(), plain(message)])
    print(json.dumps(line, ensure_ascii=False))


def schema(kind, optional=False, **more):
    return {"type": kind, "optional": optional, **more}


SCALARS = ["double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes"]


def scalars():
    fields = lambda label: "".join(f"  {label}{kind} f_{kind} = {number};\n" for number, kind in enumerate(SCALARS, 1))
    cases(f'syntax = "proto3";\nmessage Plain {{\n{fields("")}}}\n', exact=True)
    cases(f'syntax = "proto3";\nmessage Opt {{\n{fields("optional ")}}}\n')
    cases(f'syntax = "proto3";\nmessage Rep {{\n{fields("repeated ")}}}\n', exact=True)
    unpacked = fields("repeated ").replace(";", " [packed = false];").replace("f_string = 14 [packed = false]", "f_string = 14").replace("f_bytes = 15 [packed = false]", "f_bytes = 15")
    cases(f'syntax = "proto3";\nmessage Rep {{\n{unpacked}}}\n')
    cases(f'syntax = "proto2";\nmessage Rep {{\n{fields("repeated ")}}}\n')
    cases(f'syntax = "proto2";\nmessage Opt {{\n{fields("optional ")}}}\n')
    cases(f'message Req {{\n{fields("required ")}}}\n')
    maps = "".join(f"  map<string, {kind}> m_{kind} = {number};\n" for number, kind in enumerate(SCALARS, 1))
    keys = "".join(f"  map<{kind}, string> k_{kind} = {number};\n" for number, kind in enumerate(SCALARS, 21) if kind not in ("double", "float", "bytes", "string"))
    cases(f'syntax = "proto3";\nmessage Maps {{\n{maps}{keys}}}\n', count=8)


def structure():
    cases("""syntax = "proto3";
package a.b;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/duration.proto";
import "google/type/date.proto";
import "google/type/timeofday.proto";
import "google/type/money.proto";
option java_package = "x";
// A comment with { brackets and "quotes
message First { string not_this = 1; }
message Outer {
  map<string, Inner> by_name = 9;
  message Skipped {}
  message Inner {
    Color color = 1;
    repeated Color colors = 2;
    enum Color { RED = 0; GREEN = 1; BLUE = 5; OLD = -3; }
    .a.b.Outer.Deeper deeper = 30;
    reserved 4, 100 to 200;
  }
  message Deeper { int32 deep = 1; optional int32 maybe = 2; }
  Inner inner = 1;
  repeated Inner inners = 200;
  oneof choice { int32 number = 3; string text = 4; Deeper message = 5; Inner.Color color = 6; }
  optional string before = 8;
  oneof other { google.protobuf.Timestamp time = 16; bytes raw = 17; }
  google.protobuf.Timestamp at = 10;
  google.type.Date day = 11;
  google.type.TimeOfDay clock = 12;
  google.protobuf.StringValue wrapped = 13;
  google.protobuf.UInt64Value wrapped_number = 14;
  repeated google.protobuf.Int32Value wrapped_numbers = 15;
  google.protobuf.Duration duration = 18;
  google.type.Money money = 19;
}
""", places=(1,), count=40)
    cases("""syntax = "proto3";
message A { map<string, int32> m = 1; message B { message C { int32 x = 1; } message D { string y = 16777216; } } }
""", places=(0, 0, 1))
    shared = 'syntax = "proto3";\npackage shared;\nimport "deeper.proto";\nmessage Shared { int64 id = 1; .deeper.Level level = 2; }\n'
    deeper = 'syntax = "proto2";\npackage deeper;\nenum Level { LOW = 1; HIGH = 2; }\n'
    cases('syntax = "proto3";\npackage x;\nimport "shared.proto";\nmessage M { shared.Shared one = 1; repeated shared.Shared many = 2; }\n'.replace(".deeper.Level level = 2;", ""),
          references=[["shared.proto", shared.replace("import \"deeper.proto\";\n", "").replace(" .deeper.Level level = 2;", "")]], exact=True)
    cases('syntax = "proto2";\npackage x;\nimport "shared.proto";\nimport "deeper.proto";\nmessage M { optional shared.Shared one = 1; repeated deeper.Level levels = 2; required deeper.Level level = 3; }\n',
          references=[["deeper.proto", deeper], ["shared.proto", shared.replace("import \"deeper.proto\";\n", "").replace(" .deeper.Level level = 2;", "")]])
    cases('syntax = "proto3";\nimport "google/protobuf/wrappers.proto";\nmessage W {\n' + "".join(
        f"  google.protobuf.{name} w{place} = {place};\n" for place, name in enumerate(sorted(WRAPPERS), 1)) + "}\n", count=8)


def written():
    tag = lambda number, **more: {"parameters": [[CONNECT + "Tag", str(number)]], **more}
    inner = schema("struct", fields=[["n", schema("int32")], ["when", schema("int64", True, name=DATA + "Timestamp", version=1)]])
    connect = schema("struct", name="shop.orders.Order", fields=[
        ["small", schema("int8")], ["short", schema("int16")], ["int", schema("int32", True)], ["long", schema("int64")],
        ["float", schema("float32")], ["double", schema("float64", True)], ["yes", schema("boolean")], ["text", schema("string", True)], ["raw", schema("bytes")],
        ["price", schema("bytes", name=DATA + "Decimal", version=1, parameters=[["scale", "2"], ["connect.decimal.precision", "12"]])],
        ["day", schema("int32", True, name=DATA + "Date", version=1)], ["clock", schema("int32", True, name=DATA + "Time", version=1)],
        ["inner", inner], ["list", schema("array", items=schema("int64"))], ["structs", schema("array", items=dict(inner, name="x.Line"))],
        ["by_name", schema("map", keys=schema("string"), values=schema("int32"))],
        ["named", schema("map", name="my_map", keys=schema("string"), values=dict(inner, optional=True))],
        ["color", schema("string", True, name="Color", parameters=[[CONNECT + "Enum", "Color"], [CONNECT + "Enum.RED", "0"], [CONNECT + "Enum.BLUE", "5"]])],
        ["choice_0", schema("struct", True, name=CONNECT + "Union.choice", fields=[
            ["number", schema("int32", True, **tag(30))], ["words", schema("string", True, **tag(31))]])],
        ["kept", schema("string", **tag(50))], ["unsigned", schema("int64", parameters=[[CONNECT + "Type", "uint32"]])],
    ])
    text = """syntax = "proto3";
package shop.orders;

import "confluent/type/decimal.proto";
import "google/type/date.proto";
import "google/type/timeofday.proto";
import "google/protobuf/timestamp.proto";

message Order {
  int32 small = 1 [(confluent.field_meta) = {
    params: [
      {
        key: "connect.type",
        value: "int8"
      }
    ]
  }];
  int32 short = 2 [(confluent.field_meta) = {
    params: [
      {
        key: "connect.type",
        value: "int16"
      }
    ]
  }];
  int32 int = 3;
  int64 long = 4;
  float float = 5;
  double double = 6;
  bool yes = 7;
  string text = 8;
  bytes raw = 9;
  confluent.type.Decimal price = 10 [(confluent.field_meta) = {
    params: [
      {
        value: "12",
        key: "precision"
      },
      {
        value: "2",
        key: "scale"
      }
    ]
  }];
  google.type.Date day = 11;
  google.type.TimeOfDay clock = 12;
  ConnectDefault1 inner = 13;
  repeated int64 list = 14;
  repeated Line structs = 15;
  repeated ConnectDefault2Entry by_name = 16;
  repeated MyMapEntry named = 17;
  Color color = 18;
  string kept = 50;
  uint32 unsigned = 20;

  oneof choice {
    int32 number = 30;
    string words = 31;
  }

  message ConnectDefault1 {
    int32 n = 1;
    google.protobuf.Timestamp when = 2;
  }
  message Line {
    int32 n = 1;
    google.protobuf.Timestamp when = 2;
  }
  message ConnectDefault2Entry {
    string key = 1;
    int32 value = 2;
  }
  message MyMapEntry {
    string key = 1;
    ConnectDefault3 value = 2;
  
    message ConnectDefault3 {
      int32 n = 1;
      google.protobuf.Timestamp when = 2;
    }
  }
  enum Color {
    RED = 0;
    BLUE = 5;
  }
}
"""
    cases(text, connect=connect, exact=True, count=30, narrow={"small": "int8", "short": "int16"})
    cases('syntax = "proto3";\n\nmessage ConnectDefault1 {}\n', connect=schema("struct", fields=[]), exact=True, count=1)
    wrappers = [line for line in (KNOWN[0] / "google/protobuf/wrappers.proto").read_text().split("\n")]
    options = {line.split()[1]: line for line in wrappers if line.startswith("option ")}
    order = ["java_package", "java_outer_classname", "java_multiple_files", "go_package", "cc_enable_arenas", "objc_class_prefix", "csharp_namespace"]
    assert set(order) == set(options)
    text = 'syntax = "proto3";\npackage google.protobuf;\n\n' + "\n".join(options[name] for name in order) + "\n\n"
    kinds = [("Double", "double", "float64"), ("Float", "float", "float32"), ("Int64", "int64", "int64"), ("UInt64", "uint64", None), ("Int32", "int32", "int32"),
             ("UInt32", "uint32", None), ("Bool", "bool", "boolean"), ("String", "string", "string"), ("Bytes", "bytes", "bytes")]
    text += "".join(f"message {name}Value {{\n  {kind} value = 1;\n}}\n" for name, kind, _ in kinds)
    for place, (_, _, kind) in enumerate(kinds):
        cases(text, places=(place,), connect=kind and schema(kind), exact=kind is not None, count=4)


scalars()
structure()
written()
