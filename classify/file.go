package classify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/safetensors"
	"github.com/vqaudio/vqaudio/nn"
)

// Classifier is a net with the names of its classes.
type Classifier struct {
	Name     string          `json:"name"`     // of the classifier in its file: "speakers"
	Config   Config          `json:"config"`   // of Net
	Labels   []string        `json:"labels"`   // of the classes, each once
	Settings json.RawMessage `json:"settings"` // of whoever trained it: JSON, which this package does not look into

	Net *Net `json:"-"`
}

// The metadata of a file.
const (
	format         = "vqaudio classifier/1"
	formatKey      = "format"
	classifiersKey = "classifiers"
)

// tensors returns all tensors of a classifier by their names in a file.
func (c *Classifier) tensors() nn.Parameters {
	return append(c.Net.Parameters(), c.Net.State()...).Named(c.Name)
}

// Save writes classifiers to a file in the safetensors format, whole or not at all: all tensors F32, the name of the classifier
// before theirs ("speakers.layers.0.weight"), and in the metadata "format" and "classifiers", the list as JSON. It panics if
// there is not one label for each class.
func Save(name string, list []Classifier) error {
	for _, c := range list {
		if len(c.Labels) != c.Net.Config.Classes {
			panic(fmt.Sprintf("classify.Save: %d labels for %d classes", len(c.Labels), c.Net.Config.Classes))
		}
	}
	b, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var tensors []safetensors.Tensor
	for i := range list {
		for _, p := range list[i].tensors() {
			tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Value.Shape(), Data: p.Value.Data})
		}
	}
	return safetensors.Write(name, map[string]string{formatKey: format, classifiersKey: string(b)}, tensors)
}

// Load reads what Save has written. A file that is damaged or something else is a [*files.FormatError], one of a later version a
// [*files.UnsupportedError]. It takes no more memory than a few times the size of the file.
func Load(name string) ([]Classifier, error) {
	f, err := safetensors.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	version := f.Metadata[formatKey]
	if !strings.HasPrefix(version, "vqaudio classifier/") {
		return nil, wrong(name, fmt.Sprintf("metadata %s %q", formatKey, version), fmt.Sprintf("%q: classifiers of vqaudio", format))
	}
	if err := f.Verify(); err != nil {
		return nil, err
	}
	if version != format {
		return nil, &files.UnsupportedError{File: name, Offset: headerOffset, What: fmt.Sprintf("format %.40q", version)}
	}
	list, err := parse(f.Metadata[classifiersKey])
	if err != nil {
		return nil, wrong(name, classifiersKey+": "+err.Error(), "classifiers that can be")
	}
	var elements, want int64
	for _, t := range f.Tensors {
		elements += int64(t.Len())
	}
	for i := range list {
		want += list[i].Config.Elements()
	}
	if elements != want {
		return nil, wrong(name, fmt.Sprintf("tensors of %d elements in all", elements), fmt.Sprintf("the %d that %s describes", want, classifiersKey))
	}
	missing := map[string]*nn.Parameter{}
	for i := range list {
		list[i].Net = New(list[i].Config, nil)
		for _, p := range list[i].tensors() {
			missing[p.Name] = p
		}
	}
	for _, t := range f.Tensors {
		p := missing[t.Name]
		if p == nil || t.DType != safetensors.F32 || !slices.Equal(t.Shape, p.Value.Shape()) {
			return nil, wrong(name, fmt.Sprintf("tensor %q, %v", t.Name, t), fmt.Sprintf("those that %s describes", classifiersKey))
		}
		delete(missing, t.Name)
		if err := f.Read(t, p.Value.Data); err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(p.Value.Data, func(v float32) bool { return v-v != 0 }); i >= 0 {
			return nil, wrong(name, fmt.Sprintf("%v in tensor %q, element %d", p.Value.Data[i], t.Name, i), "a finite number")
		}
	}
	if len(missing) > 0 {
		return nil, wrong(name, fmt.Sprintf("%d tensors missing", len(missing)), fmt.Sprintf("all that %s describes", classifiersKey))
	}
	return list, nil
}

// headerOffset is where the header of a file begins, the place of errors that are about its metadata.
const headerOffset = 8

func wrong(name, found, expected string) error {
	return &files.FormatError{File: name, Offset: headerOffset, Found: fmt.Sprintf("%.200s", found), Expected: expected}
}

// parse reads the list of classifiers, and checks it.
func parse(text string) ([]Classifier, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var list []Classifier
	if err := d.Decode(&list); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more text behind the JSON")
	}
	names := map[string]bool{}
	for _, c := range list {
		if err := c.Config.Check(); err != nil {
			return nil, err
		}
		if names[c.Name] || len(c.Labels) != c.Config.Classes {
			return nil, fmt.Errorf("%q twice, or %d labels for its %d classes", c.Name, len(c.Labels), c.Config.Classes)
		}
		names[c.Name] = true
		labels := map[string]bool{}
		for _, l := range c.Labels {
			if labels[l] {
				return nil, fmt.Errorf("class %q twice", l)
			}
			labels[l] = true
		}
	}
	return list, nil
}
