package train

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// fields returns the fields of a message: of numbers their bits, of others their bytes.
func fields(t *testing.T, data []byte) map[protowire.Number][]any {
	t.Helper()
	m := map[protowire.Number][]any{}
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		data = data[n:]
		var v any
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			v, n = protowire.ConsumeFixed32(data)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(data)
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(data)
		default:
			t.Fatalf("field %d of type %d", number, kind)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		m[number] = append(m[number], v)
		data = data[n:]
	}
	return m
}

// unmask is the inverse of the mask, as record_reader and Python's tensorboard have it.
func unmask(c uint32) uint32 {
	c -= 0xa282ead8
	return c>>17 | c<<15
}

// events reads an event file as the format's readers do.
func events(t *testing.T, name string) (list []map[protowire.Number][]any) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		if len(data) < 12 {
			t.Fatalf("%d bytes after the last record", len(data))
		}
		n := binary.LittleEndian.Uint64(data)
		if got := unmask(binary.LittleEndian.Uint32(data[8:])); got != crc32.Checksum(data[:8], crc32.MakeTable(crc32.Castagnoli)) {
			t.Fatal("checksum of a length")
		}
		if n > uint64(len(data)-16) {
			t.Fatalf("a record of %d bytes", n)
		}
		if got := unmask(binary.LittleEndian.Uint32(data[12+n:])); got != crc32.Checksum(data[12:12+n], crc32.MakeTable(crc32.Castagnoli)) {
			t.Fatal("checksum of a record")
		}
		list = append(list, fields(t, data[12:12+n]))
		data = data[16+n:]
	}
	return list
}

// TestMasked compares with values of TensorFlow's own: the CRC-32C of 32 zero bytes (RFC 3720, B.4) is 0x8a9136aa.
func TestMasked(t *testing.T) {
	if got := unmask(masked(make([]byte, 32))); got != 0x8a9136aa {
		t.Errorf("%#x", got)
	}
}

// TestEvents: what a run leaves for TensorBoard.
func TestEvents(t *testing.T) {
	dir := t.TempDir()
	c := tiny(t, 20)
	c.Training.SampleEvery = 40
	(&notes{}).run(t, c, dir)
	c.Training.Steps = 40
	(&notes{}).run(t, c, dir)
	names, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil || len(names) != 2 {
		t.Fatalf("%v, %v", names, err)
	}
	for i, name := range names {
		list := events(t, name)
		if got := string(list[0][3][0].([]byte)); got != "brain.Event:2" {
			t.Errorf("version %q", got)
		}
		start := fields(t, list[1][7][0].([]byte))
		if step := list[1][2][0].(uint64); step != uint64(20*i+1) || start[1][0].(uint64) != 1 {
			t.Errorf("start %d voids what comes from step %d on", i, step)
		}
		next, values := uint64(20*i+1), map[string]int{}
		for _, e := range list[2:] {
			if time := math.Float64frombits(e[1][0].(uint64)); time < 1.6e9 || time > 1e11 {
				t.Errorf("time %v", time)
			}
			step := e[2][0].(uint64)
			for _, v := range fields(t, e[5][0].([]byte))[1] {
				v := fields(t, v.([]byte))
				tag := string(v[valueTag][0].([]byte))
				values[tag]++
				switch {
				case tag == "train/loss":
					if loss := math.Float32frombits(v[valueSimple][0].(uint32)); step != next || !(loss > 3 && loss < 6) {
						t.Errorf("loss %v at step %d, want step %d", loss, step, next)
					}
					next++
				case v[valueImage] != nil:
					image := fields(t, v[valueImage][0].([]byte))
					if string(image[4][0].([]byte)[1:4]) != "PNG" || image[1][0].(uint64) != 520 || image[2][0].(uint64) != 900 {
						t.Errorf("%s: height %v, width %v", tag, image[1], image[2])
					}
				case v[valueAudio] != nil:
					sound := fields(t, v[valueAudio][0].([]byte))
					if string(sound[4][0].([]byte)[:4]) != "RIFF" || math.Float32frombits(sound[1][0].(uint32)) != 16000 ||
						string(sound[5][0].([]byte)) != "audio/wav" || sound[3][0].(uint64) == 0 {
						t.Errorf("%s: rate %v, %v samples", tag, sound[1], sound[3])
					}
				}
			}
		}
		if values["train/loss"] != 20 || values["validation/true"] != 1 || values["samples/2-conversion"] != 2*i {
			t.Errorf("file %d has %v", i, values)
		}
	}
}
