package pod

import (
	"skiff.local/skiff/runtime/pod/plan"
)

// resize will apply changed resources to running containers.
func (w *Worker) resize(*plan.Plan) {}
