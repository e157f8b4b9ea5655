package cluster

import (
	"context"
	"slices"
	"sync"
)

// warnings hands the API server's warnings to the call that caused them.
type warnings struct{}

type warningsKey struct{}

type warningList struct {
	mu    sync.Mutex
	texts []string
}

func collectWarnings(ctx context.Context) (context.Context, *warningList) {
	list := &warningList{}
	return context.WithValue(ctx, warningsKey{}, list), list
}

func (l *warningList) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.texts
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (warnings) HandleWarningHeaderWithContext(ctx context.Context, code int, _, text string) {
	list, ok := ctx.Value(warningsKey{}).(*warningList)
	if !ok || code != 299 || text == "" {
		return
	}
	list.mu.Lock()
	defer list.mu.Unlock()
	if !slices.Contains(list.texts, text) {
		list.texts = append(list.texts, text)
	}
}
