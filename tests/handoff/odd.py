"""A service of many moods: each word on its command line is one. What it hears goes to the file `heard`."""

import os
import signal
import socket
import subprocess
import sys
import time

words = sys.argv[1:]


def heard(line):
    with open("heard", "a") as file:
        file.write(f"{os.getpid()} {line}\n")


def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect("\0" + os.environ["NOTIFY_SOCKET"][1:])
        notify.send(text.encode())


def terminate(*_):
    heard("TERM")
    if "extend-drain-for-ever" in words:
        while True:
            say("EXTEND_TIMEOUT_USEC=200000")
            time.sleep(0.05)
    if "extend-drain" in words:
        say("EXTEND_TIMEOUT_USEC=5000000")
        time.sleep(2)
    if "ignore-term" not in words:
        sys.exit(7)


signal.signal(signal.SIGTERM, terminate)
signal.signal(signal.SIGHUP, lambda *_: heard("HUP"))
signal.signal(signal.SIGUSR1, lambda *_: heard("USR1"))
signal.signal(signal.SIGINT, lambda *_: heard("INT"))

if "extend-ready-for-ever" in words:
    while True:
        say("EXTEND_TIMEOUT_USEC=200000")
        time.sleep(0.05)
if "extend-ready" in words:
    say("EXTEND_TIMEOUT_USEC=10000000")
    time.sleep(3)
if "child-ready" in words:
    # A descendant speaks for the service; it waits, so that it can still be recognised.
    child = "import os, socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); " \
        "s.connect('\\0' + os.environ['NOTIFY_SOCKET'][1:]); s.send(b'READY=1'); sys.stdin.read()"
    subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE)
elif "never-ready" not in words:
    say("READY=1")
heard("up")
while True:
    signal.pause()
