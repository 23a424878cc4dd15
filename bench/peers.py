#!/usr/bin/python3
"""peers: f2bpipe beside ripgrep and Debian's fail2ban, on the same input in the
same run; prints the table of ratios that the README shows.

usage: bench/peers.py F2BPIPE [--lines N] [--rounds N] [--config DIR] [--generator COMMAND]

Six filters: sshd[mode=aggressive], postfix[mode=extra], dovecot,
nginx-http-auth, nginx-botsearch, recidive of DIR (default: /etc/fail2ban).
Everything runs on one processor, interleaved; figures are medians of whole
processes, less nothing. A second table has sshguard's parser, where it is
installed, and f2bpipe itself on two processors. ripgrep searches for the same failregexes as one
alternation each (-e), lookarounds dropped and groups not captured: it says yes
or no where f2bpipe finds the date, the rule, every group, and counts. fail2ban
is what its server does with a line, Filter.processLine, for the six filters in
turn, in one process, over a part of the lines, start not counted; and in the
second table fail2ban-regex, a process a filter, the time for a log of one line
taken off.

The logs are bench/gen's; --generator is another command, which is given
-n LINES, and -f 0 for a log without failures or --attack for one of them alone.
"""
import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "internal", "testenv"))
from debian import read_filter

FILTERS = [("sshd", {"mode": "aggressive"}), ("postfix", {"mode": "extra"}), ("dovecot", {}),
           ("nginx-http-auth", {}), ("nginx-botsearch", {}), ("recidive", {})]


def spec(name, opts):
    return name + "".join("[%s=%s]" % o for o in opts.items())


def group_end(s, start):
    """The index behind the group that opens at s[start]."""
    depth, i, in_class = 0, start, False
    while i < len(s):
        c = s[i]
        if c == "\\":
            i += 1
        elif in_class:
            in_class = c != "]"
        elif c == "[":
            in_class = True
            if s[i + 1:i + 2] == "]" or s[i + 1:i + 3] == "^]":
                i += 2 if s[i + 1] == "^" else 1
        elif c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
            if depth == 0:
                return i + 1
        i += 1
    raise ValueError("unbalanced: " + s)


def for_ripgrep(pattern):
    """The failregex as ripgrep takes it: a superset, unanchored."""
    pattern = pattern.replace("(?<=:)", "")
    for look in ("(?!", "(?="):
        while look in pattern:
            at = pattern.index(look)
            pattern = pattern[:at] + pattern[group_end(pattern, at):]
    pattern = re.sub(r"\(\?\(\w+\)", "(?:", pattern)
    pattern = re.sub(r"\(\?P=\w+\)", r"\\S*", pattern)
    pattern = re.sub(r"\(\?P<\w+>", "(?:", pattern)
    # Python lets any punctuation be escaped.
    pattern = re.sub(r"""\\(["',:/#@!%=<>;_ ])""", r"\1", pattern)
    # A bracket within a class opens another one there.
    return pattern.lstrip("^").replace("[^[]", r"[^\[]")


def timed(args, stdin):
    """CPU and wall seconds of a process."""
    with open(stdin, "rb") as f:
        before, start = os.times(), time.monotonic()
        out = subprocess.run(args, stdin=f, stdout=subprocess.PIPE, check=False).stdout
        after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, time.monotonic() - start, out.decode(errors="replace").strip()


def fail2ban_regex(config, path, part):
    """Seconds of fail2ban-regex for the six filters over the lines, beyond its start."""
    total = 0
    for sign, some in ((-1, part[:1]), (1, part)):
        with open(path, "w") as f:
            f.write("".join(line + "\n" for line in some))
        for name, opts in FILTERS:
            total += sign * timed(["taskset", "-c", "0", "fail2ban-regex", "-c", config, "--no-check-all", "--print-no-missed", path, spec(name, opts)], os.devnull)[1]
    return total


def main():
    p = argparse.ArgumentParser()
    p.add_argument("f2bpipe")
    p.add_argument("--lines", type=int, default=1000000)
    p.add_argument("--rounds", type=int, default=6)
    p.add_argument("--config", default="/etc/fail2ban")
    p.add_argument("--fail2ban-lines", type=int, default=10000)
    p.add_argument("--generator")
    a = p.parse_args()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    corpora = tempfile.mkdtemp(prefix="f2bpipe-bench")
    filters = [read_filter(a.config, n, o) for n, o in FILTERS]
    patterns = [for_ripgrep(r) for f in filters for r in f.getFailRegex()]
    ours = ["taskset", "-c", "0", os.path.abspath(a.f2bpipe), "pipe", spec(*FILTERS[0]), "--dry-run", "--count", "--config", a.config]
    for f in FILTERS[1:]:
        ours += ["--filter", spec(*f)]
    pattern_file = os.path.join(corpora, "patterns")
    with open(pattern_file, "w") as f:
        f.write("\n".join(patterns) + "\n")
    rg = ["taskset", "-c", "0", "rg", "-c", "--no-unicode", "-j1", "-f", pattern_file, "-"]

    logs = {}
    for kind in ("mixed", "clean", "attack"):
        logs[kind] = os.path.join(corpora, kind + ".log")
        generate = ["go", "run", "./bench/gen", "-kind", kind, "-lines", str(a.lines)]
        if a.generator:
            generate = shlex.split(a.generator) + ["-n", str(a.lines)] + {"mixed": [], "clean": ["-f", "0"], "attack": ["--attack"]}[kind]
        with open(logs[kind], "wb") as f:
            subprocess.run(generate, cwd=root, stdout=f, check=True)
    nothing = os.path.join(corpora, "nothing.log")
    with open(logs["clean"], "rb") as i, open(nothing, "wb") as o:
        subprocess.run(["rg", "-v", "--no-unicode", "-f", pattern_file, "-"], stdin=i, stdout=o, check=False)
    del logs["clean"]
    logs["nothing matches"] = nothing

    cpu = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")][0]
    print("cpu %s, kernel %s, %s, %s" % (cpu, os.uname().release, subprocess.getoutput("go version"), subprocess.getoutput("rg --version").split("\n")[0]))
    print("%d patterns for ripgrep; %d lines each; medians of %d interleaved rounds, one processor\n" % (len(patterns), a.lines, a.rounds))
    guard = next((p for p in ("/usr/libexec/sshguard/sshg-parser", "/usr/lib/sshguard/sshg-parser", "/usr/sbin/sshg-parser") if os.access(p, os.X_OK)), None)
    print("| log | f2bpipe ns/line | ripgrep | fail2ban | faster than ripgrep | than fail2ban |")
    print("|---|---:|---:|---:|---:|---:|")
    lines = []
    for kind, log in logs.items():
        n = sum(1 for _ in open(log, "rb"))
        walls = {"f": [], "r": []}
        for _ in range(a.rounds):
            walls["f"].append(timed(ours, log)[1])
            walls["r"].append(timed(rg, log)[1])
        part_file = os.path.join(corpora, "part")
        part = [line.rstrip("\n") for _, line in zip(range(a.fail2ban_lines), open(log, errors="replace"))]
        start = time.monotonic()
        for line in part:
            for flt in filters:
                flt.processLine(line)
        peer = (time.monotonic() - start) / len(part) * 1e9
        f, r = statistics.median(walls["f"]) / n * 1e9, statistics.median(walls["r"]) / n * 1e9
        print("| %s | %.0f | %.0f | %.0f | %.2f | %.0f |" % (kind, f, r, peer, r / f, peer / f), flush=True)
        print(json.dumps({"log": kind, "f2bpipe": walls["f"], "rg": walls["r"]}), file=sys.stderr)
        whole = fail2ban_regex(a.config, part_file, part) / len(part) * 1e9
        lines.append("| %s | fail2ban-regex --no-check-all, six times | %.0f ns/line | %.0f times it |" % (kind, whole, whole / f))
        if guard:
            g = statistics.median(timed(["taskset", "-c", "0", guard], log)[1] for _ in range(a.rounds)) / n * 1e9
            lines.append("| %s | sshguard's parser (its own signatures: yes and the address) | %.0f ns/line | %.2f times it |" % (kind, g, g / f))
        if (os.cpu_count() or 1) > 1:
            two = ["taskset", "-c", "0,1"] + ours[3:]
            t = {"1": [], "2": []}
            for _ in range(a.rounds):
                t["1"].append(timed(ours, log)[1])
                t["2"].append(timed(two, log)[1])
            one, both = statistics.median(t["1"]), statistics.median(t["2"])
            lines.append("| %s | itself on two processors | %.0f ns/line | %.2f times one |" % (kind, both / n * 1e9, one / both))
    print("\n| log | beside | its time | f2bpipe |\n|---|---|---:|---:|")
    print("\n".join(lines))
    subprocess.run(["rm", "-r", corpora], check=True)


main()
