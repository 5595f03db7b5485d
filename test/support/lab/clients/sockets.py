"""
Both ends of connections that need what Node's sockets lack: urgent data, keepalive intervals, IP options, a source port
used again at once, a receiver that does not read. Arguments, one JSON object:

  role 'server': port, addresses. The first line of a connection says what is to be done with it.
  role 'client': host, port, line (that first line), from (a port), ipOptions, hopOptions, destinationOptions (hex),
    keepalive (seconds), mss, and steps, each with `go`, a file to wait for, and `do`:
      echo bytes seed        sends and reads back
      urgent                 one byte out of band, each way
      stall bytes seconds    the server reads nothing for that long
      pause bytes seconds    it reads nothing itself for that long, while the server sends
      end bytes              ends its own direction and reads to the end of the other
      reset                  closes with a reset
    Reports: the ends; then each step; then that it has closed.
"""
import hashlib
import json
import os
import random
import select
import socket
import struct
import sys
import threading
import time

ARGS = json.loads(sys.argv[1])
IPV6_HOPOPTS, IPV6_DSTOPTS = 54, 59
INLINE_BEFORE, URGENT, INLINE_AFTER = b"before", b"!", b"after"


def report(**result):
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


def text(address):
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def appears(path):
    while not os.path.exists(path):
        time.sleep(0.005)


def stream(count, seed):
    return random.Random(seed).randbytes(count)


def read(s, count):
    """`count` bytes, or all of them where it is None."""
    parts = []
    while count is None or count > 0:
        piece = s.recv(65536 if count is None else min(count, 65536))
        if not piece:
            break
        parts.append(piece)
        count = None if count is None else count - len(piece)
    return b"".join(parts)


def line(s):
    got = b""
    while not got.endswith(b"\n"):
        piece = s.recv(1)
        if not piece:
            raise OSError("ended before its first line")
        got += piece
    return got.decode().split()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def urgent_out(s):
    s.sendall(INLINE_BEFORE)
    s.send(URGENT, socket.MSG_OOB)
    s.sendall(INLINE_AFTER)


def urgent_in(s):
    """The urgent byte, and what stood around it."""
    s.settimeout(30)
    if not select.select([], [], [s], 30)[2]:
        return {"urgent": "", "inline": ""}
    byte = s.recv(1, socket.MSG_OOB)
    inline = read(s, len(INLINE_BEFORE + INLINE_AFTER))
    return {"urgent": byte.decode(), "inline": inline.decode()}


# ---- the server


def serve(s):
    words = line(s)
    what = words[0]
    if what == "ECHO":
        while piece := s.recv(65536):
            s.sendall(piece)
    elif what == "URGENT":
        found = urgent_in(s)
        urgent_out(s)
        s.sendall((json.dumps(found) + "\n").encode())
        read(s, None)
    elif what == "STALL":
        count, seconds = int(words[1]), float(words[2])
        select.select([s], [], [])
        time.sleep(seconds)
        s.sendall((sha256(read(s, count)) + "\n").encode())
        read(s, None)
    elif what == "PAUSE":
        line(s)
        s.sendall(stream(int(words[1]), 1))
        read(s, None)
    elif what == "LATE":
        read(s, None)
        time.sleep(float(words[2]))
        s.sendall(stream(int(words[1]), 1))
    elif what == "FIRST":
        appears(words[1])
        s.shutdown(socket.SHUT_WR)
        read(s, None)


def handle(s):
    try:
        serve(s)
    except OSError as error:
        sys.stderr.write(f"server: {error}\n")
    finally:
        s.close()


def listen():
    for address in ARGS["addresses"]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, ARGS["port"]))
        listener.listen(64)
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
    report(ready=True)
    threading.Event().wait()


def accept(listener):
    while True:
        s, _ = listener.accept()
        threading.Thread(target=handle, args=(s,), daemon=True).start()


# ---- the client


def opened():
    is_ipv6 = ":" in ARGS["host"]
    s = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if "from" in ARGS:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::" if is_ipv6 else "0.0.0.0", ARGS["from"]))
    if "mss" in ARGS:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ARGS["mss"])
    if "keepalive" in ARGS:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, ARGS["keepalive"])
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, ARGS["keepalive"])
    for key, level, option in [
        ("ipOptions", socket.IPPROTO_IP, socket.IP_OPTIONS),
        ("hopOptions", socket.IPPROTO_IPV6, IPV6_HOPOPTS),
        ("destinationOptions", socket.IPPROTO_IPV6, IPV6_DSTOPTS),
    ]:
        if key in ARGS:
            s.setsockopt(level, option, bytes.fromhex(ARGS[key]))
    s.connect((ARGS["host"], ARGS["port"]))
    return s


def echo(s, step):
    data = stream(step["bytes"], step["seed"])
    sender = threading.Thread(target=s.sendall, args=(data,))
    sender.start()
    back = read(s, len(data))
    sender.join()
    return {"sent": sha256(data), "received": sha256(back), "bytes": len(back)}


def urgent(s, step):
    urgent_out(s)
    back = urgent_in(s)
    return {"near": back, "far": json.loads(" ".join(line(s)))}


def stall(s, step):
    data = stream(step["bytes"], 1)
    s.sendall(data)
    return {"sent": sha256(data), "received": line(s)[0], "bytes": len(data)}


def pause(s, step):
    s.sendall(b"go\n")
    time.sleep(step["seconds"])
    back = read(s, step["bytes"])
    return {"sent": sha256(stream(step["bytes"], 1)), "received": sha256(back), "bytes": len(back)}


def end(s, step):
    s.shutdown(socket.SHUT_WR)
    back = read(s, None)
    return {"sent": sha256(stream(step["bytes"], 1)), "received": sha256(back), "bytes": len(back)}


def reset(s, step):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    return {}


def run():
    s = opened()
    s.sendall((ARGS["line"] + "\n").encode())
    report(local=text(s.getsockname()), remote=text(s.getpeername()))
    steps = {"echo": echo, "urgent": urgent, "stall": stall, "pause": pause, "end": end, "reset": reset}
    for step in ARGS["steps"]:
        appears(step["go"])
        report(**steps[step["do"]](s, step))
    s.close()
    report(closed=True)


listen() if ARGS["role"] == "server" else run()
