package images

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/image/draw"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/holdout"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

// foundPicture is a picture's place in a folder.
type foundPicture struct {
	path  string // below the folder, with slashes
	split split
	class string // "" for none
}

func readFolders(ctx context.Context, dir string, o Options) (*Corpus, error) {
	if o.Side < 1 || o.Side > MaxSide {
		return nil, fmt.Errorf("%s: pictures of side %d cannot be made, only from 1 to %d", dir, o.Side, MaxSide)
	}
	paths, err := findPictures(ctx, dir)
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: has no pictures: no files of IDX or CIFAR, and no .png, .jpg or .jpeg", dir)
	}
	pictures, skipped := place(dir, paths)

	var classes []string
	for _, p := range pictures {
		if p.class != "" {
			classes = append(classes, p.class)
		}
	}
	slices.Sort(classes)
	classes = slices.Compact(classes)

	channels := 3
	if o.Grey {
		channels = 1
	}
	var sets [splits]*Set
	for i := range sets {
		sets[i] = &Set{Height: o.Side, Width: o.Side, Channels: channels, Classes: classes}
	}
	size := o.Side * o.Side * channels
	const chunk = 256 // pictures that are decoded at a time
	pixels := make([]uint8, min(chunk, len(pictures))*size)
	errs := make([]error, chunk)
	for now := range slices.Chunk(pictures, chunk) {
		parallel.For(len(now), func(i int) {
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = readPicture(filepath.Join(dir, filepath.FromSlash(now[i].path)), pixels[i*size:(i+1)*size], o.Side)
			}
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		for i, p := range now {
			if errs[i] != nil {
				skipped = append(skipped, errs[i])
				continue
			}
			s := sets[p.split]
			s.Pixels = append(s.Pixels, pixels[i*size:(i+1)*size]...)
			if classes != nil {
				label, ok := slices.BinarySearch(classes, p.class)
				if !ok {
					label = -1
				}
				s.Labels = append(s.Labels, int32(label))
			}
		}
	}
	c := corpus(Folders, sets)
	c.Skipped = skipped
	if c.Train == nil && c.Valid == nil && c.Test == nil {
		return nil, fmt.Errorf("%s: none of %d pictures can be read; the first: %w", dir, len(skipped), skipped[0])
	}
	return c, nil
}

// findPictures returns the paths of the pictures below dir, with slashes, sorted.
func findPictures(ctx context.Context, dir string) ([]string, error) {
	var paths []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		switch strings.ToLower(path.Ext(name)) {
		case ".png", ".jpg", ".jpeg":
			paths = append(paths, name)
		}
		return nil
	})
	slices.Sort(paths)
	return paths, err
}

// place gives each picture its split and class. A picture that is in none of the splits that the folder has is an error.
func place(dir string, paths []string) (pictures []foundPicture, skipped []error) {
	folders, named := 0, true
	for _, p := range paths {
		if top, _, below := strings.Cut(p, "/"); below {
			_, is := splitOf(top)
			named = named && is
			folders++
		}
	}
	named = named && folders > 0
	for _, p := range paths {
		rest := p
		var s split
		if !named {
			s, _ = splitOf(holdout.Split(p))
		} else if top, below, ok := strings.Cut(p, "/"); ok {
			s, _ = splitOf(top)
			rest = below
		} else {
			skipped = append(skipped, fmt.Errorf("%s: is beside the folders of the splits, not in one", filepath.Join(dir, p)))
			continue
		}
		class := path.Dir(rest)
		if class == "." {
			class = ""
		}
		pictures = append(pictures, foundPicture{p, s, class})
	}
	return pictures, skipped
}

// Bounds on a picture that is to be decoded. A file of n bytes can hold no more than 8256n pixels of PNG (deflate packs at
// most 1032:1, a pixel has at least a bit) and 512n of JPEG (at least a bit for every block of 64 pixels): what claims
// more is refused before memory is set aside for it.
const (
	maxPixels        = 1 << 26
	maxPixelsPerByte = 8256
	maxScans         = 500     // of a JPEG file; a progressive one has about ten, each a pass over the whole picture
	manyPixels       = 1 << 22 // pictures with more are decoded one at a time, so that memory does not grow with the cores
)

var decodingMany sync.Mutex

// readPicture reads a file into to, [side, side, channels].
func readPicture(name string, to []uint8, side int) error {
	f, size, err := open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return decodePicture(f, size, name, to, side)
}

// decodePicture reads a PNG or JPEG file of size bytes into to, [side, side, channels].
func decodePicture(r io.ReadSeeker, size int64, name string, to []uint8, side int) error {
	in := &pictureReader{r: bufio.NewReader(r)}
	magic, err := in.r.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", name, err)
	}
	decode, config, perByte := png.Decode, png.DecodeConfig, int64(maxPixelsPerByte)
	switch {
	case string(magic) == "\x89PNG\r\n\x1a\n":
	case bytes.HasPrefix(magic, []byte("\xff\xd8\xff")):
		decode, config, perByte = jpeg.Decode, jpeg.DecodeConfig, 512
	default:
		return &files.FormatError{File: name, Found: fmt.Sprintf("%q", magic), Expected: "PNG or JPEG"}
	}
	c, err := config(in)
	if err != nil {
		return pictureError(name, in, err)
	}
	pixels := int64(c.Width) * int64(c.Height)
	switch {
	case pixels == 0:
		return &files.FormatError{File: name, Offset: in.n, Found: fmt.Sprintf("a picture of %dx%d", c.Width, c.Height), Expected: "at least one pixel"}
	case c.Height > maxPixels/c.Width:
		return &files.UnsupportedError{File: name, Offset: in.n, What: fmt.Sprintf("a picture of %dx%d (more than %d million pixels)", c.Width, c.Height, maxPixels/1_000_000)}
	case pixels > size*perByte:
		return &files.FormatError{File: name, Offset: in.n, Found: fmt.Sprintf("a picture of %dx%d in %d bytes", c.Width, c.Height, size), Expected: fmt.Sprintf("at most %d pixels a byte", perByte)}
	case pixels > manyPixels:
		decodingMany.Lock()
		defer decodingMany.Unlock()
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	in = &pictureReader{r: bufio.NewReader(r)}
	picture, err := decode(in)
	if err != nil {
		return pictureError(name, in, err)
	}
	fit(picture, to, side)
	return nil
}

// pictureError turns what a decoder says of its input into an error of this module.
func pictureError(name string, in *pictureReader, err error) error {
	var png png.UnsupportedError
	var jpeg jpeg.UnsupportedError
	switch {
	case in.failure != nil:
		return fmt.Errorf("%s: %w", name, in.failure)
	case errors.As(err, &png), errors.As(err, &jpeg):
		return &files.UnsupportedError{File: name, Offset: in.n, What: fmt.Sprintf("a picture of this kind (%v)", err)}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &files.FormatError{File: name, Offset: in.n, Found: "the end", Expected: "the rest of the picture"}
	}
	return &files.FormatError{File: name, Offset: in.n, Found: fmt.Sprintf("damage (%v)", err), Expected: "a PNG or JPEG file"}
}

// pictureReader counts the bytes that a decoder has taken and the scans of JPEG among them, and keeps an error of reading
// apart from what the decoder makes of it.
type pictureReader struct {
	r       *bufio.Reader
	n       int64
	scans   int
	last    byte
	failure error
}

func (p *pictureReader) Read(to []byte) (int, error) {
	n, err := p.r.Read(to)
	if n > 0 {
		p.scans += bytes.Count(to[:n], []byte{0xFF, 0xDA}) // start of scan; among data, 0xFF is followed by 0
		if p.last == 0xFF && to[0] == 0xDA {
			p.scans++
		}
		p.last = to[n-1]
		p.n += int64(n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		p.failure = err
	}
	if p.scans > maxScans {
		return 0, fmt.Errorf("more than %d scans", maxScans)
	}
	return n, err
}

// fit writes the square in the middle of picture to to, [side, side, channels].
func fit(picture image.Image, to []uint8, side int) {
	b := picture.Bounds()
	square := min(b.Dx(), b.Dy())
	corner := b.Min.Add(image.Pt((b.Dx()-square)/2, (b.Dy()-square)/2))
	scaled := image.NewRGBA(image.Rect(0, 0, side, side))
	draw.Draw(scaled, scaled.Rect, image.White, image.Point{}, draw.Src)
	draw.CatmullRom.Scale(scaled, scaled.Rect, picture, image.Rectangle{Min: corner, Max: corner.Add(image.Pt(square, square))}, draw.Over, nil)
	grey := len(to) == side*side
	for i := range side * side {
		p := scaled.Pix[4*i:][:4]
		if grey {
			to[i] = color.GrayModel.Convert(color.RGBA{p[0], p[1], p[2], 255}).(color.Gray).Y
		} else {
			copy(to[3*i:3*i+3], p)
		}
	}
}
