package build

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyWhatABuildSupersedesIsCollected(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a real engine")
	}
	docker := func(args ...string) (string, error) {
		out, err := exec.Command("docker", args...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	dir := t.TempDir()
	name := fmt.Sprintf("skiff-collect-%d", os.Getpid())
	image := Image{Reference: name + ":dev", Context: dir, Dockerfile: filepath.Join(dir, "Dockerfile")}
	var made []string
	tidy := &Tidy{}
	build := func(content string) string {
		t.Helper()
		for file, text := range map[string]string{"Dockerfile": "FROM scratch\nCOPY file /file\nCMD [\"/file\"]\n", "file": name + content} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		id, err := tidy.Build(t.Context(), image, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, id)
		return id
	}
	exists := func(id string) bool { _, err := docker("image", "inspect", id); return err == nil }
	t.Cleanup(func() {
		_, _ = docker("rm", "-f", name)
		_, _ = docker("image", "rm", "-f", name+":dev", name+":kept")
		for _, id := range made {
			_, _ = docker("image", "rm", "-f", id)
		}
	})

	tagged := build("1")
	if out, err := docker("tag", tagged, name+":kept"); err != nil {
		t.Fatal(out)
	}
	used := build("2")
	if out, err := docker("create", "--name", name, used); err != nil {
		t.Fatal(out)
	}
	superseded := build("3")
	current := build("4")
	if exists(superseded) {
		t.Error("a superseded image that nobody uses stays")
	}
	for what, id := range map[string]string{"the current image": current, "an image that has another tag": tagged, "an image that a container uses": used} {
		if !exists(id) {
			t.Errorf("%s is gone", what)
		}
	}
	if out, err := docker("rm", name); err != nil {
		t.Fatal(out)
	}
	tidy.Collect(t.Context())
	if exists(used) || !exists(tagged) || !exists(current) {
		t.Errorf("after the container went: used %v, tagged %v, current %v", exists(used), exists(tagged), exists(current))
	}
	if again := build("3"); exists(current) || !exists(again) {
		t.Errorf("after the sources went back: %v, %v", exists(current), exists(again))
	}
}
