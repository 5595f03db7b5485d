"""Sends whole Ethernet frames on eth0 as they are. Arguments: frames, as hex. It reports when they have left."""
import json
import socket
import sys

args = json.loads(sys.argv[1])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
    s.bind(("eth0", 0))
    for frame in args["frames"]:
        s.send(bytes.fromhex(frame))
print(json.dumps({"sent": len(args["frames"])}), flush=True)
