#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""replay.py INDEX DATA --port-file FILE [--tls CERT KEY]: serves what record.py recorded, on the
loopback interface, as fast as Python can: nothing is made when a request comes, one sendall of bytes
that lie ready answers it.

  GET /_replay/latency/N   from now on each answer waits N milliseconds
  GET /_replay/stats       {"requests", "bytes", "connections", "cpu_s", "unknown"} since last asked

A target that is not in the recording gets a 404 and is named in "unknown": a run with one is void.
A client that does not say gzip gets the answer inflated, made at its first request.
"""
import argparse
import json
import mmap
import os
import signal
import socket
import ssl
import sys
import threading
import time
import zlib

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Recording:
    def __init__(self, index, data):
        with open(data, "rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        self.answers, self.bodies, self.plain = {}, {}, {}
        with open(index, "rb") as file:
            for line in file:
                _, _, start, length, body, body_length, target = line.rstrip(b"\n").split(b" ", 6)
                self.answers[target] = whole[int(start):int(start) + int(length)]
                self.bodies[target] = whole[int(body):int(body) + int(body_length)]

    def answer(self, target, head):
        found = self.answers.get(target)
        if found is None or b"gzip" in head or self.bodies[target][:2] != b"\x1f\x8b":
            return found
        if target not in self.plain:
            body = zlib.decompress(self.bodies[target], 31)
            self.plain[target] = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                  b"Content-Length: %d\r\n\r\n" % len(body)) + body
        return self.plain[target]


class Server:
    def __init__(self, recording, tls):
        self.recording, self.tls, self.latency_s = recording, tls, 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.reset()

    def reset(self):
        self.requests = self.bytes = self.connections = 0
        self.unknown = []
        self.cpu_from = time.process_time()

    def run(self):
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            with self.lock:
                self.connections += 1
            buffer = b""
            while True:
                head, end, rest = buffer.partition(b"\r\n\r\n")
                if end:
                    buffer = rest
                    self.one(sock, head)
                    continue
                data = sock.recv(65536)
                if not data:
                    break
                buffer += data
        except OSError:
            pass
        finally:
            sock.close()

    def one(self, sock, head):
        target = head.split(b" ", 2)[1]
        if target.startswith(b"/_replay/"):
            sock.sendall(self.control(target))
            return
        answer = self.recording.answer(target, head)
        with self.lock:
            self.requests += 1
            self.bytes += len(answer or b"")
            if answer is None:
                self.unknown.append(target.decode("latin-1"))
        if self.latency_s:
            time.sleep(self.latency_s)
        sock.sendall(answer or NOT_FOUND)

    def control(self, target):
        with self.lock:
            if target.startswith(b"/_replay/latency/"):
                self.latency_s = int(target.rpartition(b"/")[2]) / 1000
            body = json.dumps({"requests": self.requests, "bytes": self.bytes, "connections": self.connections,
                               "cpu_s": time.process_time() - self.cpu_from, "unknown": self.unknown}).encode()
            self.reset()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index")
    parser.add_argument("data")
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    args = parser.parse_args()
    tls = None
    if args.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*args.tls)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    server = Server(Recording(args.index, args.data), tls)
    with open(args.port_file + ".new", "w", encoding="ascii") as file:
        file.write("%d\n" % server.port)
    os.replace(args.port_file + ".new", args.port_file)
    server.run()


if __name__ == "__main__":
    sys.exit(main())
