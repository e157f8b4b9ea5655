package spec

import (
	"context"
	"fmt"
	"maps"
	"net"
	"sort"
	"strings"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/kubernetes/pkg/api/v1/resource"
	v1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"
	"k8s.io/kubernetes/pkg/fieldpath"
	"k8s.io/kubernetes/pkg/kubelet/envvars"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// An EnvVar is one variable of a container, resolved.
type EnvVar struct{ Name, Value string }

// Objects is where the environment and the volumes of a pod come from.
type Objects interface {
	ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*v1.Secret, error)
	// Services returns those of a namespace.
	Services(namespace string) ([]*v1.Service, error)
}

// EnvInput is what a container's environment is made from.
type EnvInput struct {
	Pod       *v1.Pod
	Container *v1.Container
	Objects   Objects
	PodIPs    []string
	HostIPs   []string
	// File returns a key of an environment file in a volume (fileKeyRef); nil if there is no way.
	File func(ctx context.Context, ref *v1.FileKeySelector) (value string, found bool, err error)
}

// Env resolves a container's environment by kubelet's rules: envFrom, then env with $(VAR) references, then variables for
// Services that nothing else has defined. A missing source is a ConfigError.
func (c *Config) Env(ctx context.Context, in EnvInput) ([]EnvVar, error) {
	services, err := serviceEnv(in.Pod, in.Objects)
	if err != nil {
		return nil, fmt.Errorf("list Services for the environment: %w", err)
	}
	r := envResolver{cfg: c, in: in, values: map[string]string{}}
	if err := r.from(ctx); err != nil {
		return nil, &ConfigError{err}
	}
	mapping := expansion.MappingFuncFor(r.values, services)
	for i := range in.Container.Env {
		if err := r.add(ctx, &in.Container.Env[i], mapping); err != nil {
			return nil, &ConfigError{err}
		}
	}
	for name, value := range services {
		if _, taken := r.values[name]; !taken {
			r.values[name] = value
			r.names = append(r.names, name)
		}
	}
	sort.Strings(r.names[r.declared:])
	out := make([]EnvVar, 0, len(r.names))
	for _, name := range r.names {
		out = append(out, EnvVar{name, r.values[name]})
	}
	return out, nil
}

type envResolver struct {
	cfg      *Config
	in       EnvInput
	values   map[string]string
	names    []string
	declared int // names before this index keep their order
}

func (r *envResolver) put(name, value string) {
	if _, ok := r.values[name]; !ok {
		r.names = append(r.names, name)
	}
	r.values[name] = value
	r.declared = len(r.names)
}

func isOptional(b *bool) bool { return b != nil && *b }

func (r *envResolver) from(ctx context.Context) error {
	ns := r.in.Pod.Namespace
	for _, source := range r.in.Container.EnvFrom {
		data := map[string]string{}
		switch {
		case source.ConfigMapRef != nil:
			cm, err := r.in.Objects.ConfigMap(ctx, ns, source.ConfigMapRef.Name)
			if err != nil {
				if apierrors.IsNotFound(err) && isOptional(source.ConfigMapRef.Optional) {
					continue
				}
				return err
			}
			data = cm.Data
		case source.SecretRef != nil:
			secret, err := r.in.Objects.Secret(ctx, ns, source.SecretRef.Name)
			if err != nil {
				if apierrors.IsNotFound(err) && isOptional(source.SecretRef.Optional) {
					continue
				}
				return err
			}
			for k, v := range secret.Data {
				data[k] = string(v)
			}
		}
		for _, k := range sortedKeys(data) {
			r.put(source.Prefix+k, data[k])
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func (r *envResolver) add(ctx context.Context, e *v1.EnvVar, mapping func(string) string) error {
	if e.Value != "" || e.ValueFrom == nil {
		r.put(e.Name, expansion.Expand(e.Value, mapping))
		return nil
	}
	value, found, err := r.valueFrom(ctx, e.ValueFrom)
	if err != nil {
		return err
	}
	if found {
		r.put(e.Name, value)
	}
	return nil
}

func (r *envResolver) valueFrom(ctx context.Context, source *v1.EnvVarSource) (value string, found bool, err error) {
	ns := r.in.Pod.Namespace
	switch {
	case source.FieldRef != nil:
		value, err = r.cfg.Field(r.in.Pod, source.FieldRef.FieldPath, r.in.PodIPs, r.in.HostIPs)
		return value, true, err
	case source.ResourceFieldRef != nil:
		value, err = r.cfg.ResourceField(r.in.Pod, r.in.Container.Name, source.ResourceFieldRef)
		return value, true, err
	case source.ConfigMapKeyRef != nil:
		ref := source.ConfigMapKeyRef
		cm, err := r.in.Objects.ConfigMap(ctx, ns, ref.Name)
		if err != nil {
			return "", false, ignoreMissing(err, ref.Optional)
		}
		value, ok := cm.Data[ref.Key]
		if !ok && !isOptional(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %v in ConfigMap %v/%v", ref.Key, ns, ref.Name)
		}
		return value, ok, nil
	case source.SecretKeyRef != nil:
		ref := source.SecretKeyRef
		secret, err := r.in.Objects.Secret(ctx, ns, ref.Name)
		if err != nil {
			return "", false, ignoreMissing(err, ref.Optional)
		}
		value, ok := secret.Data[ref.Key]
		if !ok && !isOptional(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %v in Secret %v/%v", ref.Key, ns, ref.Name)
		}
		return string(value), ok, nil
	case source.FileKeyRef != nil:
		return r.file(ctx, source.FileKeyRef)
	}
	return "", false, nil
}

func (r *envResolver) file(ctx context.Context, ref *v1.FileKeySelector) (string, bool, error) {
	if r.in.File == nil {
		return "", false, fmt.Errorf("cannot find the volume %q referenced by FileKeyRef", ref.VolumeName)
	}
	value, found, err := r.in.File(ctx, ref)
	if err == nil && !found && !isOptional(ref.Optional) {
		err = fmt.Errorf("environment variable key %q not found in file %q", ref.Key, ref.Path)
	}
	return value, found, err
}

func ignoreMissing(err error, optional *bool) error {
	if apierrors.IsNotFound(err) && isOptional(optional) {
		return nil
	}
	return err
}

// Field resolves a downward API field of the pod.
func (c *Config) Field(pod *v1.Pod, path string, podIPs, hostIPs []string) (string, error) {
	first := func(list []string) string {
		if len(list) == 0 {
			return ""
		}
		return list[0]
	}
	switch path {
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return first(hostIPs), nil
	case "status.hostIPs":
		return strings.Join(hostIPs, ","), nil
	case "status.podIP":
		return first(podIPs), nil
	case "status.podIPs":
		return strings.Join(podIPs, ","), nil
	}
	return fieldpath.ExtractFieldPathAsString(pod, path)
}

// ResourceField resolves a downward API resource; limits that aren't set are the pod's, or what the node has.
func (c *Config) ResourceField(pod *v1.Pod, container string, ref *v1.ResourceFieldSelector) (string, error) {
	if ref.ContainerName != "" {
		container = ref.ContainerName
	}
	most := c.Allocatable
	if pod.Spec.Resources != nil {
		most = maps.Clone(most)
		for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			if limit, ok := pod.Spec.Resources.Limits[name]; ok && !limit.IsZero() {
				most[name] = limit
			}
		}
	}
	return resource.ExtractResourceValueByContainerNameAndNodeAllocatable(ref, pod, container, most)
}

// masterServices are in every pod's environment: client-go's in-cluster configuration reads them.
const (
	masterNamespace = "default"
	masterService   = "kubernetes"
)

func serviceEnv(pod *v1.Pod, objects Objects) (map[string]string, error) {
	links := pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks
	byName := map[string]*v1.Service{}
	if links {
		services, err := objects.Services(pod.Namespace)
		if err != nil {
			return nil, err
		}
		for _, s := range services {
			if linkable(s) {
				byName[s.Name] = s
			}
		}
	}
	masters, err := objects.Services(masterNamespace)
	if err != nil {
		return nil, err
	}
	for _, s := range masters {
		if _, taken := byName[s.Name]; s.Name == masterService && linkable(s) && !taken {
			byName[s.Name] = s
		}
	}
	list := make([]*v1.Service, 0, len(byName))
	for _, name := range sortedKeys(byName) {
		list = append(list, byName[name])
	}
	out := map[string]string{}
	for _, e := range envvars.FromServices(list) {
		out[e.Name] = e.Value
	}
	return out, nil
}

func linkable(s *v1.Service) bool {
	return v1helper.IsServiceIPSet(s) && len(s.Spec.Ports) > 0 && net.ParseIP(s.Spec.ClusterIP) != nil
}
