"""Sends requests to a control socket and prints what Python makes of the answers.

Usage: converse.py SOCKET. Each line on stdin is a pickle in hex; all go over one
connection. Each line on stdout is the repr of an answer.
"""
import pickle
import socket
import sys

END = b"<F2B_END_COMMAND>"
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
for line in sys.stdin:
    s.sendall(bytes.fromhex(line.strip()) + END)
    got = b""
    while not got.endswith(END):
        part = s.recv(1024)
        if not part:
            sys.exit("closed")
        got += part
    print(repr(pickle.loads(got)))
s.sendall(b"<F2B_CLOSE_COMMAND>" + END)
