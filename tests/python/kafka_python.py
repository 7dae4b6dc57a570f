"""kafka-python against the broker at argv[1]: keys, headers, every compression, offsets, timestamps, administration."""

import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

server = sys.argv[1]
admin = KafkaAdminClient(bootstrap_servers=server)
codecs = [None, "gzip", "snappy", "lz4", "zstd"]
admin.create_topics([NewTopic(f"kp-{codec}", num_partitions=2, replication_factor=1) for codec in codecs])
assert {f"kp-{codec}" for codec in codecs} <= set(admin.list_topics())

for codec in codecs:
    topic = f"kp-{codec}"
    producer = KafkaProducer(bootstrap_servers=server, compression_type=codec, acks="all", linger_ms=5)
    sent = []
    for number in range(1000):
        key, value = f"k{number % 7}".encode(), f"v{number} ".encode() * 20
        headers = [("h", str(number).encode()), ("h", b"again")]
        future = producer.send(topic, key=key, value=value, headers=headers, timestamp_ms=1_600_000_000_000 + number)
        sent.append((key, value, headers, 1_600_000_000_000 + number))
    producer.flush()
    assert future.get(10).offset >= 0
    producer.close()
    consumer = KafkaConsumer(topic, bootstrap_servers=server, auto_offset_reset="earliest", consumer_timeout_ms=5000)
    got = []
    for record in consumer:
        got.append((record.key, record.value, list(record.headers), record.timestamp))
        if len(got) == len(sent):
            break
    assert sorted(got, key=lambda r: r[3]) == sent, topic
    partitions = [TopicPartition(topic, p) for p in (0, 1)]
    ends = consumer.end_offsets(partitions)
    assert sum(ends.values()) == len(sent) and set(consumer.beginning_offsets(partitions).values()) == {0}
    found = consumer.offsets_for_times({p: 1_600_000_000_500 for p in partitions})
    for partition, at in found.items():
        assert at is None or at.timestamp >= 1_600_000_000_500
    consumer.close()

group = KafkaConsumer("kp-gzip", bootstrap_servers=server, group_id="kp", auto_offset_reset="earliest", enable_auto_commit=False)
first = next(group)
group.commit()
assert sum(group.committed(p) or 0 for p in group.assignment()) >= 1
group.close()
assert first.value.startswith(b"v")

admin.delete_topics(["kp-gzip"])
assert "kp-gzip" not in admin.list_topics()
admin.close()
print("ok")
