"""Debian's fail2ban as an oracle: reads one JSON request a line on stdin and
answers with one JSON line.

{"now": T}                                     sets the clock
{"load": [basedir, filter, {option: value}]}   -> {"id": N} or {"error": text}
{"run": N, "lines": [...], "journal": bool, "all": bool}
                                               -> {"out": [[[regex, id, time, {group: text}], ...], ...]}
"""
import json
import logging
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "internal", "testenv"))
from debian import read_filter
from fail2ban.server import failregex
from fail2ban.server.mytime import MyTime

logging.disable(logging.CRITICAL)

# The newer release's IPv6 group, which takes a single colon where 1.0.2 wants two.
_resolve = failregex.Regex._resolveHostTag
failregex.Regex._resolveHostTag = staticmethod(
    lambda regex, useDns="yes": _resolve(regex, useDns=useDns).replace("{1,4}::?|::){1,7}", "{1,4}::?|:){1,7}"))

# The newer release's rule for groups that are in prefregex and failregex both:
# one that took no part in the latter leaves the former's text.
_groups = failregex.Regex._getGroups
failregex.Regex._getGroups = lambda self: {k: v for k, v in _groups(self).items() if v is not None}

filters = []


def load(basedir, name, opts):
    filters.append(read_filter(basedir, name, opts))
    return len(filters) - 1


SKIP = ("matches", "nofail-matches", "users", "mlfpending", "ip", "mlfgained", "mlfforget")


def run(flt, lines, journal):
    out = []
    for line in lines:
        found = []
        try:
            if journal:
                found = flt.processLine(("", MyTime.time2str(MyTime.time()), line), MyTime.time())
            else:
                found = flt.processLine(line)
        except Exception as e:  # fail2ban logs it and loses the line
            out.append([[-1, repr(e), None, {}]])
            continue
        out.append([
            [idx, str(fid), time, {k: v if isinstance(v, str) else repr(v) for k, v in fail.items() if v is not None and k not in SKIP}]
            for idx, fid, time, fail in found if fid is not None and not fail.get("nofail")
        ])
    return out


for request in sys.stdin:
    r = json.loads(request)
    try:
        if "now" in r:
            MyTime.setTime(r["now"])
            answer = {}
        elif "load" in r:
            answer = {"id": load(*r["load"])}
        else:
            flt = filters[r["run"]]
            flt.checkAllRegex = r.get("all", False)
            answer = {"out": run(flt, r["lines"], r.get("journal", False))}
    except Exception as e:
        answer = {"error": "%s: %s" % (type(e).__name__, e)}
    print(json.dumps(answer), flush=True)
