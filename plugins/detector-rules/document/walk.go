package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"

	"gopkg.in/yaml.v3"
)

// The bounds of what is read.
const (
	// MaxFile is the size of a file in bytes.
	MaxFile = 1 << 20
	// MaxFolders is how deep folders may be nested.
	MaxFolders = 32
)

// Why a file or folder is not read. They are told to who walks.
var (
	ErrFileTooLarge = errors.New("the file is too large")
	ErrTooDeep      = errors.New("folders are nested too deep")
	ErrTooManyFiles = errors.New("too many files")
)

// Walk calls file with every .yml and .yaml file of a tree, at most so many, in the
// order of their paths, and refuse with each file or folder that is not read and
// why: one of the errors above, or the file system's, whose path is left out. Files
// and folders whose name begins with a dot are passed over. The walk ends when file
// wants no more. Walk returns how many files were looked at.
func Walk(fsys fs.FS, most int, file func(name string, data []byte) (more bool), refuse func(name string, err error)) (files int) {
	_ = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			refuse(name, bare(err))
			return nil
		case name != "." && strings.HasPrefix(path.Base(name), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			if strings.Count(name, "/") >= MaxFolders {
				refuse(name, ErrTooDeep)
				return fs.SkipDir
			}
			return nil
		case !isYAML(name):
			return nil
		}
		if files == most {
			refuse(name, ErrTooManyFiles)
			return fs.SkipAll
		}
		files++
		data, err := read(fsys, name)
		if err != nil {
			refuse(name, bare(err))
			return nil
		}
		if !file(name, data) {
			return fs.SkipAll
		}
		return nil
	}) // what goes wrong has been refused
	return files
}

func read(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		return nil, ErrFileTooLarge
	}
	return data, err
}

// bare leaves out the path that is named already.
func bare(err error) error {
	if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

func isYAML(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return ext == ".yml" || ext == ".yaml"
}

// All returns the documents of a file, without those that are empty. An error of
// the reader of YAML is the last; Locate says where it is.
func All(data []byte) iter.Seq2[*yaml.Node, error] {
	return func(yield func(*yaml.Node, error) bool) {
		decoder := yaml.NewDecoder(bytes.NewReader(data))
		for {
			var n yaml.Node
			err := decode(decoder, &n)
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(nil, err)
				return
			case len(n.Content) == 0:
				continue
			case !yield(n.Content[0], nil):
				return
			}
		}
	}
}

// decode is Decode, with a panic of the YAML package as an error: the bytes
// are anybody's.
func decode(d *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the YAML reader gave up: %v", p)
		}
	}()
	return d.Decode(n)
}
