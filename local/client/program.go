package client

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// EnvProgram names the daemon's program when it is not where skiff looks.
const EnvProgram = "SKIFFD"

// VersionFlag is how skiff tells the daemon's program its version.
const VersionFlag = "client-version"

// Unstamped is the version of a program that was built without one, as `go build` and `go run` do.
const Unstamped = "0.1.0-dev"

// BelongTogether tells whether a skiff and a skiffd may work together: those of one release, and those that somebody
// builds by hand and tries.
func BelongTogether(skiff, skiffd string) bool {
	return skiff == skiffd || skiff == Unstamped || skiffd == Unstamped
}

// Program finds skiffd, the daemon's program: the one that SKIFFD names, else the one beside this program, in
// ../libexec/skiff, or on the PATH. This program may be a symbolic link: it is looked for beside both ends.
func Program() (string, error) {
	if named := os.Getenv(EnvProgram); named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", &Failure{
				Reason: ReasonProgram, Message: fmt.Sprintf("%s names %s, which can't be run: %v", EnvProgram, named, err),
				Hint: "unset " + EnvProgram + ", or set it to the path of skiffd",
			}
		}
		return filepath.Abs(path)
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find skiff's own program: %w", err)
	}
	return program(self)
}

func program(self string) (string, error) {
	name := "skiffd"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	selves := []string{self}
	if real, err := filepath.EvalSymlinks(self); err == nil && real != self {
		selves = append(selves, real)
	}
	for _, s := range selves {
		dir := filepath.Dir(s)
		for _, candidate := range []string{filepath.Join(dir, name), filepath.Join(dir, "..", "libexec", "skiff", name)} {
			if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() {
				return candidate, nil
			}
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	return "", &Failure{
		Reason:  ReasonProgram,
		Message: fmt.Sprintf("%s, the daemon's program, is neither in %s nor in ../libexec/skiff beside it nor on the PATH", name, filepath.Dir(self)),
		Hint:    "install skiff again, or set " + EnvProgram + " to the path of skiffd",
	}
}
