"""
Sends bare TCP acks of connections that nobody has: from ports 10000 on to port 8080, one each, from eth0's address. Their
checksum is wrong, so whom they reach says nothing. Arguments: source, destination, count. It reports when they have left.
"""
import json
import socket
import struct
import sys

args = json.loads(sys.argv[1])
ACK = 0x10
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
    ends = [socket.inet_aton(args[name]) for name in ("source", "destination")]
    # The kernel fills in the header's length and checksum.
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0x4000, 64, socket.IPPROTO_TCP, 0, *ends)
    for port in range(10000, 10000 + args["count"]):
        s.sendto(ip + struct.pack("!HHIIBBHHH", port, 8080, 1, 1, 5 << 4, ACK, 1000, 0xBAD, 0), (args["destination"], 0))
print(json.dumps({"sent": args["count"]}), flush=True)
