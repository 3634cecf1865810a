package store

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// SQLite notices damage to the structure of a file and none to the values in it, so rows
// carry the CRC-32C of their values. Rows of earlier versions have none.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf returns the sum of the values of a row, in the order in which they are inserted.
func sumOf(values ...any) int64 {
	var room [512]byte
	b := room[:0]
	for _, v := range values {
		switch v := v.(type) {
		case int64:
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		case string:
			b = append(binary.LittleEndian.AppendUint64(b, uint64(len(v))), v...)
		case []byte:
			b = append(binary.LittleEndian.AppendUint64(b, uint64(len(v))), v...)
		default:
			panic(fmt.Sprintf("store: a row holds a %T", v))
		}
	}
	return int64(crc32.Checksum(b, castagnoli))
}

// summed returns the values with their sum behind them.
func summed(values ...any) []any { return append(values, sumOf(values...)) }

// differs says whether the values that were read are not those that were written.
func differs(sum sql.NullInt64, values ...any) bool {
	return sum.Valid && sum.Int64 != sumOf(values...)
}
