package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/pgtest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

var server *pgtest.Server

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgtest.Config{}, func(s *pgtest.Server) { server = s }))
}

// address is the url of a database, without the password.
func address(s *pgtest.Server, database string) string {
	return strings.Replace("postgres://USER@HOST/", "USER@HOST", pgtest.User+"@"+s.Address(), 1) + database
}

// section is that of a plugin with a database of its own.
func section(t testing.TB) map[string]any {
	t.Helper()
	s := pgtest.Need(t, server)
	return map[string]any{
		"url": address(s, s.Database(t, "")), "password": pgtest.Password, "dir": t.TempDir(),
		"retention": "0s", "alert_retention": "0s", "timeout": "20s",
	}
}

func target(t *testing.T) sdktest.Target {
	return sdktest.Value(func() sdk.Plugin {
		p := plugin()
		t.Cleanup(func() { // as the end of the process does
			if err := p.Sink.(*sink).close(); err != nil {
				t.Error(err)
			}
		})
		return p
	})
}

func TestConformance(t *testing.T) {
	values := section(t)
	sdktest.TestSink(t, target(t), sdktest.SinkConfig{
		Host: sdktest.HostConfig{Section: values},
		Contents: func(t testing.TB) (lines []string) {
			cfg := defaults()
			cfg.URL, cfg.Password, cfg.Dir, cfg.Answers = values["url"].(string), pgtest.Password, t.TempDir(), "all"
			cfg.Timeout = 20 * time.Second
			s := &sink{cfg: &cfg}
			if err := s.setup(t.Context(), sdk.Env{HostID: "reader"}); err != nil {
				t.Fatal(err)
			}
			for _, kind := range []event.Kind{event.KindLog, event.KindPacket, event.KindAlert, event.KindAction} {
				n := len(lines)
				var err error
				queryErr := s.Query(context.Background(), sdk.Query{Kind: kind, Limit: 1000}, func(r sdk.Record) bool {
					line, jsonErr := json.Marshal(r)
					lines, err = append(lines, string(line)), errors.Join(err, jsonErr)
					return true
				})
				if err := errors.Join(err, queryErr); err != nil {
					t.Fatal(err)
				}
				if len(lines) == n {
					t.Errorf("the store holds nothing of the kind %v", kind)
				}
			}
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
			return lines
		},
	})
}

func TestStore(t *testing.T) {
	sdktest.TestStore(t, target(t), sdktest.StoreConfig{Host: sdktest.HostConfig{Section: section(t)}})
}
