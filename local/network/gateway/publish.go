package gateway

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"skiff.local/skiff/local/network/gateway/plan"
)

// publish writes the status of every object that has another one.
func (c *Controller) publish(ctx context.Context, p *plan.Plan) {
	answers := p.Answers(c.cfg.Proxy.Served)
	c.answers.Store(&answers)
	for _, object := range p.Changes(c.cfg.Proxy.Served) {
		c.write(ctx, object)
	}
}

// again is after how long what failed is tried anew.
const again = time.Second

// write writes an object's status. An object that has changed meanwhile comes again by its watch.
func (c *Controller) write(ctx context.Context, object plan.Object) {
	resource := resourceOf(object)
	err := c.api.watches[resource].client.Put().NamespaceIfScoped(object.GetNamespace(), object.GetNamespace() != "").
		Resource(resource).Name(object.GetName()).SubResource("status").Body(object).Do(ctx).Error()
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) || ctx.Err() != nil {
		return
	}
	c.cfg.Logger.Error("a status could not be written", "resource", resource, "namespace", object.GetNamespace(), "name", object.GetName(), "err", err)
	time.AfterFunc(again, c.Poke)
}
