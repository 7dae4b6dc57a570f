"""Three kafka-python consumers of one group in processes of their own; one is killed with -9; nothing is left unread."""

import logging
import multiprocessing
import os
import signal
import sys
import time

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

server = sys.argv[1]


def member(number, queue):
    # On standard error, which the test shows if it fails: joins, assignments, errors.
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s member {number} %(name)s %(levelname)s %(message)s")
    consumer = KafkaConsumer("grouped", bootstrap_servers=server, group_id="three", auto_offset_reset="earliest",
                             session_timeout_ms=6000, heartbeat_interval_ms=500, max_poll_interval_ms=10000)
    # Before it joins, a member has to know the partitions. kafka-python 3.0.12 starts to fetch them beside the join; a
    # leader that learns of them after it has assigned joins again, and if a poll times out before the answer to that
    # SyncGroup, no poll ever takes the answer: the member has no partitions and sends no heartbeats for good.
    while not consumer.partitions_for_topic("grouped"):
        time.sleep(0.1)
    while True:
        for records in consumer.poll(timeout_ms=200).values():
            for record in records:
                queue.put((number, int(record.value)))


def main():
    admin = KafkaAdminClient(bootstrap_servers=server)
    admin.create_topics([NewTopic("grouped", num_partitions=6, replication_factor=1)])
    context = multiprocessing.get_context("spawn")
    # A queue each: a member that is killed in mid-write must not hold a lock of the others.
    queues = [context.Queue() for _ in range(3)]
    members = [context.Process(target=member, args=(n, queues[n]), daemon=True) for n in range(3)]
    for process in members:
        process.start()
    producer = KafkaProducer(bootstrap_servers=server)
    seen, by_member, sent = set(), {0: 0, 1: 0, 2: 0}, 0

    def produce(count):
        nonlocal sent
        for _ in range(count):
            producer.send("grouped", str(sent).encode(), partition=sent % 6)
            sent += 1
        producer.flush()

    def collect():
        for queue in queues:
            while not queue.empty():
                number, value = queue.get()
                by_member[number] += 1
                seen.add(value)

    def state():
        return by_member, [process.exitcode for process in members]

    deadline = time.time() + 60
    while not all(by_member.values()):
        assert time.time() < deadline, state()
        produce(60)
        time.sleep(0.2)
        collect()
    os.kill(members[0].pid, signal.SIGKILL)
    queues.pop(0)
    before = dict(by_member)
    produce(600)
    deadline = time.time() + 60
    # What the dead member had read and not told us is delivered to nobody else, so only what came after it counts.
    late = set(range(sent - 600, sent))
    while not late <= seen:
        assert time.time() < deadline, (len(late - seen), state())
        time.sleep(0.1)
        collect()
    assert all(by_member[n] > before[n] for n in (1, 2)), state()
    for process in members[1:]:
        process.kill()
    print("ok")


if __name__ == "__main__":
    main()
