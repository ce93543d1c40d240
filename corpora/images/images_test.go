package images

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/shared"
)

func TestFashionMNIST(t *testing.T) {
	c, err := Read(context.Background(), shared.Data(t, "images/fashion-mnist"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Layout != IDX || c.Valid != nil {
		t.Errorf("layout %q, validation set %v", c.Layout, c.Valid != nil)
	}
	for _, want := range []struct {
		name           string
		set            *Set
		n              int
		pixels, labels string // MD5 of the official files, unpacked
	}{
		{"train", c.Train, 60000, "f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9"},
		{"test", c.Test, 10000, "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"},
	} {
		s := want.set
		if s.Len() != want.n || s.Height != 28 || s.Width != 28 || s.Channels != 1 || len(s.Labels) != want.n {
			t.Fatalf("%s: %d pictures of %dx%dx%d, %d labels", want.name, s.Len(), s.Height, s.Width, s.Channels, len(s.Labels))
		}
		counts := make([]int, 10)
		labels := make([]uint8, want.n)
		for i, l := range s.Labels {
			counts[l]++
			labels[i] = uint8(l)
		}
		for l, n := range counts {
			if n != want.n/10 {
				t.Errorf("%s: label %d on %d pictures, want %d", want.name, l, n, want.n/10)
			}
		}
		if got := fmt.Sprintf("%x", md5.Sum(idxFile(s.Pixels, want.n, 28, 28))); got != want.pixels {
			t.Errorf("%s: MD5 of the pictures' file is %s, want %s", want.name, got, want.pixels)
		}
		if got := fmt.Sprintf("%x", md5.Sum(idxFile(labels, want.n))); got != want.labels {
			t.Errorf("%s: MD5 of the labels' file is %s, want %s", want.name, got, want.labels)
		}
	}
	var sum int
	for _, p := range c.Train.Pixels {
		sum += int(p)
	}
	if mean := float64(sum) / float64(len(c.Train.Pixels)) / 255; mean < 0.28595 || mean > 0.28605 { // 0.2860 in the literature
		t.Errorf("mean of the training pictures %.5f, want 0.2860", mean)
	}
}

func TestCaltech101(t *testing.T) {
	dir := shared.Data(t, "images/caltech101-32")
	c, err := Read(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Layout != CIFAR || c.Valid != nil || c.Train.Len() != 6188 || c.Test.Len() != 1619 || len(c.Train.Classes) != 99 {
		t.Fatalf("layout %q, %d and %d pictures, %d classes", c.Layout, c.Train.Len(), c.Test.Len(), len(c.Train.Classes))
	}
	for name, set := range map[string]*Set{"train": c.Train, "test": c.Test} {
		raw, err := os.ReadFile(filepath.Join(dir, name+".bin"))
		if err != nil {
			t.Fatal(err)
		}
		table, err := os.ReadFile(filepath.Join(dir, name+".tsv"))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(table)), "\n")[1:]
		if len(lines) != set.Len() {
			t.Fatalf("%s: %d pictures, %d lines of table", name, set.Len(), len(lines))
		}
		for i, line := range lines {
			columns := strings.Split(line, "\t")
			if l := set.Labels[i]; fmt.Sprint(l) != columns[1] || set.Classes[l] != columns[2] {
				t.Fatalf("%s: picture %d has label %d (%s), the table says %s (%s)", name, i, l, set.Classes[l], columns[1], columns[2])
			}
			for j, p := range set.Picture(i) {
				if want := raw[i*3073+1+(j%3)*1024+j/3]; p != want {
					t.Fatalf("%s: picture %d: value %d is %d, want %d", name, i, j, p, want)
				}
			}
		}
	}
}

func TestIDX(t *testing.T) {
	pixels, labels := randomBytes(5*3*4, 1), []uint8{3, 0, 1, 2, 1}
	for name, contents := range map[string]map[string][]byte{
		"plain":     {"train-images-idx3-ubyte": idxFile(pixels, 5, 3, 4), "train-labels-idx1-ubyte": idxFile(labels, 5)},
		"packed":    {"train-images-idx3-ubyte.gz": pack(idxFile(pixels, 5, 3, 4)), "train-labels-idx1-ubyte.gz": pack(idxFile(labels, 5))},
		"dots":      {"train-images.idx3-ubyte": idxFile(pixels, 5, 3, 4), "train-labels.idx1-ubyte": idxFile(labels, 5)},
		"wrong .gz": {"train-images-idx3-ubyte.gz": idxFile(pixels, 5, 3, 4), "train-labels-idx1-ubyte": pack(idxFile(labels, 5))},
		"both":      {"train-images-idx3-ubyte": idxFile(pixels, 5, 3, 4), "train-images-idx3-ubyte.gz": nil, "train-labels-idx1-ubyte": idxFile(labels, 5)},
		"more":      {"train-images-idx3-ubyte": idxFile(pixels, 5, 3, 4), "train-labels-idx1-ubyte": idxFile(labels, 5), "x.png": nil, "README": nil},
	} {
		c, err := Read(context.Background(), folder(t, contents), Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s := c.Train
		if c.Layout != IDX || c.Test != nil || s.Len() != 5 || s.Height != 3 || s.Width != 4 || s.Channels != 1 || !bytes.Equal(s.Pixels, pixels) ||
			!slices.Equal(s.Labels, []int32{3, 0, 1, 2, 1}) || s.Classes != nil {
			t.Errorf("%s: read %+v", name, *s)
		}
	}
	c, err := Read(context.Background(), folder(t, map[string][]byte{
		"t10k-images-idx3-ubyte": idxFile(pixels, 5, 3, 4), "classes.txt": []byte("a\nb\n\n"),
	}), Options{})
	if err != nil || c.Train != nil || c.Test.Len() != 5 || c.Test.Labels != nil || !slices.Equal(c.Test.Classes, []string{"a", "b"}) {
		t.Errorf("without labels: %+v, %v", c, err)
	}
}

func TestBadIDX(t *testing.T) {
	pixels, labels := randomBytes(5*3*4, 1), []uint8{3, 0, 1, 2, 1}
	good, goodLabels := idxFile(pixels, 5, 3, 4), idxFile(labels, 5)
	changed := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	packed := pack(good)
	for name, c := range map[string]struct {
		images, labels []byte
		offset         int64
	}{
		"empty":             {nil, nil, 0},
		"cut header":        {good[:9], nil, 9},
		"no magic":          {changed(1, 8), nil, 0},
		"type":              {changed(2, 7), nil, 2},
		"dimensions":        {changed(3, 2), nil, 3},
		"no pictures":       {changed(7, 0), nil, 4},
		"no height":         {changed(11, 0), nil, 8},
		"great width":       {changed(13, 0x7F), nil, 12},
		"one too many":      {changed(7, 6), nil, int64(len(good))},
		"a billion":         {changed(4, 0x7F), nil, int64(len(good))},
		"one too few":       {changed(7, 4), nil, int64(len(good) - 12)},
		"cut":               {good[:len(good)-1], nil, int64(len(good) - 1)},
		"more":              {append(bytes.Clone(good), 0), nil, int64(len(good))},
		"packed, cut":       {packed[:len(packed)-9], nil, int64(len(good))},
		"packed, no sum":    {packed[:len(packed)-1], nil, int64(len(good))},
		"packed, wrong sum": {append(bytes.Clone(packed[:len(packed)-8]), 1, 2, 3, 4, 76, 0, 0, 0), nil, int64(len(good))},
		"packed, no header": {packed[:4], nil, 0},
		"packed, damaged":   {append(bytes.Clone(packed[:10]), 0xFF, 0xFF), nil, 0},
		"labels for others": {good, idxFile(labels[:4], 4), 4},
		"labels are images": {good, good, 3},
		"no such class":     {good, goodLabels, 8},
	} {
		contents := map[string][]byte{"train-images-idx3-ubyte": c.images, "classes.txt": []byte("a\nb\nc")}
		if c.labels != nil {
			contents["train-labels-idx1-ubyte"] = c.labels
		}
		_, err := Read(context.Background(), folder(t, contents), Options{})
		var format *files.FormatError
		if !errors.As(err, &format) || format.Offset != c.offset || format.File == "" {
			t.Errorf("%s: %v, want a FormatError at byte %d", name, err, c.offset)
		}
	}
	var unsupported *files.UnsupportedError
	if _, _, err := decodeIDX(bytes.NewReader(changed(2, 0xD)), "x", 3); !errors.As(err, &unsupported) || unsupported.Offset != 2 {
		t.Errorf("floats: %v, want an UnsupportedError at byte 2", err)
	}
	if _, err := Read(context.Background(), folder(t, map[string][]byte{
		"train-images-idx3-ubyte": good, "t10k-images-idx3-ubyte": idxFile(pixels, 5, 4, 3),
	}), Options{}); !errors.As(err, new(*files.FormatError)) {
		t.Errorf("two sizes: %v", err)
	}
}

// TestBombs reads small files that promise much: memory follows what is there, not what is promised.
func TestBombs(t *testing.T) {
	zeros := make([]byte, 64<<20)
	bomb := pack(idxFile(zeros, 1<<16, 32, 32))
	var format *files.FormatError
	var err error
	if used := allocated(func() { _, _, err = decodeIDX(bytes.NewReader(bomb), "x", 3) }); used > 64<<10+1<<20+1000*uint64(len(bomb)) || !errors.As(err, &format) {
		t.Errorf("%d packed bytes of zeros: %d bytes set aside, %v", len(bomb), used, err)
	}
	lie := idxFile(nil, 1<<30, 1<<14, 1<<14)
	if used := allocated(func() { _, _, err = decodeIDX(bytes.NewReader(lie), "x", 3) }); used > 200<<10 || !errors.As(err, &format) {
		t.Errorf("a header alone: %d bytes set aside, %v", used, err)
	}

	// A PNG file of one colour in 8191x8191 is fine; one that says so and has nothing is refused before it is decoded. So is
	// one beyond the limit.
	header := encodePNG(image.NewGray(image.Rect(0, 0, 1, 1)))
	to := make([]uint8, 4)
	for _, side := range []uint32{8000, 8192, 1 << 30} {
		b := bytes.Clone(header)
		setPNGSize(b, side, side)
		used := allocated(func() { err = decodePicture(bytes.NewReader(b), int64(len(b)), "x", to, 2) })
		if unsupported := new(*files.UnsupportedError); used > 100<<10 || !errors.As(err, &format) && !errors.As(err, unsupported) {
			t.Errorf("PNG of %d bytes that says %dx%d: %d bytes set aside, %v", len(b), side, side, used, err)
		}
	}

	// A JPEG file of very many scans takes time that its length does not show.
	var scans bytes.Buffer
	if err := jpeg.Encode(&scans, image.NewGray(image.Rect(0, 0, 8, 8)), nil); err != nil {
		t.Fatal(err)
	}
	before := scans.Bytes()[:scans.Len()-2]
	many := append(bytes.Clone(before), bytes.Repeat([]byte{0xFF, 0xFE, 0, 4, 0xFF, 0xDA}, maxScans)...)
	if err := decodePicture(bytes.NewReader(many), int64(len(many)), "x", to, 2); !errors.As(err, &format) || !strings.Contains(err.Error(), "scans") {
		t.Errorf("JPEG of very many scans: %v", err)
	}
}

func TestCIFAR(t *testing.T) {
	record := func(labels []byte, seed byte) []byte { return append(bytes.Clone(labels), randomBytes(3072, seed)...) }
	c, err := Read(context.Background(), folder(t, map[string][]byte{
		"data_batch_1.bin": append(record([]byte{1}, 1), record([]byte{0}, 2)...), "data_batch_2.bin": record([]byte{2}, 3), "test_batch.bin": record([]byte{1}, 4),
		"batches.meta.txt": []byte("airplane\nautomobile\nbird\n\n"), "readme.html": nil, "other.bin": nil,
	}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Layout != CIFAR || c.Valid != nil || !slices.Equal(c.Train.Labels, []int32{1, 0, 2}) || !slices.Equal(c.Test.Labels, []int32{1}) ||
		!slices.Equal(c.Train.Classes, []string{"airplane", "automobile", "bird"}) {
		t.Errorf("CIFAR-10: %q, labels %v, classes %v", c.Layout, c.Train.Labels, c.Train.Classes)
	}
	planes := randomBytes(3072, 3)
	for i, p := range c.Train.Picture(2) {
		if want := planes[i%3*1024+i/3]; p != want {
			t.Fatalf("value %d of picture 2 is %d, want %d", i, p, want)
		}
	}

	c, err = Read(context.Background(), folder(t, map[string][]byte{
		"train.bin": append(record([]byte{1, 2}, 1), record([]byte{0, 1}, 2)...), "valid.bin": record([]byte{0, 0}, 3), "test.bin": record([]byte{1, 2}, 4),
		"coarse_label_names.txt": []byte("animal\nplant\n"), "fine_label_names.txt": []byte("apple\r\nbear\r\noak\r\n"),
	}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Train.Labels, []int32{2, 1}) || c.Valid.Len() != 1 || c.Test.Classes[2] != "oak" || c.Train.Picture(0)[0] != randomBytes(1, 1)[0] {
		t.Errorf("CIFAR-100: labels %v, %d for validation, classes %v", c.Train.Labels, c.Valid.Len(), c.Test.Classes)
	}
}

func TestBadCIFAR(t *testing.T) {
	good := make([]byte, 2*3073)
	bad := bytes.Clone(good)
	bad[3073] = 2
	for name, c := range map[string]struct {
		batch, names []byte
		offset       int64
	}{
		"cut":               {good[:6000], nil, 6000},
		"one byte":          {good[:1], nil, 1},
		"empty":             {nil, nil, 0},
		"no such class":     {bad, []byte("a\nb\n"), 3073},
		"nameless class":    {good, []byte("a\n\nb\n"), -1},
		"no names":          {good, nil, -1},
		"endless names":     {good, bytes.Repeat([]byte("a\n"), 1<<20), maxNames},
		"a name of 100 kB":  {good, bytes.Repeat([]byte("a"), 100_000), maxNames},
		"names are nothing": {good, []byte("\n\n\n"), -1},
	} {
		contents := map[string][]byte{"train.bin": c.batch}
		if c.names != nil || name == "no names" {
			contents["classes.txt"] = c.names
		}
		_, err := Read(context.Background(), folder(t, contents), Options{})
		var format *files.FormatError
		if !errors.As(err, &format) || format.Offset != c.offset {
			t.Errorf("%s: %v, want a FormatError at byte %d", name, err, c.offset)
		}
	}
}

func TestFolders(t *testing.T) {
	grey := image.NewGray(image.Rect(0, 0, 6, 4))
	for i := range grey.Pix {
		grey.Pix[i] = 200
	}
	colour := uniform(image.Rect(3, 5, 12, 9), color.NRGBA{250, 100, 20, 255})
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, colour, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string][]byte{
		"train/cat/a.png": encodePNG(grey), "train/dog/big/b.JPG": photo.Bytes(), "val/cat/c.jpeg": encodePNG(colour), "val/d.png": encodePNG(grey),
		"train/cat/broken.png": encodePNG(grey)[:50], "train/cat/gif.png": []byte("GIF89a not here"), "beside.png": encodePNG(grey),
		"train/cat/.hidden.png": nil, ".thumbnails/x.png": nil, "train/notes.txt": nil,
	})
	c, err := Read(context.Background(), dir, Options{Side: 4})
	if err != nil {
		t.Fatal(err)
	}
	if c.Layout != Folders || c.Train.Len() != 2 || c.Valid.Len() != 2 || c.Test != nil || c.Train.Channels != 3 || c.Train.Height != 4 || c.Train.Width != 4 {
		t.Fatalf("%+v", c)
	}
	if !slices.Equal(c.Train.Classes, []string{"cat", "dog/big"}) || !slices.Equal(c.Train.Labels, []int32{0, 1}) || !slices.Equal(c.Valid.Labels, []int32{0, -1}) {
		t.Errorf("classes %v, labels %v and %v", c.Train.Classes, c.Train.Labels, c.Valid.Labels)
	}
	for _, want := range []struct {
		picture []uint8
		colour  [3]int
		off     int // JPEG rounds
	}{
		{c.Train.Picture(0), [3]int{200, 200, 200}, 0}, {c.Train.Picture(1), [3]int{250, 100, 20}, 3}, {c.Valid.Picture(0), [3]int{250, 100, 20}, 0},
	} {
		for i, p := range want.picture {
			if d := int(p) - want.colour[i%3]; d > want.off || -d > want.off {
				t.Errorf("value %d is %d, want %d", i, p, want.colour[i%3])
			}
		}
	}
	if len(c.Skipped) != 3 {
		t.Fatalf("skipped: %v", c.Skipped)
	}
	for i, name := range []string{"beside.png", "broken.png", "gif.png"} {
		if format := new(*files.FormatError); !strings.Contains(c.Skipped[i].Error(), name) || i > 0 && !errors.As(c.Skipped[i], format) {
			t.Errorf("skipped %d: %v", i, c.Skipped[i])
		}
	}

	c, err = Read(context.Background(), dir, Options{Side: 4, Grey: true})
	if err != nil || c.Train.Channels != 1 || c.Train.Len() != 2 || c.Train.Picture(0)[3] != 200 || c.Valid.Picture(0)[0] != 136 { // 0.299 R + 0.587 G + 0.114 B
		t.Errorf("grey: %+v, %v", c.Valid, err)
	}
}

// TestSplitsStay checks that pictures without an official split stay where they are when others come, in the shares that
// are promised, and that a class may be called "train".
func TestSplitsStay(t *testing.T) {
	var before, after []string
	for i := range 4000 {
		after = append(after, fmt.Sprintf("train/%d.png", i), fmt.Sprintf("bus/%d.jpg", i))
		if i%3 == 0 {
			before = append(before, after[len(after)-2:]...)
		}
	}
	first, skipped := place("", before)
	second, more := place("", after)
	if len(skipped)+len(more) > 0 || first[0].class != "train" || first[1].class != "bus" {
		t.Fatalf("%v, %v, %v", skipped, more, first[:2])
	}
	all := map[foundPicture]bool{}
	var counts [splits]int
	for _, p := range second {
		all[p] = true
		counts[p.split]++
	}
	for _, p := range first {
		if !all[p] {
			t.Errorf("%v has gone elsewhere", p)
		}
	}
	for s, want := range [splits]int{7200, 400, 400} {
		if d := counts[s] - want; d > 80 || -d > 80 { // 4 standard deviations
			t.Errorf("split %d has %d of 8000 pictures, want about %d", s, counts[s], want)
		}
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	picture := encodePNG(image.NewGray(image.Rect(0, 0, 2, 2)))
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		ctx      context.Context
		contents map[string][]byte
		o        Options
		want     string
	}{
		"nothing":     {context.Background(), nil, Options{Side: 4}, "no pictures"},
		"no IDX":      {context.Background(), nil, Options{Layout: IDX}, "train-images"},
		"no CIFAR":    {context.Background(), nil, Options{Layout: CIFAR}, "data_batch"},
		"all broken":  {context.Background(), map[string][]byte{"a.png": nil}, Options{Side: 4}, "a.png"},
		"no side":     {context.Background(), map[string][]byte{"a.png": picture}, Options{}, "side 0"},
		"great side":  {context.Background(), map[string][]byte{"a.png": picture}, Options{Side: 5000}, "side 5000"},
		"layout":      {context.Background(), map[string][]byte{"a.png": picture}, Options{Layout: "zip", Side: 4}, `"zip"`},
		"side of IDX": {context.Background(), nil, Options{Layout: IDX, Side: 4}, "folders"},
		"both":        {context.Background(), map[string][]byte{"train.bin": nil, "t10k-images-idx3-ubyte": nil}, Options{}, "both"},
		"twice":       {context.Background(), map[string][]byte{"train-images.idx3-ubyte": nil, "train-images-idx3-ubyte": nil}, Options{}, "both"},
		"cancelled":   {done, map[string][]byte{"a.png": picture}, Options{Side: 4}, context.Canceled.Error()},
		"cancelled 2": {done, map[string][]byte{"train.bin": picture}, Options{}, context.Canceled.Error()},
		"cancelled 3": {done, map[string][]byte{"train-images-idx3-ubyte": picture}, Options{}, context.Canceled.Error()},
	} {
		if _, err := Read(c.ctx, folder(t, c.contents), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error about %q", name, err, c.want)
		}
	}
	if _, err := Read(context.Background(), filepath.Join(t.TempDir(), "none"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	// An error of the disk is not one of the file's format.
	for what, err := range map[string]error{
		"IDX":     second(decodeIDX(io.MultiReader(bytes.NewReader(idxFile(nil, 1, 9, 9)), failing{}), "x", 3)),
		"gzip":    second(decodeIDX(io.MultiReader(bytes.NewReader(pack(idxFile(make([]byte, 81), 1, 9, 9))[:20]), failing{}), "x", 3)),
		"CIFAR":   new(Set).decodeBatch(io.MultiReader(bytes.NewReader(make([]byte, 100)), failing{}), "x", 1),
		"picture": decodePicture(failingSeeker{bytes.NewReader(picture), 40}, int64(len(picture)), "x", make([]uint8, 3), 1),
	} {
		if !errors.Is(err, errDisk) || !strings.HasPrefix(err.Error(), "x: ") || errors.As(err, new(*files.FormatError)) {
			t.Errorf("%s from a failing disk: %v", what, err)
		}
	}
}

var errDisk = errors.New("the disk is broken")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errDisk }

// failingSeeker fails once it stands beyond the first good bytes.
type failingSeeker struct {
	*bytes.Reader
	good int64
}

func (f failingSeeker) Read(p []byte) (int, error) {
	at, _ := f.Seek(0, io.SeekCurrent)
	if at >= f.good {
		return 0, errDisk
	}
	return f.Reader.Read(p[:min(int64(len(p)), f.good-at)])
}

func second(_ []int, _ []uint8, err error) error { return err }

// idxFile returns an IDX file of bytes.
func idxFile(data []byte, shape ...int) []byte {
	b := []byte{0, 0, 8, byte(len(shape))}
	for _, n := range shape {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return append(b, data...)
}

func pack(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func encodePNG(m image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// randomBytes returns n bytes that look random.
func randomBytes(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x >> 8)
	}
	return b
}

func uniform(r image.Rectangle, c color.Color) image.Image {
	m := image.NewNRGBA(r)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			m.Set(x, y, c)
		}
	}
	return m
}

// folder writes files into a new folder.
func folder(t testing.TB, contents map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range contents {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// allocated returns how many bytes f sets aside.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHoldOut: without validation pictures one of twenty is held out, with its label, and no picture is lost.
func TestHoldOut(t *testing.T) {
	labelled := func(n int) *Set {
		s := &Set{Height: 1, Width: 2, Channels: 1}
		for i := range n {
			s.Pixels, s.Labels = append(s.Pixels, uint8(i), uint8(i/2)), append(s.Labels, int32(i))
		}
		return s
	}
	c := &Corpus{Train: labelled(50), Test: labelled(7)}
	c.HoldOut()
	if !slices.Equal(c.Valid.Labels, []int32{10, 30}) || c.Train.Len() != 48 || c.Test.Len() != 7 {
		t.Fatalf("%d for training, %v for validation, %d for the test", c.Train.Len(), c.Valid.Labels, c.Test.Len())
	}
	for _, s := range []*Set{c.Train, c.Valid} {
		for i, label := range s.Labels {
			if p := s.Picture(i); int32(p[0]) != label || int32(p[1]) != label/2 {
				t.Errorf("picture %v has the label %d", p, label)
			}
		}
	}
	for _, c := range []*Corpus{{Train: labelled(19)}, {Train: labelled(50), Valid: labelled(3)}, {Test: labelled(50)}} {
		train, valid := c.Train, c.Valid
		if c.HoldOut(); c.Train != train || c.Valid != valid {
			t.Errorf("%d and %d pictures are split anew", train.Len(), valid.Len())
		}
	}
}
