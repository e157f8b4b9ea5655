package doctor

import (
	"context"
	"os"
	"strconv"
	"strings"
)

// Chosen: skiff needs a watch per directory of manifests; editors and the engine take thousands.
const (
	fewWatches   = 8192
	fewInstances = 128
)

func checkWatches(context.Context, *patient) []Finding {
	watches, ok1 := readNumber("/proc/sys/fs/inotify/max_user_watches")
	instances, ok2 := readNumber("/proc/sys/fs/inotify/max_user_instances")
	if !ok1 || !ok2 {
		return one(Skipped, "", "this system does not tell")
	}
	if watches < fewWatches || instances < fewInstances {
		return one(Notice, "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512",
			"inotify allows %d watches and %d instances: large trees will be polled", watches, instances)
	}
	return one(Good, "", "inotify allows %d watches and %d instances", watches, instances)
}

func readNumber(path string) (int, bool) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	return n, err == nil
}
