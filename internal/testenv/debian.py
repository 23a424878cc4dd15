"""Filters and actions of a configuration as Debian's fail2ban reads them, for the
scripts that compare with it."""
from fail2ban.client.actionreader import ActionReader
from fail2ban.client.filterreader import FilterReader
from fail2ban.server.action import CommandAction
from fail2ban.server.filter import Filter


def read_filter(config, name, opts):
    """A filter that takes every line, whatever its age, and looks up no name."""
    reader = FilterReader(name, "jail", dict(opts), basedir=config)
    if not reader.read():
        raise ValueError("no filter " + name)
    reader.getOptions({})
    flt = Filter(None)
    flt.returnRawHost = True
    flt.checkFindTime = False
    flt.active = True
    for command in reader.convert():
        what = command[2]
        for value in command[3] if command[0] == "multi-set" else [command[3]]:
            if what == "prefregex":
                flt.prefRegex = value
            elif what == "addfailregex":
                flt.addFailRegex(value)
            elif what == "addignoreregex":
                flt.addIgnoreRegex(value)
            elif what == "maxlines":
                flt.setMaxLines(value)
            elif what == "datepattern":
                flt.setDatePattern(value)
    return flt


def read_action(config, name, params):
    """An action by commands."""
    reader = ActionReader(name, "jail", dict(params or {}), basedir=config)
    if not reader.read():
        raise ValueError("no action " + name)
    reader.getOptions({})
    action = CommandAction(None, name)
    for command in reader.convert():
        if command[0] == "multi-set":
            for key, value in command[4]:
                setattr(action, key, value)
        elif len(command) > 5:
            setattr(action, command[4], command[5])
    return action
