package checkpoint

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/safetensors"
	"github.com/vqaudio/vqaudio/vqvae"
)

// picturesConfig is the shape of a model of pictures for tests.
func picturesConfig() vqvae.Config {
	return vqvae.Config{
		Image:      &vqvae.ImageConfig{Height: 8, Width: 4, Channels: 3, Layers: []int{4, 5}, Blocks: 1, Hidden: 3, Mixture: 2},
		Bottleneck: tiny.Bottleneck,
	}
}

// TestImageRoundTrip: a model of pictures is read as it was written, with its training and without.
func TestImageRoundTrip(t *testing.T) {
	want := newFile(t, picturesConfig())
	for _, f := range []*File{want, {Model: want.Model}} {
		name, data := save(t, f)
		got, err := Load(name, dilated.Float32)
		if err != nil {
			t.Fatal(err)
		}
		sameTensors(t, tensors(got.Model), tensors(want.Model))
		sameTensors(t, got.State, f.State)
		if !reflect.DeepEqual(got.Model.Config, want.Model.Config) || Fingerprint(got.Model) != Fingerprint(want.Model) {
			t.Errorf("configuration %+v", got.Model.Config)
		}
		if _, again := save(t, got); !bytes.Equal(again, data) {
			t.Error("written again it is another file")
		}
	}
}

// TestImageConfigRefused: configurations that no model of pictures can have, or whose tensors the file does not hold.
func TestImageConfigRefused(t *testing.T) {
	_, data := save(t, &File{Model: newFile(t, picturesConfig()).Model})
	st, err := safetensors.Open(writeTemp(t, data))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var list []safetensors.Tensor
	for _, info := range st.Tensors {
		x := make([]float32, info.Len())
		if err := st.Read(info, x); err != nil {
			t.Fatal(err)
		}
		list = append(list, safetensors.Tensor{Name: info.Name, Shape: info.Shape, Data: x})
	}
	for want, change := range map[string][2]string{
		"image height 0":          {`"height":8`, `"height":0`},
		"image height -8":         {`"height":8`, `"height":-8`},
		"elements of activations": {`"height":8,"width":4`, `"height":4096,"width":4096`},
		"want multiples of 4":     {`"height":8`, `"height":6`},
		"image channels 2":        {`"channels":3`, `"channels":2`},
		"image layers 0":          {`"layers":[4,5]`, `"layers":[]`},
		"image layers 70":         {`"layers":[4,5]`, `"layers":[1` + strings.Repeat(",1", 69) + `]`},
		"1048576: want 1 to 4096": {`"hidden":3`, `"hidden":1048576`},
		"mixture 1000000":         {`"mixture":2`, `"mixture":1000000`},
		"which are of sound":      {`{"image"`, `{"rate":16000,"image"`},
		`unknown field "depth"`:   {`"mixture"`, `"depth"`},
		"tensors of":              {`"layers":[4,5]`, `"layers":[64,64]`},
		"encoder.first.0.weight":  {`"layers":[4,5]`, `"layers":[3,5]`},
	} {
		metadata := map[string]string{}
		for k, v := range st.Metadata {
			metadata[k] = v
		}
		if !strings.Contains(metadata[configKey], change[0]) {
			t.Fatalf("no %s in %s", change[0], metadata[configKey])
		}
		metadata[configKey] = strings.Replace(metadata[configKey], change[0], change[1], 1)
		name := filepath.Join(t.TempDir(), "x.safetensors")
		if err := safetensors.Write(name, metadata, list); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(name, dilated.Float32); !errors.As(err, new(*files.FormatError)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// writeTemp writes data to a file.
func writeTemp(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x.safetensors")
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}
