"""Runs filters over lines with Debian's fail2ban and prints what it finds.

Input (stdin): {"config": DIR, "tz": ZONE, "now": EPOCH, "jobs": [{"filter": NAME,
"opts": {OPTION: VALUE}, "fresh": BOOL, "lines": [TEXT]}]}. A fresh job forgets
sessions and dates between two lines. Output (stdout): for each job {"error":
TEXT} or {"lines": [[{"host", "time", "regex", "fields"}]]}, for each line the
failures in it.
"""
import json, logging, os, sys, time

sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
task = json.load(sys.stdin)
os.environ["TZ"] = task["tz"]
time.tzset()

from fail2ban.client.filterreader import FilterReader
from fail2ban.server.filter import Filter
from fail2ban.server.mytime import MyTime

logging.getLogger("fail2ban").setLevel(logging.CRITICAL)
MyTime.setTime(task["now"])


def build(name, opts):
    """Returns a filter with everything that the configuration says of it."""
    f = Filter(None)
    f.returnRawHost = True
    f.checkAllRegex = True
    f.checkFindTime = False
    f.active = True
    reader = FilterReader(name, "jail", dict(opts), basedir=task["config"])
    if not reader.read():
        raise ValueError("no filter " + name)
    reader.getOptions({})
    for command in reader.convert():
        values = command[3] if command[0] == "multi-set" else [command[3]]
        for value in values:
            what = command[2]
            if what == "prefregex":
                f.prefRegex = value
            elif what == "addfailregex":
                f.addFailRegex(value)
            elif what == "addignoreregex":
                f.addIgnoreRegex(value)
            elif what == "maxlines":
                f.setMaxLines(value)
            elif what == "datepattern":
                f.setDatePattern(value)
    return f


def run(job):
    opts = job.get("opts") or {}
    f = build(job["filter"], opts)
    journal = opts.get("logtype") == "journal"
    out = []
    for line in job["lines"]:
        if job.get("fresh"):
            f._Filter__mlfidCache = None
            f._Filter__lastTimeText = ""
            f._Filter__lastDate = None
        if journal:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(task["now"]))
            found = f.processLine(("", stamp, line), task["now"])
        else:
            found = f.processLine(line)
        failures = []
        for index, host, at, fields in found or []:
            if host is None or fields.get("nofail"):
                continue
            fields = {k: str(v) for k, v in fields.items() if isinstance(v, (str, int, float))}
            failures.append({"host": str(host), "time": at, "regex": index, "fields": fields})
        out.append(failures)
    return out


results = []
for job in task["jobs"]:
    try:
        results.append({"lines": run(job)})
    except Exception as e:
        results.append({"error": "%s: %s" % (type(e).__name__, e)})
json.dump(results, sys.stdout)
