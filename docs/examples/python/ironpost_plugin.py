"""Serves an Ironpost plugin that is written in Python.

It needs nothing but Debian's python3-grpcio and python3-protobuf, and the messages
that protoc makes of the published .proto files. A plugin subclasses Parser or
Detector and calls serve():

    class Acme(Parser):
        name, summary, format = "parser-acme", "Logs of Acme appliances", "acme"

        def parse(self, line, event):
            ...

    serve(Acme())

What the host relies on, and this module does: the handshake is the first line on
standard output; every batch is answered and acknowledged in order; nothing is called
durable before its effect is safe; Health answers while a batch is in work; a record
that an attacker wrote costs itself and nothing else; the process ends with the host.
"""

import hashlib
import json
import os
import struct
import sys
import threading
import time
import warnings
from concurrent import futures

import grpc

from ironpost.v1 import event_pb2 as ev
from ironpost.v1 import plugin_pb2 as pb

API = 1
COOKIE = ("IRONPOST_PLUGIN", "d3a1c1f0-7f6b-4f0e-9a55-ironpost-v1")
MAX_MESSAGE = 4 << 20  # bytes of one gRPC message
MAX_PART = 512 << 10  # bytes at which an answer is sent in parts; 1 MiB is the limit
MAX_EVENT = 192 << 10  # bytes of one event
MAX_RAW = 4 << 10  # bytes that are kept of a record that cannot be parsed
MAX_CHANGES = 1 << 20  # bytes of state in one acknowledgement
UNPARSED, INFERRED, TRUNCATED, CLAMPED = 2, 1, 4, 8  # LogEvent.flags
AHEAD = 5 * 10**9  # nanoseconds that a stamp may lie ahead of the clock


class Unparsed(Exception):
    """The record cannot be parsed; the text is a stable code such as "bad_line"."""


class Plugin:
    """What every kind has. Set name and summary."""

    name = summary = format = ""
    version = "0.1.0"
    kind = ""
    consumes = ()
    section = ""
    config = ()  # pb.ConfigField values

    def configure(self, section):
        """Takes the plugin's section, complete with defaults, as a dict."""

    def health(self):
        """Returns "" when the plugin can work, and otherwise what is missing."""
        return ""

    def open(self):
        """Returns what works on one link: an object with restore, answers and save."""
        raise NotImplementedError


class Parser(Plugin):
    kind = "parser"

    def parse(self, line, event):
        """Reads one record, a str, into an ev.LogEvent; Unparsed refuses it."""
        raise NotImplementedError

    def open(self):
        return _ParserLink(self)


class Detector(Plugin):
    """A detector whose memory survives its death.

    State is a dict from str to bytes: put and delete report changes, restore gives
    back what was durable. Everything that detect remembers has to be in it.
    """

    kind = "detector"
    consumes = (ev.KIND_LOG,)

    def restore(self, entries):
        """Takes back the state: pairs of key and value, at most once, first."""

    def detect(self, event, raise_alert):
        """Looks at one event. raise_alert takes an ev.AlertEvent without ids."""
        raise NotImplementedError

    def put(self, key, value):
        self._changes[key] = value

    def delete(self, key):
        self._changes[key] = None

    def open(self):
        self._changes = {}
        return _DetectorLink(self)


def fields(names, pairs):
    """The named values of an event as a dict.

    names is the table of the batch, which keys may refer to by their place in it.
    """
    return {_text(names, p, "key"): p.value for p in pairs}


def _text(names, message, field):
    """A text that stands for itself, or for an entry of the table of names."""
    ref = getattr(message, field + "_ref")
    if not ref:
        return getattr(message, field)
    return names[ref - 1] if ref <= len(names) else ""


class _ParserLink:
    def __init__(self, parser):
        self.parser = parser

    def restore(self, entries):
        pass

    def save(self):
        return []

    def answers(self, batch):
        first, end = batch.first_sequence, batch.first_sequence + batch.count
        covered, out, size, reasons = max(first, batch.skip_before), [], 0, {}
        cut = set(batch.truncated)

        def part(covered_to):
            header = ev.Batch(
                stream=batch.stream, first_sequence=first, kind=ev.KIND_LOG, count=len(out), provenance=batch.provenance,
                answers=batch.number, observed_time=batch.observed_time, next_sequence=covered_to,
                payload=ev.Batch(logs=out).SerializeToString())
            if reasons:
                header.control.counts.extend(ev.Count(name=k, value=n) for k, n in reasons.items())
            return header

        for index, line in enumerate(batch.raw):
            sequence = first + index
            if sequence < batch.skip_before:
                continue  # it was answered before a restart
            event = self.event(batch, line, index in cut)
            event.offset = index
            if event.reason:
                reasons[event.reason] = reasons.get(event.reason, 0) + 1
            out.append(event)
            size += event.ByteSize() + 8
            if size >= MAX_PART:
                covered = sequence + 1
                yield part(covered)
                out, size, reasons = [], 0, {}
        if covered < end:
            yield part(end)

    def event(self, batch, line, cut):
        """Makes the event of one record, whatever its bytes are."""
        try:
            event = ev.LogEvent()
            self.parser.parse(_fit(line, cut), event)
            if event.ByteSize() > MAX_EVENT:
                raise Unparsed("event_too_large")
        except Unparsed as refused:
            reason = str(refused)
        except Exception as fault:  # of the parser: it costs the record
            log("error", "the parser failed", error=repr(fault))
            reason = "parser_panic"
        else:
            reason = ""
        if reason:
            event = ev.LogEvent(flags=UNPARSED, raw=line[:MAX_RAW], reason=reason[:64])
        if cut:
            event.flags |= TRUNCATED
        event.observed_time = batch.observed_time
        if event.time == 0:
            event.time = batch.observed_time
            event.flags |= INFERRED
        elif not self.parser.replay and _signed(event.time) - _signed(batch.observed_time) > AHEAD:
            event.time = batch.observed_time
            event.flags |= CLAMPED
        return event


def _signed(nanoseconds):
    """The time of a fixed64, which is a number in two's complement."""
    return nanoseconds - (1 << 64) if nanoseconds >> 63 else nanoseconds


def _fit(line, cut):
    """The record as text; what no text parser should see is refused here."""
    if cut:
        raise Unparsed("too_long")
    if not line:
        raise Unparsed("empty")
    if b"\0" in line:
        raise Unparsed("nul_byte")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise Unparsed("invalid_utf8") from None


class _DetectorLink:
    def __init__(self, detector):
        self.detector = detector

    def restore(self, entries):
        self.detector.restore((e.key, e.value) for e in entries)

    def save(self):
        """Changes of the state since the last save, in acknowledgements of at most 1 MiB."""
        entries, size, groups = [], 0, []
        for key, value in self.detector._changes.items():
            size += len(key) + len(value or b"")
            if entries and size > MAX_CHANGES:
                groups.append(entries)
                entries, size = [], 0
            entries.append(ev.StateEntry(key=key, value=value or b"", deleted=value is None))
        self.detector._changes.clear()
        return groups + [entries] if entries else groups

    def answers(self, batch):
        alerts = []
        for event in batch.logs:
            sequence = batch.first_sequence + event.offset
            if sequence >= batch.skip_before:
                event.id.stream, event.id.sequence = batch.stream, sequence
                self.detector.detect(
                    Event(batch, event), lambda alert, event=event: alerts.append(self.complete(batch, event, alert)))
        for i in range(0, len(alerts), 4):  # each is at most MAX_EVENT
            some = alerts[i:i + 4]
            yield ev.Batch(
                stream=batch.stream, kind=ev.KIND_ALERT, count=len(some), provenance=batch.provenance, answers=batch.number,
                payload=ev.Batch(alerts=some).SerializeToString())

    def complete(self, batch, event, alert):
        """Fills in what a detector does not know. The ids depend on events alone."""
        first = struct.pack(">QQ", event.id.stream, event.id.sequence)
        alert.id = hashlib.sha256(alert.rule_id.encode() + b"\0" + alert.group.encode() + b"\0" + first).hexdigest()[:32]
        alert.trace_id = hashlib.sha256(self.detector.host_id.encode() + b"\0" + first).digest()[:16]
        alert.detector = self.detector.name
        alert.time = alert.time or event.time or batch.observed_time
        alert.observed_time = event.observed_time or batch.observed_time
        alert.provenance = batch.provenance or ev.PROVENANCE_NETWORK
        alert.peer = batch.origin.peer
        alert.causes.add().CopyFrom(event.id)
        if event.ByteSize() < 48 << 10:  # what an alert may embed
            cited = alert.logs.add()
            cited.CopyFrom(event)
            _spell_out(batch.names, cited)
        return alert


def _spell_out(names, event):
    """Puts texts in place of references: an alert leaves the batch's names behind."""
    for holder, fields_ in [(event, ("host", "process"))] + [(f, ("key",)) for f in event.fields]:
        for field in fields_:
            setattr(holder, field, _text(names, holder, field))
            holder.ClearField(field + "_ref")


class Event:
    """A log event of a batch: its texts, wherever they are written."""

    def __init__(self, batch, message):
        self.batch, self.message = batch, message
        names = batch.names
        self.host, self.process = _text(names, message, "host"), _text(names, message, "process")
        self.text, self.time = message.message, _signed(message.time)
        self.fields = fields(names, message.fields)


class _Work:
    """Counts the batches in work, so that Drain can wait for the last."""

    def __init__(self):
        self.changed = threading.Condition()
        self.batches = 0
        self.last = time.monotonic()

    def __enter__(self):
        with self.changed:
            self.batches += 1

    def __exit__(self, *_):
        with self.changed:
            self.batches -= 1
            self.last = time.monotonic()
            self.changed.notify_all()

    def idle(self, deadline):
        """Waits until no batch has been in work for a moment; False when time is up."""
        with self.changed:
            while True:
                now = time.monotonic()
                rest = self.last + 0.02 - now  # what was sent before may just be arriving
                if not self.batches and rest <= 0:
                    return True
                if now >= deadline:
                    return False
                self.changed.wait(min(deadline - now, rest if not self.batches else deadline - now))


class _Server:
    """The base service and the one of the kind."""

    def __init__(self, plugin):
        self.plugin = plugin
        self.work = _Work()
        self.configured = threading.Event()

    def describe(self, request, context):
        p = self.plugin
        return pb.Description(
            name=p.name, version=p.version, summary=p.summary, api=API, kinds=[p.kind], format=p.format, section=p.section,
            config=p.config, consumes=p.consumes, permissions=pb.Permissions(base_files=True))

    def configure(self, request, context):
        if self.configured.is_set():
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "configured already")
        self.plugin.host_id, self.plugin.replay = request.host_id, request.replay
        try:
            self.plugin.configure(json.loads(request.config_json or b"{}"))
        except (ValueError, KeyError, TypeError) as wrong:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{type(wrong).__name__}: {wrong}")
        self.configured.set()
        return pb.ConfigureResponse(consumes=self.plugin.consumes)

    def health(self, request, context):
        reason = self.plugin.health()
        state = pb.HealthResponse.STATE_DEGRADED if reason else pb.HealthResponse.STATE_OK
        return pb.HealthResponse(state=state, reason=reason)

    def metrics(self, request, context):
        return pb.MetricsResponse()

    def drain(self, request, context):
        if not self.work.idle(time.monotonic() + (request.deadline_ms or 10_000) / 1000):
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "a batch is still in work")
        return pb.DrainResponse()

    def link(self, batches, context):
        """Works on one stream of batches, until the host ends it."""
        if not self.configured.wait(10):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not configured")
        link, state = self.plugin.open(), []
        for batch in batches:
            _unpack(batch)
            state.extend(batch.control.state)
            if state and (batch.control.ready or batch.number):
                link.restore(state)
                state = []
            if not batch.number:
                continue  # it only prepares the link
            with self.work:
                yield from link.answers(batch)
                groups = link.save()
                for changes in groups[:-1]:
                    yield ev.Batch(ack=ev.Ack(accepted=batch.number, changes=changes))
                last = groups[-1] if groups else []
                yield ev.Batch(ack=ev.Ack(accepted=batch.number, durable=batch.number, changes=last))

    def handlers(self):
        def unary(method, request):
            return grpc.unary_unary_rpc_method_handler(
                method, request_deserializer=request.FromString, response_serializer=lambda m: m.SerializeToString())

        service, method = {"parser": ("Parser", "Parse"), "detector": ("Detector", "Detect")}[self.plugin.kind]
        return (
            grpc.method_handlers_generic_handler("ironpost.v1.Plugin", {
                "Describe": unary(self.describe, pb.DescribeRequest),
                "Configure": unary(self.configure, pb.ConfigureRequest),
                "Health": unary(self.health, pb.HealthRequest),
                "Metrics": unary(self.metrics, pb.MetricsRequest),
                "Drain": unary(self.drain, pb.DrainRequest),
            }),
            grpc.method_handlers_generic_handler("ironpost.v1." + service, {
                method: grpc.stream_stream_rpc_method_handler(
                    self.link, request_deserializer=ev.Batch.FromString, response_serializer=lambda m: m.SerializeToString()),
            }),
        )


LISTS = ("names", "raw", "logs", "packets", "alerts", "actions")


def _unpack(batch):
    """Puts the records of a batch, which travel encoded in payload, in their lists.

    Of the payload nothing but the lists is read: what else is in it is a parser's word,
    not the host's. Records beyond count have no sequence, and do not count.
    """
    try:
        records = ev.Batch.FromString(batch.payload)
    except Exception:
        records = _salvage(batch.payload)
    batch.ClearField("payload")
    for name in LISTS:
        items = getattr(records, name)
        getattr(batch, name).extend(items if name == "names" else items[:batch.count])
    for event in batch.logs:
        event.observed_time = event.observed_time or batch.observed_time


def _salvage(data):
    """Decodes records one by one: hostile bytes cost their record alone."""
    whole, bad, at = bytearray(), 0, 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            _, at = _varint(data, at)
        elif kind == 1:
            at += 8
        elif kind == 5:
            at += 4
        else:
            length, at = _varint(data, at)
            body, at = data[at:at + length], at + length
            message = {18: ev.LogEvent, 19: ev.PacketEvent, 20: ev.AlertEvent, 21: ev.ActionEvent}.get(number)
            if message:
                try:
                    message.FromString(body)
                except Exception:
                    bad += 1
                    continue  # without it the others keep their offsets
        whole += data[start:at]
    if bad:
        log("warn", "records that are no events are left out", records=bad)
    return ev.Batch.FromString(bytes(whole))


def _varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def log(level, message, **values):
    """Writes one line into the host's log."""
    print(json.dumps({"@level": level, "@message": message, **values}), file=sys.stderr, flush=True)


def _watch_host():
    """Ends the process with the host, which holds the other end of a pipe."""
    fd = os.environ.get("IRONPOST_PARENT_FD")
    if not fd:
        return

    def watch():
        os.set_blocking(int(fd), True)
        while os.read(int(fd), 64):
            pass
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def serve(plugin):
    """Serves the plugin until the host ends the process."""
    if os.environ.get(COOKIE[0]) != COOKIE[1]:
        print(f"{plugin.name} {plugin.version}: {plugin.summary}\nThis is a plugin of Ironpost; it is started by the host.", file=sys.stderr)
        sys.exit(2)
    os.set_blocking(2, True)  # descriptors from the host may be non-blocking
    warnings.simplefilter("error", RuntimeWarning)  # protobuf warns of some malformed records
    _watch_host()
    plugin.host_id, plugin.replay = "", False
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=[
        ("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE), ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(_Server(plugin).handlers())
    socket = os.path.join(os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or "/tmp", f"plugin-{os.getpid()}")
    server.add_insecure_port("unix:" + socket)
    server.start()
    # The handshake of go-plugin: core version, API, network, address, protocol.
    handshake = f"1|{API}|unix|{socket}|grpc\n".encode()
    os.write(1, handshake)
    os.dup2(2, 1)  # whatever prints from now on lands in the host's log
    server.wait_for_termination()
