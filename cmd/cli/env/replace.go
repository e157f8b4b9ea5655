package env

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
)

// replaceTimeout is how long an older daemon may take to let go of its pods. Chosen.
const replaceTimeout = 30 * time.Second

// ReplaceOlder restarts the daemon when it is older than what is installed: the pods run on and are adopted. It says so on
// standard error. A daemon that is newer is left alone; `skiff version` tells about it.
func (e *Env) ReplaceOlder(ctx context.Context, p *profile.Profile, c *client.Cluster, o client.StartOptions) (*client.Cluster, error) {
	if c.Started || !older(c.Daemon, e.Version, client.Program) {
		return c, nil
	}
	fmt.Fprintf(e.IO.ErrOut, "the daemon is skiff %s: replacing it by %s, pods keep running\n", c.Daemon.Version, e.Version)
	stopCtx, cancel := context.WithTimeout(ctx, replaceTimeout)
	defer cancel()
	if err := c.Stop(stopCtx, client.StopRequest{KeepPods: true}); err != nil {
		return nil, fmt.Errorf("replace the older daemon: %w", err)
	}
	return client.Ensure(ctx, p, o, nil)
}

// older compares versions where they are versions. Builds from a working tree are not: there the daemon is older when it
// started before its program was made.
func older(d profile.Daemon, own string, program func() (string, error)) bool {
	if d.Version == own || d.Version == "" {
		return false
	}
	daemon, err1 := version.ParseSemantic(d.Version)
	mine, err2 := version.ParseSemantic(own)
	if err1 == nil && err2 == nil && d.Version != client.Unstamped && own != client.Unstamped {
		return daemon.LessThan(mine)
	}
	path, err := program()
	if err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && d.Started.Before(info.ModTime())
}
