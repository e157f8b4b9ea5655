package env

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Interruptible returns a context that Ctrl-C and SIGTERM cancel. Verbs ask for it themselves, because kubectl's verbs
// want the signals' default effect. A second Ctrl-C ends the process at once.
func Interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
