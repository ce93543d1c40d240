// Package browser looks at pages in a real browser, for tests.
package browser

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// Report is what a browser makes of a page, in a window of some width.
type Report struct {
	Width     int       `json:"width"`     // of the window, in pixels
	Overflow  int       `json:"overflow"`  // pixels that the page is wider than the window
	Durations []float64 `json:"durations"` // of its players, in seconds; -1 for one that does not load
	Pictures  int       `json:"pictures"`  // that have loaded
	Broken    []string  `json:"broken"`    // the alternative text of those that have not
	Playing   int       `json:"playing"`   // players that sound after two were started, one after the other
	Errors    []string  `json:"errors"`    // of scripts, and violations of the page's security policy
}

// Widths are those of the windows: a phone's, and a screen's.
var Widths = []int{360, 1280}

//go:embed look.html
var look []byte

// timeout is when a browser is given up.
const timeout = 90 * time.Second

// Look opens the page in a headless Chromium, in windows of all Widths, and returns a report of each, and the errors on its console. It skips the test
// where there is no Chromium.
func Look(t testing.TB, page string) (reports []Report, console []string) {
	t.Helper()
	var chromium string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			chromium = path
			break
		}
	}
	if chromium == "" {
		t.Skip("needs Chromium, to look at the page with: apt-get install chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	done := make(chan []Report, 1)
	mux := http.NewServeMux()
	mux.Handle("/page/", http.StripPrefix("/page/", http.FileServer(http.Dir(filepath.Dir(page)))))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { w.Write(look) })
	mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) {
		var reports []Report
		if err := json.NewDecoder(r.Body).Decode(&reports); err != nil {
			t.Errorf("the browser's report: %v", err)
		}
		done <- reports
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	setting, err := json.Marshal(map[string]any{"page": "page/" + filepath.Base(page), "widths": Widths})
	if err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("/setting", func(w http.ResponseWriter, _ *http.Request) { w.Write(setting) })
	c := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required", "--user-data-dir="+t.TempDir(), "--enable-logging=stderr", server.URL)
	var stderr bytes.Buffer
	c.Stderr, c.WaitDelay = &stderr, 5*time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- c.Wait() }()
	select {
	case reports = <-done:
		cancel()
		<-exited
	case err := <-exited:
		t.Fatalf("%s ended without a report: %v\n%s", chromium, err, stderr.String())
	}
	return reports, regexp.MustCompile(`(?m)^.*:CONSOLE.*$`).FindAllString(stderr.String(), -1)
}
