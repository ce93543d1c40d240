package page

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/internal/page/browser"
)

// hostile is what nobody should call a recording.
const hostile = `"><script>alert(1)</script>&<b>`

// sine returns a WAV file of so many seconds at 8 kHz.
func sine(t *testing.T, seconds float64) []byte {
	t.Helper()
	var b bytes.Buffer
	samples := make([]float64, int(8000*seconds))
	for i := range samples {
		samples[i] = 0.3 * math.Sin(float64(i)/3)
	}
	w, err := audio.NewWriter(&b, audio.Format{NumChannels: 1, SampleRate: 8000}, audio.PCM16, int64(len(samples)))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(samples); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// testPage returns the name of a page in a file, and what it shows.
func testPage(t *testing.T) (string, *Page) {
	t.Helper()
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 1200, 300))); err != nil {
		t.Fatal(err)
	}
	p := &Page{
		Title: "A page & more", Intro: []string{"Hello.", hostile},
		Figures: []Figure{{"speed", "3 ×", "of itself"}, {hostile, "1", ""}},
		Sections: []Section{
			{"One", []string{"Text."}, []Clip{
				{Label: "original", WAV: sine(t, 0.5), PNG: picture.Bytes(), Wide: true, File: "1-a:b.wav"},
				{Label: hostile, Note: hostile, WAV: sine(t, 1.25), File: hostile},
			}},
			{strings.Repeat("wide", 100), nil, []Clip{{Label: "third", WAV: sine(t, 2), PNG: picture.Bytes()}}},
		},
		Closing: []Block{{"Try it:", "vqaudio " + strings.Repeat("long ", 100)}},
	}
	name := filepath.Join(t.TempDir(), "page.html")
	if err := p.Write(name); err != nil {
		t.Fatal(err)
	}
	return name, p
}

func TestPage(t *testing.T) {
	name, p := testPage(t)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	html := string(b)
	if strings.Contains(html, "<script>alert") || strings.Contains(html, `alt=""><`) || strings.Contains(html, "ZgotmplZ") {
		t.Error("a hostile name is not escaped, or has become nothing")
	}
	if !strings.Contains(html, `href="./1-a:b.wav"`) {
		t.Error("the file of a clip is not to be had")
	}
	var held [][]byte
	for _, m := range regexp.MustCompile(`src="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		_, code, found := strings.Cut(m[1], ";base64,")
		data, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(code, "&#43;", "+"))
		if !found || err != nil || !strings.HasPrefix(m[1], "data:") {
			t.Fatalf("src %.60q: %v", m[1], err)
		}
		held = append(held, data)
	}
	var want [][]byte
	for _, s := range p.Sections {
		for _, c := range s.Clips {
			if c.PNG != nil {
				want = append(want, c.PNG)
			}
			want = append(want, c.WAV)
		}
	}
	if len(held) != len(want) {
		t.Fatalf("%d sounds and pictures, want %d", len(held), len(want))
	}
	for i := range want {
		if !bytes.Equal(held[i], want[i]) {
			t.Errorf("sound or picture %d has %d bytes, not the %d that were given", i, len(held[i]), len(want[i]))
		}
	}
}

func TestBrowser(t *testing.T) {
	name, _ := testPage(t)
	reports, console := browser.Look(t, name)
	if len(console) > 0 {
		t.Errorf("on the console: %q", console)
	}
	if len(reports) != len(browser.Widths) {
		t.Fatalf("%d reports", len(reports))
	}
	for _, r := range reports {
		if r.Overflow > 0 || r.Pictures != 2 || len(r.Broken) > 0 || r.Playing != 1 || len(r.Errors) > 0 || len(r.Durations) != 3 {
			t.Errorf("%+v", r)
			continue
		}
		for i, want := range []float64{0.5, 1.25, 2} {
			if math.Abs(r.Durations[i]-want) > 0.05 {
				t.Errorf("width %d: player %d is %v s long, want %v", r.Width, i, r.Durations[i], want)
			}
		}
	}
}

// A page that is broken is found to be.
func TestBrowserSees(t *testing.T) {
	name := filepath.Join(t.TempDir(), "page.html")
	broken := `<!doctype html><meta http-equiv="Content-Security-Policy" content="img-src data:"><img src="data:image/png;base64,AAAA" alt="torn"><audio src="data:audio/wav;base64,AAAA"></audio>
		<div style="width:3000px">x</div><script>nothing()</script>`
	if err := os.WriteFile(name, []byte(broken), 0o666); err != nil {
		t.Fatal(err)
	}
	reports, console := browser.Look(t, name)
	if len(console) == 0 {
		t.Error("nothing on the console")
	}
	for _, r := range reports {
		if r.Overflow == 0 || len(r.Broken) != 1 || r.Broken[0] != "torn" || len(r.Durations) != 1 || r.Durations[0] != -1 || r.Playing != 0 {
			t.Errorf("%+v", r)
		}
	}
}
