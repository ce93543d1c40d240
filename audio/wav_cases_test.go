package audio

import (
	"encoding/csv"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/shared"
)

// readTSV returns the lines of a table as maps from column to value.
func readTSV(t testing.TB, name string) []map[string]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	lines, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var table []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, value := range line {
			row[lines[0][i]] = value
		}
		table = append(table, row)
	}
	return table
}

// TestWAVCases reads awkward files of other projects, of which a table says what is in them: what it wants read, and what it
// leaves open. All of the latter are read, because nothing about them is in doubt but what is said of it as an oddity:
// truncated files, block align and byte rate at odds with the rest, integers of 36 to 64 bits, RF64 without ds64 (whose size of
// 32 bits fits), no sound at all.
func TestWAVCases(t *testing.T) {
	folder := shared.Data(t, "wav-cases")
	for _, c := range readTSV(t, filepath.Join(folder, "cases.tsv")) {
		if c["file"] == "hound-pcmwaveformat-24bit-4byte-48kHz-stereo.wav" {
			// The table has the samples of a reader that goes in steps of 3 bytes; its text says what is in the 4:
			// -96, 23052, 8388607 and -8360672 of 2^23.
			x := []float64{-96. / (1 << 23), 23052. / (1 << 23), 8388607. / (1 << 23), -8360672. / (1 << 23)}
			rms := math.Sqrt((x[0]*x[0] + x[1]*x[1] + x[2]*x[2] + x[3]*x[3]) / 4)
			format := func(x float64) string { return strconv.FormatFloat(x, 'g', 9, 64) }
			c["first4_ch0"], c["peak"], c["rms"] = format(x[0])+" "+format(x[2]), format(x[2]), format(rms)
		}
		t.Run(c["file"], func(t *testing.T) {
			name := filepath.Join(folder, c["file"])
			r, err := Open(name)
			var opened Info
			var samples []float64
			if err == nil {
				defer r.Close()
				opened = r.Info()
				samples, err = readBlocks(r, 1024*opened.Channels)
			}
			var format *files.FormatError
			var unsupported *files.UnsupportedError
			switch c["expect"] {
			case "reject":
				if !errors.As(err, &format) || format.File != name {
					t.Errorf("%v, want a FormatError", err)
				}
				return
			case "compressed":
				if !errors.As(err, &unsupported) || unsupported.File != name {
					t.Errorf("%v, want an UnsupportedError", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}

			info := r.Info()
			encoding := c["encoding"][strings.LastIndex(c["encoding"], "/")+1:]
			if encoding == "0x0" { // a GUID in the order of bytes of RIFX
				encoding = "PCM"
			}
			var ids []string
			for _, chunk := range info.Chunks {
				ids = append(ids, strings.TrimSpace(chunk.ID)+":"+strconv.FormatInt(chunk.Size, 10))
			}
			for _, v := range []struct{ what, got, want string }{
				{"container", info.Container, c["id"]},
				{"encoding", info.Encoding, encoding},
				{"channels", strconv.Itoa(info.Channels), c["channels"]},
				{"rate", strconv.Itoa(info.Rate), c["rate"]},
				{"bits", strconv.Itoa(info.Bits), c["bits"]},
				{"valid bits", strconv.Itoa(info.ValidBits), c["valid_bits"]},
				{"frames", strconv.FormatInt(info.Frames, 10), c["frames"]},
				{"frames when opened", strconv.FormatInt(opened.Frames, 10), c["frames"]},
				{"frames read", strconv.Itoa(len(samples) / info.Channels), c["frames"]},
				{"chunks", strings.Join(ids, " "), c["chunks"]},
			} {
				if v.got != v.want {
					t.Errorf("%s: %s, want %s", v.what, v.got, v.want)
				}
			}
			if cutOff := strings.Contains(c["header_faults"], " present") && info.Chunks[len(info.Chunks)-1].Size != math.MaxUint32; info.Truncated != cutOff {
				t.Errorf("truncated %v, want %v", info.Truncated, cutOff)
			}
			if c["header_faults"] != "-" && len(info.Oddities) == 0 {
				t.Errorf("no oddity, want %s", c["header_faults"])
			}
			if c["peak"] == "-" {
				return
			}
			var peak, squares float64
			for _, x := range samples {
				peak = max(peak, math.Abs(x))
				squares += x * x
			}
			nineDigits(t, "peak", peak, c["peak"])
			nineDigits(t, "RMS", math.Sqrt(squares/float64(len(samples))), c["rms"])
			for i, want := range strings.Fields(c["first4_ch0"]) {
				nineDigits(t, "sample "+strconv.Itoa(i), samples[i*info.Channels], want)
			}
		})
	}
}

// nineDigits compares got with a number that was rounded to nine digits.
func nineDigits(t *testing.T, what string, got float64, want string) {
	t.Helper()
	w, err := strconv.ParseFloat(want, 64)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got-w) > 5.001e-9*math.Abs(w) {
		t.Errorf("%s: %v, want %v", what, got, w)
	}
}
