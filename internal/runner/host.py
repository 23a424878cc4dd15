"""Runs one action that is written in Python, for f2bpipe.

Reads JSON lines on the descriptor of argv[1] and answers each with one on that of
argv[2]. The first is {"path", "jail", "name", "args"}; the others are {"method",
"values"}. An answer is {"ok": true}, {"absent": true} where the action has no
such method, or {"error": TEXT}. What the action prints goes to stderr.

An action imports the names that fail2ban documents for actions. They are here,
small and of our own; of a fail2ban that is installed the other modules are used.
"""
import importlib.machinery, importlib.util, json, logging, os, socket, sys, threading, traceback, types
from collections.abc import MutableMapping


class CallingMap(MutableMapping):
    """A mapping whose values may be functions, called when they are asked for."""

    def __init__(self, *args, **kwargs):
        self.data = dict(*args, **kwargs)

    def __getitem__(self, key):
        value = self.data[key]
        return value() if callable(value) else value

    def __setitem__(self, key, value):
        self.data[key] = value

    def __delitem__(self, key):
        del self.data[key]

    def __iter__(self):
        return iter(self.data)

    def __len__(self):
        return len(self.data)

    def __repr__(self):
        return "%s(%r)" % (type(self).__name__, self.data)

    def copy(self):
        return type(self)(self.data)

    def reset(self):
        """fail2ban's: forgets what was computed. Nothing is kept here."""

    @property
    def immutable(self):
        return False


class Info(CallingMap):
    """What an action is told of a ban. F-… gives a capture, or None."""

    def __getitem__(self, key):
        if isinstance(key, str) and key.startswith("F-") and key not in self.data:
            group = key[2:].lower()
            return self.data.get("F-" + {"id": "fid", "port": "fport"}.get(group, group))
        return super().__getitem__(key)


class ActionBase(object):
    """What every action derives from: does nothing."""

    def __init__(self, jail, name):
        self._jail = jail
        self._name = name
        self._logSys = logging.getLogger("fail2ban.%s" % type(self).__name__)

    def start(self):
        pass

    def stop(self):
        pass

    def ban(self, aInfo):
        pass

    def reban(self, aInfo):
        return self.ban(aInfo)

    def unban(self, aInfo):
        pass

    @property
    def _prolongable(self):
        return False


class BanTicket(object):
    """An address and when it was banned, as an action may make one."""

    def __init__(self, ip=None, time=None, matches=None, data=None, ticket=None):
        self.ip, self.time, self.matches, self.data = ip, time or 0, list(matches or []), dict(data or {})

    def getIP(self):
        return self.ip

    getID = getIP

    def getTime(self):
        return self.time

    def getMatches(self):
        return self.matches

    def getAttempt(self):
        return self.data.get("failures", 0)


class JailActions(dict):
    """The jail's other actions. They run elsewhere: none can be reached."""

    def __init__(self, host):
        super().__init__()
        self.host = host

    def getBanTime(self):
        return self.host.ban_time

    def __missing__(self, name):
        raise KeyError("action %r: f2bpipe does not let an action call another one" % name)


class Actions(object):
    class ActionInfo(Info):
        def __init__(self, ticket, jail):
            ip = ticket.getIP()
            super().__init__({
                "ip": ip, "fid": ip, "failures": ticket.getAttempt(), "time": ticket.getTime(), "restored": 0,
                "matches": "\n".join(ticket.getMatches()), "bancount": 1, "bantime": jail.actions.getBanTime(),
            })


class Jail(object):
    def __init__(self, name, host):
        self.name = name
        self.actions = JailActions(host)
        self.database = None
        self.filter = None
        self.idle = False

    def __repr__(self):
        return "Jail(%r)" % self.name


def split_words(s):
    return [w for w in s.replace(",", " ").split() if w] if s else []


def log_level(value):
    value = str(value).upper()
    return int(value) if value.isdigit() else getattr(logging, {"NOTICE": "INFO", "MSG": "INFO"}.get(value, value))


def install():
    """Puts the documented names where actions import them from."""
    def package(name):
        found = None
        if name in ("fail2ban", "fail2ban.server"):
            try:
                found = importlib.machinery.PathFinder.find_spec(
                    name, None if name == "fail2ban" else getattr(sys.modules["fail2ban"], "__path__", None))
            except Exception:
                found = None
        m = types.ModuleType(name)
        m.__path__ = list(found.submodule_search_locations or []) if found else []
        sys.modules[name] = m
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, m)
        return m

    package("fail2ban")
    package("fail2ban.server")
    action = package("fail2ban.server.action")
    action.ActionBase, action.CallingMap = ActionBase, CallingMap
    actions = package("fail2ban.server.actions")
    actions.ActionBase, actions.CallingMap, actions.Actions, actions.BanTicket = ActionBase, CallingMap, Actions, BanTicket
    helpers = package("fail2ban.helpers")
    helpers.getLogger = lambda name: logging.getLogger(name)
    helpers.splitwords, helpers.str2LogLevel = split_words, log_level
    version = package("fail2ban.version")
    version.version = "1.0.2"
    logging.addLevelName(25, "NOTICE")
    logging.NOTICE = 25


class Host(object):
    ban_time = 600

    def open(self, path, jail, name, args):
        install()
        spec = importlib.util.spec_from_file_location("f2bpipe_action_" + "".join(c if c.isalnum() else "_" for c in name), path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        self.action = module.Action(Jail(jail, self), name, **args)
        self.action.start()

    def call(self, method, values):
        name = {"check": "consistencyCheck"}.get(method, method)
        f = getattr(self.action, name, None)
        if f is None and method == "reban":
            f = getattr(self.action, "ban", None)
        if f is None:
            return {"absent": True}
        if method not in ("ban", "reban", "unban", "prolong"):
            return {"ok": f() is not False}
        if values.get("restored") == "1" and getattr(self.action, "norestored", False):
            return {"ok": True}
        return {"ok": f(self.info(values)) is not False}

    def info(self, values):
        data = dict(values)
        for key in ("failures", "bantime", "bancount", "restored", "ipfailures", "ipjailfailures",
                    "jail.banned", "jail.banned_total", "jail.found", "jail.found_total"):
            if key in data:
                data[key] = int(data[key])
        if "time" in data:
            data["time"] = float(data["time"])
        if "bantime" in data and data["bantime"] > 0:
            self.ban_time = data["bantime"]
        ip = data.get("ip", "")
        data["ip-host"] = lambda: host_of(ip)
        data["fq-hostname"] = socket.getfqdn
        data["sh-hostname"] = lambda: socket.gethostname().partition(".")[0]
        return Info(data)


def host_of(ip):
    try:
        return socket.gethostbyaddr(ip)[0]
    except OSError:
        return None


def main():
    requests = os.fdopen(int(sys.argv[1]), "r", encoding="utf-8")
    answers = os.fdopen(int(sys.argv[2]), "w", encoding="utf-8")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    host = Host()
    opened = False
    for line in requests:
        try:
            request = json.loads(line)
            if not opened:
                host.open(**request)
                opened, answer = True, {"ok": True}
            else:
                answer = host.call(request["method"], request.get("values") or {})
        except BaseException as e:
            traceback.print_exc(limit=-3)
            answer = {"error": "%s: %s" % (type(e).__name__, e)}
            if not opened:
                opened = None
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if opened is None:
            return


main()
# A timer of the action's must not keep the process.
os._exit(0)
