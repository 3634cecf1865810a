package receiver

import (
	"sync"
	"time"
)

// pace bounds what one address sends, in messages and in bytes a second, with
// bursts of a second's worth (the generic cell rate algorithm: a time for each,
// until which what came already is enough). It is safe for concurrent use.
type pace struct {
	message, octet float64 // what one costs, in nanoseconds; 0 is free

	mu               sync.Mutex
	messages, octets time.Time
}

// burst is how far ahead of its rate an address may be.
const burst = time.Second

// newPace takes the rates of the configuration.
func newPace(config *Config) *pace {
	p := &pace{}
	if config.MaxMessages > 0 {
		p.message = float64(time.Second) / float64(config.MaxMessages)
	}
	if config.MaxBytes > 0 {
		p.octet = float64(time.Second) / float64(config.MaxBytes)
	}
	return p
}

// admit takes one message of size bytes, unless its sender is ahead of its rate:
// for origins that cannot wait.
func (p *pace) admit(size int, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ahead(now) > burst {
		return false
	}
	p.take(size, now)
	return true
}

// delay takes one message of size bytes and returns how long its sender, being
// ahead of its rate, has to wait.
func (p *pace) delay(size int, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.take(size, now)
	return max(0, p.ahead(now)-burst)
}

func (p *pace) ahead(now time.Time) time.Duration {
	return max(p.messages.Sub(now), p.octets.Sub(now))
}

func (p *pace) take(size int, now time.Time) {
	if p.messages.Before(now) {
		p.messages = now
	}
	if p.octets.Before(now) {
		p.octets = now
	}
	p.messages = p.messages.Add(time.Duration(p.message))
	p.octets = p.octets.Add(time.Duration(p.octet * float64(size)))
}
