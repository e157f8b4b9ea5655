package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The demo images are a busybox web server with one page. 0.1 comes from `docker import` and 0.2 from `docker build`,
// because both are ways to make an image without a registry. The server answers for another second after SIGTERM, as a
// server behind a load balancer must.
func (s *suite) makeImages() error {
	rootfs1, err := rootfs("0.1")
	if err != nil {
		return err
	}
	importing := exec.Command("docker", "import",
		"--change", "ENV PATH=/bin", "--change", "EXPOSE 80", "--change", `CMD ["/serve"]`,
		"-", s.image+":0.1")
	importing.Stdin = bytes.NewReader(rootfs1)
	if out, err := importing.CombinedOutput(); err != nil {
		return fmt.Errorf("docker import: %w: %s", err, out)
	}

	rootfs2, err := rootfs("0.2")
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "image")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "rootfs.tar"), rootfs2, 0o644); err != nil {
		return err
	}
	dockerfile := "FROM scratch\nADD rootfs.tar /\nENV PATH=/bin\nEXPOSE 80\nCMD [\"/serve\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return err
	}
	building := exec.Command("docker", "build", "-q", "-t", s.image+":0.2", dir)
	building.Env = append(os.Environ(), "DOCKER_BUILDKIT=0") // buildx may not be installed
	if out, err := building.CombinedOutput(); err != nil {
		return fmt.Errorf("docker build: %w: %s", err, out)
	}
	return nil
}

const serve = `#!/bin/sh
mkdir -p /www
trap 'sleep 1; exit 0' TERM
httpd -f -p 80 -h /www &
while :; do wait $!; done
`

func rootfs(version string) ([]byte, error) {
	busybox, err := readBusybox()
	if err != nil {
		return nil, err
	}
	out := &bytes.Buffer{}
	w := tar.NewWriter(out)
	add := func(name string, mode int64, body string) {
		_ = w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(body)), Typeflag: tar.TypeReg})
		_, _ = w.Write([]byte(body))
	}
	directory := func(name string, mode int64) {
		_ = w.WriteHeader(&tar.Header{Name: name, Mode: mode, Typeflag: tar.TypeDir})
	}
	directory("bin/", 0o755)
	directory("etc/", 0o755)
	directory("tmp/", 0o1777)
	directory("www/", 0o755)
	add("bin/busybox", 0o755, string(busybox))
	for _, applet := range []string{
		"sh", "cat", "date", "echo", "env", "find", "false", "grep", "head", "hostname", "httpd", "id", "ipcs", "kill", "ls", "mkdir", "nslookup", "ps", "rm", "sed", "sleep", "stat", "tail", "tar", "test", "touch", "true", "wc", "wget",
	} {
		_ = w.WriteHeader(&tar.Header{Name: "bin/" + applet, Linkname: "busybox", Typeflag: tar.TypeSymlink})
	}
	fetch, err := buildFetch()
	if err != nil {
		return nil, err
	}
	add("bin/fetch", 0o755, string(fetch))
	_ = w.WriteHeader(&tar.Header{Name: "bin/nc", Linkname: "fetch", Typeflag: tar.TypeSymlink})
	add("bin/pg_isready", 0o755, "#!/bin/sh\n") // stands in for the database's own
	add("etc/passwd", 0o644, "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
	add("serve", 0o755, serve)
	add("www/index.html", 0o644, fmt.Sprintf("<html><head><title>k8s-demo</title></head><body>Hello from version %s</body></html>\n", version))
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// goBinary compiles a program of the module in dir for containers.
func goBinary(t *testing.T, dir, out, program string) {
	t.Helper()
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", out, program)
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v: %s", program, err, output)
	}
}

// buildImage is docker build. Containers hold the image longer than the test lasts, so it goes with the suite.
func buildImage(t *testing.T, tag, dir string) {
	t.Helper()
	build := exec.Command("docker", "build", "-q", "-t", tag, dir)
	build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	var errOut bytes.Buffer
	build.Stderr = &errOut
	id, err := build.Output()
	if err != nil {
		t.Fatalf("docker build: %v: %s", err, errOut.String())
	}
	shared.built = append(shared.built, tag, strings.TrimSpace(string(id)))
}

// buildFetch compiles the small client that resolves names as a program in a pod does.
func buildFetch() ([]byte, error) {
	out := filepath.Join(shared.dir, "fetch")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", out, "./testdata/fetch")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the test's client: %w: %s", err, output)
	}
	return os.ReadFile(out)
}

func readBusybox() ([]byte, error) {
	for _, path := range []string{"/bin/busybox", "/usr/bin/busybox"} {
		if raw, err := os.ReadFile(path); err == nil {
			return raw, nil
		}
	}
	return nil, fmt.Errorf("no static busybox to make test images of; `make setup` installs one")
}
