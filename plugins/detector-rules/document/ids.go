package document

import "fmt"

// Place is where a document begins; Line counts from 1.
type Place struct {
	File string
	Line int
}

// String returns "file:line".
func (p Place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// IDs are the ids that are taken. The zero value has none.
type IDs struct{ taken map[string]Place }

// Take notes an id as taken. When it was already it returns where, and false.
func (ids *IDs) Take(id string, at Place) (first Place, ok bool) {
	if first, taken := ids.taken[id]; taken {
		return first, false
	}
	if ids.taken == nil {
		ids.taken = map[string]Place{}
	}
	ids.taken[id] = at
	return at, true
}
