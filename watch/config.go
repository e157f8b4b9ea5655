package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"skiff.local/skiff/watch/plan"
)

const (
	// annotationRoll asks for ("true") or forbids ("false") new pods when the configuration changes.
	annotationRoll = "skiff.local/roll-on-config"
	// annotationConfig on a pod template is the hash of the configuration that its pods read at their start.
	annotationConfig = "skiff.local/config"
)

// stampConfigs writes the hash of what a workload's pods read into their template, for those that want to be rolled
// when it changes. It is part of what is applied, so that a change of a ConfigMap is a change of the workload, and a
// restart of the set in between loses nothing.
func (s *Set) stampConfigs() error {
	var hashes map[plan.Ref]string
	for i := range s.state.objects {
		obj := &s.state.objects[i]
		want := obj.GetAnnotations()[annotationRoll]
		if want == "false" || want != "true" && !s.definition.RollOnConfig {
			continue
		}
		path := templatePath(obj.Unstructured)
		if len(path) == 0 || obj.GetKind() == "Job" || obj.GetKind() == "CronJob" {
			continue
		}
		configs := configsOf(podSpec(obj.Unstructured, path), obj.ref.Namespace)
		if len(configs) == 0 {
			continue
		}
		if hashes == nil {
			hashes = s.configHashes()
		}
		sum := sha256.New()
		for _, ref := range configs {
			fmt.Fprintf(sum, "%s=%s\n", ref, hashes[ref])
		}
		stamped := obj.Unstructured.DeepCopy()
		value := hex.EncodeToString(sum.Sum(nil)[:8])
		if err := unstructured.SetNestedField(stamped.Object, value, append(slices.Clone(path), "metadata", "annotations", annotationConfig)...); err != nil {
			return fmt.Errorf("note the configuration of %s: %w", obj.ref, err)
		}
		obj.Unstructured = stamped
		obj.Hash += "-" + value
	}
	return nil
}

// configHashes are the contents of the set's ConfigMaps and Secrets: as written, or, where their file can't be read now,
// as applied last.
func (s *Set) configHashes() map[plan.Ref]string {
	hashes := map[plan.Ref]string{}
	isConfig := func(ref plan.Ref) bool { return ref.Group == "" && (ref.Kind == "ConfigMap" || ref.Kind == "Secret") }
	for ref, member := range s.state.members {
		if isConfig(ref) {
			hashes[ref] = member.Hash
		}
	}
	for _, obj := range s.state.objects {
		if isConfig(obj.ref) {
			hashes[obj.ref] = obj.Hash
		}
	}
	return hashes
}
