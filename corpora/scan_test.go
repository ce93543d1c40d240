package corpora

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/internal/shared"
)

// defects plants a folder with a recording of every kind of trouble, and the manifest that lists it.
func defects(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	clipped, quiet := make([]float64, 4000), tone("quiet", 4000)
	for i := range clipped {
		clipped[i] = max(-1, min(1, 2*math.Sin(2*math.Pi*float64(i)/400)))
		quiet[i] *= 0.001
	}
	whole := wavFile(t, 16000, 1, tone("truncated", 4000))
	for name, data := range map[string][]byte{
		"good.wav":      wavFile(t, 16000, 1, tone("good", 4000)),
		"again.wav":     wavFile(t, 8000, 1, tone("good", 4000)), // another rate, the same samples
		"stereo.wav":    wavFile(t, 44100, 2, tone("good", 8820)),
		"clipped.wav":   wavFile(t, 16000, 1, clipped),
		"quiet.wav":     wavFile(t, 16000, 1, quiet),
		"silent.wav":    wavFile(t, 16000, 1, make([]float64, 4000)),
		"truncated.wav": whole[:len(whole)-2000],
		"short.wav":     wavFile(t, 16000, 1, tone("short", 1599)),
		"empty.wav":     wavFile(t, 16000, 1, nil),
		"odd.wav":       append(wavFile(t, 16000, 1, tone("odd", 4000)), make([]byte, 12)...),
		"text.wav":      []byte("this is not sound\n"),
		"nothing.wav":   nil,
	} {
		plantFile(t, folder, name, data)
	}
	if err := os.Mkdir(filepath.Join(folder, "folder.wav"), 0o755); err != nil {
		t.Fatal(err)
	}
	plantFile(t, folder, "all.tsv", []byte("path\tspeaker\tframes\tsource_rate\tmood\n"+
		"good.wav\tann\t4000\t48000\tgay\nagain.wav\tann\t3999\t-\t-\nstereo.wav\tann\t-\t-\t-\nclipped.wav\tann\t-\t-\t-\n"+
		"quiet.wav\tbob\t-\t-\t-\nsilent.wav\tbob\t-\t-\t-\ntruncated.wav\tann\t-\t-\t-\nshort.wav\tann\t-\t-\t-\n"+
		"empty.wav\tann\t-\t-\t-\nodd.wav\tann\t-\t-\t-\ntext.wav\tann\t-\t-\t-\nnothing.wav\tann\t-\t-\t-\n"+
		"folder.wav\tann\t-\t-\t-\nnone.wav\tann\t-\t-\t-\n"))
	return folder
}

func TestScanFindsDefects(t *testing.T) {
	folder := defects(t)
	r, err := Scan(context.Background(), filepath.Join(folder, "all.tsv"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range r.Problems {
		got = append(got, fmt.Sprintf("%s: %s: %s: %s", p.Severity, p.Kind, p.Path, p.Detail))
		for _, known := range []string{"at byte 0: found ", "0.188 s are there: ", "RIFF size 12 too small"} { // the rest is the reader's
			if strings.HasPrefix(p.Detail, known) {
				got[len(got)-1] = fmt.Sprintf("%s: %s: %s: %s", p.Severity, p.Kind, p.Path, known)
			}
		}
	}
	want := []string{
		"error: unreadable: folder.wav: not a file",
		"error: unreadable: nothing.wav: at byte 0: found ",
		"error: unreadable: text.wav: at byte 0: found ",
		"error: missing: none.wav: no such file",
		"error: empty: empty.wav: no samples",
		"warning: truncated: truncated.wav: 0.188 s are there: ",
		"warning: clipped: clipped.wav: 2660 samples at full scale", // of 400 in a period those with |sin| of 1/2 and more: 2 x 133
		"warning: silent: quiet.wav: peak -66.2 dBFS",               // 16 steps of 2^-15
		"warning: silent: silent.wav: all samples are zero",
		"warning: duplicate: again.wav: same samples as good.wav",
		"warning: short: short.wav: 0.100 s",
		"warning: differs: again.wav: 4000 samples a channel, the manifest says 3999",
		"note: odd: odd.wav: RIFF size 12 too small",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if r.LeftOut != 5 || r.Utterances != 9 || len(r.Manifest.Utterances) != 9 {
		t.Errorf("%d left out, %d in the manifest", r.LeftOut, r.Utterances)
	}

	u := r.Manifest.Utterances
	if u[0].Frames != 4000 || u[0].Seconds != 0.25 || u[0].SourceRate != 48000 || u[0].Extra[0] != "gay" || u[0].Split != SplitOf("ann", "good") {
		t.Errorf("good.wav: %+v", u[0])
	}
	if u[1].Frames != 4000 || u[1].Seconds != 0.5 || u[1].SourceRate != 8000 {
		t.Errorf("again.wav: %+v", u[1])
	}
	if u[2].Frames != 4410 || u[2].Seconds != 0.1 || u[2].SourceRate != 44100 {
		t.Errorf("stereo.wav: %+v", u[2])
	}
	if want := []Part{{"8000", 1, 0.5}, {"16000", 7, r.Seconds - 0.6}, {"44100", 1, 0.1}}; !near(r.Rates, want) {
		t.Errorf("rates %+v, want %+v", r.Rates, want)
	}
	if want := []Part{{"1", 8, r.Seconds - 0.1}, {"2", 1, 0.1}}; !near(r.Channels, want) {
		t.Errorf("channels %+v, want %+v", r.Channels, want)
	}
	if want := []Part{{"PCM", 9, r.Seconds}}; !near(r.Encodings, want) {
		t.Errorf("encodings %+v, want %+v", r.Encodings, want)
	}
	if len(r.Speakers) != 2 || r.Speakers[0].Name != "ann" || r.Speakers[0].Utterances != 7 || r.Speakers[1].Seconds != 0.5 {
		t.Errorf("speakers %+v", r.Speakers)
	}
	// Bob's 4000 samples of a tone at -66 dBFS (-69 RMS) and 4000 zeros: half the power, -72.
	if bob := r.Speakers[1]; bob.RMS == nil || math.Abs(*bob.RMS+72.04) > 0.1 || math.Abs(*bob.Peak+66.23) > 0.01 {
		t.Errorf("bob %+v", bob)
	}
	if math.Abs(r.RMS.Min+69.03) > 0.1 || math.Abs(r.RMS.Median+9.03) > 0.1 || math.Abs(r.Peak.Max) > 0.001 {
		t.Errorf("RMS %+v, peak %+v", r.RMS, r.Peak)
	}
	if text, err := json.Marshal(r); err != nil || !bytes.Contains(text, []byte(`"rms_dbfs":{"min":-69.0`)) {
		t.Errorf("%s, %v", text, err)
	}
}

// TestScanTooLoud scans floats beyond full scale, which nothing has cut off there.
func TestScanTooLoud(t *testing.T) {
	folder := t.TempDir()
	plantFile(t, folder, "ann/loud.wav", encodedFile(t, 16000, 1, audio.Float32, slices.Repeat([]float64{2, 0, -2, -2, -2, 0}, 1000)))
	r, err := Scan(context.Background(), folder, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Problem{{Path: "ann/loud.wav", Kind: TooLoud, Severity: Warning, Detail: "peak 6.0 dBFS"}}
	if !slices.Equal(r.Problems, want) || r.Utterances != 1 {
		t.Errorf("%+v, want %+v", r.Problems, want)
	}
}

// TestScanFaintest scans samples whose squares vanish: levels in a report are finite, or absent.
func TestScanFaintest(t *testing.T) {
	folder := t.TempDir()
	data := []byte("RIFF\x44\x03\x00\x00WAVEfmt \x10\x00\x00\x00\x03\x00\x01\x00\x64\x00\x00\x00\x20\x03\x00\x00\x08\x00\x40\x00data\x20\x03\x00\x00")
	for range 100 {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(1e-200))
	}
	plantFile(t, folder, "ann/faint.wav", data)
	r, err := Scan(context.Background(), folder, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) != 1 || r.Problems[0].Kind != Silent || r.RMS != nil || r.Speakers[0].RMS != nil {
		t.Errorf("%+v", r)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

// near compares parts, with lengths up to rounding.
func near(a, b []Part) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Value != b[i].Value || a[i].Utterances != b[i].Utterances || math.Abs(a[i].Seconds-b[i].Seconds) > 1e-9 {
			return false
		}
	}
	return true
}

// TestScanAgain scans what a scan has written: nothing changes, down to the bytes.
func TestScanAgain(t *testing.T) {
	folder := defects(t)
	var texts [][]byte
	source := filepath.Join(folder, "all.tsv")
	for range 2 {
		r, err := Scan(context.Background(), source, Options{})
		if err != nil {
			t.Fatal(err)
		}
		source = filepath.Join(folder, "out.tsv")
		if err := r.Manifest.Write(source); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if !bytes.Equal(texts[0], texts[1]) || bytes.Count(texts[0], []byte("\n")) != 10 {
		t.Errorf("wrote\n%sthen\n%s", texts[0], texts[1])
	}
}

// TestScanOnAnyThreads expects the same report, to the last bit, from 1 to 8 threads.
func TestScanOnAnyThreads(t *testing.T) {
	folder := defects(t)
	before := parallel.Threads()
	defer parallel.SetThreads(before)
	var first []byte
	for _, threads := range []int{1, 2, 3, 8} {
		parallel.SetThreads(threads)
		r, err := Scan(context.Background(), folder, Options{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(struct {
			*Report
			Manifest *Manifest
		}{r, r.Manifest})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = text
		}
		if !bytes.Equal(text, first) {
			t.Errorf("%d threads report\n%s\none\n%s", threads, text, first)
		}
	}
}

func TestScanIsCancelled(t *testing.T) {
	folder := defects(t)
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	r, err := Scan(ctx, folder, Options{Progress: func(done, total int) {
		if calls++; done != calls || total != 12 {
			t.Errorf("call %d: %d of %d", calls, done, total)
		}
		cancel()
	}})
	if r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("report %v, error %v", r, err)
	}
	if calls > parallel.Threads()+1 {
		t.Errorf("%d files after the end", calls)
	}
}

// TestScanSpeech scans the shared speech by its manifest, which knows the number of samples, and as plain folders.
func TestScanSpeech(t *testing.T) {
	folder := shared.Data(t, "speech")
	if testing.Short() {
		t.Skip("needs ten seconds for 1.6 hours of speech: not with -short")
	}
	listed, err := ReadManifest(filepath.Join(folder, "manifest.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Scan(context.Background(), folder, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Layout != "manifest" || len(r.Problems) != 0 || len(r.Speakers) != 106 || math.Abs(r.Seconds/3600-1.62) > 0.005 {
		t.Errorf("layout %s, %d speakers, %.3f h, problems %v", r.Layout, len(r.Speakers), r.Seconds/3600, r.Problems)
	}
	// Frames that differ would be a problem. Everything else is as it was, but for lengths that the file rounds.
	for i := range listed.Utterances {
		if math.Abs(listed.Utterances[i].Seconds-r.Manifest.Utterances[i].Seconds) > 0.000501 {
			t.Errorf("%+v", r.Manifest.Utterances[i])
		}
		listed.Utterances[i].Seconds = r.Manifest.Utterances[i].Seconds
	}
	if !reflect.DeepEqual(listed, r.Manifest) {
		t.Error("the manifest is another")
	}
	for i, n := range []int{3516, 426, 526} {
		if r.Splits[i].Utterances != n {
			t.Errorf("splits %+v", r.Splits)
		}
	}

	plain, err := Scan(context.Background(), folder, Options{Layout: "folders"})
	if err != nil {
		t.Fatal(err)
	}
	if len(plain.Problems) != 0 || plain.Utterances != 4468 || len(plain.Speakers) != 106 || *plain.RMS != *r.RMS || *plain.Peak != *r.Peak {
		t.Errorf("as folders: %d utterances, %d speakers, RMS %+v, peak %+v, problems %v", plain.Utterances, len(plain.Speakers), plain.RMS, plain.Peak, plain.Problems)
	}
	frames := map[string]int64{}
	for _, u := range listed.Utterances {
		frames[u.Path] = u.Frames
	}
	for _, u := range plain.Manifest.Utterances {
		if frames[u.Path] != u.Frames {
			t.Errorf("%s: %d samples, want %d", u.Path, u.Frames, frames[u.Path])
		}
	}
}

// TestScanWAVCases scans files of all sorts, and compares what is left out with what the table of cases says.
func TestScanWAVCases(t *testing.T) {
	folder := shared.Data(t, "wav-cases")
	text, err := os.ReadFile(filepath.Join(folder, "cases.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	expect := map[string]string{}
	var file, column int
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		f := strings.Split(line, "\t")
		if i == 0 {
			file, column = index(t, f, "file"), index(t, f, "expect")
			continue
		}
		expect[f[file]] = f[column]
	}
	r, err := Scan(context.Background(), folder, Options{Layout: "folders"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Utterances+r.LeftOut != len(expect) {
		t.Errorf("%d in the manifest, %d left out, of %d", r.Utterances, r.LeftOut, len(expect))
	}
	for _, u := range r.Manifest.Utterances {
		if expect[u.Path] == "reject" {
			t.Errorf("%s was read", u.Path)
		}
	}
	for _, p := range r.Problems {
		if p.Severity == Error && expect[p.Path] == "read" {
			t.Errorf("%s: %s", p.Path, p.Detail)
		}
	}
}

func index(t *testing.T, fields []string, name string) int {
	t.Helper()
	for i, f := range fields {
		if f == name {
			return i
		}
	}
	t.Fatalf("no column %s in %v", name, fields)
	return -1
}
