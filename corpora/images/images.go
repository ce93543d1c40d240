// Package images reads collections of pictures as training data: the IDX files of MNIST and Fashion-MNIST, the binary
// batches of CIFAR-10 and CIFAR-100, and folders of PNG and JPEG files.
//
// [Read] brings a collection into memory as one [Set] a split, bytes in the order [N, H, W, C], and a [Sampler] deals them
// out in batches. The splits that a collection comes with are kept; pictures without one are split by a hash of their
// path, so that a picture stays in its split when the collection grows.
package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vqaudio/vqaudio/files"
)

// Set is some pictures of one size.
type Set struct {
	Height, Width, Channels int      // in pixels; 1 channel is grey, 3 are red, green and blue
	Pixels                  []uint8  // [N, Height, Width, Channels], from 0 (black) to 255
	Labels                  []int32  // [N], indices into Classes; -1 for a picture without a class, nil if none has one
	Classes                 []string // the names of the labels; nil if they are not known
}

// Len returns N, the number of pictures.
func (s *Set) Len() int { return len(s.Pixels) / (s.Height * s.Width * s.Channels) }

// Picture returns the pixels of picture i, [Height, Width, Channels], which are part of s.Pixels.
func (s *Set) Picture(i int) []uint8 {
	size := s.Height * s.Width * s.Channels
	return s.Pixels[i*size : (i+1)*size : (i+1)*size]
}

// Corpus is a collection of pictures, split. All sets have the same size, channels and classes.
type Corpus struct {
	Layout             Layout  // how it is kept
	Train, Valid, Test *Set    // nil where there are no such pictures
	Skipped            []error // a folder's pictures that cannot be read, one error for each, with its name
}

// Layout is a way to keep pictures in a folder.
type Layout string

const (
	// IDX is train-images-idx3-ubyte, train-labels-idx1-ubyte and the same with t10k for the test set, each of them packed by
	// gzip (".gz") or not; "-images.idx3-ubyte" is the same. The labels may be missing.
	// https://github.com/cvdfoundation/mnist describes the format.
	IDX Layout = "idx"

	// CIFAR is data_batch_1.bin and so on for training and test_batch.bin, or train.bin, valid.bin and test.bin: records of a
	// label byte and 32x32 bytes each of red, green and blue. The names of the labels, one a line, are in batches.meta.txt or
	// classes.txt. With a fine_label_names.txt, as in CIFAR-100, a record has two label bytes, of which the second counts.
	// https://www.cs.toronto.edu/~kriz/cifar.html describes both.
	CIFAR Layout = "cifar"

	// Folders is .png, .jpg and .jpeg files, in folders or not. If every folder at the top is named as a split (train, training;
	// valid, validation, val, dev; test, testing), these are the splits; otherwise of 100 pictures about 90, 5 and 5 go to train,
	// valid and test, by a hash of their path. Below that, the folder is the class. Names that begin with a dot are passed over,
	// and links to folders are not followed.
	Folders Layout = "folders"
)

// Options says how to read a collection.
type Options struct {
	Layout Layout // "" to find out

	// Side and Grey are about Folders alone: each picture is cropped to the square in its middle, scaled to Side x Side pixels
	// with a bicubic filter (Catmull and Rom's, as wide as the scale demands) and, with Grey, reduced to its luma. What is
	// transparent is shown on white. An orientation in the file's metadata is not applied.
	Side int // from 1 to MaxSide
	Grey bool
}

// MaxSide is the greatest Options.Side.
const MaxSide = 4096

// Read reads the collection in the folder dir. A file of IDX or CIFAR that is not what it should be is a
// *files.FormatError or *files.UnsupportedError; of Folders, such a picture is left out and named in Corpus.Skipped.
// Once ctx is cancelled, Read returns its error soon.
func Read(ctx context.Context, dir string, o Options) (*Corpus, error) {
	if o.Layout == "" {
		var err error
		if o.Layout, err = LayoutOf(dir); err != nil {
			return nil, err
		}
	}
	if o.Layout != Folders && (o.Side != 0 || o.Grey) {
		return nil, fmt.Errorf("%s: a side or grey can be chosen for folders of pictures only, not for layout %q", dir, o.Layout)
	}
	switch o.Layout {
	case IDX:
		return readIDX(ctx, dir)
	case CIFAR:
		return readCIFAR(ctx, dir)
	case Folders:
		return readFolders(ctx, dir, o)
	}
	return nil, fmt.Errorf("layout %q of pictures is not known, only %q, %q and %q", o.Layout, IDX, CIFAR, Folders)
}

// LayoutOf finds out how the collection in the folder dir is kept, from the names in it: files of IDX and of CIFAR are at the top;
// a folder without them is one of [Folders].
func LayoutOf(dir string) (Layout, error) {
	idx, err := findIDX(dir)
	if err != nil {
		return "", err
	}
	cifar, err := findCIFAR(dir)
	switch {
	case err != nil:
		return "", err
	case len(idx) > 0 && len(cifar) > 0:
		return "", fmt.Errorf("%s: holds files of both IDX and CIFAR; name the layout", dir)
	case len(idx) > 0:
		return IDX, nil
	case len(cifar) > 0:
		return CIFAR, nil
	}
	return Folders, nil
}

// split is what a picture is for.
type split int

const (
	train split = iota
	valid
	test
	splits
)

// splitNames are the words for each split in the names of files and folders, in lower case.
var splitNames = [splits][]string{
	train: {"train", "training"},
	valid: {"valid", "validation", "val", "dev"},
	test:  {"test", "testing"},
}

// splitOf returns the split that name is a word for.
func splitOf(name string) (split, bool) {
	for s, words := range splitNames {
		if slices.Contains(words, strings.ToLower(name)) {
			return split(s), true
		}
	}
	return 0, false
}

// corpus returns the splits that hold pictures.
func corpus(layout Layout, sets [splits]*Set) *Corpus {
	for i, s := range sets {
		if s != nil && len(s.Pixels) == 0 {
			sets[i] = nil
		}
	}
	return &Corpus{Layout: layout, Train: sets[train], Valid: sets[valid], Test: sets[test]}
}

// readStated reads n bytes, where n is what a header states. Memory grows with what arrives.
func readStated(r io.Reader, n int64) ([]byte, error) {
	var data []byte
	for int64(len(data)) < n {
		step := int(min(n-int64(len(data)), max(1<<16, int64(len(data)))))
		data = slices.Grow(data, step)
		got, err := io.ReadFull(r, data[len(data):len(data)+step])
		data = data[:len(data)+got]
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return data, err
		}
	}
	return data, nil
}

// open opens a regular file and returns its size.
func open(name string) (*os.File, int64, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// maxNames bounds a file of class names, in bytes.
const maxNames = 1 << 16

// readNames reads names, one a line. Empty lines at the end do not count.
func readNames(name string) ([]string, error) {
	f, _, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxNames+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxNames {
		return nil, &files.FormatError{File: name, Offset: maxNames, Found: "more text", Expected: fmt.Sprintf("at most %d bytes of class names", maxNames)}
	}
	names := strings.Split(strings.TrimRight(string(text), " \t\r\n"), "\n")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
		if names[i] == "" {
			return nil, &files.FormatError{File: name, Offset: -1, Line: i + 1, Found: "an empty line", Expected: "the name of a class"}
		}
	}
	return names, nil
}

// readClasses reads the first of the given files of names that is in dir; without any, it returns nil.
func readClasses(dir string, names ...string) ([]string, error) {
	for _, name := range names {
		classes, err := readNames(filepath.Join(dir, name))
		if !errors.Is(err, os.ErrNotExist) {
			return classes, err
		}
	}
	return nil, nil
}

// checkLabel checks that label, found in the file at offset, is one of the classes, if these are known.
func checkLabel(file string, offset int64, label uint8, classes []string) error {
	if classes != nil && int(label) >= len(classes) {
		return &files.FormatError{File: file, Offset: offset, Found: fmt.Sprintf("label %d", label), Expected: fmt.Sprintf("one of %d classes, counted from 0", len(classes))}
	}
	return nil
}

// heldOut says that of so many training pictures one is held out.
const heldOut = 20

// HoldOut gives a collection that has no pictures for validation some of those for training: every twentieth, from the tenth on, in
// their order. It does nothing to one that has some, or has fewer than twenty.
func (c *Corpus) HoldOut() {
	if c.Valid != nil || c.Train == nil || c.Train.Len() < heldOut {
		return
	}
	var parts [2]*Set
	all := c.Train
	for i := range parts {
		parts[i] = &Set{Height: all.Height, Width: all.Width, Channels: all.Channels, Classes: all.Classes}
	}
	for i := range all.Len() {
		part := parts[0]
		if i%heldOut == heldOut/2 {
			part = parts[1]
		}
		part.Pixels = append(part.Pixels, all.Picture(i)...)
		if all.Labels != nil {
			part.Labels = append(part.Labels, all.Labels[i])
		}
	}
	c.Train, c.Valid = parts[0], parts[1]
}
