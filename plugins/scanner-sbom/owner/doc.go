// Package owner says which packages own a file of a tree, and what became of the tree's
// databases of packages since an earlier look.
//
//	index, problems := owner.Read(ctx, view, packages, owner.Options{Before: former})
//	refs, known := index.Owner("/usr/lib/x86_64-linux-gnu/libssl.so.3")
//	changes := owner.Compare(former, index.Look())
//
// It knows the files of dpkg (also without dpkg, as in distroless images), opkg, apk, rpm
// and pacman by their databases; those of Python packages by RECORD and by installed-files.txt
// and top_level.txt; Node packages and gems by the folders that they lie in; and archives
// of Java and Python and programs of Go and Rust by themselves: they own the file that
// they were found in. [Index.Covers] tells whether a database could not be read.
//
// Names in databases are those before links: where /lib leads to usr/lib, a file of
// /lib is found under /usr/lib as well, as the kernel writes it, and a file that another
// package has diverted is found where it was moved to (dpkg-divert(1)).
//
// What a database says is what whoever may write to the tree says. That a file has an
// owner proves nothing of its content.
//
// Read streams: it holds a hash of 8 bytes and a number of 4 for each file, the texts of
// packages and no file's name but a few of each package (see [Look]). An Index and a Look
// do not change once they are made, and are safe for concurrent use.
package owner
