"""Debian's Filter and FailManager over a log, in log time: prints each failure
and each ban as a JSON line.

usage: failmanager.py CONFIGDIR FILTER MAXRETRY FINDTIME LOG
"""
import json
import logging
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "internal", "testenv"))
from debian import read_filter
from fail2ban.server.failmanager import FailManager, FailManagerEmpty
from fail2ban.server.ticket import FailTicket

logging.disable(logging.CRITICAL)
basedir, name, maxretry, findtime, log = sys.argv[1:]

flt = read_filter(basedir, name, {})
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
