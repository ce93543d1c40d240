package audio_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	goaudio "github.com/go-audio/audio"

	"github.com/vqaudio/vqaudio/audio"
)

func ExampleMono() {
	stereo := audio.FromBuffer(&goaudio.FloatBuffer{
		Format: &audio.Format{NumChannels: 2, SampleRate: 16000},
		Data:   []float64{0.5, 0.25, -1, 0, 1, 1},
	})
	mono, err := audio.ReadAll(audio.Mono(stereo))
	fmt.Println(mono.Data, err)
	// Output: [0.375 -0.5 1] <nil>
}

// ramp is a source whose channel c has the sample 1000 c + t at time t. It hands out blocks of changing size.
type ramp struct {
	channels, frames, next, call int
	err                          error // at the end
}

func (r *ramp) Format() audio.Format {
	return audio.Format{NumChannels: r.channels, SampleRate: 16000}
}

func (r *ramp) Read(block []float64) (int, error) {
	if len(block) < r.channels {
		return 0, fmt.Errorf("asked for %d samples of %d channels", len(block), r.channels)
	}
	if r.next == r.frames {
		return 0, r.err
	}
	r.call++
	n := min(len(block)/r.channels, r.frames-r.next, 1+r.call%7)
	for t := range n {
		for c := range r.channels {
			block[t*r.channels+c] = float64(1000*c + r.next + t)
		}
	}
	r.next += n
	return n * r.channels, nil
}

func TestMonoAndChannel(t *testing.T) {
	const frames = 100
	for _, channels := range []int{1, 2, 3, 8, 40000} {
		sources := map[string]func(audio.Source) audio.Source{"mean": audio.Mono}
		for _, c := range []int{0, channels / 2, channels - 1} {
			sources[fmt.Sprint(c)] = func(src audio.Source) audio.Source {
				one, err := audio.Channel(src, c)
				if err != nil {
					t.Fatal(err)
				}
				return one
			}
		}
		for name, make := range sources {
			base := 500 * float64(channels-1)
			if name != "mean" {
				fmt.Sscan(name, &base)
				base *= 1000
			}
			all, err := audio.ReadAll(make(&ramp{channels: channels, frames: frames, err: io.EOF}))
			if err != nil || all.Format.NumChannels != 1 || all.Format.SampleRate != 16000 || len(all.Data) != frames {
				t.Fatalf("%s of %d: %d samples, %v, %v", name, channels, len(all.Data), all.Format, err)
			}
			for i, x := range all.Data {
				if x != base+float64(i) {
					t.Fatalf("%s of %d: sample %d is %v, want %v", name, channels, i, x, base+float64(i))
				}
			}
		}
	}
}

// TestOneChannelIsItself: nothing to do, nothing in between.
func TestOneChannelIsItself(t *testing.T) {
	src := &ramp{channels: 1, frames: 1}
	if audio.Mono(src) != audio.Source(src) {
		t.Error("Mono puts something in front of a mono source")
	}
	if one, err := audio.Channel(src, 0); one != audio.Source(src) || err != nil {
		t.Errorf("Channel puts something in front of a mono source: %v, %v", one, err)
	}
}

func TestNoSuchChannel(t *testing.T) {
	for _, i := range []int{-1, 2, 100} {
		_, err := audio.Channel(&ramp{channels: 2}, i)
		if err == nil || !strings.Contains(err.Error(), "there are 2") {
			t.Errorf("channel %d of 2: %v", i, err)
		}
	}
}

// TestErrorsComeThrough checks that what came before an error stands, and that the error is the source's own.
func TestErrorsComeThrough(t *testing.T) {
	broken := errors.New("broken")
	for name, wrap := range map[string]func(audio.Source) audio.Source{
		"Mono":    audio.Mono,
		"Adjust":  func(src audio.Source) audio.Source { return audio.Adjust(src, 1, 2) },
		"Section": func(src audio.Source) audio.Source { return audio.Section(src, 0, 100) },
	} {
		src := wrap(&ramp{channels: 2, frames: 30, err: broken})
		all, err := audio.ReadAll(src)
		if err != broken || len(all.Data) != 30*src.Format().NumChannels {
			t.Errorf("%s: %d samples, %v", name, len(all.Data), err)
		}
	}
}

func TestSection(t *testing.T) {
	for _, c := range []struct {
		start, end int64
		want       []float64
	}{
		{0, 5, []float64{0, 1, 2, 3, 4}},
		{7, 10, []float64{7, 8, 9}},
		{8, 99, []float64{8, 9}},
		{0, 0, nil}, {3, 3, nil}, {5, 2, nil}, {10, 20, nil}, {50, 60, nil},
	} {
		src := audio.Section(&ramp{channels: 2, frames: 10, err: io.EOF}, c.start, c.end)
		left, err := audio.Channel(src, 0)
		if err != nil {
			t.Fatal(err)
		}
		all, err := audio.ReadAll(left)
		if err != nil || !slices.Equal(all.Data, c.want) {
			t.Errorf("%d to %d: %v, %v, want %v", c.start, c.end, all.Data, err, c.want)
		}
	}
	// Nothing is read beyond the end.
	src := &ramp{channels: 2, frames: 10, err: errors.New("read too far")}
	if _, err := audio.ReadAll(audio.Section(src, 2, 10)); err != nil {
		t.Error(err)
	}
}

func BenchmarkMono(b *testing.B) {
	const frames = 1 << 14
	src := &loop{audio.Format{NumChannels: 2, SampleRate: 48000}, make([]float64, 2*frames)}
	mono, block := audio.Mono(src), make([]float64, frames)
	b.ReportAllocs()
	for b.Loop() {
		for n := 0; n < frames; {
			got, err := mono.Read(block[n:])
			if err != nil {
				b.Fatal(err)
			}
			n += got
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frames, "ns/frame")
}

// loop is a source without end.
type loop struct {
	format audio.Format
	data   []float64
}

func (l *loop) Format() audio.Format              { return l.format }
func (l *loop) Read(block []float64) (int, error) { return copy(block, l.data), nil }
