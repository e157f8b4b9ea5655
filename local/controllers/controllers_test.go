package controllers_test

import "testing"

// TestControllers runs everything on one cluster: a test binary with the whole of Kubernetes in it is expensive to
// start and to build, and tests that share a cluster find what disturbs what.
func TestControllers(t *testing.T) {
	c := startCluster(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *cluster)
	}{
		{"a Deployment becomes ready and rolls", testDeployment},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, c)
		})
	}
}
