package templates

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// objects decodes rendered manifests strictly: an unknown field is an error.
func objects(t *testing.T, raw []byte) []runtime.Object {
	t.Helper()
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
	var list []runtime.Object
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		o, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		list = append(list, o)
	}
}

// podOf returns the pod that an object makes, and whether it runs until it is stopped.
func podOf(o runtime.Object) (template *corev1.PodTemplateSpec, forever bool) {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template, true
	case *appsv1.StatefulSet:
		return &o.Spec.Template, true
	case *batchv1.Job:
		return &o.Spec.Template, false
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template, false
	}
	return nil, false
}

func TestEveryTemplateIsFitForProduction(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, template := range All() {
		t.Run(template.Name, func(t *testing.T) {
			raw, err := template.Render("thing", nil)
			if err != nil {
				t.Fatal(err)
			}
			pods := 0
			for _, o := range objects(t, raw) {
				pod, forever := podOf(o)
				if pod == nil {
					continue
				}
				pods++
				for _, r := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
					if !r.Allowed {
						t.Errorf("Pod Security restricted: %s: %s", r.ForbiddenReason, r.ForbiddenDetail)
					}
				}
				for _, c := range pod.Spec.Containers {
					if forever && c.LivenessProbe == nil && c.ReadinessProbe == nil {
						t.Errorf("container %s has no probe", c.Name)
					}
					if c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
						t.Errorf("container %s lacks requests, or a memory limit", c.Name)
					}
				}
			}
			if pods == 0 {
				t.Error("it runs no pod")
			}
		})
	}
}

func TestValuesAreCheckedBeforeTheyAreWritten(t *testing.T) {
	web, _ := Find("web")
	for name, test := range map[string]struct {
		name   string
		values map[string]string
		want   string
	}{
		"a name that no object can have": {"My App", nil, `name "My App"`},
		"a port out of range":            {"a", map[string]string{"port": "70000"}, "port"},
		"an image that would be YAML":    {"a", map[string]string{"image": "x\n  y: z"}, "image"},
		"a negative count":               {"a", map[string]string{"replicas": "-1"}, "replicas"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := web.Render(test.name, test.values); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Render: %v, want %q", err, test.want)
			}
		})
	}
	raw, err := web.Render("shop", map[string]string{"path": `/a"b: c`, "image": "registry:5000/a/b:v1", "port": "3000"})
	if err != nil {
		t.Fatal(err)
	}
	d := objects(t, raw)[0].(*appsv1.Deployment)
	c := d.Spec.Template.Spec.Containers[0]
	if c.LivenessProbe.HTTPGet.Path != `/a"b: c` || c.Image != "registry:5000/a/b:v1" || c.Ports[0].ContainerPort != 3000 {
		t.Errorf("rendered: %+v", c)
	}
}
