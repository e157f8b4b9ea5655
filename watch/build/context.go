package build

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"skiff.local/skiff/watch/ignore"
)

// Fingerprint tells whether anything changed that a build could see: names, sizes, times and modes of the context's
// files, minus those that .dockerignore leaves out. Visit is called with every directory before it is listed.
func Fingerprint(image Image, visit func(dir string)) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, image.Key())
	note := func(rel string, info fs.FileInfo) {
		fmt.Fprintf(sum, "%s %d %d %o\n", rel, info.Size(), info.ModTime().UnixNano(), info.Mode())
	}
	visit(filepath.Dir(image.Dockerfile))
	info, err := os.Stat(image.Dockerfile)
	if err != nil {
		return "", fmt.Errorf("read the Dockerfile: %w", err)
	}
	note(image.Dockerfile, info)
	rules := dockerignore(image)
	err = filepath.WalkDir(image.Context, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since it was listed; the event about that is under way
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(image.Context, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if rel != "." && rules.Ignored(rel, entry.IsDir()) {
			if entry.IsDir() && !rules.mayTakeBack() {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			if rel == ".git" {
				return filepath.SkipDir
			}
			visit(path)
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil //nolint:nilerr // gone since it was listed
		}
		note(rel, info)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("read the build context: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16]), nil
}

// ignored are the rules of a .dockerignore. They are not quite those of git: a pattern without a slash matches at the
// top only, and a directory that is left out can be taken back in part.
type ignored struct {
	rules    ignore.Rules
	takeBack bool
}

func dockerignore(image Image) ignored {
	data, err := os.ReadFile(image.Dockerfile + ".dockerignore")
	if err != nil {
		if data, err = os.ReadFile(filepath.Join(image.Context, ".dockerignore")); err != nil {
			return ignored{}
		}
	}
	var lines []string
	takeBack := false
	for _, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		negated := strings.HasPrefix(line, "!")
		takeBack = takeBack || negated
		line = strings.Trim(strings.TrimPrefix(line, "!"), "/")
		line = strings.TrimPrefix(line, "./")
		if negated {
			lines = append(lines, "!/"+line)
		} else {
			lines = append(lines, "/"+line)
		}
	}
	return ignored{rules: ignore.Parse([]byte(strings.Join(lines, "\n"))), takeBack: takeBack}
}

func (i ignored) mayTakeBack() bool { return i.takeBack }

// Ignored judges a path. What lies in a directory that is left out is left out, unless a later line takes it back.
func (i ignored) Ignored(rel string, isDir bool) bool {
	for path := rel; path != "." && path != ""; path = parent(path) {
		if out, decided := i.rules.Match(path, isDir || path != rel); decided {
			return out
		}
	}
	return false
}

func parent(rel string) string {
	slash := strings.LastIndexByte(rel, '/')
	if slash < 0 {
		return ""
	}
	return rel[:slash]
}
