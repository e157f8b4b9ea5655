package metrics

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/metrics/pkg/apis/metrics"
)

// notFound names the resource of this group where the lister named the core one.
func notFound(err error, r schema.GroupResource, name string) error {
	if apierrors.IsNotFound(err) {
		return apierrors.NewNotFound(r, name)
	}
	return err
}

var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the object"},
	{Name: "cpu", Type: "string"},
	{Name: "memory", Type: "string"},
	{Name: "window", Type: "string"},
}

// ConvertToTable prints PodMetrics as metrics-server does.
func (s *podStorage) ConvertToTable(_ context.Context, obj, _ runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{ColumnDefinitions: columns}
	add := func(m *metrics.PodMetrics) {
		total := corev1.ResourceList{}
		for _, c := range m.Containers {
			for name, q := range c.Usage {
				sum := total[name]
				sum.Add(q)
				total[name] = sum
			}
		}
		table.Rows = append(table.Rows, row(m, m.Name, total, m.Window.Duration))
	}
	switch o := obj.(type) {
	case *metrics.PodMetrics:
		add(o)
	case *metrics.PodMetricsList:
		for i := range o.Items {
			add(&o.Items[i])
		}
		listMeta(table, o)
	}
	return table, nil
}

// ConvertToTable prints NodeMetrics as metrics-server does.
func (s *nodeStorage) ConvertToTable(_ context.Context, obj, _ runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{ColumnDefinitions: columns}
	add := func(m *metrics.NodeMetrics) {
		table.Rows = append(table.Rows, row(m, m.Name, m.Usage, m.Window.Duration))
	}
	switch o := obj.(type) {
	case *metrics.NodeMetrics:
		add(o)
	case *metrics.NodeMetricsList:
		for i := range o.Items {
			add(&o.Items[i])
		}
		listMeta(table, o)
	}
	return table, nil
}

func row(obj runtime.Object, name string, usage corev1.ResourceList, window time.Duration) metav1.TableRow {
	cpu, memory := usage[corev1.ResourceCPU], usage[corev1.ResourceMemory]
	return metav1.TableRow{Cells: []any{name, cpu.String(), memory.String(), window.String()}, Object: runtime.RawExtension{Object: obj}}
}

func listMeta(table *metav1.Table, list runtime.Object) {
	if m, err := meta.ListAccessor(list); err == nil {
		table.ResourceVersion, table.Continue = m.GetResourceVersion(), m.GetContinue()
	}
}
