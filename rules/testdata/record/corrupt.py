"""A broken middlebox: hands on what ssh says to HOST PORT, with the last byte of each
packet changed once the keys are exchanged."""

import os
import select
import socket
import sys

peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
chunks = 0
while True:
    for ready in select.select([0, peer], [], [], 20)[0] or sys.exit():
        data = os.read(0, 65536) if ready == 0 else peer.recv(65536)
        if not data:
            sys.exit()
        if ready != 0:
            os.write(1, data)
            continue
        chunks += 1
        # Of the exchange the packets are large, and the first is the version.
        if chunks > 1 and len(data) < 300:
            data = data[:-1] + bytes([data[-1] ^ 1])
        peer.sendall(data)
