"""Answers what CPython's re finds. Requests and answers are JSON after their
length (4 bytes, big endian). A request has the pattern "p", the flag letters
"f" and texts "t"; the answer has "e" (the error: text, or null) and "r": for
each text null, "timeout", or the spans of all groups in bytes of UTF-8."""
import json
import re
import signal
import struct
import sys
import warnings

warnings.simplefilter("ignore")


class Timeout(Exception):
    pass


def alarm(*_):
    raise Timeout()


signal.signal(signal.SIGALRM, alarm)
LETTERS = {"i": re.I, "m": re.M, "s": re.S, "x": re.X, "a": re.A}


def spans(rx, text, at):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            m = rx.search(text, at)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Timeout:
        return "timeout"
    if m is None:
        return None
    if text.isascii():
        return [v for reg in m.regs for v in reg]
    return [v if v < 0 else len(text[:v].encode()) for reg in m.regs for v in reg]


def answer(q):
    flags = 0
    for c in q["f"]:
        flags |= LETTERS[c]
    try:
        rx = re.compile(q["p"], flags)
    except (re.error, OverflowError, RecursionError, ValueError) as e:
        return {"e": str(e)}
    return {"e": None, "r": [spans(rx, t, q.get("at", 0)) for t in q["t"]]}


def main():
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while True:
        head = stdin.read(4)
        if len(head) < 4:
            return
        out = json.dumps(answer(json.loads(stdin.read(struct.unpack(">I", head)[0])))).encode()
        stdout.write(struct.pack(">I", len(out)) + out)
        stdout.flush()


main()
