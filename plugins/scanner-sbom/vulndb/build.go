package vulndb

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
)

// blockSize is how much of whole records is compressed together, in bytes: enough for
// their likeness to pay, little enough to be read for one of them.
const blockSize = 64 << 10

// writer appends to the new file.
type writer struct {
	out    *bufio.Writer
	offset int64
}

func (w *writer) write(data []byte) error {
	n, err := w.out.Write(data)
	w.offset += int64(n)
	return err
}

func (w *writer) part(data []byte) (extent, error) {
	e := extent{w.offset, int64(len(data))}
	return e, w.write(data)
}

// kept is what the builder remembers of a record.
type kept struct {
	id       uint64 // hash
	sum      uint64
	modified int64
	place    uint64 // block << 32 | offset in it
	source   int32
	dropped  bool // another source has a newer one
}

// ref is an entry on its way into a group.
type ref struct {
	key    uint64
	offset int64
	length int32
	record int32
}

// builder writes a database. Entries wait in a file beside it until all are known, so
// that memory holds some 100 bytes a record.
type builder struct {
	w       writer
	spool   *bufio.Writer
	spooled *os.File
	at      int64
	pack    *zstd.Encoder
	block   []byte
	footer  footer
	records []kept
	refs    []ref
	ids     []row
	epss    map[uint64]uint64 // CVE to score and percentile
	kev     map[string]advisory.Exploited
	systems map[string]*EcosystemMeta
	sources []string
	enc     encoder
}

func newBuilder(out, spool *os.File, sources []string) (*builder, error) {
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("start the compressor: %w", err)
	}
	b := &builder{
		w: writer{out: bufio.NewWriterSize(out, 1<<18)}, spool: bufio.NewWriterSize(spool, 1<<18), spooled: spool, pack: pack,
		kev: map[string]advisory.Exploited{}, systems: map[string]*EcosystemMeta{}, sources: sources,
		epss: map[uint64]uint64{},
	}
	return b, b.w.write([]byte(magic))
}

// add takes a record of a source. raw is not kept.
func (b *builder) add(r *advisory.Record, raw []byte, source int, sum uint64) error {
	if len(b.records) == math.MaxInt32 {
		return fmt.Errorf("more than %d records", math.MaxInt32)
	}
	number := int32(len(b.records))
	place := uint64(len(b.footer.Blocks))<<32 | uint64(len(b.block))
	b.block = binary.AppendUvarint(b.block, uint64(source))
	b.block = binary.LittleEndian.AppendUint64(b.block, sum)
	b.block = binary.LittleEndian.AppendUint64(b.block, hash(r.ID))
	b.block = binary.AppendUvarint(b.block, uint64(len(raw)))
	b.block = append(b.block, raw...)
	if len(b.block) >= blockSize {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.records = append(b.records, kept{id: hash(r.ID), sum: sum, modified: r.Modified.Unix(), place: place, source: int32(source)})
	b.ids = append(b.ids, row{hash(r.ID), place})
	for _, alias := range r.Aliases {
		b.ids = append(b.ids, row{hash(alias), place})
	}
	for _, from := range r.Upstream {
		b.ids = append(b.ids, row{hash(from), place})
	}
	if !r.Withdrawn.IsZero() {
		return nil
	}
	return b.entries(r, number, source, sum)
}

// score takes an estimate in.
func (b *builder) score(l advisory.Likelihood) {
	if cve, ok := advisory.Number(l.CVE); ok {
		b.epss[cve] = uint64(math.Float32bits(float32(l.Score)))<<32 | uint64(math.Float32bits(float32(l.Percentile)))
	}
}

// entries spools what the record says, one entry a package.
func (b *builder) entries(r *advisory.Record, number int32, source int, sum uint64) error {
	type name struct{ base, name string }
	names := make(map[name][]*advisory.Affected, 1)
	systems := make(map[string]bool, 1)
	for i := range r.Affected {
		a := &r.Affected[i]
		if a.Package.Name == "" {
			continue
		}
		base, _ := Split(a.Package.Ecosystem)
		n := name{base, Normal(base, a.Package.Name)}
		names[n] = append(names[n], a)
		systems[a.Package.Ecosystem] = true
		systems[base] = true
	}
	for system := range systems {
		m := b.systems[system]
		if m == nil {
			m = &EcosystemMeta{Ecosystem: system}
			b.systems[system] = m
		}
		m.Records++
		if r.Modified.After(m.Newest) {
			m.Newest = r.Modified
		}
		if s := b.sources[source]; !slices.Contains(m.Sources, s) {
			m.Sources = append(m.Sources, s)
		}
	}
	for _, n := range slices.SortedFunc(maps.Keys(names), func(a, b name) int {
		return cmp.Or(cmp.Compare(a.base, b.base), cmp.Compare(a.name, b.name))
	}) {
		b.enc.buf = b.enc.buf[:0]
		b.enc.text(n.base)
		b.enc.text(n.name)
		b.enc.entry(r, names[n], source, sum)
		if len(b.enc.buf) > maxGroup/4 {
			return fmt.Errorf("%s: %d bytes about one package", r.ID, len(b.enc.buf))
		}
		if _, err := b.spool.Write(b.enc.buf); err != nil {
			return fmt.Errorf("write the spool: %w", err)
		}
		b.refs = append(b.refs, ref{hashKey(n.base, n.name), b.at, int32(len(b.enc.buf)), number})
		b.at += int64(len(b.enc.buf))
	}
	return nil
}

// flush compresses and writes the block.
func (b *builder) flush() error {
	if len(b.block) == 0 {
		return nil
	}
	e, err := b.w.part(sealed(b.pack.EncodeAll(b.block, nil)))
	if err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	b.footer.Blocks = append(b.footer.Blocks, e)
	b.block = b.block[:0]
	return nil
}

// finish writes all that comes after the records.
func (b *builder) finish(sources []SourceMeta, now time.Time) error {
	if err := b.flush(); err != nil {
		return err
	}
	if err := b.spool.Flush(); err != nil {
		return fmt.Errorf("write the spool: %w", err)
	}
	b.drop()
	if err := b.groups(); err != nil {
		return fmt.Errorf("write the groups: %w", err)
	}
	var err error
	if b.footer.IDs, err = writeTable(&b.w, b.ids); err != nil {
		return fmt.Errorf("write the ids: %w", err)
	}
	scores := make([]row, 0, len(b.epss))
	for cve, packed := range b.epss {
		scores = append(scores, row{cve, packed})
	}
	if b.footer.EPSS, err = writeTable(&b.w, scores); err != nil {
		return fmt.Errorf("write the scores: %w", err)
	}
	catalogue := slices.SortedFunc(maps.Values(b.kev), func(a, b advisory.Exploited) int { return cmp.Compare(a.CVE, b.CVE) })
	raw, err := json.Marshal(catalogue)
	if err != nil {
		return fmt.Errorf("encode the catalogue: %w", err)
	}
	if b.footer.KEV, err = b.w.part(sealed(raw)); err != nil {
		return fmt.Errorf("write the catalogue: %w", err)
	}
	b.footer.Records = len(b.records)
	b.footer.Meta = Meta{Built: now.UTC(), Sources: sources}
	for _, name := range slices.Sorted(maps.Keys(b.systems)) {
		m := b.systems[name]
		slices.Sort(m.Sources)
		b.footer.Meta.Ecosystems = append(b.footer.Meta.Ecosystems, *m)
	}
	return b.end()
}

// close ends the compressor, which has nothing left to write.
func (b *builder) close() { _ = b.pack.Close() }

// end writes the footer, and what says that the file is whole.
func (b *builder) end() error {
	raw, err := json.Marshal(b.footer)
	if err != nil {
		return fmt.Errorf("encode the footer: %w", err)
	}
	if len(raw) > maxFooter {
		return fmt.Errorf("a footer of %d bytes", len(raw))
	}
	if err := b.w.write(tail(raw, b.w.offset)); err != nil {
		return fmt.Errorf("write the footer: %w", err)
	}
	if err := b.w.out.Flush(); err != nil {
		return fmt.Errorf("write the file: %w", err)
	}
	return nil
}

// drop marks, where several sources have a record, all but the newest: an older copy
// would bring back what was corrected since. Of equals the first source's stays.
func (b *builder) drop() {
	order := make([]int32, len(b.records))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(x, y int32) int {
		a, c := &b.records[x], &b.records[y]
		return cmp.Or(cmp.Compare(a.id, c.id), cmp.Compare(c.modified, a.modified), cmp.Compare(a.source, c.source), cmp.Compare(x, y))
	})
	for i := 1; i < len(order); i++ {
		if b.records[order[i]].id == b.records[order[i-1]].id {
			b.records[order[i]].dropped = true
		}
	}
	dropped := map[uint64]bool{}
	for i := range b.records {
		if b.records[i].dropped {
			dropped[b.records[i].place] = true
		}
	}
	b.ids = slices.DeleteFunc(b.ids, func(r row) bool { return dropped[r.value] })
}

// groups writes the entries sorted by package, and their index.
func (b *builder) groups() error {
	b.refs = slices.DeleteFunc(b.refs, func(r ref) bool { return b.records[r.record].dropped })
	slices.SortFunc(b.refs, func(x, y ref) int {
		return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(b.records[x.record].id, b.records[y.record].id), cmp.Compare(x.record, y.record))
	})
	b.footer.Groups.Offset = b.w.offset
	var keys []uint64
	var offsets []uint32
	// Two packages may share a hash: each gets a group.
	for i := 0; i < len(b.refs); {
		same := i + 1
		for same < len(b.refs) && b.refs[same].key == b.refs[i].key {
			same++
		}
		groups := map[string]*group{}
		for _, r := range b.refs[i:same] {
			buf := make([]byte, r.length)
			if _, err := b.spooled.ReadAt(buf, r.offset); err != nil {
				return fmt.Errorf("read the spool: %w", err)
			}
			d := decoder{rest: string(buf)}
			base, name := d.text(), d.text()
			g := groups[base+"\n"+name]
			if g == nil {
				g = &group{base: base, name: name}
				groups[base+"\n"+name] = g
			}
			g.n++
			g.entries = append(g.entries, d.rest...)
		}
		for _, key := range slices.Sorted(maps.Keys(groups)) {
			at := (b.w.offset - b.footer.Groups.Offset) / unit
			if at > math.MaxUint32 {
				return fmt.Errorf("more than %d bytes", int64(math.MaxUint32)*unit)
			}
			keys, offsets = append(keys, b.refs[i].key), append(offsets, uint32(at))
			if err := b.w.write(groups[key].encode()); err != nil {
				return err
			}
		}
		i = same
	}
	b.footer.Groups.Length = b.w.offset - b.footer.Groups.Offset
	index := make([]byte, 0, 12*len(keys))
	for _, k := range keys {
		index = binary.LittleEndian.AppendUint64(index, k)
	}
	for _, o := range offsets {
		index = binary.LittleEndian.AppendUint32(index, o)
	}
	var err error
	b.footer.Keys = len(keys)
	b.footer.Index, err = b.w.part(sealed(index))
	return err
}

// group is all that is known of one package.
type group struct {
	base, name string
	n          int
	entries    []byte
}

// encode returns the group with checksum and length, padded to whole units.
func (g *group) encode() []byte {
	var e encoder
	e.text(g.base)
	e.text(g.name)
	e.number(uint64(g.n))
	e.buf = append(e.buf, g.entries...)
	out := binary.LittleEndian.AppendUint32(make([]byte, 4, 8+len(e.buf)+unit), uint32(len(e.buf)))
	out = append(out, e.buf...)
	binary.LittleEndian.PutUint32(out, crc32.Checksum(out[4:], castagnoli))
	for len(out)%unit != 0 {
		out = append(out, 0)
	}
	return out
}
