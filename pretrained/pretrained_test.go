package pretrained

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
)

// What is in this folder belongs together.
func TestBelongTogether(t *testing.T) {
	m, err := Model(dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Prior(dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := checkpoint.Fingerprint(m.Model)
	if _, err := p.Prior.Config.For(m.Model.Config, fingerprint); err != nil {
		t.Error(err)
	}
	if !m.Model.HasTimbres() || m.Training != nil || p.Training != nil {
		t.Error("no timbres, or the state of a training")
	}
	if !strings.Contains(About, fingerprint) || !strings.Contains(About, checkpoint.PriorFingerprint(p.Prior)) {
		t.Error("README.md is about another model, or another prior")
	}
	names := m.Model.Speakers.Names()
	for _, name := range names {
		if AboutVoice(name) == "" {
			t.Errorf("nothing is known of %s", name)
		}
	}
	for _, name := range Voices {
		if !slices.Contains(names, name) {
			t.Errorf("%s is no speaker", name)
		}
	}
	if AboutVoice("nobody") != "" || AboutVoice("") != "" {
		t.Error("something is known of nobody")
	}
	r, err := Likelihood()
	if err != nil || !(r.True > 0 && r.True < r.Shuffled && r.True < r.WrongSpeaker && r.True < math.Log(256)) || r.Entries != m.Model.Config.Bottleneck.Codes() {
		t.Errorf("likelihoods %+v, %v", r, err)
	}
	if n := len(model) + len(prior); n > 8e6 {
		t.Errorf("%d bytes, want at most 8 million", n)
	}
}
