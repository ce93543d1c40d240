// Package parallel runs loops over cores in such a way that results do not depend on the number of cores.
//
// The rules that make it so: a loop is cut into items by the size of the work ([Blocks], [Block]), never by the number of
// cores; each item writes only outputs of its own; and a sum across items is kept as one partial sum per item, which the
// caller adds up in the order of the items afterwards. Which goroutine runs which item, and when, is then of no account.
package parallel

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Task is the body of a loop. Run is called once for every item, from several goroutines at a time.
type Task interface{ Run(item int) }

// Run calls t.Run(item) for every item in [0, items) and returns when all have returned. Items are handed out in
// ascending order, one at a time, to the caller and to at most Threads()-1 workers; the caller never waits for a worker
// that has not begun. Run allocates nothing once warm; t is to come from a [Pool] or to live as long as its owner.
//
// Run may be called from several goroutines at once, and from within an item: an inner loop shares the workers, and
// whoever calls it can finish it alone.
//
// If items panic, the others still run, and Run then panics with the value of the first such item. An item must not end
// its goroutine (runtime.Goexit, FailNow of a test).
func Run(items int, t Task) {
	helpers := min(Threads(), items) - 1
	if helpers <= 0 {
		for i := range items {
			t.Run(i)
		}
		return
	}
	j := jobs.Get()
	if j.finished == nil {
		j.finished = make(chan struct{}, 1)
	}
	j.task, j.items, j.panicked = t, int64(items), -1
	j.next.Store(0)
	j.done.Store(0)
	j.state.Store(working)
	j.holders.Store(1)

	offer(j, helpers)
	last := j.work()
	withdraw(j)
	if !last {
		j.wait()
	}
	j.task = nil
	panicked, value := j.panicked >= 0, j.value
	j.value = nil
	j.drop()
	if panicked {
		panic(value)
	}
}

// For is Run for a function: for code where the allocation of a closure does not matter.
func For(items int, f func(item int)) { Run(items, function(f)) }

type function func(int)

func (f function) Run(item int) { f(item) }

// Blocks is the number of blocks of at most size elements that n elements are cut into.
func Blocks(n, size int) int {
	if n < 0 || size <= 0 {
		panic(fmt.Sprintf("parallel.Blocks: %d elements in blocks of %d", n, size))
	}
	return (n + size - 1) / size
}

// Block returns the range [from, to) of the elements in block i of Blocks(n, size).
func Block(i, n, size int) (from, to int) {
	from = i * size
	return from, min(from+size, n)
}

// Pool is a free list of structs, for tasks that allocate nothing once warm. The zero value is ready for use, by any
// number of goroutines. A struct comes back as it was put: clear what it need not keep alive.
type Pool[T any] struct {
	mu   sync.Mutex
	free []*T
}

// Get returns a struct that was put, or else a new one.
func (p *Pool[T]) Get() *T {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		t := p.free[n-1]
		p.free[n-1] = nil
		p.free = p.free[:n-1]
		return t
	}
	return new(T)
}

// Put makes t available to Get.
func (p *Pool[T]) Put(t *T) {
	p.mu.Lock()
	p.free = append(p.free, t)
	p.mu.Unlock()
}

// RunCopy is Run for a copy of task in a struct from pool, which is cleared and put back afterwards.
//
//	parallel.RunCopy(&sums, items, sum{x, y})   // var sums parallel.Pool[sum]
func RunCopy[T any, P interface {
	*T
	Task
}](pool *Pool[T], items int, task T) {
	t := pool.Get()
	*t = task
	Run(items, P(t))
	var none T
	*t = none
	pool.Put(t)
}

// job is one call of Run, shared by the caller and the workers that took it: holders counts them, and the last one to let
// go gives the job back. Who comes too late finds next at or beyond items and touches nothing else.
type job struct {
	task     Task
	items    int64
	wanted   int           // workers that may still take it; under mu
	next     atomic.Int64  // the next item to hand out
	done     atomic.Int64  // items that have returned
	state    atomic.Int32  // of the caller, if a worker is to return from the last item
	finished chan struct{} // wakes the caller from sleep
	holders  atomic.Int64

	failure  sync.Mutex
	panicked int64 // the first item that panicked, or -1
	value    any   // that it panicked with
}

// The states of a job whose last item is with a worker.
const (
	working  = iota // the caller works, or looks out for the end
	sleeping        // the caller sleeps
	ended
)

// looks is how often a goroutine looks whether what it waits for has come before it sleeps, about 0.1 ms: the caller for
// the last items, a worker for the next loop of a training step. To be woken takes longer than either mostly takes to
// come, and would cost layers of 64 channels a quarter of what the second core gives.
const looks = 100000

var jobs Pool[job]

// wait waits until a worker has returned from the last item.
func (j *job) wait() {
	for range looks {
		if j.state.Load() == ended {
			return
		}
	}
	if j.state.CompareAndSwap(working, sleeping) {
		<-j.finished
	}
}

// end is the worker's word that all items have returned.
func (j *job) end() {
	if j.state.Swap(ended) == sleeping {
		j.finished <- struct{}{}
		runtime.Gosched() // the caller now stands first in the queue of this worker's processor
	}
}

// work runs items until none is left, and reports whether the last of all items to return was among them: true for one
// of those who work on the job.
func (j *job) work() (last bool) {
	count := int64(0)
	for !j.runItems(&count) {
	}
	return count > 0 && j.done.Add(count) == j.items
}

// runItems runs items until none is left or one panics, counting them. It returns false after a panic.
func (j *job) runItems(count *int64) (exhausted bool) {
	i := int64(-1)
	defer func() {
		if exhausted {
			return
		}
		v := recover()
		j.failure.Lock()
		if j.panicked < 0 || i < j.panicked {
			j.panicked, j.value = i, v
		}
		j.failure.Unlock()
	}()
	for {
		if i = j.next.Add(1) - 1; i >= j.items {
			return true
		}
		*count++
		j.task.Run(int(i))
	}
}

// drop lets go of the job.
func (j *job) drop() {
	if j.holders.Add(-1) == 0 {
		jobs.Put(j)
	}
}

var (
	threads atomic.Int64

	mu      sync.Mutex
	workers int          // goroutines that serve
	queue   []*job       // jobs that want workers, oldest first
	queued  atomic.Int64 // len(queue), for a look without mu
	wake    = sync.NewCond(&mu)
)

func init() { threads.Store(int64(runtime.GOMAXPROCS(0))) }

// Threads is the number of goroutines that work on a Run, at first GOMAXPROCS.
func Threads() int { return int(threads.Load()) }

// SetThreads sets Threads to n >= 1. Nothing may run meanwhile.
func SetThreads(n int) {
	if n < 1 {
		panic(fmt.Sprintf("parallel.SetThreads: %d threads, want at least 1", n))
	}
	mu.Lock()
	threads.Store(int64(n))
	mu.Unlock()
	wake.Broadcast() // workers that are too many go
}

// offer has so many workers take j.
func offer(j *job, helpers int) {
	mu.Lock()
	for ; workers < Threads()-1; workers++ {
		go serve()
	}
	j.wanted = helpers
	queue = append(queue, j)
	queued.Store(int64(len(queue)))
	mu.Unlock()
	for range helpers {
		wake.Signal()
	}
}

// withdraw ends the offer of j.
func withdraw(j *job) {
	mu.Lock()
	if j.wanted > 0 {
		remove(j)
	}
	mu.Unlock()
}

// remove takes j out of the queue. The caller holds mu.
func remove(j *job) {
	i := slices.Index(queue, j)
	queue = slices.Delete(queue, i, i+1)
	queued.Store(int64(len(queue)))
}

// serve is a worker: it takes jobs, and sleeps when there are none.
func serve() {
	for j := take(); j != nil; j = take() {
		if j.work() {
			j.end()
		}
		j.drop()
	}
}

// take waits for a job. It returns nil if there are more workers than there should be.
func take() *job {
	for i := 0; i < looks && queued.Load() == 0; i++ {
	}
	mu.Lock()
	defer mu.Unlock()
	for {
		if workers > Threads()-1 {
			workers--
			return nil
		}
		if len(queue) > 0 {
			break
		}
		wake.Wait()
	}
	j := queue[0]
	j.holders.Add(1)
	if j.wanted--; j.wanted == 0 {
		remove(j)
	}
	return j
}
