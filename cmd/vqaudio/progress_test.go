package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestProgressPlain: where there is no terminal, a line every ten seconds, and none before.
func TestProgressPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, "preparing", "files", 400)
		for range 24 {
			time.Sleep(time.Second)
			p.Add(10)
		}
		p.Note("%s: bad", "a.wav")
		p.Done()
		want := "preparing: 100 of 400 files, 25 %, 10.0 files/s, 30s left\n" +
			"preparing: 200 of 400 files, 50 %, 10.0 files/s, 20s left\na.wav: bad\n"
		if got := out.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}

		out.Reset()
		p = newProgress(&out, "scanning", "files", -1)
		time.Sleep(progressInterval)
		p.Add(5)
		p.Done()
		if got, want := out.String(), "scanning: 5 files, 0.5 files/s\n"; got != want {
			t.Errorf("without a total: got %q, want %q", got, want)
		}

		out.Reset()
		p = newProgress(&out, "scanning", "files", 0)
		time.Sleep(progressInterval)
		p.Add(0)
		p.Done()
		if got := out.String(); strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
			t.Errorf("nothing to do: %q", got)
		}
	})
}
