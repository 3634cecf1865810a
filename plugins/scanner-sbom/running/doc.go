// Package running says what of an inventory is in use: which packages own the files that
// processes execute or have mapped.
//
//	mapped, err := env.Processes.Mapped(ctx)
//	result := running.Observe(running.Of(mapped, running.Host), running.Target{Owners: index})
//	use, ok := result.Used[p.Ref()]
//
// Of picks the processes of one target out of those of the machine; Observe holds their
// files against the owners of the target's files. Both are pure and keep nothing.
//
// What is found was observed. What is not found was not observed, and that is all that can
// be said of it: a script is read and closed, a program may have ended before the look, and
// what is linked into a program of C leaves no trace. [Result.Whole] is false where even
// less is known.
//
// A file that is mapped and whose name is gone, or leads to another file, belongs to what
// was there before: after an upgrade, the old version is loaded until its process is started
// anew. Such a file counts under [Result.Former], by the package that owned the name by
// [Target.Former] and does not now; where that is not known, it counts under
// [Result.Replaced], by the package that owns the name now, and never as a use of it.
//
// Everything that is told is bounded and has an order of its own, so that equal looks
// give equal results.
package running
