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

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "testenv"))
from debian import read_filter
from fail2ban.server.mytime import MyTime

logging.getLogger("fail2ban").setLevel(logging.CRITICAL)
MyTime.setTime(task["now"])


def run(job):
    opts = job.get("opts") or {}
    f = read_filter(task["config"], job["filter"], opts)
    f.checkAllRegex = True
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
