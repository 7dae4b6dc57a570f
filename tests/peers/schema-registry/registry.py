#!/usr/bin/env python3
"""Our Avro and Protobuf converters with a schema registry that is not ours, and beside Confluent's serializers.

  registry.py FOLDER…    Apicurio Registries, unpacked; ONLY=NAME,… runs some of the cases"""

import datetime
import os
import pathlib
import sys
import traceback

from confluent_kafka.schema_registry import Schema, SchemaReference
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

import around
import foreign
from around import RUN, WORK, check, consume, produce, rows, wait
from results import listed

CONVERTERS = {"avro": "io.confluent.connect.avro.AvroConverter", "protobuf": "io.confluent.connect.protobuf.ProtobufConverter"}
FIRST = [{"id": 1, "name": "Zoë, the \"first\"", "price": 1.5, "good": True}, {"id": -9007199254740993, "name": None, "price": None, "good": False},
         {"id": 3, "name": "naïve 💶", "price": -0.0, "good": None}]
TYPES = "id:int64,price:float64,good:boolean"


def as_csv(value):
    """A field of a CSV file; what is missing is an empty one."""
    if value is None:
        return ""
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return str(value).lower()


def write_csv(path, content):
    lines = [",".join(content[0]), *(",".join(map(as_csv, row.values())) for row in content)]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


class Pair:
    """A source that makes structs of CSV files, and a sink of JSON lines, through the same converter."""

    def __init__(self, worker, registry, kind, name, **options):
        self.worker, self.registry, self.kind = worker, registry, kind
        self.name = f"{registry.name}-{kind}-{name}"
        self.topic = f"{self.name}-{RUN}"
        self.subject = f"{self.topic}-value"
        self.folder, self.out = WORK / self.name, WORK / f"{self.name}.jsonl"
        self.folder.mkdir()
        # As in Confluent's, what is null is 0 or empty without it.
        self.options = {"optional_for_nullables": "true", **options} if kind == "protobuf" else options

    def converter(self, side="value", **options):
        its = {f"{side}.converter": CONVERTERS[self.kind], f"{side}.converter.schema.registry.url": self.registry.url}
        return its | {f"{side}.converter.{key.replace('_', '.')}": value for key, value in {**self.options, **options}.items()}

    def source(self, types=TYPES, **options):
        self.worker.make(f"{self.name}-source", {
            "connector.class": "FileStreamSource", "file": str(self.folder), "format": "csv", "csv.types": types, "topic": self.topic,
            "scan.interval.ms": "50", **self.converter(**options)})

    def sink(self, key=False, **options):
        both = self.converter("key") if key else {}
        self.worker.make(f"{self.name}-sink", {"connector.class": "FileStreamSink", "file": str(self.out), "format": "jsonl", "topics": self.topic,
                                               **self.converter(), **both, **options})

    def write(self, file, content):
        write_csv(self.folder / file, content)

    def soon(self, name, expected):
        """A check that the sink's file comes to hold these rows."""
        wait(lambda: len(rows(self.out)) >= len(expected) or self.worker.trace(f"{self.name}-sink") or self.worker.trace(f"{self.name}-source"))
        found = rows(self.out)
        check(f"{self.name}: {name}", found == expected, f"{found}\ninstead of\n{expected}\n{self.worker.why(f'{self.name}-sink', f'{self.name}-source')}")

    def soon_failed(self, name, connector, *words):
        trace = wait(lambda: self.worker.trace(f"{self.name}-{connector}"))
        check(f"{self.name}: {name}", all(word in trace for word in words), trace or self.worker.why())

    def context(self, field=MessageField.VALUE):
        return SerializationContext(self.topic, field)

    def end(self):
        self.worker.delete(f"{self.name}-source")
        self.worker.delete(f"{self.name}-sink")


def id_of(data):
    return int.from_bytes(data[1:5], "big") if data[:1] == b"\0" else None


def evolution(pair):
    """There and back, a column more, a worker that starts again, a type that changes."""
    pair.write("1.csv", FIRST)
    pair.source()
    pair.sink()
    pair.soon("what comes out went in", FIRST)
    check(f"{pair.name}: one version is registered", pair.registry.versions(pair.subject) == [1], pair.registry.versions(pair.subject))
    first = pair.registry.latest(pair.subject)["id"]
    check(f"{pair.name}: records begin with its id", {id_of(data) for data in consume(pair.topic, 3)} == {first})

    pair.registry.backward(pair.subject)
    second = [{**row, "city": city} for row, city in zip(FIRST, ["Ulm", None, "Łódź"])]
    pair.write("2.csv", second)
    pair.soon("a column more", FIRST + second)
    check(f"{pair.name}: it is the second version", pair.registry.versions(pair.subject) == [1, 2], pair.registry.versions(pair.subject))
    check(f"{pair.name}: with an id of its own", pair.registry.latest(pair.subject)["id"] != first)

    pair.worker.stop()
    pair.worker.start()
    pair.source()
    pair.sink()
    pair.write("3.csv", FIRST)
    pair.soon("after a restart", FIRST + second + FIRST)
    check(f"{pair.name}: nothing new is registered", pair.registry.versions(pair.subject) == [1, 2], pair.registry.versions(pair.subject))
    check(f"{pair.name}: ids are as before", id_of(consume(pair.topic, 9)[8]) == first)

    pair.source(types="id:string,price:float64,good:boolean")
    pair.write("4.csv", FIRST)
    pair.soon_failed("a column of another type is refused", "source", pair.subject, "409", "not compatible")
    check(f"{pair.name}: and not registered", pair.registry.versions(pair.subject) == [1, 2], pair.registry.versions(pair.subject))
    pair.end()


def read_by_confluent(pair):
    """What we write is what Confluent's deserializers read."""
    pair.write("1.csv", FIRST)
    pair.source()
    data = consume(pair.topic, len(FIRST))
    if pair.kind == "avro":
        read = AvroDeserializer(pair.registry.client)
        found = [read(one, pair.context()) for one in data]
    else:
        kinds = [("id", "int64"), ("name", "string"), ("price", "double"), ("good", "bool")]
        fields = [(name, place, kind, "optional") for place, (name, kind) in enumerate(kinds, 1)]
        order = foreign.classes(foreign.file("ours.proto", "ours", [foreign.message("Order", *fields)]))["ours.Order"]
        read = ProtobufDeserializer(order, {"use.deprecated.format": False})
        messages = [read(one, pair.context()) for one in data]
        found = [{n: getattr(one, n) if one.HasField(n) else None for n, _ in kinds} for one in messages]
    check(f"{pair.name}: what Confluent's deserializer reads", found == FIRST, f"{found}\n{pair.worker.why(f'{pair.name}-source')}")
    pair.end()


def from_confluent(pair):
    """What Confluent's serializers write, keys too, our sink reads."""
    at = datetime.datetime(2026, 2, 28, 23, 59, 59, 123000, datetime.timezone.utc)
    if pair.kind == "avro":
        write = AvroSerializer(pair.registry.client, foreign.ORDER_AVRO)
        keys = AvroSerializer(pair.registry.client, '"long"')
        orders = [{"id": 7, "note": note, "tags": ["a", "b"], "price": {"units": 5, "currency": "CHF"}, "rates": {"x": 0.5}, "at": at} for note in ("n", None)]
        expected = [{**order, "at": "2026-02-28T23:59:59.123Z"} for order in orders]
        key = 7
    else:
        kinds = foreign.orders()
        write = ProtobufSerializer(kinds["shop.Order"], pair.registry.client)
        keys = ProtobufSerializer(kinds["bank.Money"], pair.registry.client)
        orders, expected = [], []
        for note in ("n", None):
            order = kinds["shop.Order"](id=7, note=note, tags=["a", "b"], price=kinds["bank.Money"](units=5, currency="CHF"))
            order.at.FromDatetime(at)
            orders.append(order)
            expected.append({"id": 7, "note": note, "tags": ["a", "b"], "price": {"units": 5, "currency": "CHF"}, "at": "2026-02-28T23:59:59.123Z"})
        key = kinds["bank.Money"](units=1, currency="EUR")
    produce(pair.topic, *((keys(key, pair.context(MessageField.KEY)), write(order, pair.context())) for order in orders))
    pair.sink(key=True)
    pair.soon("what Confluent's serializer writes", expected)
    pair.end()


def references(pair):
    """A schema that refers to another one in the registry."""
    client = pair.registry.client
    client.register_schema(f"bank.Money-{pair.topic}", Schema(foreign.MONEY_AVRO, "AVRO"))
    text = Schema(foreign.BILL_AVRO, "AVRO", [SchemaReference("bank.Money", f"bank.Money-{pair.topic}", 1)])
    write = AvroSerializer(client, text)
    produce(pair.topic, (None, write({"total": {"units": 3}}, pair.context())))
    pair.sink()
    pair.soon("a schema with a reference", [{"total": {"units": 3}}])
    pair.end()


def not_registered(pair):
    """With auto.register.schemas=false a schema that is not there is refused; one that is there is used, also as the latest of the subject."""
    pair.write("1.csv", FIRST)
    pair.source(auto_register_schemas="false")
    pair.soon_failed("a schema that is not there", "source", pair.subject, "404", "auto.register.schemas")
    check(f"{pair.name}: and not registered", pair.registry.versions(pair.subject) == [], pair.registry.versions(pair.subject))
    pair.source(normalize_schemas="true")
    pair.sink()
    pair.soon("registered and normalized", FIRST)
    for count, options in enumerate(({"auto_register_schemas": "false", "normalize_schemas": "true"},
                                     {"auto_register_schemas": "false", "use_latest_version": "true"}), 2):
        pair.source(**options)
        pair.write(f"{count}.csv", FIRST)
        pair.soon(f"it is there for {', '.join(options)}", FIRST * count)
    check(f"{pair.name}: still one version", pair.registry.versions(pair.subject) == [1], pair.registry.versions(pair.subject))
    pair.end()


def by_record(pair):
    """RecordNameStrategy: subjects are named by the schema."""
    pair.write("1.csv", FIRST)
    pair.source(value_subject_name_strategy="io.confluent.kafka.serializers.subject.TopicRecordNameStrategy")
    pair.sink()
    pair.soon("subjects named by records", FIRST)
    subjects = around.ask("GET", f"{pair.registry.url}/subjects")[1]
    name = "ConnectDefault1" if pair.kind == "protobuf" else "io.confluent.connect.avro.ConnectDefault"
    check(f"{pair.name}: the subject", f"{pair.topic}-{name}" in subjects, subjects)
    pair.end()


def another(pair):
    """Registries are asked in turn until one answers; if none does, the task says so."""
    nobody = "http://127.0.0.1:1"
    pair.write("1.csv", FIRST)
    pair.source(schema_registry_url=nobody)
    pair.soon_failed("nobody answers", "source", f"the schema registry at {nobody} cannot be asked")
    pair.source(schema_registry_url=f"{nobody},{pair.registry.url}")
    pair.sink()
    pair.soon("the second one answers", FIRST)
    pair.end()


def unknown(pair):
    """A record whose schema the registry does not have: its id, topic and place are named, or it is left out."""
    produce(pair.topic, (None, b"\0\0\x0f\x42\x3f\0"), (None, b"no schema"))
    pair.sink()
    pair.soon_failed("an id that is not there", "sink", "999999", "404", pair.topic)
    letters = f"{pair.topic}-dead"
    pair.write("1.csv", FIRST)
    pair.source()
    pair.sink(**{"errors.tolerance": "all", "errors.deadletterqueue.topic.name": letters, "errors.deadletterqueue.topic.replication.factor": "1"})
    pair.soon("left out with errors.tolerance=all", FIRST)
    check(f"{pair.name}: both are dead letters", len(consume(letters, 2)) == 2)
    pair.end()


CASES = {
    "avro": [evolution, read_by_confluent, from_confluent, references, not_registered, by_record, another, unknown],
    "protobuf": [evolution, read_by_confluent, from_confluent, not_registered, by_record, another, unknown],
}


def main():
    worker = around.Worker()
    try:
        for home in map(pathlib.Path, sys.argv[1:]):
            registry = around.Registry(home, home.name)
            try:
                for kind, cases in CASES.items():
                    for case in cases:
                        if case.__name__ not in os.environ.get("ONLY", case.__name__).split(","):
                            continue
                        try:
                            case(Pair(worker, registry, kind, case.__name__.replace("_", "-")))
                        except Exception:
                            check(f"{registry.name} {kind} {case.__name__}", False, traceback.format_exc()[-2000:])
            finally:
                registry.stop()
    finally:
        worker.stop()
    left_out = listed(HERE / "left-out.txt")
    for name, reason in left_out.items():
        print(f"left out {name}: {reason}")
    print(f"{around.passed} passed, {around.failed} failed, {len(left_out)} left out")
    sys.exit(1 if around.failed or not around.passed else 0)


main()
