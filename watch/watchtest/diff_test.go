package watchtest

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/event"
)

func TestDifferencesAreShownBeforeAnythingChanges(t *testing.T) {
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: VALUE}\n"
	b := newBench(t, map[string]string{"a.yaml": config("a", "1"), "s.yaml": strings.ReplaceAll(secret, "VALUE", "hunter2"), "gone.yaml": config("gone", "1")}).once()
	b.write("a.yaml", config("a", "2"))
	b.write("new.yaml", config("new", "1"))
	b.write("s.yaml", strings.ReplaceAll(secret, "VALUE", "hunter3"))
	b.remove("gone.yaml")
	b.forget()
	var shown string
	c := b.config()
	c.Once = true
	c.Confirm = func(differences []watch.Difference) bool {
		for _, d := range differences {
			shown += d.Ref.String() + "\n" + d.Before + "=>\n" + d.After
		}
		return false
	}
	set, err := watch.NewSet(c)
	check(t, err)
	if err := set.Run(t.Context()); !errors.Is(err, watch.ErrDeclined) {
		t.Errorf("declined, and got %v", err)
	}
	for _, want := range []string{`x: "1"`, `x: "2"`, "ConfigMap " + b.namespace + "/new", "ConfigMap " + b.namespace + "/gone", "(hidden"} {
		if !strings.Contains(shown, want) {
			t.Errorf("nowhere: %s", want)
		}
	}
	for _, never := range []string{"hunter", "aHVudGVy", "managedFields", "skiff.local/applied", "applyset"} {
		if strings.Contains(shown, never) {
			t.Errorf("shown: %s", never)
		}
	}
	if t.Failed() {
		t.Log(shown)
	}
	for _, e := range b.seen() {
		if e.Type == event.Object {
			t.Errorf("something was done although it was declined: %s", e)
		}
	}
	a, err := shared.client.CoreV1().ConfigMaps(b.namespace).Get(t.Context(), "a", metav1.GetOptions{})
	check(t, err)
	if a.Data["x"] != "1" {
		t.Error("it was changed although it was declined")
	}
}
