"""Prints what Debian's fail2ban executes for actions.

Input (stdin): [{"config": DIR, "action": NAME, "params": {…}, "steps": [[METHOD, INFO,
[RESULT, …]]]}], METHOD being start, ban, unban, reload, prolong or stop, INFO
a ban's tags or null, RESULT what its commands return in turn, true after the last one.
Output (stdout): for each {"error": TEXT} or {"steps": [[COMMAND, …]]}, COMMAND being
[SCRIPT, ARGUMENT, …].
"""
import json, logging, os, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "testenv"))
from debian import read_action
from fail2ban.server.action import CommandAction
from fail2ban.server.ipdns import IPAddr

logging.disable(logging.CRITICAL)
commands, results = [], []


def recorded(cmd, *args, **kwargs):
    cmd = [cmd] if isinstance(cmd, str) else list(cmd)
    if not cmd[0].strip():
        return True
    commands.append(cmd)
    return results.pop(0) if results else True


CommandAction.executeCmd = staticmethod(recorded)


def run(job):
    action = read_action(job["config"], job["action"], job.get("params"))
    steps, held = [], {}
    for method, info, outcome in job["steps"]:
        commands.clear()
        results[:] = outcome
        if info is not None:
            address = IPAddr(info["ip"])
            info = dict(info, ip=address, family=address.familyStr)
        try:
            if method == "prolong" and not action._prolongable:
                continue
            if method == "ban":
                held[str(info["ip"])] = info
            elif method == "unban":
                held.pop(str(info["ip"]), None)
            elif method == "stop":  # as the server's Actions do when a jail ends
                if action.actionflush:
                    action.flush()
                else:
                    for each in held.values():
                        action.unban(each)
            getattr(action, method)(*([] if info is None else [info]))
        except Exception:
            pass
        finally:
            steps.append(list(commands))
    return {"steps": steps}


out = []
for job in json.load(sys.stdin):
    try:
        out.append(run(job))
    except Exception as e:
        out.append({"error": "%s: %s" % (type(e).__name__, e)})
json.dump(out, sys.stdout)
