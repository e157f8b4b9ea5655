package node

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/runtime/volume/wire"
)

func TestWhoIsEvictedFirst(t *testing.T) {
	pod := func(name string, request string, priority int32, usage int64) candidate {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PodSpec{Priority: &priority, Containers: []v1.Container{{}}}}
		if request != "" {
			p.Spec.Containers[0].Resources.Requests = v1.ResourceList{v1.ResourceMemory: resource.MustParse(request)}
		}
		return candidate{p, usage << 20}
	}
	for _, test := range []struct {
		name string
		list []candidate
		want string
	}{
		{"who uses more than asked goes before who doesn't, whatever the priority", []candidate{pod("within", "100Mi", 0, 90), pod("over", "10Mi", 1000, 20)}, "over"},
		{"then the lower priority", []candidate{pod("high", "", 10, 500), pod("low", "", 1, 5)}, "low"},
		{"then who exceeds by most", []candidate{pod("little", "10Mi", 0, 30), pod("much", "100Mi", 0, 300)}, "much"},
		{"critical pods are spared", []candidate{pod("critical", "", 2000000000, 500)}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if p := chooseVictim(test.list, v1.ResourceMemory); p != nil {
				got = p.Name
			}
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestPressureThresholds(t *testing.T) {
	plenty := wire.Host{Memory: 8 << 30, MemoryFree: 4 << 30, Disk: 100 << 30, DiskFree: 5 << 30, Inodes: 1000, InodesFree: 500, Processes: 300, ProcessesMost: 32768}
	for _, p := range pressures {
		if p.under(plenty) {
			t.Errorf("%s with plenty", p.condition)
		}
	}
	for i, change := range []func(*wire.Host){
		func(h *wire.Host) { h.MemoryFree = 50 << 20 }, func(h *wire.Host) { h.DiskFree = 100 << 20 }, func(h *wire.Host) { h.Processes = 32000 },
	} {
		h := plenty
		change(&h)
		if !pressures[i].under(h) {
			t.Errorf("no %s", pressures[i].condition)
		}
	}
}
