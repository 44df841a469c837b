#!/usr/bin/env python3
"""A service that leaves grandchildren behind, notes the signals it hears, and ends with 7."""

import http.server
import os
import signal
import socket
import threading
import time
import urllib.parse


class Requests(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        for _ in range(int(query.get("n", ["0"])[0])):
            child = os.fork()
            if child == 0:
                # Its own child loses it at once, and ends up with process 1.
                if os.fork() == 0:
                    time.sleep(0.5)
                os._exit(0)
            os.waitpid(child, 0)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("", 0), Requests, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=3)
        self.socket.setblocking(False)


def note(name):
    with open(os.path.join(os.path.dirname(os.environ["FETCHD_PROGRAM"]), "heard"), "a") as heard:
        heard.write(name + "\n")


server = Server()
signal.signal(signal.SIGHUP, lambda *_: note("HUP"))
signal.signal(signal.SIGUSR1, lambda *_: note("USR1"))
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.connect("\0" + os.environ["NOTIFY_SOCKET"][1:])
    notify.send(b"READY=1")
server.serve_forever(poll_interval=0.05)
os._exit(7)
