package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Set changes a key of the configuration: "model.bottleneck.entries=128". The front of a key may be left out where what is
// left names one key alone ("bottleneck.entries", "entries"). A value is JSON; what is none is taken as text. The error of a
// key that is not known lists near ones.
func Set[C Config | PriorConfig](c *C, assignment string) error {
	name, text, ok := strings.Cut(assignment, "=")
	name, text = strings.TrimSpace(name), strings.TrimSpace(text)
	if !ok {
		return fmt.Errorf("%q: want key=value", assignment)
	}
	tree := toTree(*c)
	key, err := findKey(keys(tree, ""), name)
	if err != nil {
		return err
	}
	var value any
	if json.Unmarshal([]byte(text), &value) == nil {
		value = json.RawMessage(text)
	} else {
		value = text
	}
	folder := tree
	path := strings.Split(key, ".")
	for _, p := range path[:len(path)-1] {
		folder = folder[p].(map[string]any)
	}
	folder[path[len(path)-1]] = value
	data, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	var changed C
	err = strict(data, &changed)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s=%s: a %s, want %s", key, text, wrong.Value, typeName(wrong.Type.Kind().String()))
	} else if err != nil {
		return fmt.Errorf("%s=%s: %w", key, text, err)
	}
	*c = changed
	return nil
}

// typeName is what a user calls a kind of Go's.
func typeName(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"):
		return "a whole number"
	case strings.HasPrefix(kind, "uint"):
		return "a whole number from 0"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "slice":
		return "a list like [2, 2, 2]"
	}
	return "text"
}

// findKey returns the one key of all that is name, or ends in it.
func findKey(all []string, name string) (string, error) {
	var found []string
	for _, key := range all {
		if key == name {
			return key, nil
		}
		if strings.HasSuffix(key, "."+name) {
			found = append(found, key)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("no key %q: near ones are %s", name, strings.Join(near(all, name), ", "))
	}
	return "", fmt.Errorf("key %q is one of %s: say which", name, strings.Join(found, ", "))
}

// near returns the three keys that are most like name, in whole or by their ends.
func near(all []string, name string) []string {
	distance := func(key string) int {
		d := levenshtein.ComputeDistance(key, name)
		for i, c := range key {
			if c == '.' {
				d = min(d, levenshtein.ComputeDistance(key[i+1:], name))
			}
		}
		return d
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b string) int { return distance(a) - distance(b) })
	return sorted[:3]
}

// differences lists the keys in which two configurations of the same type differ, but for the budget and what is kept.
func differences(was, now any) []string {
	a, b := toTree(was), toTree(now)
	all := keys(a, "")
	if !slices.Equal(all, keys(b, "")) {
		return []string{"a model of sound and one of pictures"}
	}
	var list []string
	for _, key := range all {
		switch key {
		case "training.steps", "training.minutes", "training.keep":
			continue
		}
		x, y := at(a, key), at(b, key)
		if !bytes.Equal(x, y) {
			list = append(list, fmt.Sprintf("%s %s, now %s", key, x, y))
		}
	}
	return list
}

// toTree returns the configuration as JSON has it.
func toTree(c any) map[string]any {
	data, err := json.Marshal(c)
	if err != nil {
		panic("train: a configuration is not JSON: " + err.Error()) // NaN
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // a seed has more digits than a float64
	var tree map[string]any
	if err := d.Decode(&tree); err != nil {
		panic("train: a configuration is not JSON: " + err.Error())
	}
	return tree
}

// keys returns the dotted keys of a tree, sorted.
func keys(tree map[string]any, prefix string) []string {
	var list []string
	for name, value := range tree {
		if folder, ok := value.(map[string]any); ok {
			list = append(list, keys(folder, prefix+name+".")...)
		} else {
			list = append(list, prefix+name)
		}
	}
	slices.Sort(list)
	return list
}

// at returns the value of a key as JSON.
func at(tree map[string]any, key string) []byte {
	var value any = tree
	for _, p := range strings.Split(key, ".") {
		value = value.(map[string]any)[p]
	}
	data, _ := json.Marshal(value)
	return data
}
