package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod"
	"skiff.local/skiff/runtime/volume/wire"
)

// When the node is under pressure. The memory threshold is kubelet's. Kubelet's thresholds for disks (10 and 15 %) are made
// for machines that do nothing else: on a developer's they would evict pods because of somebody's photographs, so only a
// disk that is all but full counts. Nothing is looked at while no pod runs.
const (
	memoryThreshold = 100 << 20
	diskThreshold   = 0.01
	inodeThreshold  = 0.01
	pidThreshold    = 0.05

	// calmPeriod is the pause between two looks when there is plenty, tensePeriod when there is not. A look costs the
	// engine about a millisecond.
	calmPeriod  = 30 * time.Second
	tensePeriod = 5 * time.Second

	// reclaimLooks is how many looks in a row pods are spared because there was something dead to remove. Chosen: the first is
	// enough, unless the engine is slow or refuses.
	reclaimLooks = 3

	// emptyHold is how long pressure is believed when no pod is left that could be asked: without an end, an empty node
	// would keep pods off for good. Chosen; kubelet, which can always look, waits five minutes before it says that it is over.
	emptyHold = time.Minute
)

// pressures are the node conditions that are kept, with their reasons.
var pressures = []struct {
	condition       v1.NodeConditionType
	resource        string
	yes, no         string
	yesText, noText string
	under           func(h wire.Host) bool
}{
	{
		v1.NodeMemoryPressure, "memory", "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory",
		"kubelet has insufficient memory available", "kubelet has sufficient memory available",
		func(h wire.Host) bool { return h.Memory > 0 && h.MemoryFree < memoryThreshold },
	},
	{
		v1.NodeDiskPressure, diskResource, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure",
		"kubelet has disk pressure", "kubelet has no disk pressure",
		func(h wire.Host) bool {
			return below(h.DiskFree, h.Disk, diskThreshold) || below(h.InodesFree, h.Inodes, inodeThreshold)
		},
	},
	{
		v1.NodePIDPressure, "pids", "KubeletHasInsufficientPID", "KubeletHasSufficientPID",
		"kubelet has insufficient PID available", "kubelet has sufficient PID available",
		func(h wire.Host) bool { return below(h.ProcessesMost-h.Processes, h.ProcessesMost, pidThreshold) },
	},
}

func below(free, all int64, threshold float64) bool {
	return all > 0 && float64(free) < threshold*float64(all)
}

// watchPressure looks at what the engine's machine has left for as long as pods run, shows it in the node's conditions and,
// while it is too little, evicts a pod at a time. Like kubelet it first gives up what nobody runs.
func (a *Agent) watchPressure(ctx context.Context) {
	// What a former process showed is not known, so that the first look is always shown.
	shown := map[v1.NodeConditionType]bool{}
	period, asked, spared := a.lookPeriod, time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(period):
		}
		period = a.lookPeriod
		host, err := a.host(ctx)
		switch {
		case err == nil:
			asked = time.Now()
		case time.Since(asked) < emptyHold:
			continue
		}
		if err == nil && host.MemoryFree < 4*memoryThreshold {
			period = min(period, tensePeriod)
		}
		for _, p := range pressures {
			under := err == nil && p.under(host)
			if was, known := shown[p.condition]; !known || under != was {
				reason, text := p.no, p.noText
				if under {
					reason, text = p.yes, p.yesText
				}
				if err := a.showPressure(ctx, p.condition, under, reason, text); err != nil {
					a.cfg.Logger.Warn("show the node's pressure", "condition", p.condition, "error", err)
					continue
				}
				shown[p.condition] = under
			}
			if p.resource == diskResource && a.reclaim(under) && spared < reclaimLooks {
				spared++
				period = min(period, tensePeriod)
				continue
			}
			if under {
				period = min(period, tensePeriod)
				a.evictFor(ctx, p.resource, host)
			}
			if p.resource == diskResource {
				spared = 0
			}
		}
	}
}

// reclaim has the dead containers of all pods removed while the disk is short, and the volumes of pods that have ended. It reports
// whether there are any, so that no pod goes for what they had.
func (a *Agent) reclaim(short bool) bool {
	waste := false
	a.each(func(w *pod.Worker) {
		v := w.View()
		waste = waste || v.Waste()
		w.Reclaim(short)
	})
	return short && waste
}

// diskResource is what runs out with the disk.
const diskResource = string(v1.ResourceEphemeralStorage)

// memoryUse is the working set of each running pod.
func (a *Agent) memoryUse(ctx context.Context) map[types.UID]int64 {
	usage := map[types.UID]int64{}
	for _, p := range a.Summary(ctx).Pods {
		if p.Memory != nil && p.Memory.WorkingSetBytes != nil {
			usage[types.UID(p.PodRef.UID)] = int64(*p.Memory.WorkingSetBytes)
		}
	}
	return usage
}

// diskUse is what each pod has on the engine's disk: its own volumes and its containers' writable layers. Only the engine
// can tell, by walking all of them, which is why it is asked only under pressure.
func (a *Agent) diskUse(ctx context.Context) map[types.UID]int64 {
	usage := map[types.UID]int64{}
	disk, err := a.cfg.Engine.DiskUsage(ctx)
	if err != nil {
		a.cfg.Logger.Warn("measure what pods have on the disk", "error", err)
		return usage
	}
	own := map[string]string{docker.LabelProfile: a.cfg.Profile, docker.LabelPodUID: ""}
	if list, err := a.cfg.Engine.ListContainers(ctx, docker.ListOptions{Labels: own}); err == nil {
		for _, c := range list {
			usage[types.UID(c.Labels[docker.LabelPodUID])] += disk.Containers[c.ID]
		}
	}
	if list, err := a.cfg.Engine.ListVolumes(ctx, own); err == nil {
		for _, v := range list {
			usage[types.UID(v.Labels[docker.LabelPodUID])] += max(disk.Volumes[v.Name], 0)
		}
	}
	return usage
}

var errNoPods = errors.New("no pod runs")

// host asks the pause container of any running pod.
func (a *Agent) host(ctx context.Context) (wire.Host, error) {
	var workers []*pod.Worker
	a.each(func(w *pod.Worker) { workers = append(workers, w) })
	for _, w := range workers {
		if h, err := w.Host(ctx); err == nil {
			return h, nil
		}
	}
	return wire.Host{}, errNoPods
}

func (a *Agent) showPressure(ctx context.Context, kind v1.NodeConditionType, under bool, reason, text string) error {
	status := v1.ConditionFalse
	if under {
		status = v1.ConditionTrue
	}
	now := metav1.Now()
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []v1.NodeCondition{{
		Type: kind, Status: status, Reason: reason, Message: text, LastHeartbeatTime: now, LastTransitionTime: now,
	}}}})
	if err != nil {
		return err
	}
	for _, name := range a.cfg.NodeNames {
		_, err := a.cfg.Client.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("patch the status of node %s: %w", name, err)
		}
	}
	return nil
}

// evictFor evicts the pod that kubelet would choose.
func (a *Agent) evictFor(ctx context.Context, what string, host wire.Host) {
	var list []candidate
	workers := map[types.UID]*pod.Worker{}
	a.each(func(w *pod.Worker) {
		if v := w.View(); v.Pod != nil && v.Pod.DeletionTimestamp == nil && v.Sandbox.State == "running" {
			list = append(list, candidate{pod: v.Pod})
			workers[v.Pod.UID] = w
		}
	})
	usage := a.memoryUse
	if what == diskResource {
		usage = a.diskUse
	}
	used := usage(ctx)
	for i := range list {
		list[i].usage = used[list[i].pod.UID]
	}
	victim := chooseVictim(list, v1.ResourceName(what))
	if victim == nil {
		return
	}
	message := fmt.Sprintf("The node was low on resource: %s. ", what)
	if what == "memory" {
		threshold, free := resource.NewQuantity(memoryThreshold, resource.BinarySI), resource.NewQuantity(host.MemoryFree, resource.BinarySI)
		message += fmt.Sprintf("Threshold quantity: %s, available: %s. ", threshold, free)
	}
	workers[victim.UID].Evict("Evicted", message)
}
