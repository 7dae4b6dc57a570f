"""confluent-kafka against the broker at argv[1]: idempotent producer, keys, headers, every compression, a group."""

import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

server = sys.argv[1]
admin = AdminClient({"bootstrap.servers": server})
codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
for topic, future in admin.create_topics([NewTopic(f"ck-{c}", 3, 1, config={"retention.ms": "86400000"}) for c in codecs]).items():
    future.result(10)
resource = ConfigResource(ConfigResource.Type.TOPIC, "ck-none")
config = admin.describe_configs([resource])[resource].result(10)
assert config["retention.ms"].value == "86400000" and config["cleanup.policy"].value == "delete"
try:
    admin.create_topics([NewTopic("ck-none", 1, 1)])["ck-none"].result(10)
    raise SystemExit("a topic was created twice")
except KafkaException as error:
    assert error.args[0].name() == "TOPIC_ALREADY_EXISTS"

for codec in codecs:
    topic, failures = f"ck-{codec}", []
    producer = Producer({"bootstrap.servers": server, "enable.idempotence": True, "compression.codec": codec, "linger.ms": 5})
    sent = set()
    for number in range(3000):
        key, value = f"k{number}", f"value {number} " * 10
        producer.produce(topic, key=key, value=value, headers=[("n", str(number)), ("n", "twice")],
                         on_delivery=lambda error, message: failures.append(error) if error else None)
        sent.add((key, value, str(number)))
        producer.poll(0)
    assert producer.flush(30) == 0 and not failures, failures
    consumer = Consumer({"bootstrap.servers": server, "group.id": f"group-{codec}", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False})
    consumer.subscribe([topic])
    got, deadline = set(), time.time() + 60
    while len(got) < len(sent) and time.time() < deadline:
        message = consumer.poll(1.0)
        if message is None:
            continue
        assert message.error() is None, message.error()
        headers = message.headers()
        assert [name for name, _ in headers] == ["n", "n"] and headers[1][1] == b"twice"
        record = (message.key().decode(), message.value().decode(), headers[0][1].decode())
        assert record not in got, "a record came twice"
        got.add(record)
    assert got == sent, (topic, len(got))
    consumer.commit(asynchronous=False)
    committed = consumer.committed([TopicPartition(topic, p) for p in range(3)], timeout=10)
    assert sum(p.offset for p in committed) == len(sent)
    consumer.close()

for topic, future in admin.delete_topics(["ck-none"]).items():
    future.result(10)
print("ok")
