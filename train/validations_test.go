package train

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vqaudio/vqaudio/files"
)

func TestReadValidations(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, metricsName), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ReadValidations(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	const begin = `{"step":1,"loss":3}` + "\n" + `{"step":20,"validation":{"step":20,"true":2.5,"shuffled":3},"best":true}` + "\n"
	write(begin + `{"step":40,"validation":{"step":40,"true":2.25}}` + "\n" + `{"step":60,"valid`)
	all, err := ReadValidations(dir)
	if err != nil || len(all) != 2 || all[0].Step != 20 || all[0].Shuffled != 3 || all[1].Step != 40 || all[1].True != 2.25 {
		t.Errorf("%+v, %v", all, err)
	}
	var wrong *files.FormatError
	for _, text := range []string{"{\n", "7\n", `{"validation":"` + "\n", `{"validation":3}` + "\n"} {
		write(begin + text)
		if _, err := ReadValidations(dir); !errors.As(err, &wrong) || wrong.Line != 3 {
			t.Errorf("%q: %v", text, err)
		}
	}

	// What a training has written.
	dir = t.TempDir()
	(&notes{}).run(t, tiny(t, 45), dir)
	if all, err = ReadValidations(dir); err != nil {
		t.Fatal(err)
	}
	var steps []int
	for _, v := range all {
		steps = append(steps, v.Step)
	}
	if !slices.Equal(steps, []int{20, 40, 45}) || !(all[2].True > 0) {
		t.Errorf("%+v", all)
	}
}
