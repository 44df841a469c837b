#!/usr/bin/env python3
"""A service as deploy jobs ship it: its settings lie beside it, and it finds them by the path it was started by."""

import http.server
import json
import os
import signal
import socket
import sys
import threading
import time

VERSION = "1.0.0"

if "--version" in sys.argv:
    print("app", VERSION)
    sys.exit(0)


def text(path):
    with open(path) as file:
        return file.read().strip()


program = os.environ["FETCHD_PROGRAM"]
ABOUT = {
    "version": VERSION,
    "pid": os.getpid(),
    # Relative to the working directory, to the variable and to its own name.
    "by_directory": text("config.txt"),
    "by_variable": text(os.path.join(os.path.dirname(program), "config.txt")),
    "by_name": text(os.path.join(os.path.dirname(sys.argv[0]), "config.txt")),
    "pwd": os.environ.get("PWD"),
    "program": program,
    "argv0": sys.argv[0],
}


class Requests(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(1)
        body = json.dumps(ABOUT, separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self):
        super().__init__(("", 0), Requests, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=3)
        self.socket.setblocking(False)


server = Server()
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.connect("\0" + os.environ["NOTIFY_SOCKET"][1:])
    notify.send(b"READY=1")
server.serve_forever(poll_interval=0.05)
server.server_close()
