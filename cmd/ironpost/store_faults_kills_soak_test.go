//go:build soak && linux

package main

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// storeFaults kills, and starts again.
type storeFaults struct {
	t      *testing.T
	h      *hosttest.Host
	pg     *postgres
	redis  *redisServer
	random *rand.Rand
	tick   *time.Ticker
	events int

	next     time.Time // of the next kill
	since    int       // lines stored at the last one
	turn     int
	back     map[string]time.Time // when what is down comes back
	kills    map[string]int
	restarts map[string]int
	life     map[string]int // restarts in this life of the host
	most     int64
	unrest   string
}

// faulty are killed, in this order at first.
var faulty = []string{"host", "sink-postgres", "PostgreSQL", "Redis"}

func startStoreFaults(t *testing.T, random *rand.Rand, events int) *storeFaults {
	t.Helper()
	f := &storeFaults{
		t: t, pg: startPostgres(t), redis: startRedis(t, "--appendonly", "yes"), random: random, tick: time.NewTicker(50 * time.Millisecond), events: events,
		back: map[string]time.Time{}, kills: map[string]int{}, restarts: map[string]int{}, life: map[string]int{},
	}
	t.Cleanup(f.tick.Stop)
	fleet := strings.NewReplacer("ssh_brute_force", "ssh_fleet", "count: 5", "count: 4", "timeframe_secs: 60", "timeframe_secs: 45\n    scope: fleet").Replace(bruteForce)
	dir := writeFiles(t, map[string]string{
		"rules/alone.yaml": strings.ReplaceAll(bruteForce, "ssh_brute_force", "ssh_alone"), "rules/fleet.yaml": fleet,
		"password": f.pg.password + "\n",
	})
	f.h = hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules", "sink-sqlite", "sink-postgres", "state-redis"}, NoStart: true,
	})
	appendConfig(t, f.h, fmt.Sprintf(`[rules]
paths = [%q]
[sink_sqlite]
keep_events = true
[sink_postgres]
url = "postgres://%s@%s/postgres"
password = "file:%s"
keep_events = true
timeout = "2s"
retry_max = "200ms"
[state_redis]
address = %q
`, filepath.Join(dir, "rules"), f.pg.user, f.pg.address, filepath.Join(dir, "password"), f.redis.address)+follow(filepath.Join(f.h.Dir, "log"), ""))
	f.h.Start()
	f.next = time.Now().Add(time.Second)
	return f
}

// fault brings back what was down long enough, and kills the next one when its time has
// come and lines were stored since the last kill.
func (f *storeFaults) fault() {
	f.t.Helper()
	<-f.tick.C
	f.peak()
	for name, at := range f.back {
		if time.Now().After(at) {
			f.start(name)
		}
	}
	now := f.stored()
	if time.Now().Before(f.next) || now-f.since < 1000 {
		return
	}
	name := faulty[f.turn%len(faulty)]
	if f.turn >= 3*len(faulty) {
		name = faulty[f.random.IntN(len(faulty))]
	}
	f.turn++
	f.since = now
	f.next = time.Now().Add(time.Duration(100+f.random.IntN(800)) * time.Millisecond)
	away := time.Now().Add(time.Duration(f.random.IntN(3000)) * time.Millisecond)
	if _, down := f.back[name]; down {
		return
	}
	switch name {
	case "host":
		f.seen()
		f.h.Kill()
		f.h.Start()
		clear(f.life)
	case "PostgreSQL":
		f.pg.do("kill")
		f.back[name] = away
	case "Redis":
		f.redis.kill()
		f.back[name] = away
	default:
		p, ok := pluginOf(f.h, name)
		if !ok || p.PID == 0 || syscall.Kill(p.PID, syscall.SIGKILL) != nil {
			return
		}
	}
	f.kills[name]++
}

func (f *storeFaults) start(name string) {
	f.t.Helper()
	delete(f.back, name)
	if name == "Redis" {
		f.redis.start()
		return
	}
	f.pg.do("start")
}

// restore starts all that is down.
func (f *storeFaults) restore() {
	f.t.Helper()
	for name := range maps.Clone(f.back) {
		f.start(name)
	}
}

// seen adds up how often the host restarted its plugins.
func (f *storeFaults) seen() {
	f.t.Helper()
	var list []hosttest.Plugin
	if f.h.Try(&list, "plugin", "list") != nil {
		return
	}
	for _, p := range list {
		if n := p.Restarts - f.life[p.Name]; n > 0 {
			f.restarts[p.Name] += n
		}
		f.life[p.Name] = p.Restarts
	}
}

// settled reports whether all is well, the spool is empty, and all lines and alerts have
// arrived, or more.
func (f *storeFaults) settled(log *attacked) bool {
	f.t.Helper()
	var list []hosttest.Plugin
	if err := f.h.Try(&list, "plugin", "list"); err != nil {
		f.unrest = err.Error()
		return false
	}
	for _, p := range list {
		if p.State != "running" || p.Health != "ok" {
			f.unrest = fmt.Sprintf("%s is %s, %s: %s", p.Name, p.State, p.Health, p.LastError)
			return false
		}
	}
	want := len(log.alerts())
	got := f.pg.do("value postgres SELECT (SELECT count(*) FROM ironpost.logs) || ' ' || (SELECT count(*) FROM ironpost.alerts)")
	var logs, alerts int
	_, _ = fmt.Sscan(got, &logs, &alerts)
	own := 0
	for _, n := range f.rows("alerts.db", "SELECT count(*) FROM alerts") {
		own += n
	}
	f.unrest = fmt.Sprintf("%d logs and %d alerts are in PostgreSQL, %d alerts in SQLite, want %d and %d", logs, alerts, own, f.events, want)
	return f.spool() == 0 && logs >= f.events && alerts >= want && own >= want
}

// spool returns the bytes that the sink for PostgreSQL has put aside.
func (f *storeFaults) spool() (bytes int64) {
	_ = filepath.WalkDir(filepath.Join(f.h.Dir, "data", "sink-postgres"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				bytes += info.Size()
			}
		}
		return nil // files come and go
	})
	return bytes
}

func (f *storeFaults) peak() { f.most = max(f.most, f.spool()) }
