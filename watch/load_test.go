package watch

import (
	"fmt"
	"path/filepath"
	"testing"

	"skiff.local/skiff/watch/plan"
	"skiff.local/skiff/watch/source"
)

// BenchmarkLoad measures reading and comparing 1,000 manifests: from nothing, and when they are known and unchanged.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		writeFile(b, filepath.Join(dir, fmt.Sprint(i/100), fmt.Sprintf("%d.yaml", i)), deploymentText(i))
	}
	sources := []source.Source{{Path: dir, Name: "k"}}
	diff := func(loader *source.Loader) {
		snapshot := loader.Load(nil)
		var in plan.Input
		for _, unit := range snapshot.Units {
			for _, obj := range unit.Objects {
				ref := plan.Ref{Group: "apps", Kind: obj.GetKind(), Namespace: "default", Name: obj.GetName()}
				in.Desired = append(in.Desired, plan.Desired{Ref: ref, Hash: obj.Hash, Unit: unit.ID})
				in.Members = append(in.Members, plan.Member{Ref: ref, Hash: obj.Hash, Unit: unit.ID})
			}
		}
		if p := plan.Make(in); !p.Empty() || p.Unchanged != 1000 {
			b.Fatalf("%d unchanged", p.Unchanged)
		}
	}
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			diff(source.NewLoader(sources, source.Options{}))
		}
	})
	b.Run("warm", func(b *testing.B) {
		loader := source.NewLoader(sources, source.Options{})
		loader.Load(nil)
		for b.Loop() {
			diff(loader)
		}
	})
}

func deploymentText(i int) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-%[1]d
  labels: {app.kubernetes.io/name: web, app.kubernetes.io/part-of: shop}
spec:
  replicas: 2
  selector:
    matchLabels: {app: web-%[1]d}
  template:
    metadata:
      labels: {app: web-%[1]d}
    spec:
      containers:
      - name: web
        image: shop/web:%[1]d
        ports:
        - containerPort: 8080
        env:
        - {name: DATABASE, value: "postgres://db:5432/shop"}
        readinessProbe:
          httpGet: {path: /healthz, port: 8080}
        resources:
          requests: {cpu: 50m, memory: 64Mi}
`, i)
}
