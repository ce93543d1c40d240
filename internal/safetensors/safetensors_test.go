package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/files"
)

// all holds a tensor of every type that is written.
func all() []Tensor {
	long := make([]float32, 3*chunk/4/2+5) // more than a chunk
	for i := range long {
		long[i] = float32(i) / 3
	}
	return []Tensor{
		{"encoder.0.weight", []int{2, 3}, []float32{1, -2, 0.5, float32(math.Inf(1)), math.MaxFloat32, math.SmallestNonzeroFloat32}},
		{"scalar", nil, []float64{math.Pi}},
		{"empty", []int{4, 0}, []float32{}},
		{"größe \"\\<\u2028", []int{3}, []uint8{0, 128, 255}},
		{"steps", []int{2, 1}, []int64{math.MinInt64, math.MaxInt64}},
		{"long", []int{1, len(long)}, long},
		{"ids", []int{3, 1}, []int32{-1, math.MaxInt32, math.MinInt32}},
		{"empty too", []int{0}, []int32{}},
	}
}

func write(t *testing.T, metadata map[string]string, tensors []Tensor) (name string, data []byte) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "model.safetensors")
	if err := Write(name, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return name, data
}

// readAll returns all tensors of a file.
func readAll(f *File) ([]Tensor, error) {
	var tensors []Tensor
	for _, info := range f.Tensors {
		var dst any
		switch info.DType {
		case F32, BF16, F16:
			dst = make([]float32, info.Len())
		case F64:
			dst = make([]float64, info.Len())
		case I64:
			dst = make([]int64, info.Len())
		case I32:
			dst = make([]int32, info.Len())
		case U8:
			dst = make([]uint8, info.Len())
		}
		if err := f.Read(info, dst); err != nil {
			return nil, err
		}
		tensors = append(tensors, Tensor{info.Name, info.Shape, dst})
	}
	return tensors, nil
}

// Bits of bfloat16 come back as they are, and as the numbers that they stand for.
func TestBFloat16(t *testing.T) {
	bits := []uint16{0x3f80, 0xc000, 0x7f80, 0x0001, 0}
	name, _ := write(t, nil, []Tensor{{"x", []int{5}, bits}})
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, numbers := make([]uint16, 5), make([]float32, 5)
	if err := errors.Join(f.Verify(), f.Read(f.Tensors[0], got), f.Read(f.Tensors[0], numbers)); err != nil {
		t.Fatal(err)
	}
	if want := []float32{1, -2, float32(math.Inf(1)), 0x1p-133, 0}; !slices.Equal(got, bits) || !slices.Equal(numbers, want) {
		t.Errorf("%x, %v; want %x, %v", got, numbers, bits, want)
	}
}

func TestRoundTrip(t *testing.T) {
	metadata := map[string]string{"config": `{"a": "<\n"}`, "": "", "ключ": "値", `"crc32":"`: `"crc32":"12345678"`}
	name, data := write(t, metadata, all())
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Verify(); err != nil {
		t.Error(err)
	}
	for key, value := range metadata {
		if f.Metadata[key] != value {
			t.Errorf("metadata %q is %q, want %q", key, f.Metadata[key], value)
		}
	}
	if len(f.Metadata) != len(metadata)+1 {
		t.Errorf("metadata is %q", f.Metadata)
	}
	got, err := readAll(f)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range all() {
		if want.Shape == nil {
			want.Shape = []int{}
		}
		if !reflect.DeepEqual(got[i], want) {
			t.Errorf("tensor %d is %.200v, want %.200v", i, got[i], want)
		}
		if info, ok := f.Find(want.Name); !ok || !reflect.DeepEqual(info, f.Tensors[i]) {
			t.Errorf("Find(%q) is %v, %v", want.Name, info, ok)
		}
	}
	if _, ok := f.Find("none"); ok {
		t.Error("a tensor that is not there is found")
	}
	if n := binary.LittleEndian.Uint64(data); n%8 != 0 {
		t.Errorf("the data starts at byte %d", 8+n)
	}
	if _, again := write(t, metadata, all()); !bytes.Equal(again, data) {
		t.Error("the same tensors give other bytes")
	}
}

// TestKnownFile compares with bytes put together by hand from the description of the format. What Write makes of all() was
// also read in Python, with json.loads and struct.unpack, and zlib.crc32 gave the same checksum; Python's package safetensors,
// 0.5.2, reads checkpoints of trained models.
func TestKnownFile(t *testing.T) {
	header := `{"__metadata__":{"crc32":"CRC-HERE","format":"vqaudio"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"n":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}`
	_, data := write(t, map[string]string{"format": "vqaudio"}, []Tensor{{"w", []int{1, 2}, []float32{1, -2}}, {"n", []int{}, []uint8{7}}})
	at := bytes.Index(data, []byte(`crc32":"`)) + len(`crc32":"`)
	header = strings.Replace(header, "CRC-HERE", string(data[at:at+8]), 1)
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	want = append(want, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 7)
	if !bytes.Equal(data, want) {
		t.Errorf("%q\nwant %q", data, want)
	}
}

// file returns a file of a header and so many bytes of data.
func file(header string, data int) []byte {
	b := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	for i := range data {
		b = append(b, byte(i))
	}
	return b
}

func readBytes(b []byte) (*File, error) {
	return New(bytes.NewReader(b), int64(len(b)), "x.safetensors")
}

// TestReadsOthers reads what other programs may write: tensors listed in another order than that of their data, spaces, no
// metadata, 16-bit floats.
func TestReadsOthers(t *testing.T) {
	f, err := readBytes(file(` { "b" : {"shape":[2], "data_offsets":[4, 8], "dtype":"BF16"},
		"none":{"dtype":"F32","shape":[1000000000000,0,9223372036854775807],"data_offsets":[4,4]},"a":{"data_offsets":[0,4],"dtype":"F16","shape":[2]}}   `, 8))
	if err != nil {
		t.Fatal(err)
	}
	if names := fmt.Sprint(f.Tensors[0].Name, f.Tensors[1].Name, f.Tensors[2].Name); names != "anoneb" {
		t.Errorf("tensors %s", names)
	}
	got, err := readAll(f)
	if err != nil {
		t.Fatal(err)
	}
	// Data: 00 01 02 03 04 05 06 07. Half 0x0100 is 256*2^-24, 0x0302 is 770*2^-24.
	if a := got[0].Data.([]float32); a[0] != 256*0x1p-24 || a[1] != 770*0x1p-24 {
		t.Errorf("halves %v", a)
	}
	if b := got[2].Data.([]float32); b[0] != math.Float32frombits(0x05040000) || b[1] != math.Float32frombits(0x07060000) {
		t.Errorf("bfloat16 %v", b)
	}
	var format *files.FormatError
	if err := f.Verify(); !errors.As(err, &format) {
		t.Errorf("Verify without a checksum: %v", err)
	}
	if f, err := readBytes(file(`{}`, 0)); err != nil || len(f.Tensors) != 0 {
		t.Errorf("without tensors: %v", err)
	}
}

func TestHalf(t *testing.T) {
	for _, c := range []struct {
		bits uint16
		want float64
	}{
		{0x0000, 0}, {0x8000, math.Copysign(0, -1)}, {0x3c00, 1}, {0xc000, -2}, {0x7bff, 65504}, {0x0400, 0x1p-14},
		{0x03ff, 1023 * 0x1p-24}, {0x0001, 0x1p-24}, {0x8001, -0x1p-24}, {0x3555, 1365.0 / 4096}, {0x7c00, math.Inf(1)}, {0xfc00, math.Inf(-1)},
	} {
		if got := float64(half(c.bits)); got != c.want || math.Signbit(got) != math.Signbit(c.want) {
			t.Errorf("half(%#04x) is %v, want %v", c.bits, got, c.want)
		}
	}
	if got := half(0x7e00); got == got {
		t.Errorf("half(0x7e00) is %v, want NaN", got)
	}
}

func TestHostile(t *testing.T) {
	const good = `{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	huge := func(length uint64) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, length), `{}        `...)
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty file", nil, "at byte 0: found the end of the file, expected 8 more bytes"},
		{"short length", []byte{1, 2, 3}, "at byte 3: found the end of the file, expected 5 more bytes"},
		{"header beyond the file", huge(11), "at byte 0: found a header of 11 bytes, expected at most the 10 that follow"},
		{"header beyond all", huge(math.MaxUint64), "found a header of 18446744073709551615 bytes"},
		{"another file", append([]byte("RIFF....WAVEfmt "), make([]byte, 100)...), "this is no safetensors file"},
		{"negative header", huge(1 << 63), "found a header of 9223372036854775808 bytes"},
		{"no header", file("", 0), "at byte 8: found the end of the header, expected more JSON"},
		{"not UTF-8", file("{\"a\xff\":1}", 0), "not UTF-8"},
		{"no JSON", file("{a}", 0), "at byte 9: found in the header: invalid character 'a'"},
		{"an array", file("[1]", 0), "found [, expected a JSON object"},
		{"unfinished", file(`{"a":{"dtype":"F32"`, 0), "found the end of the header, expected more JSON"},
		{"more behind it", file(`{} {}`, 0), `found " {}", expected spaces`},
		{"line ends behind it", file("{}\n", 0), "expected spaces"},
		{"name twice", file(`{"a":`+good+`,"a":`+good+`}`, 8), `found "a" twice, expected every name once`},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`, 0), `"__metadata__" twice`},
		{"metadata key twice", file(`{"__metadata__":{"k":"1","k":"2"}}`, 0), `metadata "k" twice`},
		{"metadata number", file(`{"__metadata__":{"k":1}}`, 0), `found 1 for metadata "k", expected a string`},
		{"metadata array", file(`{"__metadata__":["k"]}`, 0), `expected an object of strings`},
		{"metadata nested", file(`{"__metadata__":{"k":{}}}`, 0), `found { for metadata "k"`},
		{"tensor of null", file(`{"a":null}`, 0), `found <nil>, expected an object for tensor "a"`},
		{"unknown key", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, 8), `key "x" of tensor "a"`},
		{"key in capitals", file(`{"a":{"Dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), `key "Dtype"`},
		{"key twice", file(`{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}`, 8), `key "shape"`},
		{"no shape", file(`{"a":{"dtype":"F32","data_offsets":[0,8]}}`, 8), "without dtype, shape or two data_offsets"},
		{"no dtype", file(`{"a":{"shape":[2],"data_offsets":[0,8]}}`, 8), "without dtype"},
		{"empty dtype", file(`{"a":{"dtype":"","shape":[2],"data_offsets":[0,8]}}`, 8), `element type "" of tensor "a" is not supported`},
		{"one offset", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}}`, 8), "two data_offsets"},
		{"three offsets", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,16]}}`, 8), "more than 2 numbers"},
		{"shape of null", file(`{"a":{"dtype":"F32","shape":null,"data_offsets":[0,8]}}`, 8), "expected an array of numbers"},
		{"shape nested", file(`{"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}}`, 8), "found [, expected a whole number"},
		{"many dimensions", file(`{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}}`, 8), "more than 8 numbers"},
		{"negative shape", file(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8), "found -2, expected a whole number"},
		{"fraction", file(`{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}`, 8), "found 2.0, expected a whole number"},
		{"beyond an int", file(`{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}}`, 8), "expected a whole number"},
		{"overflow to 8 bytes", file(`{"a":{"dtype":"F32","shape":[4611686018427387904,2,2],"data_offsets":[0,8]}}`, 8), "expected a size that can be counted"},
		{"overflow by the element", file(`{"a":{"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,8]}}`, 8), "expected a size that can be counted"},
		{"wrong size", file(`{"a":{"dtype":"F64","shape":[2],"data_offsets":[0,8]}}`, 8), `found bytes 0 to 8 for tensor "a", expected 16 bytes for F64 [2]`},
		{"end before start", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8), `found bytes 8 to 0 for tensor "a"`},
		{"missing data", file(`{"a":`+good+`}`, 7), `found 7 bytes for tensor "a", expected the 8`},
		{"trailing bytes", file(`{"a":`+good+`}`, 9), "found 1 more bytes, expected the end of the file"},
		{"gap", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), `found tensor "a" at byte 4 of the data, expected a tensor at byte 0`},
		{"overlap", file(`{"a":`+good+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), `found tensor "b" at byte 4 of the data, expected a tensor at byte 8`},
		{"the same data", file(`{"a":`+good+`,"b":`+good+`}`, 8), `found tensor "b" at byte 0 of the data`},
		{"unknown type", file(`{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}`, 8), `element type "C64" of tensor "a" is not supported`},
		{"deep nesting", file(`{"a":`+strings.Repeat("[", 100000), 0), `found [, expected an object for tensor "a"`},
		{"long names", file(`{"`+strings.Repeat("a", 1<<20)+`":{"dtype":"`+strings.Repeat("b", 1<<20)+`"}}`, 0), "is not supported"},
		{"long name", file(`{"`+strings.Repeat("a", 1<<20)+`":1}`, 0), "expected an object for tensor"},
		{"long number", file(`{"a":{"shape":[`+strings.Repeat("1", 1<<20)+`]}}`, 0), "found 11"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readBytes(c.data)
			var format *files.FormatError
			var unsupported *files.UnsupportedError
			if !errors.As(err, &format) && !errors.As(err, &unsupported) {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "x.safetensors: at byte ") {
				t.Errorf("error %v\nwant %s", err, c.want)
			}
			if n := len(err.Error()); n > 500 {
				t.Errorf("an error of %d bytes", n)
			}
		})
	}
}

// TestEveryByteCounts changes every byte of a file.
func TestEveryByteCounts(t *testing.T) {
	_, good := write(t, map[string]string{"k": "v"}, []Tensor{{"w", []int{1, 2}, []float32{1, -2}}, {"n", []int{}, []uint8{7}}})
	for i := range good {
		for _, bits := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
			bad := bytes.Clone(good)
			bad[i] ^= bits
			f, err := readBytes(bad)
			if err == nil {
				err = f.Verify()
			}
			var format *files.FormatError
			var unsupported *files.UnsupportedError
			if !errors.As(err, &format) && !errors.As(err, &unsupported) {
				t.Errorf("byte %d, bits %#x: error %v", i, bits, err)
			}
		}
		if _, err := readBytes(good[:i]); err == nil {
			t.Errorf("cut after %d bytes: no error", i)
		}
	}
}

// TestLyingLengths checks that sizes in the header allocate nothing.
func TestLyingLengths(t *testing.T) {
	for _, data := range [][]byte{
		append(binary.LittleEndian.AppendUint64(nil, maxHeader), `{}`...),
		file(`{"a":{"dtype":"U8","shape":[1000000000],"data_offsets":[0,1000000000]}}`, 8),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := readBytes(data); err == nil {
			t.Error("no error")
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<16 {
			t.Errorf("%d bytes allocated for a file of %d", n, len(data))
		}
	}
}

// TestCutWhileOpen reads a tensor from a file that has lost its end since it was opened.
func TestCutWhileOpen(t *testing.T) {
	name, data := write(t, nil, all())
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(name, int64(len(data)-5)); err != nil {
		t.Fatal(err)
	}
	var format *files.FormatError
	if _, err := readAll(f); !errors.As(err, &format) {
		t.Error(err)
	}
	if err := f.Verify(); !errors.As(err, &format) {
		t.Error(err)
	}
}

func TestOpenNothing(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	var path *fs.PathError
	if _, err := Open(t.TempDir()); !errors.As(err, &path) {
		t.Error(err)
	}
}

func TestWriteRefuses(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	for _, metadata := range []map[string]string{{"a\xff": ""}, {"a": "\xff"}} {
		if err := Write(name, metadata, nil); err == nil || !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("metadata %q: %v", metadata, err)
		}
	}
	if err := Write(name, nil, []Tensor{{"\xff", nil, []uint8{1}}}); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Error(err)
	}
	if err := Write(filepath.Join(name, "y"), nil, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	one := Tensor{"a", []int{1}, []float32{1}}
	for i, tensors := range [][]Tensor{
		{{"a", []int{2}, []float32{1}}}, {{"a", []int{1}, []string{"1"}}}, {{"a", []int{1}, 1}}, {one, one},
		{{metadataKey, []int{1}, []float32{1}}}, {{"a", []int{-1, -1}, []float32{1}}}, {{"a", []int{1, 1, 1, 1, 1, 1, 1, 1, 1}, []float32{1}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("case %d does not panic", i)
				}
			}()
			_ = Write(name, nil, tensors)
		}()
	}
	if entries, err := os.ReadDir(filepath.Dir(name)); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestReadPanics(t *testing.T) {
	f, err := readBytes(file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	if err != nil {
		t.Fatal(err)
	}
	for _, dst := range []any{make([]float32, 1), make([]float64, 2), make([]int32, 2), nil} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Read into %T of another length or type does not panic", dst)
				}
			}()
			_ = f.Read(f.Tensors[0], dst)
		}()
	}
}

// FuzzRead reads anything. What is accepted is written and read again.
func FuzzRead(f *testing.F) {
	name := filepath.Join(f.TempDir(), "x")
	if err := Write(name, map[string]string{"k": "v"}, []Tensor{{"w", []int{1, 2}, []float32{1, -2}}, {"n", nil, []uint8{7}}}); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(file(`{"b":{"shape":[2],"data_offsets":[4,8],"dtype":"BF16"},"a":{"data_offsets":[0,4],"dtype":"F16","shape":[2]}}   `, 8))
	f.Add(file(`{"a":{"dtype":"I64","shape":[1,1],"data_offsets":[0,8]},"b":{"dtype":"F64","shape":[],"data_offsets":[8,16]}}`, 16))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := readBytes(data)
		if err != nil {
			var format *files.FormatError
			var unsupported *files.UnsupportedError
			if !errors.As(err, &format) && !errors.As(err, &unsupported) {
				t.Fatalf("error %T: %v", err, err)
			}
			return
		}
		_ = file.Verify()
		tensors, err := readAll(file)
		if err != nil {
			t.Fatal(err)
		}
		metadata := file.Metadata
		_, first := write(t, metadata, tensors)
		again, err := readBytes(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Verify(); err != nil {
			t.Fatal(err)
		}
		tensors, err = readAll(again)
		if err != nil {
			t.Fatal(err)
		}
		if _, second := write(t, again.Metadata, tensors); !bytes.Equal(first, second) {
			t.Fatalf("%q is written again as %q", first, second)
		}
	})
}
