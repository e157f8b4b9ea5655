package node

import (
	"archive/tar"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"
	"testing"

	"skiff.local/skiff/runtime/docker"
)

// newImage is the tests' image with more files and other settings; it goes with the cluster.
func (c *cluster) newImage(name string, files map[string][]byte, settings ...string) string {
	c.t.Helper()
	ref := "skiff.local/t-pod:" + name + "-" + c.profile
	if err := importBusybox(c.engine, ref, files, settings...); err != nil {
		c.t.Fatal(err)
	}
	c.images = append(c.images, ref)
	return ref
}

var busybox struct {
	once sync.Once
	ref  string
	err  error
}

// TestMain leaves the engine without the tests' image. Tests of pods wait most of the time: more of them than there are
// processors can run at once.
func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", "8")
	}
	code := m.Run()
	if busybox.err == nil && busybox.ref != "" {
		if engine, err := docker.Connect(context.Background(), docker.Options{}); err == nil {
			_ = engine.RemoveImage(context.Background(), busybox.ref, docker.RemoveImageOptions{Force: true})
			_ = engine.Close()
		}
	}
	os.Exit(code)
}

// busyboxImage makes the test's image from the static busybox of the machine.
func busyboxImage(t testing.TB, engine *docker.Engine) string {
	t.Helper()
	busybox.once.Do(func() {
		busybox.ref = fmt.Sprintf("skiff.local/t-pod:busybox-%d", os.Getpid()) // its own: another run may end first
		busybox.err = importBusybox(engine, busybox.ref, nil)
	})
	if busybox.err != nil {
		t.Fatal(busybox.err)
	}
	return busybox.ref
}

// importBusybox makes an image of a static busybox, more files and settings in the words of a Dockerfile.
func importBusybox(engine *docker.Engine, ref string, files map[string][]byte, settings ...string) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	binary, err := os.ReadFile("/usr/bin/busybox")
	if err != nil {
		binary, err = os.ReadFile("/bin/busybox")
	}
	if err != nil {
		return fmt.Errorf("the tests' image is made of a static busybox (package busybox-static): %w", err)
	}
	made := map[string]bool{".": true}
	put := func(h tar.Header, data []byte) {
		// A folder that the archive does not name is for root alone where the engine is rootless.
		if dir := path.Dir(h.Name); !made[dir] {
			made[dir] = true
			_ = w.WriteHeader(&tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755})
		}
		h.Size = int64(len(data))
		_ = w.WriteHeader(&h)
		_, _ = w.Write(data)
	}
	put(tar.Header{Name: "bin/busybox", Mode: 0o755}, binary)
	for _, applet := range strings.Fields("sh cat sleep ls echo httpd nc wget id env touch mkdir rm kill ps hostname stat date trap true false head tail grep readlink df mount") {
		put(tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, nil)
	}
	put(tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"))
	for name, data := range files {
		put(tar.Header{Name: name, Mode: 0o755}, data)
	}
	put(tar.Header{Name: "tmp", Typeflag: tar.TypeDir, Mode: 0o1777}, nil)
	if err := w.Close(); err != nil {
		return err
	}
	_, err = engine.ImportImage(context.Background(), &b, docker.ImportOptions{Ref: ref, Changes: append([]string{"ENV PATH=/bin"}, settings...)})
	return err
}
