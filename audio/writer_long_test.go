package audio

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// TestWriterRF64Header checks the arithmetic round 4 GiB, without writing as much.
func TestWriterRF64Header(t *testing.T) {
	format := Format{NumChannels: 2, SampleRate: 48000}
	head := int64(12 + 36 + 24 + 8)
	most := (largestRIFF - head + 8) / 4 // frames
	for _, frames := range []int64{0, 1, 1000, most, most + 1, math.MaxUint32, 1 << 40} {
		w, err := NewWriter(io.Discard, format, PCM16, frames)
		if err != nil {
			t.Fatal(err)
		}
		h := w.header(frames)
		le := binary.LittleEndian
		riff, data := int64(le.Uint32(h[4:])), int64(le.Uint32(h[len(h)-4:]))
		if long := frames > most; long {
			if string(h[:4]) != "RF64" || string(h[12:16]) != "ds64" || le.Uint32(h[16:]) != 28 || riff != unknownSize || data != unknownSize {
				t.Errorf("%d frames: header %q", frames, h)
			}
			riff, data = int64(le.Uint64(h[20:])), int64(le.Uint64(h[28:]))
			if got := int64(le.Uint64(h[36:])); got != frames || le.Uint32(h[44:]) != 0 {
				t.Errorf("%d frames: ds64 says %d", frames, got)
			}
		} else if string(h[:4]) != "RIFF" || string(h[12:16]) != "fmt " {
			t.Errorf("%d frames: header %q", frames, h)
		}
		if data != 4*frames || riff != int64(len(h))-8+data {
			t.Errorf("%d frames: sizes %d and %d after %d bytes", frames, riff, data, len(h))
		}
	}
}

// TestWriterRF64File lets files become RF64 at 1000 bytes instead of 4 GiB, and reads them.
func TestWriterRF64File(t *testing.T) {
	for _, encoding := range []Encoding{PCM16, PCM24, Float32} {
		for _, frames := range []int{10, 333} {
			name := filepath.Join(t.TempDir(), "a.wav")
			w, err := Create(name, Format{NumChannels: 3, SampleRate: 16000}, encoding)
			if err != nil {
				t.Fatal(err)
			}
			w.largest = 1000
			block := make([]float64, 3*frames)
			for i := range block {
				block[i] = float64(i%64-32) / 32
			}
			if err := errors.Join(w.Write(block), w.Close()); err != nil {
				t.Fatal(err)
			}
			file, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want, id, extra := "RIFF", "JUNK", uint64(0)
			if frames > 100 {
				want, id, extra = "RF64", "ds64", uint64(len(file)-8)
			}
			if got := binary.LittleEndian.Uint64(file[20:]); string(file[:4]) != want || string(file[12:16]) != id || got != extra {
				t.Errorf("%v, %d frames: %q, %q %d, want %q, %q %d", encoding, frames, file[:4], file[12:16], got, want, id, extra)
			}
			r, err := Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if info := r.Info(); info.Container != want || info.Frames != int64(frames) || len(info.Oddities) > 0 {
				t.Errorf("%v, %d frames: %+v", encoding, frames, info)
			}
			all, err := ReadAll(r)
			if err != nil || len(all.Data) != len(block) {
				t.Fatalf("%v, %d frames: %d samples, %v", encoding, frames, len(all.Data), err)
			}
			for i, x := range block {
				if all.Data[i] != x {
					t.Fatalf("%v: sample %d is %v, want %v", encoding, i, all.Data[i], x)
				}
			}
		}
	}
}
