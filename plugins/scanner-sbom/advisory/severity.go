package advisory

import (
	"encoding/json"
	"strings"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"
)

// Level is a severity in a word. The zero Level is not known.
type Level uint8

// The levels, rising.
const (
	Unknown Level = iota
	Negligible
	Low
	Medium
	High
	Critical
)

var levels = [...]string{"unknown", "negligible", "low", "medium", "high", "critical"}

// String returns the level in lower case.
func (l Level) String() string {
	if int(l) < len(levels) {
		return levels[l]
	}
	return levels[Unknown]
}

// MarshalText writes the level as [Level.String] has it.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote; what it does not know is Unknown.
func (l *Level) UnmarshalText(text []byte) error {
	*l = word(string(text))
	return nil
}

// Rating is how severe an advisory is for one package.
type Rating struct {
	Level Level `json:"level"`
	// Score is by CVSS, 0 to 10; 0 with an empty Vector is not known.
	Score  float64 `json:"score,omitempty"`
	Vector string  `json:"vector,omitempty"`
	// By says who rated: "cvss", "database", or "" when nobody did.
	By string `json:"by,omitempty"`
}

// Rate returns the severity for one of the record's affected packages: what is said
// of the package before what is said of the record, a word of the database for
// the level and the newest CVSS for the score. A malicious package is critical.
func (r *Record) Rate(a *Affected) Rating {
	rating := cvss(a.Severity)
	if rating.Vector == "" {
		rating = cvss(r.Severity)
	}
	if r.Malicious() {
		rating.Level, rating.By = Critical, "database"
		return rating
	}
	for _, raw := range []json.RawMessage{a.EcosystemSpecific, a.DatabaseSpecific, r.DatabaseSpecific} {
		if level := stated(raw); level != Unknown {
			rating.Level, rating.By = level, "database"
			return rating
		}
	}
	for _, list := range [][]Severity{a.Severity, r.Severity} {
		for _, s := range list {
			if level := word(s.Score); level != Unknown {
				rating.Level, rating.By = level, "database"
				return rating
			}
		}
	}
	return rating
}

// stated finds the word of a database: GitHub's "severity", Debian's "urgency".
func stated(raw json.RawMessage) Level {
	if len(raw) == 0 {
		return Unknown
	}
	var s struct {
		Severity json.RawMessage `json:"severity"`
		Urgency  json.RawMessage `json:"urgency"`
	}
	if json.Unmarshal(raw, &s) != nil {
		return Unknown
	}
	for _, value := range []json.RawMessage{s.Severity, s.Urgency} {
		var text string
		if len(value) > 0 && json.Unmarshal(value, &text) == nil {
			if level := word(text); level != Unknown {
				return level
			}
		}
	}
	return Unknown
}

func word(text string) Level {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "critical":
		return Critical
	case "high", "important":
		return High
	case "medium", "moderate":
		return Medium
	case "low":
		return Low
	case "negligible", "unimportant", "none":
		return Negligible
	}
	return Unknown
}

// cvss returns the rating by the newest version of CVSS that is there and right.
func cvss(list []Severity) Rating {
	var best Rating
	rank := 0
	for _, s := range list {
		if len(s.Score) > 512 {
			continue
		}
		score, generation, ok := score(s.Score)
		if !ok || generation <= rank {
			continue
		}
		rank = generation
		best = Rating{Level: grade(score), Score: score, Vector: s.Score, By: "cvss"}
	}
	return best
}

// score computes a vector; generation rises with the version of CVSS.
func score(vector string) (score float64, generation int, ok bool) {
	switch {
	case strings.HasPrefix(vector, "CVSS:4.0/"):
		if v, err := gocvss40.ParseVector(vector); err == nil {
			return v.Score(), 4, true
		}
	case strings.HasPrefix(vector, "CVSS:3.1/"):
		if v, err := gocvss31.ParseVector(vector); err == nil {
			return v.BaseScore(), 3, true
		}
	case strings.HasPrefix(vector, "CVSS:3.0/"):
		if v, err := gocvss30.ParseVector(vector); err == nil {
			return v.BaseScore(), 2, true
		}
	case strings.HasPrefix(vector, "AV:"):
		if v, err := gocvss20.ParseVector(vector); err == nil {
			return v.BaseScore(), 1, true
		}
	}
	return 0, 0, false
}

// grade is the qualitative scale of CVSS 3 and 4, used for 2 as well.
func grade(score float64) Level {
	switch {
	case score >= 9:
		return Critical
	case score >= 7:
		return High
	case score >= 4:
		return Medium
	case score > 0:
		return Low
	}
	return Negligible
}
