package classify

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/safetensors"
	"github.com/vqaudio/vqaudio/tensor"
)

// two are classifiers to write.
func two() []Classifier {
	r := rand.New(rand.NewPCG(1, 2))
	return []Classifier{
		{Name: "speakers", Config: vectors, Labels: []string{"ann", "bob", "eve"}, Settings: json.RawMessage(`{"steps":3}`), Net: randomNet(vectors, r)},
		{Name: "words", Config: codes, Labels: []string{"one", "two", "three", "four"}, Settings: json.RawMessage(`null`), Net: randomNet(codes, r)},
	}
}

func TestFile(t *testing.T) {
	name, list := filepath.Join(t.TempDir(), "c.safetensors"), two()
	if err := Save(name, list); err != nil {
		t.Fatal(err)
	}
	got, err := Load(name)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d classifiers, %v", len(got), err)
	}
	for i, c := range got {
		want := list[i]
		if c.Name != want.Name || !slices.Equal(c.Labels, want.Labels) || string(c.Settings) != string(want.Settings) {
			t.Errorf("read %+v, want %+v", c, want)
		}
		b := randomBatch(c.Config, rand.New(rand.NewPCG(1, 1)), 7, 12)
		a := new(tensor.Arena)
		if !slices.Equal(c.Net.Logits(a, b).Data, want.Net.Logits(a, b).Data) {
			t.Errorf("%s: other logits", c.Name)
		}
	}
}

func TestFileRefuses(t *testing.T) {
	dir := t.TempDir()
	name, list := filepath.Join(dir, "c.safetensors"), two()
	write := func(change func(list []Classifier, metadata map[string]string)) {
		list := two()
		metadata := map[string]string{formatKey: format}
		change(list, metadata)
		if metadata[classifiersKey] == "" {
			b, err := json.Marshal(list)
			if err != nil {
				t.Fatal(err)
			}
			metadata[classifiersKey] = string(b)
		}
		var tensors []safetensors.Tensor
		for i := range list {
			for _, p := range list[i].tensors() {
				tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Value.Shape(), Data: p.Value.Data})
			}
		}
		if err := safetensors.Write(name, metadata, tensors); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		change func(list []Classifier, metadata map[string]string)
		want   string
	}{
		{func(_ []Classifier, m map[string]string) { m[formatKey] = "vqaudio/1" }, "classifiers of vqaudio"},
		{func(_ []Classifier, m map[string]string) { m[formatKey] = "vqaudio classifier/2" }, "classifier/2"},
		{func(_ []Classifier, m map[string]string) { m[classifiersKey] = "[" }, "EOF"},
		{func(_ []Classifier, m map[string]string) { m[classifiersKey] = "[] 1" }, "behind"},
		{func(_ []Classifier, m map[string]string) { m[classifiersKey] = `[{"nmae":""}]` }, "nmae"},
		{func(_ []Classifier, m map[string]string) { m[classifiersKey] = `[]` }, "elements"},
		{func(l []Classifier, _ map[string]string) { l[0].Config.Kernels = []int{5, 3, 1 << 40} }, "taps"},
		{func(l []Classifier, _ map[string]string) { l[0].Config.Channels, l[0].Config.Hidden = 4096, 4096 }, "elements"},
		{func(l []Classifier, _ map[string]string) { l[0].Config.Kernels = []int{3, 5, 2} }, "elements"},
		{func(l []Classifier, _ map[string]string) { l[0].Labels[1] = "ann" }, `"ann" twice`},
		{func(l []Classifier, _ map[string]string) { l[0].Labels = l[0].Labels[1:] }, "2 labels"},
		{func(l []Classifier, _ map[string]string) { l[0].Net.Out.Bias.Value.Data[1] = float32(math.NaN()) }, "NaN"},
		{func(l []Classifier, _ map[string]string) {
			l[0].Net.Out.Bias.Value = l[0].Net.Out.Bias.Value.Reshape(3, 1)
		}, "speakers.out.bias"},
	} {
		write(test.change)
		_, err := Load(name)
		var format *files.FormatError
		var unsupported *files.UnsupportedError
		if !errors.As(err, &format) && !errors.As(err, &unsupported) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one with %q", err, test.want)
		}
	}

	if err := Save(name, list); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += 41 {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x10
		for _, data := range [][]byte{whole[:at], damaged} {
			if err := os.WriteFile(name, data, 0o666); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(name); err == nil {
				t.Errorf("damaged at byte %d, %d bytes: no error", at, len(data))
			}
		}
	}
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// FuzzParse: the list in the metadata, which alone decides what is allocated before tensors are compared with it.
func FuzzParse(f *testing.F) {
	list := two()
	b, err := json.Marshal(list)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add(`[{"name":"a","config":{"classes":1,"width":1,"channels":1,"kernels":[1],"dilations":[1],"hidden":1},"labels":[""]}]`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parse(text)
		if err != nil {
			return
		}
		for _, c := range list {
			if n := c.Config.Elements(); n < 1 {
				t.Errorf("%+v has %d elements", c.Config, n)
			}
		}
	})
}
