package controllers

import (
	"reflect"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
)

// TestEveryInformerIsGated calls all methods of all groups and versions.
func TestEveryInformerIsGated(t *testing.T) {
	real := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	factory := reflect.ValueOf(gatedFactory{real, newGate(nil)})
	interfaceOf := reflect.TypeFor[informers.SharedInformerFactory]()
	kinds := 0
	for i := range interfaceOf.NumMethod() {
		method := interfaceOf.Method(i)
		if method.Type.NumIn() != 0 || method.Type.NumOut() != 1 || method.Type.Out(0).Name() != "Interface" {
			continue
		}
		group := factory.MethodByName(method.Name).Call(nil)[0]
		for v := range group.NumMethod() {
			version := group.Method(v).Call(nil)[0]
			for k := range version.NumMethod() {
				kind := version.Method(k).Call(nil)[0].MethodByName("Informer").Call(nil)[0].Interface()
				if _, ok := kind.(gatedInformer); !ok {
					t.Errorf("%s hands out %T", method.Name, kind)
				}
				kinds++
			}
		}
	}
	if kinds < 50 {
		t.Errorf("only %d kinds were looked at", kinds)
	}
}

// TestGate is about a crash: DaemonSets that existed reached the controller before its constructor was done.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		g := newGate(ended)
		got := make(chan string, 4)
		handler := gatedHandler{g, cache.ResourceEventHandlerFuncs{AddFunc: func(obj any) { got <- obj.(*corev1.Pod).Name }}}
		go handler.OnAdd(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "early"}}, true)
		synctest.Wait()
		if len(got) != 0 {
			t.Error("an event passed a closed gate")
		}
		g.open()
		if name := <-got; name != "early" {
			t.Errorf("got %s", name)
		}
		handler.OnAdd(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "late"}}, false)
		if len(got) != 1 {
			t.Error("an open gate held an event back")
		}

		never := gatedHandler{newGate(ended), handler.handler}
		close(ended)
		never.OnAdd(&corev1.Pod{}, false)
		if len(got) != 1 {
			t.Error("an event passed after the end")
		}
	})
}
