package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// suite is what all tests share: one cluster, because a user has one, and because starting ten would hide what a
// cluster that lives on does wrong.
type suite struct {
	bin     string // skiff
	kubectl string
	profile string
	dir     string // SKIFF_HOME, KUBECONFIG and scratch files
	image   string // the demo's repository: tags 0.1 and 0.2
	env     []string
	built   []string // images besides the demo's, by tag and by id
}

var shared suite

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		os.Exit(m.Run()) // every test skips itself
	}
	if err := shared.prepare(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := shared.cleanUp(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: clean up: %v\n", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func (s *suite) prepare() error {
	s.bin = os.Getenv("SKIFF_BIN")
	if s.bin == "" {
		return fmt.Errorf("SKIFF_BIN names no binary; run the tests with `make e2e` or `make test`")
	}
	if _, err := os.Stat(s.bin); err != nil {
		return fmt.Errorf("%w; run the tests with `make e2e` or `make test`", err)
	}
	s.kubectl = os.Getenv("SKIFF_TEST_KUBECTL")
	if s.kubectl == "" {
		path, err := exec.LookPath("kubectl")
		if err != nil {
			return fmt.Errorf("find the stock kubectl: %w; `make setup` provides one", err)
		}
		s.kubectl = path
	}
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		return fmt.Errorf("no Docker Engine answers; `make setup` starts one: %s", out)
	}
	dir, err := os.MkdirTemp("", "skiff-e2e-")
	if err != nil {
		return err
	}
	s.dir = dir
	suffix := fmt.Sprintf("%06x", rand.N(1<<24))
	s.profile = "t-e2e-" + suffix
	s.image = "k8s-demo-" + suffix
	s.env = append(clean(os.Environ()),
		"SKIFF_HOME="+filepath.Join(dir, "home"),
		"SKIFF_PROFILE="+s.profile,
		"KUBECONFIG="+filepath.Join(dir, "kubeconfig"),
		"KUBECACHEDIR="+filepath.Join(dir, "kube-cache"),
		"HOME="+dir,
		"NO_COLOR=1",
		"LC_ALL=C",
	)
	return s.makeImages()
}

// clean drops what the user's environment would change about skiff and kubectl.
func clean(env []string) []string {
	var kept []string
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case strings.HasPrefix(name, "SKIFF_"), strings.HasPrefix(name, "KUBE"), name == "HOME", strings.HasPrefix(name, "LC_"):
		default:
			kept = append(kept, v)
		}
	}
	// Docker's own configuration is found through HOME, which the tests change.
	if home, err := os.UserHomeDir(); err == nil && os.Getenv("DOCKER_CONFIG") == "" {
		kept = append(kept, "DOCKER_CONFIG="+filepath.Join(home, ".docker"))
	}
	return kept
}

func (s *suite) cleanUp() error {
	c := exec.Command(s.bin, "delete", "--yes")
	c.Env = s.env
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("skiff delete: %w: %s", err, out)
	}
	// What was built last rests on what was built before. One that is gone already is no failure.
	images := append([]string{s.image + ":0.1", s.image + ":0.2"}, s.built...)
	slices.Reverse(images)
	for _, image := range images {
		_ = exec.Command("docker", "rmi", "-f", image).Run()
	}
	return os.RemoveAll(s.dir)
}
