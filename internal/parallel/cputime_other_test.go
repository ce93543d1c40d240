//go:build !unix

package parallel

import (
	"testing"
	"time"
)

func cpuTime(t *testing.T) time.Duration {
	t.Skip("needs getrusage, which this system lacks")
	return 0
}
