"""Runs actions with Debian's fail2ban and prints what became of each command.

Input (stdin): {"config": DIR, "jobs": [{"action": NAME, "params": {…}, "steps":
[[METHOD, {TAG: VALUE}]]}]}, METHOD being start, ban, unban, flush or stop. Output
(stdout): for each job {"error": TEXT} or {"steps": [{"ok", "commands", "log"}]}.
"""
import json, logging, os, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "testenv"))
from debian import read_action
from fail2ban.server.action import CommandAction
from fail2ban.server.ipdns import IPAddr

task = json.load(sys.stdin)
commands = []
real = CommandAction.executeCmd


def recorded(cmd, *args, **kwargs):
    # A list is the command and the values of its variables.
    commands.append(cmd if isinstance(cmd, str) else cmd[0])
    return real(cmd, *args, **kwargs)


CommandAction.executeCmd = staticmethod(recorded)


class Lines(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def run(job):
    action = read_action(task["config"], job["action"], job.get("params"))
    out = []
    for method, info in job["steps"]:
        log = Lines()
        logging.getLogger("fail2ban").addHandler(log)
        commands.clear()
        if "ip" in info:
            address = IPAddr(info["ip"])
            info = dict(info, ip=address, family=address.familyStr)
        try:
            result = getattr(action, method)(info) if method in ("ban", "unban") else getattr(action, method)()
            ok = result is None or bool(result)
        except Exception as e:
            ok = False
            log.lines.append("%s: %s" % (type(e).__name__, e))
        logging.getLogger("fail2ban").removeHandler(log)
        out.append({"ok": ok, "commands": list(commands), "log": log.lines})
    return {"steps": out}


results = []
for job in task["jobs"]:
    try:
        results.append(run(job))
    except Exception as e:
        results.append({"error": "%s: %s" % (type(e).__name__, e)})
json.dump(results, sys.stdout)
