"""Runs commands through fail2ban's own client, in one process.

Usage: ask.py SOCKET CONFDIR. Each line on stdin is the JSON list of a
command's words. A line that begins with "!" is sent by the client's socket as
it is, with numbers, lists and dicts. Each line on stdout is a JSON object:
what the client printed on stdout and stderr, its exit status, and the repr and
the bytes of the reply.
"""
import base64
import contextlib
import io
import json
import logging
import pickle
import sys

from fail2ban.client import csocket, fail2bancmdline
from fail2ban.client.fail2banclient import Fail2banClient

socket, conf = sys.argv[1:3]
raw = []


def loads(data):
    raw.append(data)
    return pickle.loads(data)


def ask(words):
    logging.getLogger("fail2ban").handlers.clear()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ok = Fail2banClient().start(["fail2ban-client", "-c", conf, "-s", socket] + words)
    return {"stdout": out.getvalue(), "stderr": err.getvalue(), "code": 0 if ok else 255}


def send(words):
    client = csocket.CSocket(socket)
    try:
        client.send(words)
    finally:
        client.close()
    return {"stdout": "", "stderr": "", "code": 0}


csocket.loads = loads
for line in sys.stdin:
    raw.clear()
    answer = send(json.loads(line[1:])) if line.startswith("!") else ask(json.loads(line))
    answer["repr"] = repr(pickle.loads(raw[-1])) if raw else ""
    answer["raw"] = base64.b64encode(raw[-1]).decode() if raw else ""
    print(json.dumps(answer), flush=True)
