package runtimetest

import (
	"testing"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
)

func TestFakeKeepsTheContract(t *testing.T) {
	fake := NewFake()
	fake.AddImage("skiff.local/node:test", docker.ImageInfo{Entrypoint: []string{docker.HelperPath}}, nil)
	Contract(t, fake, "skiff.local/node:test")
	if left := fake.Dump(); len(left) != 0 {
		t.Errorf("the contract left behind: %v", left)
	}
}

func TestRealEngineKeepsTheContract(t *testing.T) {
	eng := Connect(t)
	helper, err := image.EnsureNode(t.Context(), eng)
	if err != nil {
		t.Fatalf("%v: %s", err, docker.Hint(err))
	}
	Contract(t, eng, helper)
}
