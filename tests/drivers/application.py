import json, os, sys, time

if "--version" in sys.argv:
    print("app", VERSION)
    sys.exit(0)
if FAULT and "GUNICORN_PID" in os.environ:
    if FAULT == "crash":
        time.sleep(1)
        sys.exit(3)
    if FAULT == "hang":
        time.sleep(3600)

from gunicorn.app.base import BaseApplication

HOME = sys.argv[1]


def application(environ, start_response):
    body = json.dumps({"version": VERSION, "pid": os.getpid()}, separators=(",", ":")).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def ready(server):
    path = os.path.join(HOME, "port")
    with open(path + ".new", "w") as file:
        file.write("%d\n" % server.LISTENERS[0].sock.getsockname()[1])
    os.rename(path + ".new", path)


class Application(BaseApplication):
    def load_config(self):
        settings = {"bind": "127.0.0.1:0", "workers": 2, "pidfile": os.path.join(HOME, "app.pid"), "when_ready": ready}
        for name, value in settings.items():
            self.cfg.set(name, value)
        if "control_socket_disable" in self.cfg.settings:
            self.cfg.set("control_socket_disable", True)

    def load(self):
        if FAULT == "boot":
            raise RuntimeError("no application")
        return application


Application().run()
