package parallel

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// withThreads runs f with n threads and sets back the number.
func withThreads(n int, f func()) {
	before := Threads()
	SetThreads(n)
	defer SetThreads(before)
	f()
}

func TestRunCallsEveryItemOnce(t *testing.T) {
	for threads := 1; threads <= 8; threads++ {
		withThreads(threads, func() {
			for _, items := range []int{0, 1, 2, 3, 7, 8, 9, 100, 1023} {
				calls := make([]atomic.Int32, items)
				For(items, func(i int) { calls[i].Add(1) })
				for i := range calls {
					if n := calls[i].Load(); n != 1 {
						t.Fatalf("%d threads, %d items: item %d ran %d times", threads, items, i, n)
					}
				}
			}
		})
	}
}

// Writes of items need no atomics to be seen by the caller; -race checks that.
func TestResultsAreVisibleAndTheSameForAnyThreads(t *testing.T) {
	const n, size = 10007, 64
	sum := func() float32 {
		partial := make([]float32, Blocks(n, size))
		For(len(partial), func(i int) {
			from, to := Block(i, n, size)
			for k := from; k < to; k++ {
				partial[i] += float32(math.Sin(float64(k)))
			}
		})
		total := float32(0)
		for _, p := range partial {
			total += p
		}
		return total
	}
	var want float32
	for threads := 1; threads <= 8; threads++ {
		withThreads(threads, func() {
			for range 20 {
				got := sum()
				if threads == 1 {
					want = got
				}
				if got != want {
					t.Fatalf("%d threads: %v, 1 thread: %v", threads, got, want)
				}
			}
		})
	}
}

func TestSeveralThreadsWorkAtOnce(t *testing.T) {
	for _, threads := range []int{2, 3, 5} {
		withThreads(threads, func() {
			var inside sync.WaitGroup // every item waits until all are running
			inside.Add(threads)
			done := make(chan struct{})
			go func() {
				For(threads, func(int) { inside.Done(); inside.Wait() })
				close(done)
			}()
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Fatalf("%d items did not run side by side on %d threads", threads, threads)
			}
		})
	}
}

func TestNoMoreThanThreadsWorkAtOnce(t *testing.T) {
	SetThreads(8) // workers that have to go away again
	For(100, func(int) { runtime.Gosched() })
	withThreads(3, func() {
		var now, most atomic.Int32
		For(20, func(int) {
			For(20, func(int) {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(20 * time.Microsecond)
				now.Add(-1)
			})
		})
		if most.Load() > 3 {
			t.Errorf("%d items ran at once on 3 threads", most.Load())
		}
	})
	SetThreads(runtime.GOMAXPROCS(0))
}

func TestNestedAndConcurrentRuns(t *testing.T) {
	for _, threads := range []int{1, 2, 4, 8} {
		withThreads(threads, func() {
			var callers sync.WaitGroup
			var count atomic.Int64
			for range 10 {
				callers.Go(func() {
					For(9, func(int) {
						For(7, func(int) {
							For(5, func(int) { count.Add(1) })
						})
					})
				})
			}
			callers.Wait()
			if n := count.Load(); n != 10*9*7*5 {
				t.Errorf("%d threads: %d innermost items ran, want %d", threads, n, 10*9*7*5)
			}
		})
	}
}

// catch returns the value that f panics with.
func catch(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

func TestPanicOfTheFirstItemIsRaisedInTheCaller(t *testing.T) {
	for threads := 1; threads <= 8; threads++ {
		withThreads(threads, func() {
			for range 20 {
				got := catch(func() {
					For(50, func(i int) {
						if i%7 == 3 {
							panic(fmt.Sprint("item ", i))
						}
					})
				})
				if got != "item 3" {
					t.Fatalf("%d threads: panic value %v, want that of item 3", threads, got)
				}
			}
			nested := catch(func() {
				For(4, func(i int) {
					For(4, func(k int) {
						if i == 2 && k == 1 {
							panic("inner")
						}
					})
				})
			})
			if nested != "inner" {
				t.Errorf("%d threads: panic value of a nested item %v", threads, nested)
			}
			var after atomic.Int32
			For(100, func(int) { after.Add(1) })
			if after.Load() != 100 {
				t.Errorf("%d threads: after a panic %d of 100 items ran", threads, after.Load())
			}
		})
	}
}

type addTask struct{ y []float32 }

func (a *addTask) Run(i int) { a.y[i]++ }

func TestRunAllocatesNothing(t *testing.T) {
	var pool Pool[addTask]
	y := make([]float32, 64)
	for _, threads := range []int{1, 2, 5} {
		withThreads(threads, func() {
			run := func() {
				a := pool.Get()
				a.y = y
				Run(len(y), a)
				pool.Put(a)
				RunCopy(&pool, len(y), addTask{y})
			}
			for range 1000 {
				run() // as many jobs as can be held by late workers come to be
			}
			if n := testing.AllocsPerRun(200, run); n != 0 {
				t.Errorf("%d threads: %v allocations a run", threads, n)
			}
		})
	}
}

func TestPoolReusesStructs(t *testing.T) {
	var pool Pool[addTask]
	a := pool.Get()
	pool.Put(a)
	if b := pool.Get(); b != a {
		t.Error("Get did not return the struct that was Put")
	}
	if b := pool.Get(); b == a {
		t.Error("Get returned a struct twice")
	}
}

func TestRunCopyClearsTheStruct(t *testing.T) {
	var pool Pool[addTask]
	y := make([]float32, 3)
	RunCopy(&pool, 3, addTask{y})
	if y[0] != 1 || y[1] != 1 || y[2] != 1 {
		t.Errorf("items of a copy wrote %v", y)
	}
	if a := pool.Get(); a.y != nil {
		t.Error("the copy is kept")
	}
}

func TestBlocks(t *testing.T) {
	for n := range 70 {
		for size := 1; size < 20; size++ {
			at := 0
			for i := range Blocks(n, size) {
				from, to := Block(i, n, size)
				if from != at || to <= from || to-from > size || to-from < size && to != n {
					t.Fatalf("block %d of %d elements, size %d: [%d, %d) after %d", i, n, size, from, to, at)
				}
				at = to
			}
			if at != n {
				t.Fatalf("blocks of %d elements, size %d, end at %d", n, size, at)
			}
		}
	}
	for _, bad := range [][2]int{{-1, 4}, {4, 0}, {4, -1}} {
		if catch(func() { Blocks(bad[0], bad[1]) }) == nil {
			t.Errorf("Blocks(%d, %d) did not panic", bad[0], bad[1])
		}
	}
	if catch(func() { SetThreads(0) }) == nil {
		t.Error("SetThreads(0) did not panic")
	}
}

// Idle workers must sleep: a process with nothing to do uses no processor time.
func TestIdleWorkersSleep(t *testing.T) {
	withThreads(4, func() {
		For(100, func(int) {})
		time.Sleep(10 * time.Millisecond)
		before := cpuTime(t)
		time.Sleep(200 * time.Millisecond)
		if used := cpuTime(t) - before; used > 100*time.Millisecond {
			t.Errorf("idle workers used %v of processor time in 200 ms", used)
		}
	})
}

func BenchmarkRun(b *testing.B) {
	y := make([]float32, 64)
	a := &addTask{y}
	for _, items := range []int{2, 64} {
		b.Run(fmt.Sprint(items), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Run(items, a)
			}
		})
	}
}

// spin is an item of about the given number of nanoseconds.
type spin struct {
	work int
	out  [64]float64
}

func (s *spin) Run(i int) {
	x := 1.0
	for range s.work {
		x = x*0.999 + 0.002
	}
	s.out[i%64] = x
}

func BenchmarkItems(b *testing.B) {
	for _, work := range []int{1000, 10000, 100000} {
		s := &spin{work: work}
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("work=%d/threads=%d", work, threads), func(b *testing.B) {
				withThreads(threads, func() {
					for b.Loop() {
						Run(16, s)
					}
				})
			})
		}
	}
}
