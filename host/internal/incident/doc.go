// Package incident reads the evidence that enforcers keep of containers, and holds it
// to its hashes. It needs no running host and no plugin.
//
//	list, err := incident.List(dir, 100)
//	one, err := incident.Verify(ctx, dir, "5d0c7f1e", recorded)
//
// Evidence is a folder of incidents, each a folder with the files, incident.json,
// which says what they are about, and SHA256SUMS, as sha256sum writes it. The plugin
// that wrote it owns it: so nothing in it is believed. Names lead nowhere outside the
// folder, only plain files are opened, and what is read of each is bounded. A manifest
// proves that the files were not damaged since; that it is the one which was written
// then is proved by its own hash, which the action that kept the evidence recorded, and
// with it the audit log.
package incident
