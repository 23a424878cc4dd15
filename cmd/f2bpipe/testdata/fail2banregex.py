# Runs Debian's fail2ban-regex for each line of JSON on stdin: a list of
# arguments. Answers with a line of JSON each: what it printed and its exit status.
import json
import os
import signal
import sys

from fail2ban.client import fail2banregex


def child(args, out):
    signal.alarm(20)  # some of its regular expressions take forever on some lines
    os.dup2(out, 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.argv = ["fail2ban-regex"] + args
    status = 0
    try:
        fail2banregex.exec_command_line(args)
    except SystemExit as e:
        status = e.code or 0
    except BaseException:
        status = 1
    sys.stdout.flush()
    os._exit(status)


for request in sys.stdin:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        child(json.loads(request), write)
    os.close(write)
    with os.fdopen(read, "rb") as f:
        text = f.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # -14: the alarm
    print(json.dumps({"out": text.decode("utf-8", "replace"), "status": status}), flush=True)
