package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// What can be wrong with a record.
const (
	// FaultEdited: its text is not what was written.
	FaultEdited = "edited"
	// FaultForged: it is whole, and does not follow from the one before it.
	FaultForged = "forged"
	// FaultDropped: records are missing before it.
	FaultDropped = "dropped"
	// FaultMoved: it stands in another place than it was written.
	FaultMoved = "moved"
	// FaultTruncated: records are missing at the end.
	FaultTruncated = "truncated"
	// FaultRewritten: it is not the record of a head that is known.
	FaultRewritten = "rewritten"
)

// Problem is the first thing that is wrong with a log.
type Problem struct {
	// File and Line, from 1, are its place; Line is 0 for a place between files.
	File string `json:"file"`
	Line int    `json:"line"`
	// Sequence is the record that is wrong, or the first that is missing.
	Sequence uint64 `json:"seq"`
	// Fault is one of the Fault constants, Detail a sentence.
	Fault  string `json:"fault"`
	Detail string `json:"detail"`
}

// Report is what Verify found.
type Report struct {
	Dir     string `json:"dir"`
	OK      bool   `json:"ok"`
	Files   int    `json:"files"`
	Records uint64 `json:"records"` // up to the problem
	// First is the first record that is kept, Last the last one up to the problem.
	First uint64 `json:"first"`
	Last  Head   `json:"last"`
	// Mended counts the torn ends that were mended, Damaged what a host found
	// damaged when it started.
	Mended  uint64 `json:"mended"`
	Damaged uint64 `json:"damaged"`
	// Torn is how many bytes of a record stand at the end that was not written
	// whole: a crash, or a host that is writing it.
	Torn int64 `json:"torn_bytes"`
	// Heads are those that were compared, Unknown those of records that are no
	// longer kept.
	Heads   int      `json:"heads"`
	Unknown int      `json:"heads_unknown"`
	Problem *Problem `json:"problem"`
}

// Verify reads the whole log in dir and finds the first record that was edited,
// forged, moved, or before which records are missing. Heads that were noted
// elsewhere, and the one in the file head, prove the end. An error says that the
// log could not be read.
func Verify(dir string, heads ...Head) (*Report, error) {
	report, err := verify(os.DirFS(dir), heads...)
	if report != nil {
		report.Dir = dir
	}
	return report, err
}

func verify(dir fs.FS, heads ...Head) (*Report, error) {
	saved, err := loadHead(dir) // before the files: they may grow meanwhile
	v := &verifier{dir: dir, report: &Report{}, heads: make(map[uint64][]Head)}
	if errors.Is(err, errBadHead) {
		v.fault(headName, 0, 0, FaultEdited, err.Error())
		return v.report, nil
	}
	if err != nil {
		return nil, err
	}
	for _, h := range append([]Head{saved.Head}, heads...) {
		if h.Sequence > 0 {
			v.heads[h.Sequence] = append(v.heads[h.Sequence], h)
			v.newest = max(v.newest, h.Sequence)
		}
	}
	if v.files, err = list(dir); err != nil {
		return nil, err
	}
	v.report.Files = len(v.files)
	for i := range v.files {
		if err := v.file(i); err != nil {
			return nil, err
		}
		if v.report.Problem != nil {
			return v.report, nil
		}
	}
	v.end()
	v.report.OK = v.report.Problem == nil
	return v.report, nil
}

// verifier is one run of Verify.
type verifier struct {
	dir     fs.FS
	report  *Report
	files   []uint64
	heads   map[uint64][]Head
	newest  uint64 // of the heads
	prev    Hash   // of the record before the first that is kept
	last    Head
	place   string // of the last record
	line    int
	anchors []Head // of retention records
}

func (v *verifier) fault(file string, line int, sequence uint64, fault, detail string) {
	if v.report.Problem == nil {
		v.report.Problem = &Problem{File: file, Line: line, Sequence: sequence, Fault: fault, Detail: detail}
	}
}

// file reads one file of the log.
func (v *verifier) file(i int) error {
	name := fileName(v.files[i])
	return lines(v.dir, name, func(at line) bool {
		want := max(v.last.Sequence+1, 1)
		if v.last.Sequence == 0 {
			want = v.files[0]
		}
		if !at.whole() {
			switch {
			case i < len(v.files)-1:
				v.fault(name, at.number, want, FaultEdited, "the file has no end, and is not the last")
			case !torn(at.text):
				v.fault(name, at.number, want, FaultEdited, "its line has another end than it was written with")
			default:
				v.report.Torn = int64(len(at.text))
			}
			return false
		}
		r, err := decode(at.text)
		if err != nil {
			v.fault(name, at.number, want, FaultEdited, err.Error())
			return false
		}
		return v.record(i, at.number, want, r)
	})
}

// record takes the next record, and reports whether to go on.
func (v *verifier) record(i, number int, want uint64, r Record) bool {
	name := fileName(v.files[i])
	first := v.last.Sequence == 0
	switch {
	case r.Sequence != want:
		v.misplaced(name, number, want, r)
		return false
	case number == 1 && r.Sequence != v.files[i]:
		v.fault(name, number, r.Sequence, FaultMoved, fmt.Sprintf("record %d begins a file that is named for record %d", r.Sequence, v.files[i]))
		return false
	case first:
		v.report.First, v.prev = r.Sequence, r.Prev
	case r.Prev != v.last.Hash:
		v.fault(name, number, r.Sequence, FaultForged, fmt.Sprintf("it does not follow from record %d (%s, line %d): one of the two was written by somebody else",
			v.last.Sequence, v.place, v.line))
		return false
	}
	for _, h := range v.heads[r.Sequence] {
		if h.Hash != r.Hash {
			v.fault(name, number, r.Sequence, FaultRewritten, fmt.Sprintf("its hash is %s, and %s is known: the log was written anew from here or before", r.Hash, h.Hash))
			return false
		}
		v.report.Heads++
	}
	switch r.Kind {
	case KindMended:
		v.report.Mended++
	case KindDamaged:
		v.report.Damaged++
	case KindRetention:
		if r.Through != nil {
			v.anchors = append(v.anchors, *r.Through)
		}
	}
	v.report.Records++
	v.last = Head{r.Sequence, r.Hash}
	v.report.Last, v.place, v.line = v.last, name, number
	return true
}

// misplaced says why a record stands where another one should: that one stands
// elsewhere, or is gone, or this one has been before.
func (v *verifier) misplaced(name string, number int, want uint64, r Record) {
	if r.Sequence < want {
		v.fault(name, number, r.Sequence, FaultMoved, fmt.Sprintf("record %d stands behind record %d", r.Sequence, want-1))
		return
	}
	for _, first := range v.files {
		place := ""
		err := lines(v.dir, fileName(first), func(at line) bool {
			if other, err := decode(at.text); err == nil && other.Sequence == want {
				place = fmt.Sprintf("%s, line %d", fileName(first), at.number)
			}
			return place == ""
		})
		if err == nil && place != "" {
			v.fault(name, number, r.Sequence, FaultMoved, fmt.Sprintf("record %d should stand here, which is in %s", want, place))
			return
		}
	}
	missing := fmt.Sprintf("record %d is", want)
	if r.Sequence > want+1 {
		missing = fmt.Sprintf("records %d to %d are", want, r.Sequence-1)
	}
	v.fault(name, number, want, FaultDropped, missing+" missing before record "+fmt.Sprint(r.Sequence))
}

// end checks the two ends of a log in which everything follows.
func (v *verifier) end() {
	if v.last.Sequence == 0 && v.newest == 0 {
		return // nothing was ever written
	}
	if v.last.Sequence < v.newest {
		v.fault(v.place, v.line, v.last.Sequence+1, FaultTruncated, fmt.Sprintf("the log ends at record %d, and record %d is known to have been written", v.last.Sequence, v.newest))
		return
	}
	before := v.report.First - 1
	if before == 0 {
		if v.prev != (Hash{}) {
			v.fault(fileName(1), 1, 1, FaultForged, "it is the first record, and names one before it")
		}
	} else {
		v.anchor(before)
	}
	for sequence, heads := range v.heads {
		switch {
		case sequence == before:
			for _, h := range heads {
				if h.Hash != v.prev {
					v.fault(fileName(v.files[0]), 1, v.report.First, FaultRewritten, fmt.Sprintf("it follows from %s, and %s is known", v.prev, h.Hash))
				}
				v.report.Heads++
			}
		case sequence < before:
			v.report.Unknown += len(heads)
		}
	}
}

// anchor looks for the record that tells of the removal of everything up to a
// number.
func (v *verifier) anchor(before uint64) {
	var told []string
	for _, a := range v.anchors {
		if a.Sequence == before && a.Hash == v.prev {
			return
		}
		told = append(told, fmt.Sprint(a.Sequence))
	}
	detail := fmt.Sprintf("the records up to %d are missing, and no record tells of their removal", before)
	if len(told) > 0 {
		detail += "; there are such records up to " + strings.Join(told, ", ")
	}
	v.fault(fileName(v.files[0]), 1, 1, FaultDropped, detail)
}
