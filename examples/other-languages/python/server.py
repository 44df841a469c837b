#!/usr/bin/env python3
"""A small HTTP server that hands over without losing a request. Python 3.8, nothing but its standard library.

    fetchd run --listen web=:8080 --target-check off -- ./server.py
"""

import http.server
import json
import os
import signal
import socket
import sys
import threading
import time

VERSION = "1.0.0"

# fetchd asks a release for its version before it installs it.
if "--version" in sys.argv:
    print("server.py", VERSION)
    sys.exit(0)

# Connections that have not sent anything yet are served for so long after the drain has begun.
LAME_DUCK = 2.0

draining = threading.Event()


class Connections:
    """The open connections, and which of them wait for a request."""

    def __init__(self):
        self.lock = threading.Lock()
        self.idle = set()
        self.closing = False

    def waits(self, connection):
        with self.lock:
            self.idle.add(connection)
            if self.closing:
                end_of_input(connection)

    def is_busy(self, connection):
        with self.lock:
            self.idle.discard(connection)

    def close_idle(self):
        with self.lock:
            self.closing = True
            for connection in self.idle:
                end_of_input(connection)


def end_of_input(connection):
    """What has already arrived is still read and answered; behind it the connection ends."""
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        pass  # the client was faster


connections = Connections()


class Requests(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet for head and body.
    wbufsize = -1

    def handle_one_request(self):
        connections.waits(self.connection)
        super().handle_one_request()

    def parse_request(self):
        connections.is_busy(self.connection)
        return super().parse_request()

    def finish(self):
        connections.is_busy(self.connection)
        super().finish()

    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(2)
        body = json.dumps({"version": VERSION, "pid": os.getpid()}, separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if draining.is_set():
            # Tells the client, and http.server, that this was the last one.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    # The end of the process waits for the answers that are being written.
    daemon_threads = False

    def __init__(self, listening):
        super().__init__(("", 0), Requests, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        # Old and new process are woken for one connection: the one that comes second must not hang in accept().
        self.socket.setblocking(False)

    def get_request(self):
        connection, address = super().get_request()
        # Python makes a copy of the listening socket's flag.
        connection.setblocking(True)
        return connection, address


def inherited_socket():
    """The first socket of systemd's protocol, which fetchd speaks, too."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or int(os.environ.get("LISTEN_FDS", "0")) < 1:
        sys.exit("no socket was passed: start this with `fetchd run --listen web=:8080 -- ./server.py`")
    return socket.socket(fileno=3)


def notify(message):
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto(message.encode(), address)


server = Server(inherited_socket())


def drain():
    server.shutdown()  # accepts no more …
    server.socket.close()  # … and leaves the queue to the new process, which has this socket, too
    time.sleep(LAME_DUCK)
    connections.close_idle()


def terminate(*_):
    # SIGTERM may come more than once.
    if not draining.is_set():
        draining.set()
        threading.Thread(target=drain).start()


signal.signal(signal.SIGTERM, terminate)
notify("READY=1")
server.serve_forever(poll_interval=0.1)
