// Package codes holds a corpus as the codes of a model: encoded once, and kept in a file.
//
// A file is in the safetensors format: "codes" (I32) holds the codes of all utterances, one behind the other, in the order of the
// corpus, "lengths" (I32) how many each has. Its metadata are "format" ("vqaudio codes/1"), "model" and "corpus", which tell model and corpus from
// others, and the checksum of the file.
package codes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/internal/safetensors"
	"github.com/vqaudio/vqaudio/prior"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Codes are those of the utterances of a corpus, in its order: of each, one for each hop of the model that has begun.
type Codes [][]int32

// block is how many samples are encoded at a time.
const block = 1 << 15

// Encode encodes all utterances of a corpus in float32: the codes are those of "vqaudio encode --precision float32". It works on several
// utterances at a time. Progress, which may be nil, is called after each, by one goroutine at a time, with the number of those that are done.
// It returns an error if ctx is cancelled, if the model has no codes, or if its rate is another.
func Encode(ctx context.Context, m *vqvae.Model, cache *corpora.Cache, progress func(done, total int)) (Codes, error) {
	if m.Quantiser == nil {
		return nil, fmt.Errorf("the model has no codes: its bottleneck is %q", m.Config.Bottleneck.Kind)
	}
	if cache.Rate() != m.Config.Rate {
		return nil, fmt.Errorf("the corpus is at %d Hz, the model at %d Hz", cache.Rate(), m.Config.Rate)
	}
	front, err := frontend.New(m.Config)
	if err != nil {
		return nil, err
	}
	m = m.With(dilated.Float32)
	c := make(Codes, len(cache.Utterances()))
	var mu sync.Mutex // guards done, and free
	done, free := 0, []*encoder(nil)
	parallel.For(len(c), func(i int) {
		if ctx.Err() != nil {
			return
		}
		mu.Lock()
		var e *encoder
		if n := len(free); n > 0 {
			e, free = free[n-1], free[:n-1]
		}
		mu.Unlock()
		if e == nil {
			e = &encoder{frontend.NewEncoder(front, m), make([]float32, block), make([]float64, block)}
		}
		codes, err := e.encode(ctx, cache, i)
		if err != nil {
			return // ctx is cancelled
		}
		c[i] = codes
		mu.Lock()
		defer mu.Unlock()
		free = append(free, e)
		if done++; progress != nil {
			progress(done, len(c))
		}
	})
	return c, ctx.Err()
}

// encoder encodes one utterance after the other.
type encoder struct {
	*frontend.Encoder
	samples []float32
	wide    []float64
}

func (e *encoder) encode(ctx context.Context, cache *corpora.Cache, i int) ([]int32, error) {
	n := cache.Utterances()[i].Samples
	var codes []int32
	for at := int64(0); at < n; at += block {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := e.samples[:min(block, n-at)]
		cache.Read(part, i, at)
		for j, v := range part {
			e.wide[j] = float64(v)
		}
		codes = append(codes, e.Write(e.wide[:len(part)]).Codes...)
	}
	return append(codes, e.Close().Codes...), nil
}

// Split returns the utterances of a split of the corpus, "" for all of it, as a prior takes them: a speaker whom table does not have is
// nobody, and has the id table.Len().
func (c Codes) Split(cache *corpora.Cache, split string, table *speaker.Table) []prior.Utterance {
	names := cache.Speakers()
	var list []prior.Utterance
	for i, u := range cache.Utterances() {
		if split != "" && u.Split != split {
			continue
		}
		id, err := table.ID(names[u.SpeakerID])
		if err != nil {
			id = int32(table.Len())
		}
		list = append(list, prior.Utterance{Speaker: id, Codes: c[i]})
	}
	return list
}

// Speakers returns the names of the speakers that a split has, in the order of the corpus.
func Speakers(cache *corpora.Cache, split string) []string {
	var list []string
	has := make([]bool, len(cache.Speakers()))
	for _, u := range cache.Utterances() {
		has[u.SpeakerID] = has[u.SpeakerID] || u.Split == split
	}
	for id, name := range cache.Speakers() {
		if has[id] {
			list = append(list, name)
		}
	}
	return list
}

// The metadata of a file.
const (
	format    = "vqaudio codes/1"
	formatKey = "format"
	modelKey  = "model"
	corpusKey = "corpus"
)

// headerOffset is where the header of a file begins, the place of errors that are about it.
const headerOffset = 8

// StaleError says that a file holds the codes of another model, or of another corpus.
type StaleError struct {
	File       string
	What       string // "model" or "corpus"
	Found, Now string // fingerprints
}

// Error names the file, and which is another.
func (e *StaleError) Error() string {
	return fmt.Sprintf("%s holds the codes of another %s: %.40q, now %q", e.File, e.What, e.Found, e.Now)
}

// Write writes the codes that the model of this fingerprint has made of a corpus, whole or not at all.
func (c Codes) Write(name string, cache *corpora.Cache, fingerprint string) error {
	var all, lengths []int32
	for _, codes := range c {
		all, lengths = append(all, codes...), append(lengths, int32(len(codes)))
	}
	return safetensors.Write(name, map[string]string{formatKey: format, modelKey: fingerprint, corpusKey: cache.Checksum()}, []safetensors.Tensor{
		{Name: "lengths", Shape: []int{len(lengths)}, Data: lengths},
		{Name: "codes", Shape: []int{len(all)}, Data: all},
	})
}

// Read reads the codes that the model m, of this fingerprint, has made of a corpus. If they are of another model or corpus the error is a
// *[StaleError]; if the file is damaged, or something else, a [*files.FormatError]; one of a later version is a [*files.UnsupportedError].
func Read(name string, cache *corpora.Cache, m *vqvae.Model, fingerprint string) (Codes, error) {
	f, err := safetensors.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	wrong := func(found, expected string) error {
		return &files.FormatError{File: name, Offset: headerOffset, Found: fmt.Sprintf("%.200s", found), Expected: expected}
	}
	version := f.Metadata[formatKey]
	if !strings.HasPrefix(version, "vqaudio codes/") {
		return nil, wrong(fmt.Sprintf("metadata %s %q", formatKey, version), fmt.Sprintf("%q: codes of vqaudio", format))
	}
	if err := f.Verify(); err != nil {
		return nil, err
	}
	if version != format {
		return nil, &files.UnsupportedError{File: name, Offset: headerOffset, What: fmt.Sprintf("format %.40q", version)}
	}
	for _, is := range []StaleError{{name, modelKey, f.Metadata[modelKey], fingerprint}, {name, corpusKey, f.Metadata[corpusKey], cache.Checksum()}} {
		if is.Found != is.Now {
			return nil, &is
		}
	}
	var lists [2][]int32
	for i, key := range []string{"lengths", "codes"} {
		t, ok := f.Find(key)
		if !ok || t.DType != safetensors.I32 || len(t.Shape) != 1 {
			return nil, wrong(fmt.Sprintf("no list %q of I32", key), "one")
		}
		lists[i] = make([]int32, t.Len()) // which are in the file
		if err := f.Read(t, lists[i]); err != nil {
			return nil, err
		}
	}
	lengths, all := lists[0], lists[1]
	if len(lengths) != len(cache.Utterances()) {
		return nil, wrong(fmt.Sprintf("%d utterances", len(lengths)), fmt.Sprintf("the %d of the corpus", len(cache.Utterances())))
	}
	entries := int32(m.Config.Bottleneck.Codes())
	for i, code := range all {
		if code < 0 || code >= entries {
			return nil, wrong(fmt.Sprintf("code %d as number %d", code, i), fmt.Sprintf("one of the %d of the model", entries))
		}
	}
	c := make(Codes, len(lengths))
	hop := int64(m.Config.Hop())
	for i, n := range lengths {
		if want := (cache.Utterances()[i].Samples + hop - 1) / hop; int64(n) != want || int64(n) > int64(len(all)) {
			return nil, wrong(fmt.Sprintf("%d codes of utterance %d, %d left", n, i, len(all)), fmt.Sprintf("%d", want))
		}
		c[i], all = all[:n:n], all[n:]
	}
	if len(all) > 0 {
		return nil, wrong(fmt.Sprintf("%d codes more", len(all)), "those of the corpus")
	}
	return c, nil
}

// Of returns the codes of a corpus: those of the file, if they are of this model and corpus, or else new ones, which are written to it. It tells
// note, which may be nil, if a file is there that is of no use. Progress is that of [Encode].
func Of(ctx context.Context, name string, m *vqvae.Model, fingerprint string, cache *corpora.Cache, note func(string), progress func(done, total int)) (Codes, error) {
	c, err := Read(name, cache, m, fingerprint)
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && note != nil {
		note(fmt.Sprintf("encoding anew: %v", err))
	}
	if c, err = Encode(ctx, m, cache, progress); err != nil {
		return nil, err
	}
	return c, c.Write(name, cache, fingerprint)
}
