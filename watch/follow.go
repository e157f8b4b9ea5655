package watch

import (
	"skiff.local/skiff/watch/cluster"
	"skiff.local/skiff/watch/event"
)

func newFollower(*cluster.Cluster, func(event.Event)) follower { return noFollower{} }
