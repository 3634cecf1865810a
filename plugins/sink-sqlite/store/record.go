package store

import (
	"encoding/json"
	"fmt"
)

func encode(doc any) string {
	b, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("store: encode a %T: %v", doc, err)) // no document holds what JSON cannot
	}
	return string(b)
}
