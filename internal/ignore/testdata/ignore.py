"""Says whom fail2ban ignores and why: one JSON object a line in, one list out."""
import json
import sys

from fail2ban.server.filter import Filter
from fail2ban.server.ipdns import DNSUtils, IPAddr


class Jail:
    name = "sshd"


class Asked(Filter):
    def logIgnoreIp(self, ip, log_ignore, ignore_source="unknown source"):
        if log_ignore:
            self.answer = "[%s] Ignore %s by %s" % (self.jailName, ip, ignore_source)


def answer(case):
    zone = {name: {IPAddr(a) for a in addrs} for name, addrs in case["zone"].items()}
    DNSUtils.dnsToIp = staticmethod(lambda name: zone.get(name, set()))
    DNSUtils.getSelfIPs = staticmethod(lambda: {IPAddr(a) for a in case["own"] or []})
    f = Asked(Jail())
    f.ignoreSelf = case["self"]
    for item in case["items"] or []:
        f.addIgnoreIP(item)
    if case["command"]:
        f.ignoreCommand = case["command"]
    out = []
    for a in case["ids"]:
        f.answer = ""
        ignored = f.inIgnoreIPList(a)
        if ignored != bool(f.answer):
            raise AssertionError((ignored, f.answer))
        out.append(f.answer)
    return out


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
