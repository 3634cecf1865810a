// Package symbol tells which functions of Go packages a program has, so that a finding can
// say whether what is vulnerable was linked at all.
//
//	var q symbol.Query
//	n := q.Add("crypto/x509", "Certificate.Verify")
//	seen, err := symbol.Look(ctx, file, size, &q, symbol.Limits{})
//	seen[n].Names // "crypto/x509.(*Certificate).Verify"
//
// # Where names come from
//
// Each Go program carries a table of its functions (pclntab), which stack traces need; stripping
// (-s, -w, strip) leaves it. Its list of names (funcnametab, since Go 1.16) holds those of
// all functions that were linked, and of those that were inlined into one that was. A function
// that the linker found unreachable is not in it. See cmd/link/internal/ld/pcln.go of Go.
//
// In an ELF or Mach-O program the table has a section of its own; where there is
// none, as in PE or where section headers were removed, its header is searched for.
//
// # What it means
//
// [Present] is certain: the program has the code, though nobody may call it. [NotObserved] is not
// the same as not affected: a program can load others, or have the code in other clothes. What cannot be read
// is [Unknown]. Programs come from strangers: what is read of one is bounded in bytes, and a table that makes
// no sense is an error.
package symbol
