package vqvae

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/tensor"
)

// voicesModel is a model whose voices are known.
func voicesModel(t *testing.T) *Model {
	t.Helper()
	c := tiny()
	c.Decoder.Speaker = 2
	m, err := New(c, []string{"ann", "bob", "kim"}, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	copy(m.Voices.Table.Value.Data, []float32{1, 2, 3, -4, 0.1, 0.7})
	return m
}

func TestVoice(t *testing.T) {
	m := voicesModel(t)
	for _, c := range []struct {
		mix  string
		want []float32
	}{
		{"ann", []float32{1, 2}}, {"kim", []float32{0.1, 0.7}}, {"ann:1,bob:1", []float32{2, -1}}, {"bob:3,ann:1", []float32{2.5, -2.5}},
	} {
		mix, err := m.Speakers.Mix(c.mix)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Voice(mix); !slices.Equal(got, c.want) {
			t.Errorf("%s is %v, want %v", c.mix, got, c.want)
		}
	}
}

func TestChangeVoices(t *testing.T) {
	m := voicesModel(t)
	before := m.Voices.Table.Value.Data
	was := slices.Clone(before)
	for _, c := range []struct {
		what  string
		of    func() (*Model, error)
		names []string
		rows  []float32
	}{
		{"one more", func() (*Model, error) { return m.WithVoice("zoe", []float32{8, 9}, Timbre{}) }, []string{"ann", "bob", "kim", "zoe"}, []float32{1, 2, 3, -4, 0.1, 0.7, 8, 9}},
		{"another", func() (*Model, error) { return m.WithVoice("bob", []float32{8, 9}, Timbre{}) }, []string{"ann", "bob", "kim"}, []float32{1, 2, 8, 9, 0.1, 0.7}},
		{"without the first", func() (*Model, error) { return m.WithoutVoice("ann") }, []string{"bob", "kim"}, []float32{3, -4, 0.1, 0.7}},
		{"without the last", func() (*Model, error) { return m.WithoutVoice("kim") }, []string{"ann", "bob"}, []float32{1, 2, 3, -4}},
	} {
		got, err := c.of()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Speakers.Names(), c.names) || !slices.Equal(got.Voices.Table.Value.Data, c.rows) || got.Voices.Table.Value.Dim(0) != len(c.names) {
			t.Errorf("%s: %q, %v of shape %v", c.what, got.Speakers.Names(), got.Voices.Table.Value.Data, got.Voices.Table.Value)
		}
		if got.Parameters().Find("speakers.weight").Value.Len() != len(c.rows) || got.Parameters().Find("speakers.weight").Grad.Len() != len(c.rows) {
			t.Errorf("%s: not a parameter of the model", c.what)
		}
		got.Voices.Table.Value.Data[0] = 100
	}
	if !slices.Equal(before, was) || m.Speakers.Len() != 3 {
		t.Errorf("the model is changed: %v", before)
	}

	// It speaks in the new voice as in the same one under another name, and as before in those it had.
	more, err := m.WithVoice("ann again", []float32{1, 2}, Timbre{})
	if err != nil {
		t.Fatal(err)
	}
	a, hop := new(tensor.Arena), m.Config.Hop()
	levels, local := make([]int32, 4*hop), a.Zeros(1, 4, m.Config.Bottleneck.Dim)
	for i := range levels {
		levels[i] = int32(i % m.Config.Levels)
	}
	nll := func(m *Model, id int32) float64 { return m.NLL(a, levels, 1, local, []int32{id}) }
	if nll(more, 3) != nll(m, 0) || nll(more, 1) != nll(m, 1) || nll(m, 1) == nll(m, 0) {
		t.Errorf("likelihoods %v %v, %v %v", nll(more, 3), nll(m, 0), nll(more, 1), nll(m, 1))
	}
}

func TestChangeVoicesRefuses(t *testing.T) {
	m := voicesModel(t)
	var unknown *speaker.UnknownError
	if _, err := m.WithoutVoice("an"); !errors.As(err, &unknown) || unknown.Near[0] != "ann" {
		t.Errorf("of an unknown name: %v", err)
	}
	if _, err := m.WithVoice("", []float32{1, 2}, Timbre{}); err == nil {
		t.Error("no name is a name")
	}
	for _, name := range []string{"ann", "bob"} {
		var err error
		if m, err = m.WithoutVoice(name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.WithoutVoice("kim"); err == nil || !strings.Contains(err.Error(), "only speaker") {
		t.Errorf("of the last: %v", err)
	}
	mute := tiny()
	mute.Decoder.Speaker = 0
	one, err := New(mute, []string{"ann", "bob"}, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.WithVoice("zoe", nil, Timbre{}); err == nil || !strings.Contains(err.Error(), "knows no speakers") {
		t.Errorf("of a model of one voice: %v", err)
	}
	if _, err := one.WithoutVoice("ann"); err == nil || !strings.Contains(err.Error(), "knows no speakers") {
		t.Errorf("of a model of one voice: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a vector of another length does not panic")
		}
	}()
	_, _ = voicesModel(t).WithVoice("zoe", []float32{1}, Timbre{})
}
