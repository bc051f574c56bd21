# SPDX-License-Identifier: MIT
"""A server on loopback that speaks HTTP/2 over TLS and nothing else. Requests go to `upstream`, a URL of
HTTP/1.1, unless a script is for them. A script is one fault, behind so many bytes of the right answer's
body, which is not compressed then:
  RST        the stream is reset
  GOAWAY     the connection is said to end with the request before, and is closed
  CLOSE      the connection is closed
  SILENCE    the connection stays open, takes in what comes and answers nothing any more, to no request"""
import http.client
import socket
import socketserver
import struct

import h2.config
import h2.connection
import h2.errors
import h2.events

import raw_server

FAULTS = RST, GOAWAY, CLOSE, SILENCE = "rst", "goaway", "close", "silence"
PING = ">II"  # stream, fault
# What a connection has of its own in HTTP/1.1, HTTP/2 does not know.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        number, sock = self.server.begin(self.request)
        with sock:
            Connection(self.server, number, sock).run()


class H2Server(raw_server.RawServer):
    """`seen` holds (number of the connection, headers as a dict)."""

    def __init__(self, upstream, certificate):
        super().__init__(upstream, raw_server.tls_context(*certificate, protocols=["h2"]), handler=Handler)

    def script(self, match, fault, size=0, **more):
        return super().script(match, fault, size, **more)


class Connection:
    def __init__(self, server, number, sock):
        self.server, self.number, self.sock = server, number, sock
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.left = {}  # of bodies, by stream: (what is still to be sent, the fault behind it)

    def run(self):
        self.h2.initiate_connection()
        while not self.server.stopping.is_set():
            self.sock.sendall(self.h2.data_to_send())
            data, faults = self.sock.recv(65536), []
            for event in self.h2.receive_data(data) if data else ():
                if isinstance(event, h2.events.RequestReceived):
                    self.answer(event.stream_id, dict(event.headers))
                elif isinstance(event, h2.events.PingAckReceived):
                    faults.append(self.fault(*struct.unpack(PING, event.ping_data)))
                elif isinstance(event, h2.events.StreamReset):
                    self.left.pop(event.stream_id, None)
            for stream in sorted(self.left):
                if not any(faults):
                    faults.append(self.send(stream))
            if not data or CLOSE in faults:
                return
            if GOAWAY in faults or SILENCE in faults:
                self.be_silent(GOAWAY in faults)

    def be_silent(self, ended):
        """Takes in what comes, to the end: what is closed with something unread would be reset, and the
        client never hear our last words."""
        self.sock.sendall(self.h2.data_to_send())
        self.sock.settimeout(None)
        if ended:
            self.sock.shutdown(socket.SHUT_WR)
        while self.sock.recv(65536):
            pass

    def answer(self, stream, headers):
        self.server.seen.append((self.number, headers))
        script = self.server.take(headers[":path"].encode())
        asked = {name: value for name, value in headers.items() if name[0] != ":"}
        relay = http.client.HTTPConnection(self.server.upstream, timeout=30)
        relay.request(headers[":method"], headers[":path"],
                      headers={**asked, "accept-encoding": "identity"} if script else asked)
        with relay.getresponse() as found:
            status, body = found.status, found.read()
            lines = [(name.lower(), value) for name, value in found.getheaders() if name.lower() not in HOP_BY_HOP]
        relay.close()
        fault, size = script or (None, len(body))
        # Without a byte of the body, there is no answer at all.
        if not fault or size:
            self.h2.send_headers(stream, [(":status", str(status)), *lines])
        self.left[stream] = (body[:size], fault)

    def send(self, stream):
        """As much of the stream's body as the windows have room for. Returns the fault that has come, if any."""
        body, fault = self.left.pop(stream)
        began = bool(body)
        while body:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                self.left[stream] = body, fault
                return None
            self.h2.send_data(stream, body[:room])
            body = body[room:]
        if fault is None:
            self.h2.end_stream(stream)
        elif began:
            # What comes in one piece with an error, a client may throw away with it.
            self.h2.ping(struct.pack(PING, stream, FAULTS.index(fault)))
            return None
        return self.fault(stream, FAULTS.index(fault)) if fault else None

    def fault(self, stream, which):
        if FAULTS[which] == RST:
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif FAULTS[which] == GOAWAY:
            self.h2.close_connection(last_stream_id=max(stream - 2, 0))
        return FAULTS[which]
