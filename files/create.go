package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// File is a file that is being written and does not exist under its name yet.
type File struct {
	*os.File // the temporary file, in the same folder: "."+base name+random digits+".tmp"

	name string
	done bool
}

// Create begins the file name. Whatever stands under that name stays until [File.Commit].
//
//	f, err := files.Create("out.bin")
//	if err != nil {
//		return err
//	}
//	defer f.Discard() // does nothing after Commit
//	...
//	return f.Commit()
func Create(name string) (*File, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil, &fs.PathError{Op: "create", Path: name, Err: errors.New("is a folder")}
	} else if err == nil && !info.Mode().IsRegular() { // but a device, which a file would take the place of
		return nil, &fs.PathError{Op: "create", Path: name, Err: errors.New("not a file")}
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"*.tmp")
	if err != nil {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			path.Path = name // and not that of the temporary file, which nobody knows
		}
		return nil, err
	}
	if err := f.Chmod(0o644); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return &File{File: f, name: name}, nil
}

// Commit makes the file durable and gives it its name, in one step for all who look. After an error nothing has changed
// under that name, and the temporary file is gone.
func (f *File) Commit() error {
	if f.done {
		return fs.ErrClosed
	}
	f.done = true
	err := f.Sync()
	if e := f.File.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.File.Name(), f.name)
	}
	if err != nil {
		os.Remove(f.File.Name())
		return err
	}
	return syncFolder(filepath.Dir(f.name))
}

// Discard gives the file up, if it has not been committed.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	f.File.Close()
	os.Remove(f.File.Name())
}

// Write makes data the content of the file name, whole or not at all.
func Write(name string, data []byte) error {
	f, err := Create(name)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}
