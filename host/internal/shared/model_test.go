package shared

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// disk is a store whose commits the test makes.
type disk struct {
	values map[string][]byte
	keeper state.Keeper
}

func (d *disk) Keep(_ string, k state.Keeper, visit func(string, []byte)) error {
	for _, key := range slices.Sorted(maps.Keys(d.values)) {
		visit(key, d.values[key])
	}
	d.keeper = k
	return nil
}

func (d *disk) Changed() {}

func (d *disk) commit() {
	for key, value := range d.keeper.Changes() {
		if value == nil {
			delete(d.values, key)
		} else {
			d.values[key] = value
		}
	}
}

// machine is a host of the model: it dies and comes back with what it had committed, and its
// detector is given again what it had not acknowledged.
type machine struct {
	world *world
	wire  *wire
	box   *box

	lock  chan struct{} // a mutex with which synctest's time goes on
	disk  *disk
	front *Front
	stop  func()
	// fresh are the events that it was given and has not acknowledged, in their order.
	fresh []*given
}

// given is an event that a detector has. It acknowledges what it has done with.
type given struct {
	op   *pb.SharedOperation
	done bool
}

// world is one run of the model.
type world struct {
	t      *testing.T
	random *rand.Rand
	mu     sync.Mutex // guards random
	done   chan struct{}
}

func (w *world) n(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

// upTo returns a time below d.
func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.n(int(d))) }

// boot starts the host with what is on its disk.
func (m *machine) boot() {
	m.front = New(Config{Raise: m.box.raise, Expected: func() bool { return true }})
	if err := m.front.Keep(m.disk); err != nil {
		m.world.t.Error(err)
	}
	m.front.Use("state", m.wire)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	front := m.front
	go func() {
		defer close(ended)
		_ = front.Run(ctx)
	}()
	m.stop = func() { cancel(); <-ended }
}

// crash ends the host at once and starts it again.
func (m *machine) crash() {
	m.lock <- struct{}{}
	defer func() { <-m.lock }()
	m.stop()
	m.boot()
	for _, g := range m.fresh {
		m.apply(m.front, g.op)
	}
}

func (m *machine) apply(f *Front, op *pb.SharedOperation) {
	if _, err := f.Apply(context.Background(), "rules", &pb.SharedRequest{Operations: []*pb.SharedOperation{op}}); err != nil {
		m.world.t.Error(err)
	}
}

// give is an event that the detector sees.
func (m *machine) give(op *pb.SharedOperation) {
	m.lock <- struct{}{}
	front, g := m.front, &given{op: op}
	m.fresh = append(m.fresh, g)
	<-m.lock
	m.apply(front, op)
	m.lock <- struct{}{}
	g.done = true
	<-m.lock
}

// commit makes what the detector has acknowledged durable.
func (m *machine) commit() {
	m.lock <- struct{}{}
	defer func() { <-m.lock }()
	m.disk.commit()
	m.fresh = slices.DeleteFunc(m.fresh, func(g *given) bool { return g.done })
}

// trouble cuts, slows and kills until the world is done.
func (m *machine) trouble() {
	w := m.world
	for {
		pause := w.upTo(30 * time.Second)
		switch w.n(4) {
		case 0:
			m.wire.random(func() fault { return none })
		case 1:
			f := fault(1 + w.n(5))
			if f == disordered {
				f = cut
			}
			m.wire.random(func() fault { return f })
		case 2:
			m.wire.random(func() fault {
				f := fault(w.n(9))
				if f == disordered || f > lateArrival {
					return none
				}
				return f
			})
		case 3:
			m.crash()
			pause = w.upTo(5 * time.Second)
		}
		select {
		case <-time.After(pause):
		case <-w.done:
			m.wire.random(func() fault { return none })
			return
		}
	}
}

func (w *wire) random(f func() fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = f
}

// delayed is an engine that takes its time.
type delayed struct {
	world  *world
	engine Engine
}

func (d delayed) ApplyShared(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error) {
	time.Sleep(d.world.upTo(8 * time.Millisecond))
	r, err := d.engine.ApplyShared(ctx, req)
	time.Sleep(d.world.upTo(8 * time.Millisecond))
	return r, err
}

// TestModel has hosts count the attacks of a world where everything fails, and then heals:
// each attack of as many events as its threshold raised one alert, each of one less none.
// SHARED_SEEDS=n tries n worlds, SHARED_SEED=n that one.
func TestModel(t *testing.T) {
	seeds := 30
	if testing.Short() {
		seeds = 5
	}
	first := 0
	if n, err := strconv.Atoi(os.Getenv("SHARED_SEEDS")); err == nil {
		seeds = n
	}
	if n, err := strconv.Atoi(os.Getenv("SHARED_SEED")); err == nil {
		first, seeds = n, 1
	}
	for seed := first; seed < first+seeds; seed++ {
		synctest.Test(t, func(t *testing.T) { model(t, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func model(t *testing.T, seed uint64) {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 1)), done: make(chan struct{})}
	engine := NewLocal(Limits{})
	machines := make([]*machine, 2+w.n(3))
	var running, troubles sync.WaitGroup
	for i := range machines {
		m := &machine{world: w, wire: &wire{engine: delayed{w, engine}}, box: new(box), lock: make(chan struct{}, 1), disk: &disk{values: make(map[string][]byte)}}
		m.boot()
		machines[i] = m
		troubles.Go(m.trouble)
		troubles.Go(func() {
			for {
				select {
				case <-time.After(100 * time.Millisecond):
					m.commit()
				case <-w.done:
					return
				}
			}
		})
	}
	want := make(map[string]int)
	for i := range 40 {
		key := fmt.Sprintf("attack%d", i)
		span := time.Duration(10+w.n(50)) * time.Second
		threshold := 1 + w.n(7)
		events := threshold - w.n(4)/3
		values := w.n(3) == 0
		if want[key] = 0; events == threshold {
			want[key] = 1
		}
		begin, only := w.upTo(2*time.Minute), w.n(3) == 0
		target := w.n(len(machines))
		for j := range events {
			at := begin + w.upTo(span)
			op := add(key, fmt.Sprintf("%s/%d", key, j), time.Duration(time.Now().UnixNano())+at, span, threshold)
			if values {
				op.GetWindow().Value = []byte(number(j))
			}
			if !only {
				target = w.n(len(machines))
			}
			m, repeats := machines[target], w.n(3)
			running.Go(func() {
				time.Sleep(at)
				m.give(op)
				for range repeats {
					time.Sleep(w.upTo(10 * time.Second))
					m.give(op) // once more
				}
			})
		}
	}
	running.Wait()
	close(w.done)
	troubles.Wait()
	time.Sleep(time.Minute)
	got := make(map[string]int)
	for i, m := range machines {
		for _, a := range m.box.list() {
			key, _, _ := strings.Cut(strings.TrimPrefix(a, "alert of "), "/")
			got[key]++
		}
		if s := m.front.Status(); s.Waiting != 0 || !s.Reachable || s.Counts.Dropped+s.Counts.Expired+s.Counts.Unmergeable != 0 {
			t.Errorf("host %d, once all was well: %+v", i, s)
		}
		m.stop()
	}
	for _, key := range slices.SortedFunc(maps.Keys(want), cmp.Compare) {
		if got[key] != want[key] {
			t.Errorf("%s: got %d alerts, want %d", key, got[key], want[key])
		}
	}
}
