package wavenet

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Group draws several sequences at once on one core: for all of them it reads the weights once a step, which takes far less time than
// one after the other. Each [Generator] of a group is fed by a goroutine of its own, which waits while the others are not ready:
// steps are made when all have work. What a sequence becomes does not depend on the others, nor on their number.
type Group struct {
	engine
	mu      sync.Mutex
	changed sync.Cond // a round is over, or a member has come or gone
	members int       // generators that are open
	ready   []*stretch
	running bool        // somebody makes a round
	late    atomic.Bool // somebody got ready since it began: it ends after the step

	// Of the round.
	active   []*stretch
	streams  []*stream
	previous []int32
}

// GroupSize is the number of sequences up to which a Group gets faster, about: as many as a product takes at a time.
const GroupSize = 14

// NewGroup returns a group for at most size sequences at a time, with the weights of s.
func NewGroup(s *Sampler, size int) *Group {
	if size < 1 {
		panic(fmt.Sprintf("wavenet.NewGroup: a size of %d", size))
	}
	g := &Group{engine: newEngine(s.forRows(), size)}
	g.changed.L = &g.mu
	return g
}

// Another returns an empty group of the same size, with the weights of g: for another core.
func (g *Group) Another() *Group {
	other := &Group{engine: newEngine(g.samplerWeights, g.most)}
	other.changed.L = &other.mu
	return other
}

// member is a sequence of a group.
type member struct {
	group  *Group
	stream *stream
}

// join makes room for a sequence.
func (g *Group) join() *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.members++; g.members > g.most {
		panic(fmt.Sprintf("wavenet.Group: %d sequences, one too many", g.members))
	}
	return &member{g, newStream(g.samplerWeights, 2*g.net.Config.Residual)}
}

// leave ends a sequence, for which the others need no longer wait.
func (m *member) leave() {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	m.group.members--
	m.group.changed.Broadcast()
}

// draw draws the steps of a stretch.
func (m *member) draw(t *stretch) {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ready = append(g.ready, t)
	g.late.Store(true)
	for t.done = false; !t.done; {
		if g.running || len(g.ready) < g.members {
			g.changed.Wait()
			continue
		}
		g.running = true
		g.late.Store(false)
		g.active, g.ready = g.ready, g.active[:0]
		g.mu.Unlock()
		g.round()
		g.mu.Lock()
		g.running = false
		for _, t := range g.active {
			if t.done = t.left() == 0; !t.done {
				g.ready = append(g.ready, t)
			}
		}
		g.changed.Broadcast()
	}
}

// round goes on with all stretches until one of them is done, or another one can join them.
func (g *Group) round() {
	steps := g.active[0].left()
	g.streams, g.previous = g.streams[:0], g.previous[:0]
	for _, t := range g.active {
		steps = min(steps, t.left())
		g.streams, g.previous = append(g.streams, t.stream), append(g.previous, t.previous)
	}
	outputs := g.net.Config.Outputs()
	for step := range steps {
		if step > 0 && g.late.Load() {
			return
		}
		for _, t := range g.active {
			t.begin(&g.net.Config)
		}
		logits := g.steps(g.streams, g.previous)
		for i, t := range g.active {
			g.previous[i] = g.drawer.Draw(logits[i*outputs:(i+1)*outputs], t.voice.Drawing, t.voice.Uniform())
			t.take(g.previous[i])
		}
	}
}
