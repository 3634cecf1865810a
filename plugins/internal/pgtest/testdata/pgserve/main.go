// Command pgserve runs a PostgreSQL of package pgtest for tests that may not import it.
// It writes "ok ADDRESS USER PASSWORD" and then answers each line of its standard input
// with one line, "ok" or "error" and more: stop, kill, start, value DATABASE QUERY. At the
// end of its input it ends the server.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ironpost/ironpost/plugins/internal/pgtest"
)

func main() {
	s, err := pgtest.Start(pgtest.Config{})
	if err != nil {
		fmt.Println("error", line(err))
		os.Exit(1)
	}
	fmt.Println("ok", s.Address(), pgtest.User, pgtest.Password)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		out, err := do(s, in.Text())
		if err != nil {
			fmt.Println("error", line(err))
			continue
		}
		fmt.Println(strings.TrimSpace("ok " + out))
	}
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func line(err error) string { return strings.ReplaceAll(err.Error(), "\n", " ") }

func do(s *pgtest.Server, command string) (string, error) {
	verb, rest, _ := strings.Cut(command, " ")
	switch verb {
	case "stop":
		return "", s.Stop()
	case "kill":
		return "", s.Kill()
	case "start":
		return "", s.Start()
	case "value":
		database, query, _ := strings.Cut(rest, " ")
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, s.URL(database))
		if err != nil {
			return "", err
		}
		defer conn.Close(ctx)
		var out any
		if err := conn.QueryRow(ctx, query).Scan(&out); err != nil {
			return "", err
		}
		return fmt.Sprint(out), nil
	}
	return "", fmt.Errorf("unknown command %q", command)
}
