import http.server, json, os, signal, socket, sys, threading, time

if "--version" in sys.argv:
    print("app", "9.9.9" if FAULT == "wrong version" else VERSION)
    sys.exit(0)
if FAULT == "crash":
    sys.exit(3)
if FAULT == "crash later":
    time.sleep(0.5)
    sys.exit(3)
if FAULT == "hang":
    time.sleep(3600)

HOME = sys.argv[1]


def write(name, text):
    path = os.path.join(HOME, name)
    with open(path + ".new", "w") as file:
        file.write(text + "\n")
    os.rename(path + ".new", path)


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if FAULT == "fatal check" and self.path == "/health":
            os._exit(5)
        sick = FAULT == "unhealthy" and self.path == "/health"
        body = json.dumps({"version": VERSION, "pid": os.getpid()}, separators=(",", ":")).encode()
        self.send_response(503 if sick else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


# The socket of the process before, where that one executed this program or started it.
inherited = os.environ.get("APP_FD")
if inherited:
    listening = socket.socket(fileno=int(inherited))
else:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        port = int(open(os.path.join(HOME, "port")).read())
    except FileNotFoundError:
        port = 0
    listening.bind(("127.0.0.1", port))
    listening.listen(128)
os.set_inheritable(listening.fileno(), True)
server = Server(listening.getsockname(), Answer, bind_and_activate=False)
server.socket.close()
server.socket = listening


def again(*_):
    """HUP: the same process executes what lies at the path now."""
    os.environ["APP_FD"] = str(listening.fileno())
    # At the next bytecode of the main thread: no request is answered by it.
    os.execv(sys.argv[0], sys.argv)


def successor(*_):
    """USR2: another process takes over, and this one ends once it is there."""
    environment = dict(os.environ, APP_FD=str(listening.fileno()))
    if os.fork() == 0:
        os.execve(sys.argv[0], sys.argv, environment)

    def end():
        mine = os.getpid()
        while int(open(os.path.join(HOME, "app.pid")).read()) == mine:
            time.sleep(0.01)
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()


signal.signal(signal.SIGHUP, again)
signal.signal(signal.SIGUSR2, successor)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
write("app.pid", str(os.getpid()))
write("port", str(listening.getsockname()[1]))
if FAULT == "dies":
    threading.Timer(0.2, lambda: os._exit(5)).start()
server.serve_forever()
