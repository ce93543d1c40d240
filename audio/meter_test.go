package audio_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	goaudio "github.com/go-audio/audio"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/internal/shared"
)

func ExampleMeter() {
	second := make([]float64, 16000)
	for i := range second {
		second[i] = 0.1 + 0.5*math.Sin(2*math.Pi*440*float64(i)/16000)
	}
	var m audio.Meter
	m.Add(second)
	fmt.Printf("peak %.3f, DC %.3f, RMS %.2f dBFS, without DC %.2f dBFS\n",
		m.Peak(), m.DC(), audio.DBFS(m.RMS()), audio.DBFS(m.Centred().RMS()))
	// Output: peak 0.600, DC 0.100, RMS -8.70 dBFS, without DC -9.03 dBFS
}

func TestMeterKnown(t *testing.T) {
	for _, c := range []struct {
		block                        []float64
		peak, rms, dc, centred, crms float64
	}{
		{nil, 0, 0, 0, 0, 0},
		{[]float64{0, 0}, 0, 0, 0, 0, 0},
		{[]float64{0.5}, 0.5, 0.5, 0.5, 0, 0},
		{[]float64{-0.5, -0.5}, 0.5, 0.5, -0.5, 0, 0},
		{[]float64{0.5, -0.5}, 0.5, 0.5, 0, 0.5, 0.5},
		{[]float64{0.75, 0.25}, 0.75, math.Sqrt(0.3125), 0.5, 0.25, 0.25},
		{[]float64{-3, 1}, 3, math.Sqrt(5), -1, 2, 2},
	} {
		var m audio.Meter
		m.Add(c.block)
		z := m.Centred()
		got := []float64{m.Peak(), m.RMS(), m.DC(), z.Peak(), z.RMS()}
		for i, want := range []float64{c.peak, c.rms, c.dc, c.centred, c.crms} {
			if math.Abs(got[i]-want) > 1e-15 {
				t.Errorf("%v: peak, RMS, DC, and peak and RMS without it: %v, want %v, %v, %v, %v, %v", c.block, got, c.peak, c.rms, c.dc, c.centred, c.crms)
				break
			}
		}
		if m.Samples() != int64(len(c.block)) || z.Samples() != m.Samples() || z.DC() != 0 {
			t.Errorf("%v: %d samples, centred %d with DC %v", c.block, m.Samples(), z.Samples(), z.DC())
		}
	}
}

// TestMeterLong adds what plain sums would get wrong: a loud beginning, then 200 million faint samples that single
// additions would round away or towards one side. The true sums are counted in integers.
func TestMeterLong(t *testing.T) {
	if testing.Short() {
		t.Skip("needs seconds where Go is slow, as with -race: not with -short")
	}
	const blocks, step = 50000, 1.0 / (1 << 23)
	loud, faint := make([]float64, 4000), make([]float64, 4000)
	for i := range loud {
		loud[i], faint[i] = 1, float64(1+i%3)*step/3
	}
	var m audio.Meter
	m.Add(loud)
	plain := 4000.0
	for range blocks {
		m.Add(faint)
	}
	sum, squares := exactSums(faint)
	n := new(big.Float).SetInt64(blocks)
	sum.Mul(sum, n).Add(sum, big.NewFloat(4000))
	squares.Mul(squares, n).Add(squares, big.NewFloat(4000))
	total := float64(4000 * (blocks + 1))
	wantDC, _ := sum.Float64()
	wantSquare, _ := squares.Float64()
	if got, want := m.DC(), wantDC/total; math.Abs(got/want-1) > 1e-13 {
		t.Errorf("DC is %v, want %v (off by %.1g)", got, want, got/want-1)
	}
	if got, want := m.RMS(), math.Sqrt(wantSquare/total); math.Abs(got/want-1) > 1e-13 {
		t.Errorf("RMS is %v, want %v (off by %.1g)", got, want, got/want-1)
	}
	// The test would find a plain sum out.
	for range blocks {
		for _, x := range faint {
			plain += x * x
		}
	}
	if off := math.Abs(math.Sqrt(plain/wantSquare) - 1); off < 1e-13 {
		t.Errorf("a plain sum is off by %.1g only: this test shows nothing", off)
	}
}

// exactSums returns the sums of the samples and of their squares, in 200 bits.
func exactSums(block []float64) (sum, squares *big.Float) {
	sum, squares = new(big.Float).SetPrec(200), new(big.Float).SetPrec(200)
	for _, x := range block {
		b := new(big.Float).SetPrec(200).SetFloat64(x)
		sum.Add(sum, b)
		squares.Add(squares, b.Mul(b, b))
	}
	return sum, squares
}

// TestMeterBlocks checks that it does not matter how a stream is cut into blocks.
func TestMeterBlocks(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	data := make([]float64, 2*20000)
	for i := range data {
		data[i] = min(max(2*random.NormFloat64(), -1), 1)
	}
	whole := audio.Meter{Channels: 2}
	whole.Add(data)
	parts := audio.Meter{Channels: 2}
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 2*random.IntN(5000))
		parts.Add(rest[:n])
		rest = rest[n:]
	}
	if whole.RMS() != parts.RMS() || whole.DC() != parts.DC() || whole.Peak() != parts.Peak() || whole.Clipped() != parts.Clipped() || whole.Samples() != parts.Samples() {
		t.Errorf("RMS, DC, peak, clipped, samples: whole %v %v %v %v %v, in parts %v %v %v %v %v", whole.RMS(), whole.DC(), whole.Peak(), whole.Clipped(), whole.Samples(), parts.RMS(), parts.DC(), parts.Peak(), parts.Clipped(), parts.Samples())
	}
	if whole.Clipped() == 0 {
		t.Error("nothing is clipped: the test shows nothing")
	}
}

func TestMeterMerge(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	data := make([]float64, 30000)
	for i := range data {
		data[i] = random.NormFloat64() + 0.1
	}
	var whole, merged, empty audio.Meter
	whole.Add(data)
	for _, cut := range [][2]int{{0, 0}, {0, 777}, {777, 12000}, {12000, 12001}, {12001, 30000}} {
		var part audio.Meter
		part.Add(data[cut[0]:cut[1]])
		merged.Merge(&part)
	}
	merged.Merge(&empty)
	if math.Abs(merged.RMS()/whole.RMS()-1) > 1e-14 || math.Abs(merged.DC()/whole.DC()-1) > 1e-13 || merged.Peak() != whole.Peak() || merged.Samples() != whole.Samples() {
		t.Errorf("RMS, DC, peak, samples: whole %v %v %v %v, merged %v %v %v %v", whole.RMS(), whole.DC(), whole.Peak(), whole.Samples(), merged.RMS(), merged.DC(), merged.Peak(), merged.Samples())
	}
	// A merged meter measures on.
	merged.Add(data)
	whole.Add(data)
	if math.Abs(merged.RMS()/whole.RMS()-1) > 1e-14 || merged.Samples() != 60000 {
		t.Errorf("after more: RMS %v, %d samples, want %v, 60000", merged.RMS(), merged.Samples(), whole.RMS())
	}
}

// TestMeterOnSpeakers compares levels, pooled over the files of each speaker, with a table that others computed, in tenths
// of a decibel.
func TestMeterOnSpeakers(t *testing.T) {
	if testing.Short() {
		t.Skip("needs seconds for half an hour of speech: not with -short")
	}
	folder := shared.Data(t, "speech")
	speakers := map[string]*audio.Meter{}
	for _, column := range table(t, filepath.Join(folder, "manifest.tsv"), "so762/") { // path, speaker, ...
		r, err := audio.Open(filepath.Join(folder, column[0]))
		if err != nil {
			t.Fatal(err)
		}
		if speakers[column[1]] == nil {
			speakers[column[1]] = new(audio.Meter)
		}
		speakers[column[1]].Merge(meter(t, r))
		r.Close()
	}
	compared := 0
	for _, column := range table(t, filepath.Join(folder, "speakers.tsv"), "so762-") { // speaker, ..., rms_dbfs, range_db
		want, err := strconv.ParseFloat(column[7], 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := audio.DBFS(speakers[column[0]].RMS()); math.Abs(got-want) > 0.0501 {
			t.Errorf("%s: %.2f dBFS, want %.1f", column[0], got, want)
		}
		compared++
	}
	if compared != len(speakers) || compared < 20 {
		t.Errorf("%d speakers compared, %d measured", compared, len(speakers))
	}
}

// table returns the columns of the lines that begin with prefix.
func table(t *testing.T, name, prefix string) (lines [][]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.Split(strings.TrimRight(line, "\n"), "\t"))
		}
	}
	return lines
}

func TestMeterClipped(t *testing.T) {
	const top = 32767.0 / 32768
	for _, c := range []struct {
		what     string
		channels int
		block    []float64
		want     int64
	}{
		{"single ones", 1, []float64{0, top, 0.5, -1, 0, top}, 0},
		{"two in a row", 1, []float64{0, top, top, 0.9, -1, -1}, 0},
		{"three", 1, []float64{0.9, top, top, top, 0.9}, 3},
		{"five and three", 0, []float64{top, top, top, top, top, -1, -1, -1}, 8},
		{"signs that change", 1, []float64{top, -1, top, -1, top, -1}, 0},
		{"interrupted", 1, []float64{top, top, 0.9, top, top}, 0},
		{"beyond", 1, []float64{1, 1.5, 2}, 3},
		{"just below", 1, []float64{0.9999, 0.9999, 0.9999}, 0},
		{"one of two channels", 2, []float64{top, 0, top, 0, top, 0}, 3},
		{"both channels", 2, []float64{top, -1, top, -1, top, -1}, 6},
		{"in neither channel three", 2, []float64{top, top, top, top}, 0},
	} {
		m := audio.Meter{Channels: c.channels}
		m.Add(c.block)
		if got := m.Clipped(); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
		frame := max(1, c.channels)
		one := audio.Meter{Channels: c.channels}
		for i := 0; i < len(c.block); i += frame {
			one.Add(c.block[i : i+frame])
		}
		if got := one.Clipped(); got != c.want {
			t.Errorf("%s, frame by frame: %d, want %d", c.what, got, c.want)
		}
	}
}

// TestMeterClippedSine overdrives a sine and stores it in 16 bits, as recorders do: the count is that of the samples that
// were cut off.
func TestMeterClippedSine(t *testing.T) {
	var m audio.Meter
	var want int64
	for i := range 16000 {
		x := math.Round(32768 * 1.5 * math.Sin(2*math.Pi*100*float64(i)/16000))
		if x > 32767 || x < -32768 {
			want++
		}
		m.Add([]float64{min(max(x, -32768), 32767) / 32768})
	}
	if got := m.Clipped(); got != want || want < 5000 {
		t.Errorf("%d clipped, want %d", got, want)
	}
}

func TestMeterNotFinite(t *testing.T) {
	var m audio.Meter
	m.Add([]float64{0.5, math.NaN(), -0.25})
	if !math.IsNaN(m.RMS()) || !math.IsNaN(m.DC()) || m.Peak() != 0.5 {
		t.Errorf("with NaN: RMS %v, DC %v, peak %v", m.RMS(), m.DC(), m.Peak())
	}
	m = audio.Meter{}
	m.Add([]float64{0.5, math.Inf(-1)})
	if !math.IsInf(m.Peak(), 1) || m.RMS() < math.MaxFloat64 {
		t.Errorf("with -Inf: peak %v, RMS %v", m.Peak(), m.RMS())
	}
}

func TestDBFS(t *testing.T) {
	for x, want := range map[float64]float64{1: 0, 0.5: -6.020599913279624, 10: 20, 0: math.Inf(-1)} {
		if got := audio.DBFS(x); got != want && math.Abs(got-want) > 1e-12 {
			t.Errorf("%v is %v dBFS, want %v", x, got, want)
		}
	}
}

func BenchmarkMeter(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	block := make([]float64, 1<<14)
	for i := range block {
		block[i] = random.NormFloat64() / 10
	}
	var m audio.Meter
	b.ReportAllocs()
	for b.Loop() {
		m.Add(block)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(block)), "ns/sample")
}

// meter measures all of src.
func meter(t testing.TB, src audio.Source) *audio.Meter {
	t.Helper()
	m := &audio.Meter{Channels: src.Format().NumChannels}
	if err := audio.Copy(src, func(block []float64) error { m.Add(block); return nil }); err != nil {
		t.Fatal(err)
	}
	return m
}

// mono returns the source of samples at 16 kHz.
func mono(data []float64) audio.Source {
	return audio.FromBuffer(&goaudio.FloatBuffer{Format: &audio.Format{NumChannels: 1, SampleRate: 16000}, Data: data})
}
