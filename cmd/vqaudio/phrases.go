package main

import (
	"context"
	"slices"
	"sync"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/vqvae"
)

// A recording is spoken phrase by phrase: at a pause the decoder begins anew, with random numbers that depend on the number of the
// phrase. So the phrases of a long recording can be drawn together, and are what they would be one after the other.

// speech takes the vectors of a recording, and speaks them.
type speech interface {
	write(vectors []float32) error
	cut() error                // ends a phrase
	close(samples int64) error // after so many samples in all, and completes the file
	discard()                  // gives it up, unless it is closed
}

// phrased encodes sound for a speech, and cuts it at pauses.
type phrased struct {
	encoder *frontend.Encoder
	pauses  *audio.Pauses // nil for a recording whose level is not known
	speech  speech
	hop     int64
	dim     int
	cuts    []int64 // frames before which it is to be cut
	frames  int64   // given to the speech
	samples int64
}

func newPhrased(f *frontend.Frontend, m *vqvae.Model, level float64, s speech) *phrased {
	p := &phrased{encoder: frontend.NewEncoder(f, m), speech: s, hop: int64(m.Config.Hop()), dim: m.Config.Bottleneck.Dim}
	if level == level {
		p.pauses = audio.NewPauses(m.Config.Rate, level)
	}
	return p
}

// write takes the next samples.
func (p *phrased) write(block []float64) error {
	p.samples += int64(len(block))
	if p.pauses != nil {
		for _, at := range p.pauses.Add(block) {
			p.cuts = append(p.cuts, at/p.hop)
		}
	}
	return p.give(p.encoder.Write(block).Vectors.Data)
}

// close ends the recording.
func (p *phrased) close() error {
	if err := p.give(p.encoder.Close().Vectors.Data); err != nil {
		return err
	}
	return p.speech.close(p.samples)
}

// give hands vectors on, and cuts.
func (p *phrased) give(vectors []float32) error {
	for len(vectors) > 0 {
		n := len(vectors)
		if len(p.cuts) > 0 {
			n = min(n, int(p.cuts[0]-p.frames)*p.dim)
		}
		if err := p.speech.write(vectors[:n]); err != nil {
			return err
		}
		vectors = vectors[n:]
		p.frames += int64(n / p.dim)
		if len(p.cuts) > 0 && p.frames == p.cuts[0] {
			p.cuts = p.cuts[1:]
			if err := p.speech.cut(); err != nil {
				return err
			}
		}
	}
	return nil
}

// chorus is a speech whose phrases are drawn together, as many as there are drawers, and written in order. It keeps those that are
// being drawn, and as many again, in memory; one that is longer than chorusSeconds is drawn while it comes, so that a recording of
// any length takes the same memory.
type chorus struct {
	*utterance
	most   int          // elements of vectors of a phrase that is kept
	ready  chan *phrase // for the drawers
	order  chan *phrase // for the writer: all of them, in order
	work   sync.WaitGroup
	phrase *phrase // that comes
	ended  bool

	failure sync.Once
	failed  chan struct{} // closed once err is set
	err     error
}

// chorusSeconds is how long a phrase may be that is kept.
const chorusSeconds = 10

// phrase is a part of a recording.
type phrase struct {
	number  int
	vectors []float32      // of one that is kept
	levels  []int32        // what it becomes
	done    chan struct{}  // closed when levels are complete
	more    chan []float32 // vectors of one that is drawn while it comes
	frames  chan []int32   // what it becomes
}

// newChorus begins a speech of which the utterance has the file.
func newChorus(u *utterance, drawers []drawer) *chorus {
	c := &chorus{utterance: u, ready: make(chan *phrase), order: make(chan *phrase, len(drawers)), failed: make(chan struct{}),
		phrase: &phrase{done: make(chan struct{})}}
	m := u.model.Config
	c.most = chorusSeconds * m.Rate / m.Hop() * m.Bottleneck.Dim
	for _, d := range drawers {
		c.work.Go(func() {
			for p := range c.ready {
				c.drawKept(p, d)
			}
		})
	}
	c.work.Go(c.writeAll)
	return c
}

// fail ends all with an error.
func (c *chorus) fail(err error) {
	c.failure.Do(func() {
		c.err = err
		close(c.failed)
	})
}

// hand hands v over, unless the chorus has failed.
func hand[T any](c *chorus, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-c.failed:
		return c.err
	}
}

// drawKept draws a phrase that is kept.
func (c *chorus) drawKept(p *phrase, d drawer) {
	g := d.NewGenerator(c.voice(p.number), func(levels []int32) error {
		p.levels = append(p.levels, levels...)
		select {
		case <-c.failed:
			return c.err
		default:
			return nil
		}
	})
	defer g.Leave()
	err := g.Write(p.vectors)
	if err == nil {
		err = g.Close()
	}
	if err != nil {
		c.fail(err)
	}
	close(p.done)
}

// drawComing draws a phrase while it comes.
func (c *chorus) drawComing(p *phrase) {
	defer close(p.frames)
	g := c.weights().Another().NewGenerator(c.voice(p.number), func(levels []int32) error {
		return hand(c, p.frames, slices.Clone(levels))
	})
	for vectors := range p.more {
		if err := g.Write(vectors); err != nil {
			c.fail(err)
			return
		}
	}
	if err := g.Close(); err != nil {
		c.fail(err)
	}
}

// writeAll writes what phrases become.
func (c *chorus) writeAll() {
	for p := range c.order {
		if p.more != nil {
			for levels := range p.frames {
				c.writeLevels(levels)
			}
			continue
		}
		select {
		case <-p.done:
			for levels := range slices.Chunk(p.levels, c.model.Config.Hop()) {
				c.writeLevels(levels)
			}
		case <-c.failed:
		}
	}
}

func (c *chorus) writeLevels(levels []int32) {
	select {
	case <-c.failed:
	default:
		if err := c.emit(levels); err != nil {
			c.fail(err)
		}
	}
}

func (c *chorus) write(vectors []float32) error {
	p := c.phrase
	if p.more != nil {
		return hand(c, p.more, slices.Clone(vectors))
	}
	if p.vectors = append(p.vectors, vectors...); len(p.vectors) <= c.most {
		return nil
	}
	p.more, p.frames = make(chan []float32, 1), make(chan []int32, 1)
	if err := hand(c, c.order, p); err != nil {
		return err
	}
	c.work.Go(func() { c.drawComing(p) })
	return hand(c, p.more, p.vectors)
}

func (c *chorus) cut() error {
	p := c.phrase
	c.phrase = &phrase{number: p.number + 1, done: make(chan struct{})}
	if p.more != nil {
		close(p.more)
		return nil
	}
	if err := hand(c, c.order, p); err != nil {
		return err
	}
	return hand(c, c.ready, p)
}

func (c *chorus) close(samples int64) error {
	c.end.Store(samples)
	if err := c.cut(); err != nil {
		return err
	}
	c.stop()
	if c.err != nil {
		return c.err
	}
	return c.complete()
}

// stop waits for all that is under way.
func (c *chorus) stop() {
	if c.ended {
		return
	}
	c.ended = true
	if c.phrase.more != nil {
		close(c.phrase.more)
	}
	close(c.ready)
	close(c.order)
	c.work.Wait()
}

func (c *chorus) discard() {
	c.fail(context.Canceled)
	c.stop()
	c.out.Discard()
}
