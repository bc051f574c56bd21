# SPDX-License-Identifier: MIT
"""A server on loopback that knows no HTTP: it plays a script to the byte, and keeps what it was sent.

A script is a row of steps:
  bytes             sent as they are
  a number          so many seconds nothing
  an iterable       of bytes, sent until it or the client ends
  KEEP, RESET       as the last step: the connection stays for another request, or ends with a RST
  HANG              as the last step: nothing more until the client goes
Behind the last step the connection is closed. What no script is for goes to `upstream`, a URL."""
import contextlib
import http.client
import socket
import socketserver
import ssl
import struct
import threading
import time
import urllib.parse
import weakref
import zlib

KEEP, RESET, HANG = "keep", "reset", "hang"


def tls_context(certificate, key, protocols=()):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


class RawServer(socketserver.ThreadingTCPServer):
    """`tls`: (certificate, key) or an SSLContext. `reads`: what a request ends with; b"": with its
    first bytes. `kept`, `says`: whether connections stay after an answer of `upstream`, and what header
    lines that has more."""
    daemon_threads, block_on_close, allow_reuse_address = True, False, True
    request_queue_size = 128

    def __init__(self, upstream=None, tls=None, reads=b"\r\n\r\n", kept=True, says=(), host="127.0.0.1", port=0,
                 handler=None):
        self.upstream, self.reads = upstream and urllib.parse.urlsplit(upstream).netloc, reads
        self.kept, self.says = kept, says
        self.scripts, self.seen, self.times = [], [], []  # seen: (number of the connection, bytes)
        self.connections, self.open = 0, weakref.WeakSet()
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.tls = tls_context(*tls) if isinstance(tls, tuple) else tls
        super().__init__((host, port), handler or Handler)
        self.port = self.server_address[1]
        self.url = "%s://%s:%d" % ("https" if tls else "http", host, self.port)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def script(self, match, *steps, times=-1, after=0):
        """What is answered to a request with `match` in its first line, `times` times."""
        self.scripts.append({"match": match.encode(), "steps": steps, "left": times, "skip": after})
        return self

    def begin(self, sock):
        """(number of a new connection, its socket, with TLS where it belongs)."""
        with self.lock:
            self.connections += 1
            number = self.connections
        sock.settimeout(30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            sock = self.tls.wrap_socket(sock, server_side=True)
        with self.lock:
            self.open.add(sock)
        return number, sock

    def take(self, line):
        with self.lock:
            for script in self.scripts:
                if script["match"] not in line or not script["left"]:
                    continue
                if script["skip"]:
                    script["skip"] -= 1
                    continue
                script["left"] -= 1
                return script["steps"]
        return None

    def handle_error(self, *_):
        pass  # clients go when they like

    def close(self):
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self.lock:
            for sock in self.open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        number, self.request = self.server.begin(self.request)
        # A socket with TLS is not the one that socketserver closes.
        with self.request, contextlib.closing(
                http.client.HTTPConnection(self.server.upstream or "", timeout=30)) as relay:
            self.serve(number, relay)

    def serve(self, number, relay):
        server = self.server
        while data := self.read():
            server.seen.append((number, data))
            server.times.append(time.monotonic())
            steps = server.take(data.split(b"\r\n")[0])
            if steps is None:
                steps = self.relayed(relay, data) if server.upstream else (b"HTTP/1.1 404 Not Found\r\n\r\n",)
            if not all(self.play(step) for step in steps) or not steps or steps[-1] != KEEP:
                return

    def read(self):
        data = b""
        while not data or self.server.reads not in data:
            more = self.request.recv(65536)
            if not more:
                return b""
            data += more
        return data

    def play(self, step):
        if isinstance(step, bytes):
            self.request.sendall(step)
        elif isinstance(step, (int, float)):
            return not self.server.stopping.wait(step)
        elif step == RESET:
            # Lingering for zero seconds makes close() send a RST.
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()
        elif step == HANG:
            self.read()
        elif step != KEEP:
            return all(self.play(part) for part in step)
        return True

    def relayed(self, relay, data):
        """The answer of the server behind us, as steps."""
        lines = data.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        relay.request(lines[0].split(" ")[0], lines[0].split(" ")[1], headers=headers)
        answer = relay.getresponse()
        more = ["%s: %s" % item for item in answer.getheaders() if item[0] in ("Content-Encoding", "Retry-After")]
        whole = message(answer.read(), "HTTP/1.1 %d %s" % (answer.status, answer.reason), *more, *self.server.says)
        return (whole, KEEP) if self.server.kept else (whole,)


def message(body, status="HTTP/1.1 200 OK", *headers, length=True):
    """A whole answer as bytes; without `length` its end is said by what follows, or by nothing."""
    lines = [status, "Content-Type: application/json", *headers]
    lines += ["Content-Length: %d" % len(body)] if length else []
    return "\r\n".join(lines + ["", ""]).encode("latin-1") + body


def bomb(byte, before=b"", gigabytes=2):
    """Steps: a gzip text of gigabytes of one byte, each 16 MB a block of 16 KB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(byte * (16 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head, [block] * (64 * gigabytes)
