//go:build !unix

package parallel

import (
	"testing"
	"time"
)

func cpuTime(t *testing.T) time.Duration {
	t.Skip("no processor time on this system")
	return 0
}
