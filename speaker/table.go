// Package speaker numbers the speakers that a model knows. The vectors that stand for them are an nn.Embedding with a row
// for each; the names are saved with the model, so that a command can be told a name.
package speaker

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// Table is a list of names: the position of a name is its id. It never changes.
type Table struct {
	names []string
	ids   map[string]int32
}

// NewTable returns the table of these names, in this order. It may be empty. A name that is empty, not UTF-8 or there twice is
// an error.
func NewTable(names []string) (*Table, error) {
	if len(names) > math.MaxInt32 {
		return nil, fmt.Errorf("%d speakers: want at most %d", len(names), math.MaxInt32)
	}
	t := &Table{names: slices.Clone(names), ids: make(map[string]int32, len(names))}
	for i, name := range t.names {
		switch before, twice := t.ids[name]; {
		case name == "":
			return nil, fmt.Errorf("speaker %d has no name", i)
		case !utf8.ValidString(name):
			return nil, fmt.Errorf("the name of speaker %d, %q, is not UTF-8", i, name)
		case twice:
			return nil, fmt.Errorf("speakers %d and %d have the same name, %q", before, i, name)
		}
		t.ids[name] = int32(i)
	}
	return t, nil
}

// Len is the number of speakers.
func (t *Table) Len() int { return len(t.names) }

// Names returns the names in the order of their ids, in a new slice.
func (t *Table) Names() []string { return slices.Clone(t.names) }

// Name returns the name of an id. An id outside the table panics.
func (t *Table) Name(id int32) string {
	if id < 0 || int(id) >= len(t.names) {
		panic(fmt.Sprintf("speaker.Table: id %d of %d speakers", id, len(t.names)))
	}
	return t.names[id]
}

// Has reports whether a name is there, as it is written.
func (t *Table) Has(name string) bool {
	_, ok := t.ids[name]
	return ok
}

// ID returns the id of a name, which must be there as it is written; otherwise the error is an [*UnknownError].
func (t *Table) ID(name string) (int32, error) {
	if id, ok := t.ids[name]; ok {
		return id, nil
	}
	return 0, &UnknownError{Name: name, Near: t.near(name), Speakers: len(t.names)}
}

// most is the number of names that an [UnknownError] lists.
const most = 5

// near returns the names nearest to name, whatever their case: those that contain it, then by the number of characters to
// change.
func (t *Table) near(name string) []string {
	type candidate struct {
		name     string
		apart    int // 1 if it does not contain the name asked for
		distance int
	}
	name = strings.ToLower(name)
	candidates := make([]candidate, len(t.names))
	for i, n := range t.names {
		lower := strings.ToLower(n)
		candidates[i] = candidate{n, 1, levenshtein.ComputeDistance(lower, name)}
		if strings.Contains(lower, name) {
			candidates[i].apart = 0
		}
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.apart, b.apart), cmp.Compare(a.distance, b.distance))
	})
	var names []string
	for _, c := range candidates[:min(most, len(candidates))] {
		names = append(names, c.name)
	}
	return names
}

// UnknownError says that a table does not have a name.
type UnknownError struct {
	Name     string
	Near     []string // names that the table has: all if they are few, otherwise those most like Name, nearest first
	Speakers int      // in the table
}

// Error says which name is unknown, and lists the names in Near.
func (e *UnknownError) Error() string {
	known := "there are none"
	if len(e.Near) > 0 {
		quoted := make([]string, len(e.Near))
		for i, name := range e.Near {
			quoted[i] = strconv.Quote(name)
		}
		known = "known are " + strings.Join(quoted, ", ")
		if len(e.Near) < e.Speakers {
			known = fmt.Sprintf("of the %d known, the nearest are %s", e.Speakers, strings.Join(quoted, ", "))
		}
	}
	return fmt.Sprintf("unknown speaker %q: %s", e.Name, known)
}
