package speaker

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestMix(t *testing.T) {
	table, err := NewTable([]string{"ann", "bob", "a:b", "x,y", "x:0.5,ann", "ann:2", ","})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		want Mix
	}{
		{"ann", Mix{{0, 1}}},
		{"ann:3", Mix{{0, 1}}},
		{"ann:0.7,bob:0.3", Mix{{0, 0.7}, {1, 0.3}}},
		{"bob:1,ann:3", Mix{{1, 0.25}, {0, 0.75}}},
		{"a:b", Mix{{2, 1}}},
		{"a:b:1,ann:1", Mix{{2, 0.5}, {0, 0.5}}},
		{"x,y", Mix{{3, 1}}},
		{"ann:1,x,y:1", Mix{{0, 0.5}, {3, 0.5}}},
		{"x,y:1,ann:3", Mix{{3, 0.25}, {0, 0.75}}},
		{"x:0.5,ann", Mix{{4, 1}}}, // an exact name wins
		{"ann:2", Mix{{5, 1}}},
		{"ann:2:1,ann:1", Mix{{5, 0.5}, {0, 0.5}}},
		{",:1,bob:1", Mix{{6, 0.5}, {1, 0.5}}},
		{"ann:1e308,bob:1e308", Mix{{0, 0.5}, {1, 0.5}}},
		{"ann:5e-324,bob:5e-324", Mix{{0, 0.5}, {1, 0.5}}},
		{"ann:1e-300,bob:1e300", Mix{{0, 0}, {1, 1}}},
	} {
		got, err := table.Mix(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		same := slices.EqualFunc(got, c.want, func(a, b Share) bool { return a.ID == b.ID && math.Abs(a.Weight-b.Weight) < 1e-15 })
		if !same {
			t.Errorf("%q is %v, want %v", c.text, got, c.want)
		}
	}
}

func TestMixRefuses(t *testing.T) {
	table, err := NewTable([]string{"ann", "bob", "carla"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{
		{"ann:0,bob:1", `weight 0 of speaker "ann"`},
		{"ann:1,bob:-0", `weight -0 of speaker "bob"`},
		{"ann:-1", `weight -1 of speaker "ann"`},
		{"ann:1,bob:NaN", `weight NaN of speaker "bob"`},
		{"ann:Inf,bob:1", `weight Inf of speaker "ann"`},
		{"ann:1e999,bob:1", `weight 1e999 of speaker "ann"`},
		{"ann:1e-999,bob:1", `weight 1e-999 of speaker "ann"`},
		{"ann:1,bob", `speaker "bob" has no weight`},
		{"ann:1,", `speaker "" has no weight`},
		{"ann:1,bob:x", `speaker "bob:x" has no weight`},
		{"ann:1,bob:1,ann:1", `speaker "ann" is there twice`},
	} {
		mix, err := table.Mix(c.text)
		var unknown *UnknownError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &unknown) || mix != nil {
			t.Errorf("%q: %v, %v, want an error with %q", c.text, mix, err, c.want)
		}
	}
	for _, c := range []struct{ text, name string }{
		{"an", "an"}, {"", ""}, {"an:1", "an"}, {"ann:1,bo:1", "bo"}, {"ann:x", "ann:x"}, {"ann,bob", "ann,bob"}, {"ann,bob:1", "ann,bob"}, {":1", ""},
	} {
		_, err := table.Mix(c.text)
		var unknown *UnknownError
		if !errors.As(err, &unknown) || unknown.Name != c.name || len(unknown.Near) != 3 {
			t.Errorf("%q: error %v, want that %q is unknown", c.text, err, c.name)
		}
	}
}

// FuzzMix wants of any text an error or a mixture.
func FuzzMix(f *testing.F) {
	for _, text := range []string{"ann", "ann:0.7,bob:0.3", "a:b:1,x,y:2", "ann:NaN", ":,:,", "ann:1e308,bob:1e308,a:b:1e308"} {
		f.Add(text)
	}
	table, err := NewTable([]string{"ann", "bob", "a:b", "x,y", "z:1,ann"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mix, err := table.Mix(text)
		if (err == nil) != (len(mix) > 0) {
			t.Fatalf("%q: %v, %v", text, mix, err)
		}
		sum, seen := 0.0, map[int32]bool{}
		for _, s := range mix {
			if !(s.Weight >= 0 && s.Weight <= 1) || s.ID < 0 || int(s.ID) >= table.Len() || seen[s.ID] {
				t.Fatalf("%q: %v", text, mix)
			}
			seen[s.ID] = true
			sum += s.Weight
		}
		if err == nil && math.Abs(sum-1) > 1e-9 {
			t.Fatalf("%q: weights sum to %v", text, sum)
		}
	})
}
