package isolate_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
	"github.com/ironpost/ironpost/sdk/event"
)

// The environment variables for another order of TestOnlyTheNamed, and a longer one.
const (
	seedVariable   = "IRONPOST_TEST_SEED"
	worldsVariable = "IRONPOST_TEST_WORLDS"
)

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// TestOnlyTheNamed makes worlds of random containers on random networks, names some of
// them, and carries out random answers on those. After each step every container that
// is not concerned is as it was, to its process; in the end all are.
func TestOnlyTheNamed(t *testing.T) {
	t.Parallel()
	seed, worlds := number(t, seedVariable, 1), number(t, worldsVariable, 1)
	t.Logf("seed %d, %d worlds; others: %s=NUMBER %s=NUMBER", seed, worlds, seedVariable, worldsVariable)
	b := newBench(t)
	b.d.Link("eth7")
	for name, settings := range map[string]string{
		"front": `"Driver":"bridge","IPAM":{"Config":[{"Subnet":"172.30.1.0/24"}]}`,
		"back":  `"Driver":"bridge","Internal":true,"IPAM":{"Config":[{"Subnet":"172.30.2.0/24"}]}`,
		"six":   `"Driver":"bridge","EnableIPv6":true,"IPAM":{"Config":[{"Subnet":"172.30.3.0/24"},{"Subnet":"fd00:78::/64"}]}`,
		"lan":   `"Driver":"macvlan","Options":{"parent":"eth7"},"IPAM":{"Config":[{"Subnet":"172.30.4.0/24"}]}`,
	} {
		b.d.MakeNetwork(name, settings)
	}
	for i := range worlds {
		t.Run(fmt.Sprint(seed+i), func(t *testing.T) {
			w := &world{bench: b.sub(t), random: rand.New(rand.NewPCG(seed+i, 0)), held: map[string]held{}}
			w.populate(5 + w.random.IntN(4))
			w.live(10)
		})
	}
}

// world is some containers, and the answers that are in effect on them.
type world struct {
	bench
	random *rand.Rand
	ids    []string // running
	named  []string // of them, those that may be answered on
	held   map[string]held
}

// held is an answer that is in effect, and what its release needs.
type held struct {
	r isolate.Request
	p []byte
}

func (w *world) one(of ...string) string { return of[w.random.IntN(len(of))] }

func (w *world) chance(percent int) bool { return w.random.IntN(100) < percent }

// attachment is how a container is attached to the network, in JSON.
func (w *world) attachment(i int, network string) string {
	e := map[string]any{}
	if slices.Contains([]string{"default", "host", "none"}, network) {
		return "{}" // these know nothing of it
	}
	if w.chance(60) {
		e["Aliases"] = []string{w.one("shop", "db", "cache"), fmt.Sprint("only-", i)}
	}
	if w.chance(50) {
		subnet := map[string]string{"front": "172.30.1.", "back": "172.30.2.", "six": "172.30.3.", "lan": "172.30.4."}[network]
		ipam := map[string]any{"IPv4Address": fmt.Sprint(subnet, 100+i)}
		if network == "six" {
			ipam["IPv6Address"] = fmt.Sprintf("fd00:78::%x", 0x100+i)
		}
		e["IPAMConfig"] = ipam
	}
	if w.chance(20) {
		e["DriverOpts"] = map[string]string{"org.example": "x"}
	}
	text, err := json.Marshal(e)
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// populate runs n containers, and names about half of them.
func (w *world) populate(n int) {
	w.Helper()
	for i := range n {
		name := fmt.Sprintf("c%d", i)
		restart := w.one("no", "always", "unless-stopped", "on-failure")
		if i > 1 && w.chance(15) {
			owner := w.ids[w.random.IntN(len(w.ids))]
			w.ids = append(w.ids, w.d.Run(name, fmt.Sprintf(`"HostConfig":{"NetworkMode":"container:%s","RestartPolicy":{"Name":%q}}`, owner, restart)))
			continue
		}
		networks := []string{"front", "back", "six", "lan"}
		w.random.Shuffle(len(networks), func(i, j int) { networks[i], networks[j] = networks[j], networks[i] })
		networks = networks[:1+w.random.IntN(3)]
		if w.chance(25) {
			networks[0] = "default"
		}
		if w.chance(10) {
			networks = []string{w.one("host", "none")}
		}
		more := ""
		if w.chance(20) && networks[0] != "host" && networks[0] != "none" && w.engine.SetsMAC() {
			more = fmt.Sprintf(`"MacAddress":"02:99:00:00:00:%02x",`, i)
		}
		id := w.d.Run(name, fmt.Sprintf(`%s"Labels":{"n":"%d"},"HostConfig":{"NetworkMode":%q,"RestartPolicy":{"Name":%q}},"NetworkingConfig":{"EndpointsConfig":{%q:%s}}`,
			more, i, networks[0], restart, networks[0], w.attachment(i, networks[0])))
		for _, network := range networks[1:] {
			w.d.Call(nil, http.MethodPost, "/networks/"+network+"/connect", fmt.Sprintf(`{"Container":%q,"EndpointConfig":%s}`, id, w.attachment(i, network)))
		}
		if w.chance(15) {
			w.d.Call(nil, http.MethodPost, "/containers/"+id+"/pause", "")
		}
		w.ids = append(w.ids, id)
	}
	for _, id := range w.ids {
		if w.chance(50) {
			w.named = append(w.named, id)
		}
	}
	if len(w.named) == 0 {
		w.named = w.ids[:1]
	}
}

// live carries out so many steps, and then releases all.
func (w *world) live(steps int) {
	w.Helper()
	// To its process and its addresses.
	all := func() map[string]any {
		out := map[string]any{}
		for _, id := range w.ids {
			out[id] = map[string]any{"shape": w.shape(id), "is": w.container(id)}
		}
		return out
	}
	original := map[string]map[string]any{}
	for _, id := range w.ids {
		original[id] = w.shape(id)
	}
	done := 0
	for range steps {
		before := all()
		id := w.named[w.random.IntN(len(w.named))]
		what, concerned := w.step(id)
		after := all()
		for _, id := range concerned {
			delete(before, id)
			delete(after, id)
		}
		if d := cmp.Diff(before, after); d != "" {
			w.Fatalf("%s changed others (-before +after):\n%s", what, d)
		}
		if len(concerned) > 0 {
			done++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.held)) {
		h := w.held[id]
		w.want("release at the end", event.OutcomeReleased, "", w.release(h.r, h.p))
	}
	for _, id := range w.ids {
		if d := cmp.Diff(original[id], w.shape(id)); d != "" {
			w.Errorf("%s at the end (-before +after):\n%s", w.container(id).Name, d)
		}
	}
	w.Logf("%d containers, %d named, %d steps with an effect", len(w.ids), len(w.named), done)
}

// step carries out one answer on a container, or releases it, and returns what it was
// and which containers it concerned: none where it was refused.
func (w *world) step(id string) (what string, concerned []string) {
	w.Helper()
	if h, ok := w.held[id]; ok {
		what = "release " + h.r.Action + " on " + w.container(id).Name
		w.want(what, event.OutcomeReleased, "", w.release(h.r, h.p))
		delete(w.held, id)
		return what, append(h.r.Shared, id)
	}
	all, err := w.engine.Containers(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	r := isolate.Request{Action: w.one("net-isolate", "net-isolate", "net-isolate", "pause", "stop", "kill"), Container: id}
	if r.Action == "net-isolate" {
		switch w.random.IntN(3) {
		case 0:
			r.Networks = []string{w.one("front", "back", "six", "lan", "bridge"), "front"}
		case 1:
			r.Quarantine = true
		}
		for _, o := range isolate.ReachOf(all, id).Others {
			// A policy allows others or not.
			if w.chance(50) && w.held[o.ID].p == nil {
				r.Shared = append(r.Shared, o.ID)
			}
		}
	} else if slices.ContainsFunc(all, func(c engine.Container) bool { return c.NetworkOwner() == id && r.Action != "pause" }) {
		return "", nil // who is run with its network would lose it for good
	}
	what = fmt.Sprintf("execute %s on %s", r.Action, w.container(id).Name)
	p, err := w.x.Prepare(w.Context(), r)
	if err != nil {
		if !strings.Contains(err.Error(), isolate.ErrRefused.Error()) {
			w.Fatalf("%s: %v", what, err)
		}
		return what + ", refused,", nil
	}
	w.want(what, event.OutcomeApplied, "", w.execute(r, p))
	w.held[id] = held{r, p}
	return what, append(r.Shared, id)
}
