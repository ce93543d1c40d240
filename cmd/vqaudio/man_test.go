package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// eachCommand calls f with every command and its path.
func eachCommand(commands []*cli.Command, path string, f func(path string, c *cli.Command)) {
	for _, c := range commands {
		f(path+" "+c.Name, c)
		eachCommand(c.Subcommands, path+" "+c.Name, f)
	}
}

func TestMan(t *testing.T) {
	page, stderr, code := runCommand(context.Background(), "man")
	if code != exitOK || stderr != "" || !strings.HasPrefix(page, ".nh\n.TH vqaudio 1") {
		t.Fatalf("exit code %d, %q, begins with %.40q", code, stderr, page)
	}
	plain := strings.NewReplacer(`\-`, "-", `\&`, "").Replace(page)
	eachCommand(newApp(io.Discard, io.Discard).Commands, "vqaudio", func(path string, c *cli.Command) {
		if !strings.Contains(plain, path+" [OPTIONS]") || !strings.Contains(plain, c.Usage) {
			t.Errorf("nothing about %s", path)
		}
		for _, f := range c.Flags {
			if name := f.Names()[0]; !strings.Contains(plain, "--"+name) {
				t.Errorf("nothing about --%s of %s", name, path)
			}
		}
	})
	if _, _, code := runCommand(context.Background(), "man encode"); code != exitUsage {
		t.Error("an argument is taken")
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		return // it was read above
	}
	c := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z")
	c.Stdin = strings.NewReader(page)
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		script, stderr, code := runCommand(context.Background(), "completion "+shell)
		if code != exitOK || stderr != "" || !strings.Contains(script, "vqaudio") {
			t.Errorf("%s: exit code %d, %q", shell, code, stderr)
		}
	}
	for _, line := range []string{"completion", "completion tcsh", "completion bash zsh"} {
		if _, stderr, code := runCommand(context.Background(), line); code != exitUsage || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%s: exit code %d, %q", line, code, stderr)
		}
	}
}

// TestCompletion asks bash what it makes of the script, with this test as the program.
func TestCompletion(t *testing.T) {
	if os.Getenv("VQAUDIO_TEST_COMPLETE") != "" {
		os.Args = append([]string{"vqaudio"}, os.Args[slices.Index(os.Args, "--")+1:]...) // the library looks there
		os.Exit(run(context.Background(), os.Args, os.Stdout, os.Stderr))
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash, to complete in")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	wrapper := "#!" + bash + "\nVQAUDIO_TEST_COMPLETE=1 exec '" + program + "' -test.run '^TestCompletion$' -- \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "vqaudio"), []byte(wrapper), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ typed, want string }{ // words and a bar between them; all replies
		{"vqaudio|enc", "encode"},
		{"vqaudio|train|vq", "vqvae"},
		{"vqaudio|train|p", "prior"},
		{"vqaudio|convert|--le", "--level"},
		{"vqaudio|convert|in.wav|--to", "--top-k --top-p"}, // not what is typed already
		{"vqaudio|train|vqvae|--corpus|x|--pre", "--preset --precision"},
		{"vqaudio|xyz", ""},
	} {
		words := strings.Split(c.typed, "|")
		script := `source <("$0" -c 'vqaudio completion bash'); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vqaudio; echo "${COMPREPLY[@]}"`
		run := exec.Command(bash, append([]string{"-c", script, bash}, words...)...)
		run.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := run.CombinedOutput()
		got := strings.Fields(string(out))
		slices.Sort(got)
		want := strings.Fields(c.want)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", c.typed, got, err, want)
		}
	}
}
