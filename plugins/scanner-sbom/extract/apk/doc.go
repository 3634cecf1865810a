// Package apk reads the database of apk: which packages of an Alpine or Wolfi root
// file system are there, what they were built from, their licences, and what each
// needs.
//
// The file is read a line at a time, and the lines about single files are passed
// over. A damaged line costs what it says, not the rest of the file. See
// apk-package(5) and https://wiki.alpinelinux.org/wiki/Apk_spec for the form.
package apk
