package images

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/vqaudio/vqaudio/files"
)

// An IDX file is a header of big-endian 32-bit words and the values in row-major order:
//
//	0  0, 0, type of the values (8: unsigned byte), number of dimensions
//	4  the size of each dimension
//
// Offsets in errors about a packed file count unpacked bytes.

// idxName matches the files of the layout: the set, and what is in it.
var idxName = regexp.MustCompile(`^(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(\.gz)?$`)

// findIDX returns the files of images and of labels in dir, by split and "images" or "labels". If a file is there packed
// and unpacked, it takes the unpacked one.
func findIDX(dir string) (map[idxKey]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := map[idxKey]string{}
	for _, e := range entries { // sorted: x before x.gz
		m := idxName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		key := idxKey{train, m[2]}
		if m[1] != "train" {
			key.split = test
		}
		if before, ok := found[key]; !ok {
			found[key] = filepath.Join(dir, e.Name())
		} else if strings.TrimSuffix(e.Name(), ".gz") != filepath.Base(before) {
			return nil, fmt.Errorf("%s: holds both %s and %s", dir, filepath.Base(before), e.Name())
		}
	}
	return found, nil
}

type idxKey struct {
	split split
	what  string
}

func readIDX(ctx context.Context, dir string) (*Corpus, error) {
	names, err := findIDX(dir)
	if err != nil {
		return nil, err
	}
	classes, err := readClasses(dir, "classes.txt")
	if err != nil {
		return nil, err
	}
	var sets [splits]*Set
	var first *Set
	for _, split := range []split{train, test} {
		name, ok := names[idxKey{split, "images"}]
		if !ok {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		shape, pixels, err := readIDXFile(name, 3)
		if err != nil {
			return nil, err
		}
		set := &Set{Height: shape[1], Width: shape[2], Channels: 1, Pixels: pixels, Classes: classes}
		if first == nil {
			first = set
		} else if set.Height != first.Height || set.Width != first.Width {
			return nil, &files.FormatError{File: name, Offset: 8, Found: fmt.Sprintf("pictures of %dx%d", set.Height, set.Width), Expected: fmt.Sprintf("%dx%d as in the other set", first.Height, first.Width)}
		}
		if name, ok := names[idxKey{split, "labels"}]; ok {
			n, labels, err := readIDXFile(name, 1)
			if err != nil {
				return nil, err
			}
			if n[0] != shape[0] {
				return nil, &files.FormatError{File: name, Offset: 4, Found: fmt.Sprintf("%d labels", n[0]), Expected: fmt.Sprintf("%d, one for each picture", shape[0])}
			}
			set.Labels = make([]int32, len(labels))
			for i, l := range labels {
				if err := checkLabel(name, 8+int64(i), l, classes); err != nil {
					return nil, err
				}
				set.Labels[i] = int32(l)
			}
		}
		sets[split] = set
	}
	if first == nil {
		return nil, fmt.Errorf("%s: has no train-images-idx3-ubyte and no t10k-images-idx3-ubyte, packed (.gz) or not", dir)
	}
	return corpus(IDX, sets), nil
}

func readIDXFile(name string, dims int) ([]int, []uint8, error) {
	f, _, err := open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return decodeIDX(f, name, dims)
}

// maxIDXSide bounds the height and width of a picture in an IDX file.
const maxIDXSide = 1 << 14

// decodeIDX reads an IDX file of bytes with so many dimensions, of which the first is a count.
func decodeIDX(r io.Reader, name string, dims int) (shape []int, data []uint8, err error) {
	bad := func(offset int64, found, expected string) ([]int, []uint8, error) {
		return nil, nil, &files.FormatError{File: name, Offset: offset, Found: found, Expected: expected}
	}
	in := bufio.NewReader(r)
	r = in
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		packed := &countingReader{r: in}
		unpacked, err := gzip.NewReader(packed)
		if err != nil {
			return nil, nil, packedError(name, 0, err)
		}
		r = &unpackedReader{r: unpacked, packed: packed, name: name}
	}
	header := make([]byte, 4+4*dims)
	if n, err := io.ReadFull(r, header); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return bad(int64(n), "the end", fmt.Sprintf("a header of %d bytes", len(header)))
	} else if err != nil {
		return nil, nil, packedError(name, int64(n), err)
	}
	if header[0] != 0 || header[1] != 0 {
		return bad(0, fmt.Sprintf("%#x %#x", header[0], header[1]), "two zeros, as IDX files begin")
	}
	switch header[2] {
	case 8:
	case 9, 0xB, 0xC, 0xD, 0xE:
		return nil, nil, &files.UnsupportedError{File: name, Offset: 2, What: fmt.Sprintf("an IDX file of values other than unsigned bytes (type %#x)", header[2])}
	default:
		return bad(2, fmt.Sprintf("type %#x", header[2]), "8, for unsigned bytes")
	}
	if int(header[3]) != dims {
		return bad(3, fmt.Sprintf("%d dimensions", header[3]), fmt.Sprint(dims))
	}
	size := int64(1)
	for i := range dims {
		n := binary.BigEndian.Uint32(header[4+4*i:])
		if n == 0 || i > 0 && n > maxIDXSide || int64(n) > math.MaxInt/size {
			return bad(int64(4+4*i), fmt.Sprintf("dimension %d of size %d", i, n), fmt.Sprintf("at least 1, and sides of at most %d", maxIDXSide))
		}
		shape = append(shape, int(n))
		size *= int64(n)
	}
	data, err = readStated(r, size)
	end := int64(len(header) + len(data))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return bad(end, "the end", fmt.Sprintf("%d bytes more, for shape %v", size-int64(len(data)), shape))
	} else if err != nil {
		return nil, nil, packedError(name, end, err)
	}
	switch _, err := io.ReadFull(r, header[:1]); { // unpacking, this checks the sum too
	case err == nil:
		return bad(end, "more bytes", fmt.Sprintf("the end, after shape %v", shape))
	case !errors.Is(err, io.EOF):
		return nil, nil, packedError(name, end, err)
	}
	return shape, data, nil
}

// packedError turns what the unpacker says of its input into a FormatError, and leaves errors of reading alone.
func packedError(name string, offset int64, err error) error {
	var corrupt flate.CorruptInputError
	if errors.As(err, &corrupt) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &files.FormatError{File: name, Offset: offset, Found: fmt.Sprintf("damage (%v)", err), Expected: "data packed by gzip"}
	}
	var format *files.FormatError
	if errors.As(err, &format) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// unpackedReader refuses a file that unpacks to far more than pictures and labels do: over maxUnpacked bytes for every
// packed one, beyond the first MiB.
type unpackedReader struct {
	r      io.Reader
	packed *countingReader
	name   string
	n      int64
}

const maxUnpacked = 200

func (u *unpackedReader) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	u.n += int64(n)
	if u.n > 1<<20+maxUnpacked*u.packed.n {
		return 0, &files.FormatError{File: u.name, Offset: u.n, Found: fmt.Sprintf("%d bytes packed into %d", u.n, u.packed.n), Expected: fmt.Sprintf("at most %d to one", maxUnpacked)}
	}
	return n, err
}

// countingReader counts what it has read. It is an io.ByteReader so that gzip takes from it no more than it needs.
type countingReader struct {
	r *bufio.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *countingReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}
