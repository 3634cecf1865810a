package host

import (
	"os"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/fleet"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// openFleet prepares the exchange of decisions with other hosts.
func (d *daemon) openFleet() error {
	table, err := state.NewTable[string](d.store, "fleet")
	if err != nil {
		return err
	}
	d.fleet = fleet.New(fleet.Config{
		Logger: d.log.Named("fleet"), Book: d.responder.Fleet(), Memory: fleetMemory{table, d.shared.Lost}, Settings: d.fleetSettings,
	})
	return nil
}

// fleetSettings are those of the configuration in force.
func (d *daemon) fleetSettings() fleet.Settings {
	s := d.settings().Fleet
	return fleet.Settings{Share: decisionKinds(s.Share), Take: decisionKinds(s.Take)}
}

func decisionKinds(names []string) []pb.Decision_Kind {
	var out []pb.Decision_Kind
	for _, name := range names {
		switch name {
		case "block":
			out = append(out, pb.Decision_KIND_BLOCK)
		case "limit":
			out = append(out, pb.Decision_KIND_LIMIT)
		case "allow":
			out = append(out, pb.Decision_KIND_ALLOW)
		}
	}
	return out
}

// fleetStatus tells how decisions are exchanged; nil where no plugin reaches an engine.
func (d *daemon) fleetStatus() *pb.FleetStatus {
	s := d.fleet.Status()
	if s.Engine == "" {
		return nil
	}
	return &pb.FleetStatus{
		Engine: s.Engine, Current: s.Current, Since: timestamppb.New(s.Since), Error: s.Problem,
		Taken: uint64(d.responder.Fleet().Taken()), Shared: s.Shared, //nolint:gosec // not negative
	}
}

// fleetMemory keeps the generation of the state engine.
type fleetMemory struct {
	table *state.Table[string]
	// changed is told of another generation.
	changed func()
}

const generationKey = "generation"

// Generation is "" when none is known: then nothing that is missing was taken back.
func (m fleetMemory) Generation() string {
	g, _, _ := m.table.Get(generationKey)
	return g
}

// SetGeneration keeps another generation. What plugins count is told to the engine again
// as well: it has forgotten that too.
func (m fleetMemory) SetGeneration(g string) error {
	m.changed()
	return m.table.Put(generationKey, g)
}

// hostName is what other hosts and their operators call this one.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "host"
	}
	return name
}
