package kernel

import "testing"

// With bfloat16 tiles bfloat16 is faster on every processor, without any bfloat16 instruction on none.
func TestFastBF16(t *testing.T) {
	for _, c := range []struct {
		ext  Extensions
		want bool
	}{
		{Extensions{}, false},
		{Extensions{VNNI: true}, false},
		{Extensions{BF16: true}, quickVDPBF16PS},
		{Extensions{AMX: true}, true},
		{Extensions{BF16: true, AMX: true}, true},
	} {
		if got := (Setting{AVX512, c.ext}).FastBF16(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.ext, got, c.want)
		}
	}
}
