package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

// runCommand runs "vqaudio line" and returns what it prints and its exit code.
func runCommand(ctx context.Context, line string) (stdout, stderr string, code int) {
	var out, errors bytes.Buffer
	code = run(ctx, strings.Fields("vqaudio "+line), &out, &errors)
	return out.String(), errors.String(), code
}

// TestCommandLine tries lines that need no measuring, right ones and wrong ones.
func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		line           string
		code           int
		stdout, stderr []string // parts of what is printed; nil for nothing
	}{
		{"", exitOK, []string{"vqaudio bench", "Exit codes"}, nil},
		{"--help", exitOK, []string{"vqaudio bench", "--version"}, nil},
		{"help bench", exitOK, []string{"--threads", "--seconds", "--tier", "--json", "--list"}, nil},
		{"bench --help", exitOK, []string{"--threads"}, nil},
		{"corpus --help", exitOK, []string{"scan", "prepare"}, nil},
		{"help corpus", exitOK, []string{"scan", "prepare"}, nil},
		{"help corpus scan", exitOK, []string{"--layout", "vqaudio corpus scan"}, nil},
		{"corpus prepare --help", exitOK, []string{"--rate", "vqaudio corpus prepare"}, nil},
		{"--version", exitOK, []string{"vqaudio ", "go1."}, nil},
		{"bench --list", exitOK, []string{"peak-f32", "conv-forward", "256x256x32768", "dilated-forward", "adam", "matvec-int8"}, nil},
		{"bench --list conv-bf16", exitOK, []string{"conv-bf16 ", "bf16"}, nil},
		{"bench gate --list", exitOK, []string{"gate-forward", "gate-backward"}, nil},
		{"bench --list --tier generic conv", exitOK, []string{"generic"}, nil},

		{"bensh", exitUsage, nil, []string{`"bensh" is not a command`, "hint: vqaudio --help"}},
		{"corpus scna", exitUsage, nil, []string{`"scna" is not a command of vqaudio corpus`, "hint: vqaudio corpus --help"}},
		{"corpus scan --jsn", exitUsage, nil, []string{"-jsn", "hint: vqaudio corpus scan --help"}},
		{"help corpus scna", exitUsage, nil, []string{"scna"}},
		{"help bensh", exitUsage, nil, []string{"bensh", "hint: vqaudio --help"}},
		{"--jsn", exitUsage, nil, []string{"-jsn", "hint: vqaudio --help"}},
		{"bench --jsn", exitUsage, nil, []string{"-jsn", "hint: vqaudio bench --help"}},
		{"bench conf", exitUsage, nil, []string{`"conf"`, "hint: ", "conv-forward, ", "gate-forward"}},
		{"bench conv conf --list", exitUsage, nil, []string{`"conf"`}},
		{"bench --threads 0", exitUsage, nil, []string{"--threads 0"}},
		{"bench --threads two", exitUsage, nil, []string{"two", "hint: vqaudio bench --help"}},
		{"bench --seconds 0", exitUsage, nil, []string{"--seconds 0"}},
		{"bench --seconds NaN", exitUsage, nil, []string{"--seconds NaN"}},
		{"bench --tier sse", exitUsage, nil, []string{`"sse"`, "generic"}},
		{"bench --tier", exitUsage, nil, []string{"tier"}},
	} {
		stdout, stderr, code := runCommand(context.Background(), test.line)
		if code != test.code {
			t.Errorf("vqaudio %s: exit code %d, want %d", test.line, code, test.code)
		}
		for _, s := range []struct {
			name, text string
			want       []string
		}{{"standard output", stdout, test.stdout}, {"standard error", stderr, test.stderr}} {
			if s.want == nil && s.text != "" {
				t.Errorf("vqaudio %s: %s is %q, want nothing", test.line, s.name, s.text)
			}
			for _, part := range s.want {
				if !strings.Contains(s.text, part) {
					t.Errorf("vqaudio %s: %s lacks %q:\n%s", test.line, s.name, part, s.text)
				}
			}
		}
		if test.code != exitOK && strings.Count(stderr, "\n") != 2 {
			t.Errorf("vqaudio %s: want one line and a hint:\n%s", test.line, stderr)
		}
	}
}

// TestListChooses checks that an exact name stands for itself alone and another for all that begin with it.
func TestListChooses(t *testing.T) {
	names := func(line string) []string {
		stdout, _, _ := runCommand(context.Background(), "bench --list "+line)
		var names []string
		for text := range strings.Lines(stdout) {
			names = append(names, strings.Fields(text)[0])
		}
		return slices.Compact(names)
	}
	for _, test := range []struct {
		line string
		want []string
	}{
		{"conv-bf16", []string{"conv-bf16"}},
		{"conv-b", []string{"conv-bf16", "conv-bf16-weight-gradient"}},
		{"gate-backward gate-forward", []string{"gate-forward", "gate-backward", "gate-forward", "gate-backward"}},
		{"relu matvec", []string{"relu", "matvec-f32", "matvec-exact", "matvec-bf16", "matvec-int8"}},
	} {
		if got := names(test.line); !slices.Equal(got, test.want) {
			t.Errorf("bench --list %s: %q, want %q", test.line, got, test.want)
		}
	}
}

// TestBenchJSON checks the form of what --json prints, on one thread and on two, on every tier of this machine.
func TestBenchJSON(t *testing.T) {
	threadsBefore, tierBefore := parallel.Threads(), kernel.Active()
	for _, setting := range kernel.Available() {
		for _, threads := range []int{1, 2} {
			line := "bench --json --seconds 0.5 --tier " + setting.Tier.String() + " gate-forward relu matvec-f32 peak-f32"
			if threads != 1 {
				line += " --threads 2"
			}
			stdout, _, code := runCommand(context.Background(), line)
			if code != exitOK {
				t.Fatalf("vqaudio %s: exit code %d", line, code)
			}
			var report struct {
				Machine map[string]any   `json:"machine"`
				Results []map[string]any `json:"results"`
			}
			if err := json.Unmarshal([]byte(stdout), &report); err != nil {
				t.Fatalf("vqaudio %s: %v:\n%s", line, err, stdout)
			}
			for _, key := range []string{"cores", "tier", "best_tier", "extensions", "threads", "go", "os", "arch"} {
				if _, ok := report.Machine[key]; !ok {
					t.Errorf("vqaudio %s: machine lacks %q: %v", line, key, report.Machine)
				}
			}
			if len(report.Results) == 0 {
				t.Errorf("vqaudio %s: no results", line)
			}
			for _, r := range report.Results {
				for _, key := range []string{"name", "tier", "isa", "dtype", "unit"} {
					if s, ok := r[key].(string); !ok || s == "" {
						t.Errorf("vqaudio %s: %q of %v", line, key, r)
					}
				}
				if _, ok := r["shape"].(string); !ok {
					t.Errorf("vqaudio %s: shape of %v", line, r)
				}
				for _, key := range []string{"value", "repetitions", "threads"} {
					if v, ok := r[key].(float64); !ok || v <= 0 {
						t.Errorf("vqaudio %s: %q of %v", line, key, r)
					}
				}
				if r["threads"] != float64(threads) || r["tier"] != setting.Tier.String() {
					t.Errorf("vqaudio %s: %v", line, r)
				}
				if v, ok := r["share"].(float64); r["bound"] != nil && (!ok || v <= 0) {
					t.Errorf("vqaudio %s: share of %v", line, r)
				}
				if v, ok := r["speed_up"].(float64); ok != (threads > 1) || ok && v <= 0 {
					t.Errorf("vqaudio %s: speed_up of %v", line, r)
				}
			}
		}
	}
	if parallel.Threads() != threadsBefore || kernel.Active() != tierBefore {
		t.Errorf("bench leaves %d threads and tier %v, before %d and %v", parallel.Threads(), kernel.Active(), threadsBefore, tierBefore)
	}
}

// TestBenchTable checks that the table has a line for each benchmark.
func TestBenchTable(t *testing.T) {
	stdout, stderr, code := runCommand(context.Background(), "bench --seconds 3 relu exp-sum softmax-xent")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, part := range []string{"tier " + kernel.Active().String(), "\nrelu ", "\nexp-sum ", "\nsoftmax-xent ", "ns/element", " % of 2 x exp-sum", " % of copy"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("the table lacks %q:\n%s", part, stdout)
		}
	}
	if !strings.Contains(stderr, "2/3 exp-sum") || strings.Contains(stdout+stderr, "\x1b") {
		t.Errorf("progress elsewhere than on a terminal: %q", stderr)
	}
}

// TestBenchOutOfTime checks that a bound on the time is kept, and that what was left out is named.
func TestBenchOutOfTime(t *testing.T) {
	start := time.Now()
	stdout, stderr, code := runCommand(context.Background(), "bench --seconds 0.000001 relu exp-sum --json")
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("a microsecond took %v", took)
	}
	var report struct {
		Results []any    `json:"results"`
		LeftOut []string `json:"left_out"`
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v:\n%s", err, stdout)
	}
	if code != exitOK || len(report.Results)+len(report.LeftOut) != 2 || len(report.LeftOut) == 0 {
		t.Errorf("exit code %d, %d results, left out %q", code, len(report.Results), report.LeftOut)
	}
	if !strings.Contains(stderr, "too few") || !strings.Contains(stderr, "exp-sum") {
		t.Errorf("no note of what was left out: %q", stderr)
	}
}

// TestBenchInterrupted checks that an interrupt still prints what there is.
func TestBenchInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	stdout, stderr, code := runCommand(ctx, "bench --json relu")
	if code != exitInterrupted || !strings.Contains(stderr, "interrupted") {
		t.Errorf("exit code %d, want %d: %q", code, exitInterrupted, stderr)
	}
	if !json.Valid([]byte(stdout)) || !strings.Contains(stdout, `"left_out"`) {
		t.Errorf("printed %q", stdout)
	}
}

func TestFourDigits(t *testing.T) {
	for v, want := range map[float64]string{0.2871: "0.2871", 1.5: "1.500", 207.25: "207.2", 9803: "9803", 123456: "123456", 0: "0"} {
		if got := fourDigits(v); got != want {
			t.Errorf("fourDigits(%v) = %q, want %q", v, got, want)
		}
	}
}
