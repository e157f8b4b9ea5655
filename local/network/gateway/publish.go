package gateway

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/ingress"
)

// publish writes the status of every object that has another one.
func (c *Controller) publish(ctx context.Context, all *compiled) {
	for _, class := range list[*gatewayv1.GatewayClass](c.api, classes) {
		if class.Spec.ControllerName == ControllerName {
			now := class.DeepCopy()
			now.Status = classStatus(class)
			c.write(ctx, classes, class, now, class.Status, now.Status)
		}
	}
	at := func(l *listener) ingress.Serving { return c.cfg.Proxy.Served(l.offer()) }
	answers := answersOf(all, at)
	c.answers.Store(&answers)
	attached := map[*gateway]int32{}
	for _, set := range all.sets {
		now := set.object.DeepCopy()
		now.Status = set.status(at)
		c.write(ctx, sets, set.object, now, set.object.Status, now.Status)
		if set.accepted().ok {
			attached[set.gateway]++
		}
	}
	for _, p := range all.policies {
		now := p.object.DeepCopy()
		now.Status = policyStatus(p)
		c.write(ctx, policies, p.object, now, p.object.Status, now.Status)
	}
	for _, g := range all.gateways {
		now := g.object.DeepCopy()
		now.Status = gatewayStatus(g, at)
		if n := attached[g]; n > 0 || c.api.watches[sets] != nil {
			now.Status.AttachedListenerSets = &n
		}
		c.write(ctx, gateways, g.object, now, g.object.Status, now.Status)
	}
	for _, r := range all.routes {
		status := routeStatus(r)
		switch o := r.object.(type) {
		case *gatewayv1.HTTPRoute:
			now := o.DeepCopy()
			now.Status.RouteStatus = status
			c.write(ctx, httpRoutes, o, now, o.Status.RouteStatus, status)
		case *gatewayv1.GRPCRoute:
			now := o.DeepCopy()
			now.Status.RouteStatus = status
			c.write(ctx, grpcRoutes, o, now, o.Status.RouteStatus, status)
		case *gatewayv1.TLSRoute:
			now := o.DeepCopy()
			now.Status.RouteStatus = status
			c.write(ctx, tlsRoutes, o, now, o.Status.RouteStatus, status)
		}
	}
}

// again is after how long what failed is tried anew.
const again = time.Second

// write writes an object's status if it changed. An object that has changed meanwhile comes again by its watch.
func (c *Controller) write(ctx context.Context, resource string, object metav1.Object, now runtime.Object, before, after any) {
	if equality.Semantic.DeepEqual(before, after) {
		return
	}
	err := c.api.watches[resource].client.Put().NamespaceIfScoped(object.GetNamespace(), object.GetNamespace() != "").
		Resource(resource).Name(object.GetName()).SubResource("status").Body(now).Do(ctx).Error()
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) || ctx.Err() != nil {
		return
	}
	c.cfg.Logger.Error("a status could not be written", "resource", resource, "namespace", object.GetNamespace(), "name", object.GetName(), "err", err)
	time.AfterFunc(again, c.Poke)
}
