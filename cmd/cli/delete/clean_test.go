package delete

import (
	"fmt"
	"testing"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/runtimetest"
)

func TestANetworkThatTheEngineHoldsBackKeepsNothingElse(t *testing.T) {
	fake, ctx := runtimetest.NewFake(), t.Context()
	labels := docker.ProfileLabels("shop", docker.RoleSandbox)
	if _, err := fake.CreateVolume(ctx, docker.VolumeSpec{Name: "data", Labels: labels}); err != nil {
		t.Fatal(err)
	}
	if _, err := fake.CreateNetwork(ctx, docker.NetworkSpec{Name: "skiff-shop", Labels: labels}); err != nil {
		t.Fatal(err)
	}
	fake.OnCall(func(c runtimetest.Call) error {
		if c.Method != "RemoveNetwork" {
			return nil
		}
		return fmt.Errorf("remove: %w", &docker.Error{Kind: docker.ErrForbidden, Also: docker.ErrLostCount, Text: "has active endpoints"})
	})
	removed, err := Clean(ctx, fake, "shop")
	if err != nil || removed != (Removed{Volumes: 1, Held: 1}) {
		t.Errorf("removed %+v, %v; want the volume gone and the network held", removed, err)
	}
	fake.OnCall(nil)
	if removed, err = Clean(ctx, fake, "shop"); err != nil || removed != (Removed{Networks: 1}) {
		t.Errorf("once the engine counts right: %+v, %v", removed, err)
	}
}
