package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/internal/shared"
)

// probeWAV returns a WAV file of 16 bits, of n frames of two channels: i and -i of 32768.
func probeWAV(n int) []byte {
	p := []byte("RIFF....WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x40\x1f\x00\x00\x00\x7d\x00\x00\x04\x00\x10\x00data....")
	for i := range n {
		p = binary.LittleEndian.AppendUint16(p, uint16(i))
		p = binary.LittleEndian.AppendUint16(p, uint16(-i))
	}
	binary.LittleEndian.PutUint32(p[4:], uint32(len(p)-8))
	binary.LittleEndian.PutUint32(p[40:], uint32(4*n))
	return p
}

// probeFolder is a folder with files to probe.
func probeFolder(t *testing.T, content map[string][]byte) string {
	t.Helper()
	folder := t.TempDir()
	for name, data := range content {
		name = filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// probeLines returns the objects that --json has printed, one a line.
func probeLines(t *testing.T, stdout string) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(stdout) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, object)
	}
	return lines
}

// TestProbeJSON looks at what --json prints, key by key, and at the exit code.
func TestProbeJSON(t *testing.T) {
	folder := probeFolder(t, map[string][]byte{"a.wav": probeWAV(7), "short.wav": probeWAV(2), "none.wav": probeWAV(0), "text.wav": []byte("<hello> & world")})
	name := filepath.Join(folder, "a.wav")
	stdout, stderr, code := runCommand(context.Background(), "probe --json "+name)
	if code != exitOK || stderr != "" || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("exit code %d, %q, %q", code, stderr, stdout)
	}
	rms := math.Sqrt(2*(1+4+9+16+25+36)/14.) / 32768
	want := fmt.Sprintf(`{"file":%q,"container":"RIFF","encoding":"PCM","channels":2,"rate":8000,"bits":16,"frames":7,"seconds":0.000875,`+
		`"peak":0.00018310546875,"rms":%v,"first":[0,0.000030517578125,0.00006103515625,0.000091552734375],`+
		`"chunks":[{"id":"fmt ","offset":20,"size":16},{"id":"data","offset":44,"size":28}],"oddities":[]}`, name, rms)
	var got, expected any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		t.Fatal(err)
	}
	if g, e := fmt.Sprintf("%v", got), fmt.Sprintf("%v", expected); g != e {
		t.Errorf("got  %s\nwant %s", g, e)
	}

	stdout, _, code = runCommand(context.Background(), "probe --json "+filepath.Join(folder, "short.wav")+" "+filepath.Join(folder, "none.wav"))
	if lines := probeLines(t, stdout); code != exitOK || len(lines) != 2 || len(lines[0]["first"].([]any)) != 2 || len(lines[1]["first"].([]any)) != 0 ||
		lines[1]["peak"] != 0. || lines[1]["frames"] != 0. {
		t.Errorf("short ones: exit code %d, %s", code, stdout)
	}

	name = filepath.Join(folder, "text.wav")
	stdout, stderr, code = runCommand(context.Background(), "probe "+name+" --json "+filepath.Join(folder, "a.wav"))
	lines := probeLines(t, stdout)
	if code != exitFailure || !strings.Contains(stderr, "1 of 2 could not be read") || len(lines) != 2 || len(lines[0]) != 2 ||
		lines[0]["file"] != name || !strings.Contains(lines[0]["error"].(string), "<hello>") || lines[1]["error"] != nil {
		t.Errorf("one that is not: exit code %d, %q, %s", code, stderr, stdout)
	}
}

// TestProbeOrder has folders with more files than there are cores: each is reported once, in order.
func TestProbeOrder(t *testing.T) {
	content := map[string][]byte{"sub/x.FLAC": []byte("no FLAC"), "sub/deep/y.wave": probeWAV(1), "notes.txt": []byte("hello"),
		".hidden.wav": probeWAV(1), "sound-without-name": probeWAV(1)}
	var want []string
	for i := range 100 {
		name := fmt.Sprintf("%03d.wav", i)
		content[name] = probeWAV(i * 37 % 1000 * 100 / (1 + i%10))
		want = append(want, name)
	}
	folder := probeFolder(t, content)
	want = append(want, "sub/deep/y.wave", "sub/x.FLAC")
	if err := os.Symlink("000.wav", filepath.Join(folder, "zz.wav")); err == nil {
		want = append(want, "zz.wav")
	}
	for i := range want {
		want[i] = filepath.Join(folder, filepath.FromSlash(want[i]))
	}
	extra := filepath.Join(folder, "sound-without-name")
	want = append(want, extra, filepath.Join(folder, "gone.wav"))
	stdout, _, code := runCommand(context.Background(), "probe --json "+strings.Join([]string{folder, extra, want[len(want)-1]}, " "))
	var got []string
	failed := 0
	for _, line := range probeLines(t, stdout) {
		got = append(got, line["file"].(string))
		if line["error"] != nil {
			failed++
		}
	}
	if code != exitFailure || failed != 2 || !slices.Equal(got, want) {
		t.Errorf("exit code %d, %d failed\ngot  %q\nwant %q", code, failed, got, want)
	}

	empty := probeFolder(t, map[string][]byte{"notes.txt": nil})
	stdout, _, code = runCommand(context.Background(), "probe --json "+empty)
	if lines := probeLines(t, stdout); code != exitFailure || len(lines) != 1 || lines[0]["file"] != empty || lines[0]["error"] == nil {
		t.Errorf("a folder without recordings: exit code %d, %s", code, stdout)
	}
}

// TestProbeTable looks at what is printed for people.
func TestProbeTable(t *testing.T) {
	odd := probeWAV(80000)
	odd[4]++
	folder := probeFolder(t, map[string][]byte{"odd.wav": odd, "text.wav": []byte("hello")})
	stdout, stderr, code := runCommand(context.Background(), "probe "+folder)
	for _, want := range []string{"RIFF PCM", "8000", "80000", "0:10.000", "1.000000", "0.0", filepath.Join(folder, "odd.wav") + "\n",
		"    chunks: fmt 16, data 320000\n", "    odd: RIFF size 1 too large\n", "error: " + filepath.Join(folder, "text.wav") + ": at byte 0"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if code != exitFailure || stderr != "vqaudio: 1 of 2 could not be read\n" {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	if _, stderr, code := runCommand(context.Background(), "probe"); code != exitUsage || !strings.Contains(stderr, "hint: ") {
		t.Errorf("without a name: exit code %d, %q", code, stderr)
	}
	for seconds, want := range map[float64]string{0: "0:00.000", 59.9994: "0:59.999", 59.9996: "1:00.000", 3723.456: "1:02:03.456", 36000: "10:00:00.000"} {
		if got := clock(seconds); got != want {
			t.Errorf("clock(%v) is %s, want %s", seconds, got, want)
		}
	}
}

// TestProbeStandardInput reads a pipe.
func TestProbeStandardInput(t *testing.T) {
	defer func(old *os.File) { os.Stdin = old }(os.Stdin)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdin = in
	go func() {
		io.Copy(out, bytes.NewReader(probeWAV(5000)))
		out.Close()
	}()
	stdout, _, code := runCommand(context.Background(), "probe --json -")
	if lines := probeLines(t, stdout); code != exitOK || len(lines) != 1 || lines[0]["file"] != "-" || lines[0]["frames"] != 5000. {
		t.Errorf("exit code %d, %s", code, stdout)
	}
}

// TestProbeCases probes the awkward files: those that cannot be read are the ones that may not be.
func TestProbeCases(t *testing.T) {
	folder := shared.Data(t, "wav-cases")
	stdout, stderr, code := runCommand(context.Background(), "probe --json "+folder)
	lines := probeLines(t, stdout)
	failed := 0
	for _, line := range lines {
		if line["error"] != nil {
			failed++
		}
	}
	if code != exitFailure || len(lines) != 99 || failed != 17 || !strings.Contains(stderr, "17 of 99") {
		t.Errorf("exit code %d, %d of %d failed, %q", code, failed, len(lines), stderr)
	}
}
