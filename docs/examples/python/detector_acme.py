"""detector-acme-py raises an alert when lines with a certain text come too often from
one address. It keeps its windows over its own death."""

import struct

from ironpost.v1 import event_pb2 as ev
from ironpost.v1 import plugin_pb2 as pb

from ironpost_plugin import Detector, serve


class Flood(Detector):
    name = "detector-acme-py"
    summary = "Finds lines that come too often from one address, in Python"
    section = "acme_py"
    config = (
        pb.ConfigField(key="text", type=pb.ConfigField.TYPE_STRING, default="Failed password", help="what a line has to contain"),
        pb.ConfigField(key="threshold", type=pb.ConfigField.TYPE_INT, default="3", min="1", max="1000", help="lines that raise an alert"),
        pb.ConfigField(key="window_seconds", type=pb.ConfigField.TYPE_INT, default="60", min="1", help="in which they have to come"),
    )

    def configure(self, section):
        self.wanted, self.threshold = section["text"], section["threshold"]
        self.window = section["window_seconds"] * 10**9
        self.seen = {}  # times in nanoseconds, by address

    def restore(self, entries):
        for address, value in entries:
            if len(value) % 8 == 0:  # else it is of another version
                self.seen[address] = list(struct.unpack(f">{len(value) // 8}q", value))

    def detect(self, event, raise_alert):
        address = event.fields.get("src_ip")
        if not address or self.wanted not in event.text:
            return
        times = [t for t in self.seen.get(address, []) if t > event.time - self.window] + [event.time]
        if len(times) < self.threshold:
            self.seen[address] = times
            self.put(address, struct.pack(f">{len(times)}q", *times))
            return
        self.seen.pop(address, None)
        self.delete(address)
        alert = ev.AlertEvent(
            rule_id="acme-flood", title="Too many lines with " + self.wanted, severity=ev.SEVERITY_MEDIUM,
            group=address, count=len(times), evidence=ev.EVIDENCE_CONFIRMED)
        alert.entities.add(key="src_ip", value=address)
        raise_alert(alert)


if __name__ == "__main__":
    serve(Flood())
