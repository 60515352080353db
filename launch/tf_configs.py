"""Prints the TF_CONFIG of N workers on this machine, a line each, with ports that are free now.

Needs: Python, nothing else.
Command: python3 launch/tf_configs.py N
Prints: for N = 1 {"cluster": {"worker": ["127.0.0.1:PORT"]}, "task": {"type": "worker", ...}}
"""

import json
import socket
import sys

# All are held until all are known, or one could be given twice.
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
cluster = {"worker": [f"127.0.0.1:{server.getsockname()[1]}" for server in held]}
for index, server in enumerate(held):
    server.close()
    print(json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}))
