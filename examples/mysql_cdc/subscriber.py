#!/usr/bin/env python3
"""Prints the rows that are inserted into a table, out of the topic of its changes in Protobuf, one line of JSON each.

  python3 -m venv python && python/bin/pip install -r requirements.txt
  python/bin/python subscriber.py [--bootstrap 127.0.0.1:9092] [--topic example.shop.orders] [--group inserts] [--existing] [--count N]

changes.proto, beside this file, is all that it knows of the changes: no schema registry is asked. Rows that were there before the source began
are not inserted by anybody while it looks: they are left out, unless --existing asks for them. It says how far it is in its group, so that it goes on
there when it is started again; --count ends it after so many inserts.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import grpc_tools
from confluent_kafka import Consumer, KafkaError, KafkaException
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

HERE = pathlib.Path(__file__).resolve().parent
MESSAGE = "example.shop.orders.Envelope"


def message_class(file, name):
    """The class of the message `name` of a .proto file, compiled here and now."""
    with tempfile.NamedTemporaryFile() as out:
        known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
        if protoc.main(["protoc", f"-I{file.parent}", f"-I{known}", "--include_imports", f"--descriptor_set_out={out.name}", str(file)]):
            raise SystemExit(f"{file} does not compile")
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for each in files.file:
        pool.Add(each)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def varint(data, at):
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def message_of(data):
    """The message behind its frame: a zero, the four bytes of its schema's id, and its place in the schema (how many steps, the steps)."""
    if len(data) < 6 or data[0] != 0:
        raise ValueError("the record is not Protobuf as Kafka's converters write it")
    steps, at = varint(data, 5)
    # Numbers are zigzag here, and the first message is written as no step at all.
    for _ in range(steps // 2):
        _, at = varint(data, at)
    return data[at:]


def fields(message):
    """A row as a dictionary; what is null is not there."""
    return {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields if not field.has_presence or message.HasField(field.name)}


def inserted(data, envelope, operations):
    """The row of a change that is one of these operations; none for others, and for tombstones, which have no value."""
    change = envelope.FromString(message_of(data)) if data is not None else None
    return fields(change.after) if change is not None and change.op in operations else None


def follow(consumer, envelope, operations, count):
    """Prints the rows of these operations, `count` of them unless that is 0."""
    printed = 0
    while not count or printed < count:
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error() and record.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            # The source makes it with its first record.
            continue
        if record.error():
            raise KafkaException(record.error())
        row = inserted(record.value(), envelope, operations)
        if row is not None:
            print(json.dumps(row, ensure_ascii=False), flush=True)
            printed += 1
        # Only now: what was not printed comes again.
        consumer.store_offsets(record)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--bootstrap", default="127.0.0.1:9092")
    arguments.add_argument("--topic", default="example.shop.orders")
    arguments.add_argument("--group", default="inserts")
    arguments.add_argument("--existing", action="store_true")
    arguments.add_argument("--count", type=int, default=0)
    given = arguments.parse_args()
    envelope = message_class(HERE / "changes.proto", MESSAGE)
    consumer = Consumer({
        "bootstrap.servers": given.bootstrap, "group.id": given.group, "auto.offset.reset": "earliest", "isolation.level": "read_committed",
        "enable.auto.offset.store": False, "topic.metadata.refresh.interval.ms": 2000,
    })
    consumer.subscribe([given.topic])
    try:
        follow(consumer, envelope, {"c", "r"} if given.existing else {"c"}, given.count)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        # How far it is goes to the group here, too.
        consumer.close()


if __name__ == "__main__":
    main()
