# Answers what Debian's fail2ban finds in lines: one JSON object a line on
# stdin and on stdout. The default patterns come from the caller, for Debian's
# are a release behind.
import json
import sys
import time

from fail2ban.server import datedetector
from fail2ban.server.datedetector import DateDetector, DateDetectorCache
from fail2ban.server.datetemplate import DatePatternRegex
from fail2ban.server.mytime import MyTime
from fail2ban.server.utils import Utils


class Clock:
    """Stands for the module time: when a template was used last."""
    now = 0.0

    @classmethod
    def time(cls):
        return cls.now


datedetector.time = Clock
# How these tokens are spelled in names hangs on the order of a Python set.
DatePatternRegex._patternName.update(Exk="%Exk", Exl="%Exl")


def fresh(defaults):
    """Forget everything that detectors share."""
    datedetector.DD_patternCache = Utils.Cache(maxCount=100000, maxTime=10**9)
    DateDetectorCache.DEFAULT_TEMPLATES = list(defaults)
    DateDetector._defCache = DateDetectorCache()
    DateDetector._defCache.templates


def first(at):
    """Of a local time that occurs twice take the first."""
    for delta in (7200, 3600, 1800):
        if time.localtime(at - delta)[:6] == time.localtime(at)[:6]:
            return at - delta
    return at


def find(dd, line, now):
    Clock.now = now
    MyTime.setTime(now)
    try:
        match, template = dd.matchTime(line)
    except IndexError:  # an empty date at the line's end
        return None
    if match is None:
        return None
    start, end = match.span(1)
    if start < 0:
        start = end = match.start()
    size = lambda n: len(line[:n].encode())
    answer = {"name": template.name, "start": size(start), "end": size(end), "state": "valid", "time": 0}
    try:
        date = dd.getTime(line, (match, template))
    except Exception:
        answer["state"] = "fatal"
        return answer
    if date is None:
        answer["state"] = "invalid"
    elif hasattr(template, "pattern") and not any(match.groupdict().get(z) for z in "zZ") and dd.default_tz is None:
        answer["time"] = first(date[0])
    else:
        answer["time"] = date[0]
    return answer


for request in sys.stdin:
    request = json.loads(request)
    fresh(request["defaults"])
    dd = DateDetector()
    try:
        if request["zone"]:
            dd.default_tz = request["zone"]
        for pattern in request["patterns"] or ():
            dd.appendTemplate(pattern)
        if not dd.templates:
            dd.addDefaultTemplate()
        for template in dd.templates:
            template.template._compileRegex()
        answer = {"found": [find(dd, line, now) for line, now in request["lines"]]}
    except Exception as error:
        answer = {"error": "%s: %s" % (type(error).__name__, error)}
    print(json.dumps(answer), flush=True)
