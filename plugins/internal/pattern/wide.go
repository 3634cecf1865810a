package pattern

// What follows looks at eight bytes at once, as numbers side by side in one word
// (Anderson, Bit Twiddling Hacks, "Determine if a word has a zero byte"). The
// first byte of a text is the lowest.

const (
	ones  = 0x0101_0101_0101_0101 // every byte 1
	highs = 0x80 * ones           // the highest bit of every byte
)

// load8 returns the first eight bytes of s, load4 the first four; the compiler
// makes each one instruction.
func load8(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load4(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

// equal returns a bit for each byte of x that is c.
func equal(x uint64, c byte) uint16 {
	x ^= uint64(c) * ones
	return gather(^(x&^highs + 0x7f*ones | x))
}

// nonDigits returns a bit for each byte of x that is no decimal digit.
func nonDigits(x uint64) uint16 {
	x ^= '0' * ones
	return gather(x&^highs + (0x80-10)*ones | x)
}

// gather returns the highest bit of each byte, that of the lowest byte lowest:
// the product moves bit 8i+7 to bit 56+i, and no two of its parts meet there.
func gather(x uint64) uint16 {
	return uint16(x & highs * 0x0002_0408_1020_4081 >> 56)
}
