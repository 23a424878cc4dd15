"""Prints the stream of commands that fail2ban's client makes of a configuration.

Usage: stream.py CONFDIR. Log files need not be there.
"""
import json
import logging
import sys

from fail2ban.client.configurator import Configurator

logging.disable(logging.CRITICAL)
c = Configurator()
c.setBaseDir(sys.argv[1])
c.readAll()
c.getOptions(None)
c.convertToProtocol(allow_no_files=True)
json.dump(c.getConfigStream(), sys.stdout)
