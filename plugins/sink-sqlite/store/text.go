package store

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/search"
)

// The rows of an index of words are numbered in the order of time, so that the newest
// of a million matches can be read without the others: the number is the second of the
// event, and the number of its own row below.
const (
	seqBits = 29
	maxSeq  = 1<<seqBits - 1
	// maxSecond is 272 years from 1970; what is beyond is in the last second, or the first.
	maxSecond = 1<<(63-seqBits-1) - 1
)

// textKey returns the number of a row's words; it rises with time.
func textKey(time, seq int64) int64 { return (second(time)+maxSecond+1)<<seqBits | seq&maxSeq }

func second(time int64) int64 {
	s := time / 1e9
	if time%1e9 < 0 {
		s--
	}
	return min(max(s, -maxSecond), maxSecond)
}

// rowText are the words of a row.
type rowText struct {
	key  int64
	text string
}

// fillRows is how many rows are indexed at a time when an index is filled.
const fillRows = 1000

// addTexts indexes words. FTS5 writes to the disk whenever a number is smaller than the
// one before, so they go in order.
func (d *database) addTexts(ctx context.Context, texts []rowText) error {
	return inOrder(texts, func(t rowText) error {
		_, err := d.insert[tableText].ExecContext(ctx, t.key, t.text)
		return err
	})
}

// insertTexts is addTexts for a database whose statements are not prepared.
func (d *database) insertTexts(ctx context.Context, insert string, texts []rowText) error {
	return inOrder(texts, func(t rowText) error {
		_, err := d.conn.ExecContext(ctx, insert, t.key, t.text)
		return err
	})
}

// inOrder inserts words in the order of their numbers.
func inOrder(texts []rowText, insert func(rowText) error) error {
	slices.SortFunc(texts, func(a, b rowText) int { return cmp.Compare(a.key, b.key) })
	for _, t := range texts {
		if err := insert(t); err != nil {
			return err
		}
	}
	return nil
}

// separator is a word that nobody writes; no phrase goes across it.
const separator = " \ue000 "

// indexable returns what the tokenizer of the index, which knows ASCII alone, divides
// into the words of the texts.
func indexable(texts ...string) string {
	var b strings.Builder
	for _, text := range texts {
		if text == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(separator)
		}
		if isPlain(text) {
			b.WriteString(text)
			for w := range search.Addresses(text) {
				b.WriteByte(' ')
				b.WriteString(w)
			}
			continue
		}
		for w := range search.Words(text) {
			b.WriteString(w)
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// isPlain says whether the tokenizer sees the words that search.Words does.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	if len(text) <= search.MaxWord {
		return true
	}
	run := 0
	for i := range len(text) {
		c := text[i] | 0x20
		if c >= 'a' && c <= 'z' || text[i] >= '0' && text[i] <= '9' {
			if run++; run > search.MaxWord {
				return false
			}
		} else {
			run = 0
		}
	}
	return true
}

// expression is the query of an index of words. Words hold letters and digits alone, so
// that quotes make each term a phrase, whatever it was.
func expression(terms []search.Term) string {
	var b strings.Builder
	for _, t := range terms {
		b.WriteString(`"` + strings.Join(t.Words, " ") + `"`)
		if t.Prefix {
			b.WriteByte('*')
		}
		b.WriteByte(' ')
	}
	return b.String()
}

func fillAlertText(ctx context.Context, d *database) error {
	return d.fillText(ctx, `SELECT seq, time, doc FROM alerts WHERE seq > ? ORDER BY seq LIMIT ?`, alertTextInsert, func(doc string) (string, error) {
		var d stored.Alert
		if err := json.Unmarshal([]byte(doc), &d); err != nil {
			return "", err
		}
		var a event.AlertEvent
		d.Fill(&a)
		return indexable(stored.Texts(&a)...), nil
	})
}

func fillLogText(ctx context.Context, d *database) error {
	return d.fillText(ctx, `SELECT seq, time, message FROM logs WHERE seq > ? ORDER BY seq LIMIT ?`, logTextInsert, func(message string) (string, error) {
		return indexable(message), nil
	})
}

const (
	alertTextInsert = `INSERT INTO alerts_text (rowid, words) VALUES (?, ?)`
	logTextInsert   = `INSERT INTO logs_text (rowid, words) VALUES (?, ?)`
)

// fillText indexes the rows that are there.
func (d *database) fillText(ctx context.Context, query, insert string, words func(string) (string, error)) error {
	for last, more := int64(0), true; more; {
		rows, err := d.conn.QueryContext(ctx, query, last, fillRows)
		if err != nil {
			return err
		}
		var texts []rowText
		n := 0
		for ; rows.Next(); n++ {
			var time int64
			var from string
			if err := rows.Scan(&last, &time, &from); err != nil {
				_ = rows.Close()
				return err
			}
			if text, err := words(from); err == nil && text != "" {
				texts = append(texts, rowText{textKey(time, last), text})
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if err := rows.Close(); err != nil {
			return err
		}
		if err := d.insertTexts(ctx, insert, texts); err != nil {
			return err
		}
		more = n == fillRows
	}
	return nil
}

// deleteTexts deletes the words of the alerts that deleteAlerts deletes.
func (d *database) deleteTexts(ctx context.Context, before int64) error {
	rows, err := d.conn.QueryContext(ctx, `SELECT time, seq FROM alerts WHERE time < ? ORDER BY time, seq LIMIT ?`, before, deletedRows)
	if err != nil {
		return err
	}
	var keys []int64
	for rows.Next() {
		var time, seq int64
		if err := rows.Scan(&time, &seq); err != nil {
			_ = rows.Close()
			return err
		}
		keys = append(keys, textKey(time, seq))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := rows.Close(); err != nil || len(keys) == 0 {
		return err
	}
	_, err = d.conn.ExecContext(ctx, `DELETE FROM alerts_text WHERE rowid IN (SELECT value FROM json_each(?))`, jsonOf(keys))
	return err
}
