package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func ref(kind, name string) Ref {
	groups := map[string]string{"Deployment": "apps", "CustomResourceDefinition": "apiextensions.k8s.io", "ValidatingWebhookConfiguration": "admissionregistration.k8s.io"}
	r := Ref{Group: groups[kind], Kind: kind, Namespace: "default", Name: name}
	if kind == "Namespace" || kind == "CustomResourceDefinition" || kind == "ValidatingWebhookConfiguration" {
		r.Namespace = ""
	}
	return r
}

func want(kind, name, hash, unit string) Desired {
	return Desired{Ref: ref(kind, name), Hash: hash, Unit: unit, At: unit + ":1"}
}

func have(kind, name, hash, unit string) Member {
	return Member{Ref: ref(kind, name), Hash: hash, Unit: unit}
}

func TestMake(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   Input
		want string
	}{
		{"nothing to do", Input{Desired: []Desired{want("Deployment", "web", "1", "k/web.yaml")}, Members: []Member{have("Deployment", "web", "1", "k/web.yaml")}}, "unchanged: 1\n"},
		{"kinds have an order, and inside it what is written first comes first", Input{Desired: []Desired{
			want("ValidatingWebhookConfiguration", "hook", "1", "k/a.yaml"), want("Deployment", "web", "1", "k/a.yaml"), want("Deployment", "api", "1", "k/a.yaml"), want("Service", "web", "1", "k/a.yaml"),
			want("CustomResourceDefinition", "kinds", "1", "k/a.yaml"), want("ConfigMap", "settings", "1", "k/a.yaml"), want("Namespace", "shop", "1", "k/a.yaml"),
		}}, `namespaces:
  apply Namespace shop: not in the cluster yet
kinds:
  apply CustomResourceDefinition kinds: not in the cluster yet
configuration and storage:
  apply ConfigMap default/settings: not in the cluster yet
services:
  apply Service default/web: not in the cluster yet
workloads:
  apply Deployment default/web: not in the cluster yet
  apply Deployment default/api: not in the cluster yet
extensions of the API:
  apply ValidatingWebhookConfiguration hook: not in the cluster yet
`},
		{"only what changed is sent", Input{
			Desired: []Desired{want("Deployment", "web", "2", "k/web.yaml"), want("Deployment", "api", "1", "k/api.yaml")},
			Members: []Member{have("Deployment", "web", "1", "k/web.yaml"), have("Deployment", "api", "1", "k/api.yaml")},
		}, "workloads:\n  apply Deployment default/web: changed in k/web.yaml:1\nunchanged: 1\n"},
		{"a document that moved is noted where it is now", Input{
			Desired: []Desired{want("Deployment", "web", "1", "k/new.yaml")}, Members: []Member{have("Deployment", "web", "1", "k/old.yaml")},
		}, "workloads:\n  apply Deployment default/web: moved to k/new.yaml:1\n"},
		{"what left the sources is pruned, users before what they use", Input{
			Members: []Member{have("ConfigMap", "settings", "1", "k/a.yaml"), have("Service", "web", "1", "k/a.yaml"), have("Deployment", "web", "1", "k/a.yaml")},
		}, `prune Deployment default/web: no longer in k/a.yaml
prune Service default/web: no longer in k/a.yaml
prune ConfigMap default/settings: no longer in k/a.yaml
`},
		{"a broken file keeps its objects and stops no other", Input{
			Desired: []Desired{want("Deployment", "new", "1", "k/new.yaml")}, Broken: []string{"k/web.yaml"},
			Members: []Member{have("Deployment", "web", "1", "k/web.yaml"), have("Deployment", "old", "1", "k/old.yaml")},
		}, `workloads:
  apply Deployment default/new: not in the cluster yet
prune Deployment default/old: no longer in k/old.yaml
keep Deployment default/web: k/web.yaml can't be read now
`},
		{"a broken file that is new might hold anything", Input{
			Broken: []string{"k/renamed.yaml"}, Members: []Member{have("Deployment", "web", "1", "k/web.yaml")},
		}, "keep Deployment default/web: k/renamed.yaml can't be read and might hold it now\n"},
		{"units are called as the user calls them", Input{
			Broken: []string{"k/web.yaml"}, Called: func(unit string) string { return "deploy/" + unit },
			Members: []Member{have("Deployment", "web", "1", "k/web.yaml"), have("Deployment", "old", "1", "k/old.yaml")},
		}, "prune Deployment default/old: no longer in deploy/k/old.yaml\nkeep Deployment default/web: deploy/k/web.yaml can't be read now\n"},
		{"a source that vanished keeps everything below it", Input{
			Broken: []string{"k"}, Members: []Member{have("Deployment", "web", "1", "k/a/web.yaml")},
		}, "keep Deployment default/web: k can't be read now\n"},
		{"a name that starts alike is another source", Input{
			Broken: []string{"k"}, Members: []Member{have("Deployment", "web", "1", "k2/web.yaml"), have("Deployment", "api", "1", "k/api.yaml")},
		}, "prune Deployment default/web: no longer in k2/web.yaml\nkeep Deployment default/api: k can't be read now\n"},
		{"data and containers of other objects stay", Input{
			Members: []Member{have("PersistentVolumeClaim", "db", "1", "k/a.yaml"), have("Namespace", "shop", "1", "k/a.yaml"), have("CustomResourceDefinition", "kinds", "1", "k/a.yaml")},
		}, `keep PersistentVolumeClaim default/db: it holds data; --prune=all removes it
keep CustomResourceDefinition kinds: every object of its kind would go with it; --prune=all removes it
keep Namespace shop: it may hold other objects; --prune=all removes it
`},
		{"unless all may go", Input{PruneAll: true, Members: []Member{have("Namespace", "shop", "1", "k/a.yaml"), have("PersistentVolumeClaim", "db", "1", "k/a.yaml")}},
			"prune PersistentVolumeClaim default/db: no longer in k/a.yaml\nprune Namespace shop: no longer in k/a.yaml\n"},
		{"an object may ask to stay", Input{Members: []Member{{Ref: ref("ConfigMap", "x"), Unit: "k/a.yaml", Keep: "it asks to be kept"}}},
			"keep ConfigMap default/x: it asks to be kept\n"},
		{"the same object twice", Input{Desired: []Desired{want("ConfigMap", "x", "1", "k/a.yaml"), want("ConfigMap", "x", "2", "k/b.yaml")}},
			"configuration and storage:\n  apply ConfigMap default/x: not in the cluster yet\ntwice: 0 and 1\n"},
		{"sent again for a reason", Input{
			Desired: []Desired{want("Deployment", "web", "1", "k/web.yaml")}, Members: []Member{have("Deployment", "web", "1", "k/web.yaml")},
			Again: map[Ref]string{ref("Deployment", "web"): "it failed before"},
		}, "workloads:\n  apply Deployment default/web: it failed before\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Make(tc.in).String()); diff != "" {
				t.Errorf("unexpected plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAPlanOnceDoneIsEmpty holds the invariant of every reconciler: after a plan was carried out, there is nothing to do;
// and whatever is broken, no object that is wanted or that came from a broken unit is pruned.
func TestAPlanOnceDoneIsEmpty(t *testing.T) {
	kinds := []string{"Namespace", "ConfigMap", "Deployment", "PersistentVolumeClaim"}
	units := []string{"k/a.yaml", "k/b.yaml", "k/c/d.yaml"}
	rapid.Check(t, func(t *rapid.T) {
		var in Input
		in.Broken = rapid.SliceOfN(rapid.SampledFrom(append(units, "k/c", "k/new.yaml")), 0, 2).Draw(t, "broken")
		for range rapid.IntRange(0, 8).Draw(t, "desired") {
			d := want(rapid.SampledFrom(kinds).Draw(t, "kind"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name"),
				rapid.SampledFrom([]string{"1", "2"}).Draw(t, "hash"), rapid.SampledFrom(units).Draw(t, "unit"))
			if (brokenUnits{units: in.Broken}).covers(d.Unit) == "" { // what can't be read wants nothing
				in.Desired = append(in.Desired, d)
			}
		}
		seen := map[Ref]bool{}
		for range rapid.IntRange(0, 8).Draw(t, "members") {
			m := have(rapid.SampledFrom(kinds).Draw(t, "kind"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name"),
				rapid.SampledFrom([]string{"1", "2"}).Draw(t, "hash"), rapid.SampledFrom(units).Draw(t, "unit"))
			if !seen[m.Ref] {
				seen[m.Ref] = true
				in.Members = append(in.Members, m)
			}
		}
		in.PruneAll = rapid.Bool().Draw(t, "all")
		p := Make(in)
		after := map[Ref]Member{}
		for _, m := range in.Members {
			after[m.Ref] = m
		}
		for _, op := range p.Prune {
			m := after[op.Ref]
			for _, broken := range in.Broken {
				if within(m.Unit, broken) {
					t.Fatalf("%s came from %s, which is broken, and would be pruned", op.Ref, m.Unit)
				}
			}
			delete(after, op.Ref)
		}
		for _, step := range p.Steps {
			for _, op := range step.Ops {
				d := in.Desired[op.Index]
				after[op.Ref] = Member{Ref: op.Ref, Hash: d.Hash, Unit: d.Unit}
			}
		}
		for _, d := range in.Desired {
			if _, there := after[d.Ref]; !there {
				t.Fatalf("%s is wanted and missing", d.Ref)
			}
		}
		in.Members = nil
		for _, m := range after {
			in.Members = append(in.Members, m)
		}
		if second := Make(in); !second.Empty() {
			t.Fatalf("second plan is not empty:\n%sfirst was:\n%s", second, p)
		}
	})
}
