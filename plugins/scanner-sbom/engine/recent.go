package engine

import "container/list"

// recent holds the values that were used last. It is not safe for concurrent use.
type recent[V any] struct {
	most  int
	order *list.List // of pairs, the one that was used last first
	byKey map[string]*list.Element
}

type pair[V any] struct {
	key   string
	value V
}

func newRecent[V any](most int) *recent[V] {
	return &recent[V]{most: most, order: list.New(), byKey: map[string]*list.Element{}}
}

func (r *recent[V]) get(key string) (value V, ok bool) {
	at, ok := r.byKey[key]
	if !ok {
		return value, false
	}
	r.order.MoveToFront(at)
	return at.Value.(pair[V]).value, true
}

func (r *recent[V]) put(key string, value V) {
	r.drop(key)
	r.byKey[key] = r.order.PushFront(pair[V]{key, value})
	if r.order.Len() > r.most {
		r.drop(r.order.Back().Value.(pair[V]).key)
	}
}

func (r *recent[V]) drop(key string) {
	if at, ok := r.byKey[key]; ok {
		r.order.Remove(at)
		delete(r.byKey, key)
	}
}
