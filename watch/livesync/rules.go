// Package livesync copies changed source files into running containers, without a build and without new pods. It works
// through the Kubernetes API alone: tar runs in the container, as with `kubectl cp`.
//
// What is copied lives as long as the container. A container that starts anew gets everything again that changed since
// the set began to watch, or since its image was built.
package livesync

import (
	"fmt"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"skiff.local/skiff/watch/plan"
)

// Annotations on a workload.
//
//	skiff.local/sync: ./src:/app/src, ./static:/app/static
//	skiff.local/sync.worker: ./worker:/app        (for the container of that name instead of the first)
//	skiff.local/sync-exec: kill -HUP 1            (runs in the container after every copy)
//	skiff.local/sync-restart: "true"              (then restarts the container in place; on skiff's own clusters)
const (
	Annotation        = "skiff.local/sync"
	AnnotationExec    = "skiff.local/sync-exec"
	AnnotationRestart = "skiff.local/sync-restart"
)

// Rule says what to copy where.
type Rule struct {
	Ref       plan.Ref
	Container string
	// Local is an absolute directory or file here, Remote the absolute path that it has in the container.
	Local, Remote string
	// Exec is a shell command that runs in the container after a copy, "" for none.
	Exec string
	// Restart says that the container is restarted in place after that, with its files.
	Restart bool
}

// Parse reads a workload's annotations. Local paths are relative to dir; containers are the names in the pod's order.
func Parse(ref plan.Ref, annotations map[string]string, dir string, containers []string) ([]Rule, error) {
	keys := make([]string, 0, len(annotations))
	for key := range annotations {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	var rules []Rule
	for _, key := range keys {
		container, named := strings.CutPrefix(key, Annotation+".")
		switch {
		case key == Annotation && len(containers) > 0:
			container = containers[0]
		case !named:
			continue
		}
		for _, pair := range strings.Split(annotations[key], ",") {
			local, remote, found := cutLast(strings.TrimSpace(pair))
			if !found || local == "" || !path.IsAbs(remote) {
				return nil, fmt.Errorf("%s: %q is not LOCAL:/REMOTE", key, strings.TrimSpace(pair))
			}
			local = filepath.FromSlash(local)
			if !filepath.IsAbs(local) {
				local = filepath.Join(dir, local)
			}
			rules = append(rules, Rule{Ref: ref, Container: container, Local: filepath.Clean(local), Remote: path.Clean(remote), Exec: annotations[AnnotationExec], Restart: annotations[AnnotationRestart] == "true"})
		}
	}
	return rules, nil
}

// cutLast splits at the last colon: a Windows path has one of its own.
func cutLast(pair string) (local, remote string, found bool) {
	colon := strings.LastIndexByte(pair, ':')
	if colon < 0 {
		return "", "", false
	}
	return pair[:colon], pair[colon+1:], true
}
