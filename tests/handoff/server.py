"""A small HTTP server that knows systemd's socket activation and, if asked, sd_notify. It knows nothing of fetchd."""

import http.server
import json
import os
import signal
import socket
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/slow"):
            for _ in range(20):
                time.sleep(0.1)
                if "log" in sys.argv:
                    print("still at it" + "." * 10_000, file=sys.stderr, flush=True)
        body = json.dumps({"version": "1.0.0", "pid": os.getpid()}, separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    # The end waits for the answers that are being written.
    daemon_threads = False

    def __init__(self):
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        assert os.environ["LISTEN_FDS"] == "1" and os.environ["LISTEN_PID"] == str(os.getpid())
        self.socket = socket.socket(fileno=3)
        # Two processes are woken for one connection: the one that comes second must not hang in accept().
        self.socket.setblocking(False)


server = Server()
if "log" in sys.argv:
    # As in a C program: a write to a broken pipe kills.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
if "notify" in sys.argv:
    address = os.environ["NOTIFY_SOCKET"]
    assert address[0] == "@", address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect("\0" + address[1:])
        notify.send(b"READY=1\nSTATUS=listening")
server.serve_forever(poll_interval=0.05)
server.server_close()
