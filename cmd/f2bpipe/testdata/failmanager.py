"""Debian's Filter and FailManager over a log, in log time: prints each failure
and each ban as a JSON line.

usage: failmanager.py CONFIGDIR FILTER MAXRETRY FINDTIME LOG
"""
import json
import logging
import sys

from fail2ban.client.filterreader import FilterReader
from fail2ban.server.failmanager import FailManager, FailManagerEmpty
from fail2ban.server.filter import Filter
from fail2ban.server.ticket import FailTicket

logging.disable(logging.CRITICAL)
basedir, name, maxretry, findtime, log = sys.argv[1:]

reader = FilterReader(name, "jail", {}, basedir=basedir)
reader.read()
reader.getOptions({})
flt = Filter(None)
flt.returnRawHost = True
flt.checkFindTime = False
for opt in reader.convert():
    for value in opt[3] if opt[0] == "multi-set" else [opt[3]]:
        if opt[2] == "prefregex":
            flt.prefRegex = value
        elif opt[2] == "addfailregex":
            flt.addFailRegex(value)
        elif opt[2] == "addignoreregex":
            flt.addIgnoreRegex(value)
        elif opt[2] == "maxlines":
            flt.setMaxLines(value)
        elif opt[2] == "datepattern":
            flt.setDatePattern(value)

manager = FailManager()
manager.setMaxRetry(int(maxretry))
manager.setMaxTime(int(findtime))
for line in open(log, encoding="utf-8", errors="replace", newline="\n"):
    for _, ip, time, fail in flt.processLine(line.rstrip("\r\n")):
        print(json.dumps({"action": "failure", "ip": str(ip), "time": time}))
        manager.addFailure(FailTicket(ip, time, data=fail))
        try:
            ticket = manager.toBan(ip)
            print(json.dumps({"action": "ban", "ip": str(ticket.getID()), "time": ticket.getTime(), "failures": ticket.getRetry()}))
        except FailManagerEmpty:
            pass
