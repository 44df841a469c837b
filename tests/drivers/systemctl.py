#!/usr/bin/python3
"""Plays systemctl for one unit, web.service of Type=notify, whose program is srv/app beside this directory."""
import os, subprocess, sys, time

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.chdir(HOME)
words = [word for word in sys.argv[1:] if word != "--"]
verb, unit = words[0], words[-1]
with open("calls", "a") as calls:
    calls.write(verb + "\n")


def read(name):
    try:
        return open(name).read().strip()
    except FileNotFoundError:
        return ""


def lives(pid):
    status = read("/proc/%s/status" % pid) if pid else ""
    return bool(status) and "\nState:\tZ" not in status and "\nState:\tX" not in status


pid = read("main.pid")
if verb == "show":
    if unit != "web.service" or os.path.exists("no-unit"):
        print("LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\nNRestarts=0")
    else:
        active = "active" if lives(pid) else "failed"
        print("MainPID=%s\nNRestarts=0\nLoadState=loaded\nActiveState=%s\nSubState=x" % (pid or 0, active))
elif verb == "reset-failed":
    open("reset", "w").close()
elif verb in ("restart", "try-restart"):
    # A unit that failed is not started again before somebody says so, as with a start limit of one.
    if pid and not lives(pid) and not os.path.exists("reset"):
        sys.exit("Job for web.service failed: start-limit-hit")
    if lives(pid):
        os.kill(int(pid), 15)
        while lives(pid):
            time.sleep(0.02)
    for name in ("app.pid", "reset"):
        if os.path.exists(name):
            os.remove(name)
    null = open(os.devnull, "r+")
    service = subprocess.Popen(["srv/app", HOME], stdin=null, stdout=null, stderr=null, start_new_session=True)
    open("main.pid", "w").write(str(service.pid))
    while not os.path.exists("app.pid"):
        if service.poll() is not None:
            sys.exit("Job for web.service failed because the control process exited with error code.")
        time.sleep(0.02)
elif verb == "reload":
    os.kill(int(pid), 1)
