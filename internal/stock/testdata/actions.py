"""Runs actions with Debian's fail2ban and prints what became of each command.

Input (stdin): {"config": DIR, "jobs": [{"action": NAME, "params": {…}, "steps":
[[METHOD, {TAG: VALUE}]]}]}, METHOD being start, ban, unban, flush or stop. Output
(stdout): for each job {"error": TEXT} or {"steps": [{"ok", "commands", "log"}]}.
"""
import json, logging, sys

from fail2ban.client.actionreader import ActionReader
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


def build(job):
    reader = ActionReader(job["action"], "jail", dict(job.get("params") or {}), basedir=task["config"])
    if not reader.read():
        raise ValueError("no action " + job["action"])
    reader.getOptions({})
    action = CommandAction(None, job["action"])
    for command in reader.convert():
        if command[0] == "multi-set":
            for key, value in command[4]:
                setattr(action, key, value)
        elif len(command) > 5:
            setattr(action, command[4], command[5])
    return action


def run(job):
    action = build(job)
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
