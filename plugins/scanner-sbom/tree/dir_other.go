//go:build !linux

package tree

import (
	"io/fs"
	"os"
)

// dir is an open folder.
type dir struct{ root *os.Root }

func openTop(root *os.Root) (dir, error) { return dir{root}.folder(".") }

func (d dir) close() { _ = d.root.Close() } // it was read only

func (d dir) folder(name string) (dir, error) {
	root, err := d.root.OpenRoot(name)
	return dir{root}, err
}

func (d dir) file(name string) (*os.File, error) {
	return d.root.OpenFile(name, os.O_RDONLY|nonblock, 0)
}

func (d dir) list() (*os.File, error) { return d.root.Open(".") }

func (d dir) at(name string, s *stat) (err error) {
	s.system, err = d.root.Lstat(name)
	return err
}

func (d dir) self(s *stat) error { return d.at(".", s) }

// stat is what the system says about a name.
type stat struct{ system fs.FileInfo }

func (s *stat) folder() bool            { return s.system.IsDir() }
func (s *stat) info(string) fs.FileInfo { return s.system }
func (s *stat) state() (State, bool)    { return State{}, false }

// StateOf returns nothing: what is comparable is known on Linux only.
func StateOf(fs.FileInfo) (State, bool) { return State{}, false }
