// Package dpkg reads the database of dpkg, and of opkg: which packages of a Debian or
// OpenWrt root file system are there, what they were built from, and what each needs.
//
// The file is read a line at a time. A package that is unpacked but not yet
// configured counts: its files are there. A damaged line costs what it says, not the
// rest of the file. See deb822(5), deb-control(5) and dpkg(1) for the form.
package dpkg
