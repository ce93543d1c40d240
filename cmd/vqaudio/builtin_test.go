package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio"
)

// Whoever names no model works with the built-in one, with all commands that work with one.
func TestBuiltIn(t *testing.T) {
	c, err := vqaudio.ReadClip(filepath.Join("..", "..", "demo", "speech", "tools.wav"))
	if err != nil {
		t.Fatal(err)
	}
	c.Samples = c.Samples[:c.Rate] // a second
	t.Chdir(t.TempDir())
	if err := c.WriteFile("me.wav"); err != nil {
		t.Fatal(err)
	}
	m, err := vqaudio.Default()
	if err != nil {
		t.Fatal(err)
	}
	voice := m.Voices()[0]
	for _, test := range []struct{ line, stdout, file string }{
		{"encode me.wav -o units.jsonl", "units.jsonl: 1 utterance", "units.jsonl"},
		{"decode units.jsonl --speaker " + voice + " -o spoken.wav", "1.0", "spoken.wav"},
		{"convert me.wav --to " + voice + " -o converted.wav", "1.00 s of sound", "converted.wav"},
		{"generate --speaker " + voice + " --seconds 0.5 -o new.wav", "0.50 s of sound", "new.wav"},
		{"compress units.jsonl -o units.vqu", "units.vqu", "units.vqu"},
		{"decompress units.vqu -o again.jsonl", "again.jsonl", "again.jsonl"},
		{"plot me.wav", "me.png", "me.png"},
		{"plot me.wav --no-units -o plain.png", "plain.png", "plain.png"},
		{"units show me.wav units.jsonl", "as they are", ""},
		{"info", "the built-in model, fingerprint ", ""},
		{"speaker list", voice + "\n", ""},
		{"export -o model.safetensors", "model.safetensors: ", "model.safetensors"},
		{"encode model.safetensors me.wav -o same.jsonl", "1 utterance", "same.jsonl"},
	} {
		stdout, stderr, code := runCommand(context.Background(), test.line)
		if code != exitOK || !strings.Contains(stdout, test.stdout) {
			t.Errorf("%s: exit code %d, %q, %q; want %q", test.line, code, stdout, stderr, test.stdout)
		}
		if _, err := os.Stat(test.file); test.file != "" && err != nil {
			t.Errorf("%s: %v", test.line, err)
		}
	}
	first, err := os.ReadFile("units.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"again.jsonl", "same.jsonl"} {
		if same, err := os.ReadFile(name); err != nil || string(same) != string(first) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, same, first)
		}
	}
	if a, b := content(t, "me.png"), content(t, "plain.png"); a == b {
		t.Error("pictures with units and without are the same")
	}
}

// What is no model, though it stands where one may, is no recording either.
func TestBuiltInRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("text", []byte("hello"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		line   string
		code   int
		stderr string
	}{
		{"encode text -o out", exitFailure, "text"},
		{"decode text units.jsonl --speaker x -o out", exitUsage, "text is neither a safetensors file nor the folder of a training"},
		{"decode none.safetensors units.jsonl --speaker x -o out", exitFailure, "none.safetensors"},
		{"convert none.wav --to an4-fash -o out", exitFailure, "none.wav"},
		{"convert none.wav --to nobody -o out", exitFailure, `unknown speaker "nobody"`},
		{"generate -o out", exitUsage, "want --speaker"},
		{"plot text --codes x --no-units", exitUsage, "want one of them"},
		{"plot text --model x --no-units", exitUsage, "want one of them"},
		{"plot - --model x -o y.png", exitUsage, "can be read once"},
		{"units show", exitUsage, "recordings"},
		{"units show none", exitFailure, "none"},
		{"speaker enrol none.wav --name zoe", exitUsage, "the built-in model stays as it is"},
		{"export -o x --precision auto", exitUsage, "want float32 or bfloat16"},
	} {
		_, stderr, code := runCommand(context.Background(), test.line)
		if code != test.code || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s: exit code %d, %q; want %d, %q", test.line, code, stderr, test.code, test.stderr)
		}
	}
}
