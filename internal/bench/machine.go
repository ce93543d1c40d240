package bench

import (
	"os"
	"runtime"
	"strings"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

// Machine is what results depend on besides the code.
type Machine struct {
	CPU        string   `json:"cpu,omitempty"` // the model's name, where the operating system tells it
	Cores      int      `json:"cores"`
	Tier       string   `json:"tier"`       // the active one, as VQAUDIO_TIER takes it
	BestTier   string   `json:"best_tier"`  // the fastest of this machine
	Extensions []string `json:"extensions"` // in use beyond the tier: "bf16", "vnni", "amx"
	Threads    int      `json:"threads"`
	Go         string   `json:"go"`
	OS         string   `json:"os"`
	Arch       string   `json:"arch"`
}

// ThisMachine describes this machine, its active tier, and the number of threads that is measured with.
func ThisMachine(threads int) Machine {
	active := kernel.Active()
	extensions := []string{}
	for _, e := range []struct {
		name string
		used bool
	}{{"bf16", active.Ext.BF16}, {"vnni", active.Ext.VNNI}, {"amx", active.Ext.AMX}} {
		if e.used {
			extensions = append(extensions, e.name)
		}
	}
	return Machine{
		CPU: cpuModel(), Cores: runtime.NumCPU(), Tier: active.String(), BestTier: kernel.Best().String(),
		Extensions: extensions, Threads: threads, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
	}
}

// cpuModel reads the name of the processor where Linux tells it, else "".
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
