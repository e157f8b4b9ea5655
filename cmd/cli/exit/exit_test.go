package exit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/runtime/docker"
)

func TestEveryErrorHasItsCode(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		code    Code
		message string
		hint    string
	}{
		"none":                       {nil, OK, "", ""},
		"unclassified":               {errors.New("x"), General, "x", ""},
		"usage":                      {With(Usage, errors.New("no such flag"), "see --help"), Usage, "no such flag", "see --help"},
		"silent":                     {Silent(Unwell), Unwell, "", ""},
		"wrapped keeps the code":     {fmt.Errorf("start: %w", With(PortInUse, errors.New("taken"), "h")), PortInUse, "start: taken", "h"},
		"the daemon's failure":       {&client.Failure{Reason: client.ReasonNoEngine, Message: "m", Hint: "h"}, NoEngine, "m", "h"},
		"the engine's own":           {&docker.Error{Op: "ping", Kind: docker.ErrPermission, Advice: "join the group"}, EnginePermission, "ping: no permission to use the Docker Engine", "join the group"},
		"a second daemon":            {fmt.Errorf("p: %w", profile.ErrRunning), AlreadyRunning, "p: another daemon of this profile is running", ""},
		"Ctrl-C":                     {fmt.Errorf("wait: %w", context.Canceled), Interrupted, "interrupted", ""},
		"too late":                   {fmt.Errorf("wait: %w", context.DeadlineExceeded), Timeout, "wait: context deadline exceeded", ""},
		"a failure without a reason": {&client.Failure{Message: "m"}, General, "m", ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, message, hint := Of(test.err)
			if code != test.code || message != test.message || hint != test.hint {
				t.Errorf("Of(%v) = %d, %q, %q; want %d, %q, %q", test.err, code, message, hint, test.code, test.message, test.hint)
			}
		})
	}
}

// The table in the documentation and the constants say the same.
func TestTheDocumentedTableIsComplete(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/exit-codes.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[Code]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(string(raw), -1) {
		n, _ := strconv.Atoi(m[1])
		documented[Code(n)] = true
	}
	for _, c := range []Code{OK, General, Usage, NoEngine, EnginePermission, EngineTooOld, Home, PortInUse, NotRunning, Timeout, Manifest, Unwell, AlreadyRunning, Program, Interrupted} {
		if !documented[c] {
			t.Errorf("docs/exit-codes.md lacks %d", c)
		}
		delete(documented, c)
	}
	for c := range documented {
		t.Errorf("docs/exit-codes.md has %d, which no constant has", c)
	}
}
