"""parser-acme-py parses lines such as

    2025-11-01T12:00:00Z WARN web1: disk is nearly full
"""

from datetime import datetime, timezone

from ironpost.v1 import event_pb2 as ev

from ironpost_plugin import Parser, Unparsed, serve

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SEVERITIES = {"INFO": ev.SEVERITY_INFORMATIONAL, "WARN": ev.SEVERITY_LOW, "ERROR": ev.SEVERITY_MEDIUM}


class Acme(Parser):
    name = "parser-acme-py"
    summary = "Logs of Acme appliances, read in Python"
    format = "acme-py"

    def parse(self, line, event):
        head, found, text = line.partition(": ")
        words = head.split()
        if not found or len(words) != 3:
            raise Unparsed("bad_acme")
        stamp, level, host = words
        try:
            since = datetime.fromisoformat(stamp.replace("Z", "+00:00")) - EPOCH
        except (ValueError, TypeError, OverflowError):  # no stamp, or one without a zone
            raise Unparsed("bad_time") from None
        event.time = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000 & (1 << 64) - 1
        event.host, event.process, event.message = host, "acme", text
        event.severity = SEVERITIES.get(level, ev.SEVERITY_UNSPECIFIED)
        event.fields.add(key="acme.level", value=level)


if __name__ == "__main__":
    serve(Acme())
