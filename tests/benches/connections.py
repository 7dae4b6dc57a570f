#!/usr/bin/env python3
"""Memory of the broker while many idle clients are connected; fails above the limit.

Each connection has asked for ApiVersions once, as real clients do, and then rests.
Needs about one open file per connection here and as many in the broker (ulimit -Hn).
"""
import argparse, re, resource, socket, struct, subprocess, sys, tempfile, time


def resident_mb(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024


def read_exact(peer, count):
    data = b""
    while len(data) < count:
        try:
            piece = peer.recv(count - len(data))
        except ConnectionResetError:
            piece = b""
        if not piece:
            sys.exit("the broker closed a connection; is its open files limit (ulimit -Hn) high enough?")
        data += piece
    return data


def connect(address):
    peer = socket.create_connection(address, timeout=30)
    request = struct.pack(">hhih", 18, 0, 1, -1)
    peer.sendall(struct.pack(">i", len(request)) + request)
    read_exact(peer, struct.unpack(">i", read_exact(peer, 4))[0])
    return peer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="a release build of millstream")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--limit-mb", type=float, default=200)
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < args.connections + 100:
        sys.exit(f"{args.connections} connections need more open files than ulimit -Hn {hard}; raise it")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as data:
        command = [args.binary, "broker", "--data-dir", data, "--listener", "127.0.0.1:0"]
        command += ["--override", f"max.connections={args.connections + 10}"]
        broker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            line = broker.stdout.readline()
            found = re.search(r"ready on (\S+):(\d+)", line)
            if not found:
                sys.exit(f"the broker did not start: {line!r}")
            address = (found[1], int(found[2]))
            before = resident_mb(broker.pid)
            begun = time.monotonic()
            peers = [connect(address) for _ in range(args.connections)]
            seconds = time.monotonic() - begun
            time.sleep(2)  # Connections give buffers back after a second of rest.
            after = resident_mb(broker.pid)
            each_kb = (after - before) * 1024 / args.connections
            print(f"{len(peers)} connections in {seconds:.1f} s: {before:.1f} MB -> {after:.1f} MB, {each_kb:.1f} KB each")
        finally:
            broker.kill()
            broker.wait()
    if after > args.limit_mb:
        sys.exit(f"{after:.1f} MB is above the limit of {args.limit_mb} MB")


if __name__ == "__main__":
    main()
