package apiserver

import (
	"fmt"
	"runtime/debug"
	"strings"

	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/util/compatibility"
	basecompatibility "k8s.io/component-base/compatibility"
)

// KubernetesVersion is the release whose code is compiled in, and which clients are told.
func KubernetesVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "k8s.io/kubernetes" {
				return dep.Version
			}
		}
	}
	// Test binaries carry no list of modules.
	return "v" + basecompatibility.NewEffectiveVersionFromString(fallbackVersion, "", "").BinaryVersion().String()
}

const fallbackVersion = "1.36.3"

// stampedVersion answers /version with the release instead of the placeholder that a library build of
// Kubernetes carries, which clients can't parse.
type stampedVersion struct {
	basecompatibility.EffectiveVersion
}

func newEffectiveVersion() basecompatibility.EffectiveVersion {
	return stampedVersion{compatibility.DefaultBuildEffectiveVersion()}
}

func (v stampedVersion) Info() *version.Info {
	info := v.EffectiveVersion.Info()
	if info == nil || !strings.HasPrefix(info.GitVersion, "v0.0.0") {
		return info
	}
	stamped := *info
	stamped.GitVersion = KubernetesVersion()
	stamped.GitCommit = ""
	binary := v.BinaryVersion()
	stamped.Major, stamped.Minor = fmt.Sprint(binary.Major()), fmt.Sprint(binary.Minor())
	return &stamped
}
