package sdk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
	"github.com/ironpost/ironpost/sdk/internal/serve"
)

// sinkServer serves the plugin's Sink.
type sinkServer struct {
	pb.UnimplementedSinkServer
	server *server
}

// Write implements the sink service.
func (s sinkServer) Write(stream grpc.BidiStreamingServer[pb.Batch, pb.Batch]) error {
	return s.server.events(stream, "sink")
}

// write runs a link of the plugin's Sink.
func (s *server) write(stream serve.Stream, drain *serve.Drainer) error {
	l := &sinkLink{server: s, sink: s.plugin.Sink, streams: make(streams)}
	l.syncer, _ = l.sink.(Syncer)
	return serve.Consume(stream, l, drain)
}

// sinkLink writes the frames of one link.
type sinkLink struct {
	server  *server
	sink    Sink
	syncer  Syncer // nil when Write is durable by itself
	streams streams
	scratch scratch
}

// Restore ignores the state: a sink's memory is its store.
func (l *sinkLink) Restore([]*pb.StateEntry) error { return nil }

// Save makes what was written durable.
func (l *sinkLink) Save(ctx context.Context) ([]*pb.StateEntry, bool, error) {
	if l.syncer == nil {
		return nil, false, nil
	}
	return nil, false, l.retry(ctx, "sync", func() error { return l.syncer.Sync(ctx) })
}

// Handle writes one batch.
func (l *sinkLink) Handle(ctx context.Context, f *pb.Frame, _ *serve.Answer) error {
	return l.retry(ctx, "write", func() error {
		return l.sink.Write(ctx, l.server.batch(l.streams, f, &l.scratch))
	})
}

// retry tries until it works or the link ends, with pauses of 100 ms to 5 s.
func (l *sinkLink) retry(ctx context.Context, what string, try func() error) error {
	pause := 100 * time.Millisecond
	for {
		err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.server.count(what+"_errors", 1)
		l.server.log.Error("the sink did not take it, trying again", "step", what, "error", err, "pause", pause.String())
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// Query implements the sink service.
func (s sinkServer) Query(req *pb.QueryRequest, stream grpc.ServerStreamingServer[pb.Batch]) error {
	querier, ok := s.server.plugin.Sink.(Querier)
	if !ok {
		return status.Error(codes.Unimplemented, "the sink cannot be asked")
	}
	q := Query{
		Kind: event.Kind(req.Kind), ID: req.Id, Since: int64(req.Since), Until: int64(req.Until),
		MinSeverity: event.Severity(req.MinSeverity), State: req.State, Text: req.Text, Limit: int(req.Limit), Skip: int(req.Skip),
	}
	for _, f := range req.Equal {
		q.Equal = append(q.Equal, event.Field{Key: f.Key, Value: f.Value})
	}
	var sendErr error
	err := querier.Query(stream.Context(), q, func(r Record) bool {
		b, err := batchOf(r)
		if err != nil {
			s.server.count("query_errors", 1)
			return true
		}
		sendErr = stream.Send(b)
		return sendErr == nil
	})
	if sendErr != nil {
		return sendErr
	}
	return sinkError(err)
}

// sinkError maps an error of a Querier to a status.
func sinkError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrQuery):
		return status.Error(codes.InvalidArgument, record.Valid(err.Error()))
	default:
		return status.Error(codes.Internal, record.Valid(err.Error()))
	}
}

var errNoRecord = errors.New("a stored record holds no event")

// batchOf returns one stored record as a batch.
func batchOf(r Record) (*pb.Batch, error) {
	var payload []byte
	b := &pb.Batch{Count: 1}
	origin := func(s *event.Stream, sequence uint64) {
		b.FirstSequence = sequence
		if s != nil {
			b.Stream, b.Provenance = s.ID, pb.Provenance(s.Provenance)
			b.Origin = &pb.Origin{Name: record.Valid(s.Name), Plugin: record.Valid(s.Plugin), Format: record.Valid(s.Format), Peer: record.Valid(s.Peer), TimeZone: record.Valid(s.TimeZone)}
		}
	}
	switch {
	case r.Log != nil:
		b.Kind = pb.Kind_KIND_LOG
		origin(r.Log.Stream, r.Log.Sequence)
		payload = record.AppendLog(nil, r.Log, r.Log.Sequence)
	case r.Packet != nil:
		b.Kind = pb.Kind_KIND_PACKET
		origin(r.Packet.Stream, r.Packet.Sequence)
		payload = record.AppendPacket(nil, r.Packet, r.Packet.Sequence)
	case r.Alert != nil:
		b.Kind = pb.Kind_KIND_ALERT
		origin(r.Alert.Stream, r.Alert.Sequence)
		payload = record.AppendAlert(nil, r.Alert, r.Alert.Sequence)
	case r.Action != nil:
		b.Kind = pb.Kind_KIND_ACTION
		origin(r.Action.Stream, r.Action.Sequence)
		payload = record.AppendAction(nil, r.Action, r.Action.Sequence)
	case r.Inventory != nil:
		b.Kind = pb.Kind_KIND_INVENTORY
		origin(r.Inventory.Stream, r.Inventory.Sequence)
		payload = record.AppendInventory(nil, r.Inventory, r.Inventory.Sequence)
	default:
		return nil, errNoRecord
	}
	if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(payload, b); err != nil {
		return nil, fmt.Errorf("encode a stored %v: %w", event.Kind(b.Kind), err)
	}
	if len(b.Alerts) == 1 {
		b.Alerts[0].State = record.Valid(r.State)
		for _, c := range r.History {
			b.Alerts[0].History = append(b.Alerts[0].History, &pb.AlertChange{
				Time: uint64(record.Nanos(c.Time)), State: record.Valid(c.State), Actor: record.Valid(c.Actor), Note: record.Valid(c.Note),
			})
		}
	}
	return b, nil
}

// actionOf and alertOf convert what comes in a message of its own.
func actionOf(m *pb.ActionEvent) (*event.ActionEvent, error) { return eventOf(m, record.DecodeAction) }

func alertOf(m *pb.AlertEvent) (*event.AlertEvent, error) { return eventOf(m, record.DecodeAlert) }

func eventOf[E any](m proto.Message, decode func(body []byte, base uint64, e *E) error) (*E, error) {
	body, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	e := new(E)
	return e, decode(body, 0, e)
}

// Update implements the sink service.
func (s sinkServer) Update(ctx context.Context, req *pb.UpdateRequest) (*pb.UpdateResponse, error) {
	querier, ok := s.server.plugin.Sink.(Querier)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "the sink keeps no state of alerts")
	}
	found, err := querier.UpdateAlert(ctx, req.AlertId, req.State, req.Actor, req.Note)
	if err != nil {
		return nil, sinkError(err)
	}
	return &pb.UpdateResponse{Found: found}, nil
}
