package vulndb

import "sync"

// cacheBytes bounds the groups that are kept: those of a few programs' packages, so
// that a lockfile that changed is matched without reading the file.
const cacheBytes = 2 << 20

// cache keeps groups until it is full, and then begins anew.
type cache struct {
	mu     sync.RWMutex
	groups map[int]string
	bytes  int
}

func (c *cache) get(n int) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	text, ok := c.groups[n]
	return text, ok
}

func (c *cache) put(n int, text string) {
	if len(text) > cacheBytes/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.groups == nil {
		c.groups = map[int]string{}
	}
	if c.bytes+len(text) > cacheBytes {
		clear(c.groups)
		c.bytes = 0
	}
	if _, ok := c.groups[n]; !ok {
		c.groups[n] = text
		c.bytes += len(text)
	}
}
