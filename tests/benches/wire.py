"""The few requests of the Kafka protocol that the benches send themselves."""

import struct
import time


def varint(number):
    """Zigzag and seven bits a byte; for numbers that are not negative."""
    number, out = number << 1, bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def batch(value):
    """A record batch of one record without key."""
    record = b"\x00\x00\x00\x01" + varint(len(value)) + value + b"\x00"
    record = varint(len(record)) + record
    now = int(time.time() * 1000)
    counted = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1) + record
    rest = struct.pack(">iBI", 0, 2, crc32c(counted)) + counted
    return struct.pack(">qi", 0, len(rest)) + rest


def request(key, version, body):
    """A frame with header version 1."""
    frame = struct.pack(">hhi", key, version, 1) + text("bench") + body
    return struct.pack(">i", len(frame)) + frame


def produce(topics, records):
    """Produce, version 3, acks=all: the same batch to all `topics`, a list of (name, partitions)."""
    body = struct.pack(">hhii", -1, -1, 30_000, len(topics))
    for name, partitions in topics:
        body += text(name) + struct.pack(">i", len(partitions))
        body += b"".join(struct.pack(">ii", partition, len(records)) + records for partition in partitions)
    return request(0, 3, body)


def create_topics(topics):
    """CreateTopics, version 2: `topics` is a list of (name, partitions)."""
    body = struct.pack(">i", len(topics))
    for name, partitions in topics:
        body += text(name) + struct.pack(">ihii", partitions, 1, 0, 0)
    return request(19, 2, body + struct.pack(">iB", 120_000, 0))


def latest_offsets(name, partitions):
    """ListOffsets, version 1: the end of every partition."""
    body = struct.pack(">ii", -1, 1) + text(name) + struct.pack(">i", len(partitions))
    return request(2, 1, body + b"".join(struct.pack(">iq", partition, -1) for partition in partitions))


def committed_ends(name, partitions):
    """ListOffsets, version 2, as a reader of committed records: in front of the first open transaction."""
    body = struct.pack(">ibi", -1, 1, 1) + text(name) + struct.pack(">i", len(partitions))
    return request(2, 2, body + b"".join(struct.pack(">iq", partition, -1) for partition in partitions))


def committed_offsets(group):
    """OffsetFetch, version 2: all that a group has committed."""
    return request(9, 2, text(group) + struct.pack(">i", -1))


def call(connection, frame):
    """Sends a frame; the answer's body, behind the correlation id."""
    connection.sendall(frame)
    answer = b""
    while len(answer) < 4 or len(answer) < 4 + int.from_bytes(answer[:4]):
        part = connection.recv(1 << 20)
        if not part:
            raise OSError("the broker closed the connection")
        answer += part
    return answer[8:]


def entries(body, size):
    """The entries of `size` bytes in an answer that lists topics and, in each, partitions."""
    topics, place = int.from_bytes(body[:4]), 4
    for _ in range(topics):
        place += 2 + int.from_bytes(body[place:place + 2])
        count, place = int.from_bytes(body[place:place + 4]), place + 4
        for _ in range(count):
            yield body[place:place + size]
            place += size


def produce_errors(body):
    """The error codes that are not 0 in an answer to [`produce`]."""
    codes = [int.from_bytes(entry[4:6], signed=True) for entry in entries(body, 22)]
    return [code for code in codes if code]


def offsets(body):
    """The offsets in an answer to [`latest_offsets`], by partition; -1 where there is an error."""
    # Kafka lists the partitions in an order of its own.
    found = sorted(entries(body, 22), key=lambda entry: entry[:4])
    return [-1 if entry[4:6] != b"\0\0" else int.from_bytes(entry[14:22], signed=True) for entry in found]


def group_offsets(body):
    """The offsets in an answer to [`committed_offsets`], by topic and partition."""
    found, place = {}, 4
    for _ in range(int.from_bytes(body[:4])):
        length = int.from_bytes(body[place:place + 2])
        topic, place = body[place + 2:place + 2 + length].decode(), place + 2 + length
        count, place = int.from_bytes(body[place:place + 4]), place + 4
        for _ in range(count):
            partition, offset, metadata = struct.unpack(">iqh", body[place:place + 14])
            found[topic, partition] = offset
            place += 16 + max(metadata, 0)
    return found
