// netpold enforces networking.k8s.io/v1 NetworkPolicies on one node, with nftables. The node's pods
// must be routed (CNI plugin ptp: one veth and one route each), so that the packet filter sees all
// that passes between them. IPv4 only; a connection that is established outlives a new policy.
//
// The ruleset is computed anew from informer caches on every change and swapped in one transaction:
// no half of it is ever in force. The same program is the last CNI plugin of the chain (cni.go).
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	netlisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// burst is how long changes are gathered before the ruleset is computed.
	burst = 5 * time.Millisecond
	// retryAfter is the pause after a transaction that nft refused.
	retryAfter = 500 * time.Millisecond
)

func main() {
	if os.Getenv("CNI_COMMAND") != "" {
		os.Exit(plugin(os.Stdin, os.Stdout))
	}
	kubeconfig := flag.String("kubeconfig", "", "of a user who may list and watch pods, namespaces and NetworkPolicies")
	podCIDR := flag.String("pod-cidr", "", "addresses of pods; those that no known pod has may not talk")
	socket := flag.String("cni-socket", "", "where the CNI plugin asks")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig, *podCIDR, *socket); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, kubeconfig, podCIDR, socket string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	e := newEngine(client, podCIDR)
	e.factory.Start(ctx.Done())
	e.factory.WaitForCacheSync(ctx.Done())
	if err := e.newcomers.serve(socket, e.kick); err != nil {
		return err
	}
	e.kick()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.changed:
			time.Sleep(burst)
			e.sync(ctx)
		}
	}
}

// engine brings the packet filter to what the caches say.
type engine struct {
	factory    informers.SharedInformerFactory
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	policies   netlisters.NetworkPolicyLister
	newcomers  *newcomers
	podCIDR    string
	changed    chan struct{}
	inForce    string
}

func newEngine(client kubernetes.Interface, podCIDR string) *engine {
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, namespaces := factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()
	e := &engine{
		factory: factory, pods: pods.Lister(), namespaces: namespaces.Lister(), policies: policies.Lister(),
		newcomers: newNewcomers(), podCIDR: podCIDR, changed: make(chan struct{}, 1),
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { e.kick() },
		UpdateFunc: func(any, any) { e.kick() },
		DeleteFunc: func(any) { e.kick() },
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		informer.AddEventHandler(handler)
	}
	return e
}

// kick has the ruleset computed again, soon.
func (e *engine) kick() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

func (e *engine) sync(ctx context.Context) {
	listed, _ := e.pods.List(labels.Everything())
	pods, waiting := e.newcomers.resolve(listed)
	c := &cluster{pods: newestByAddress(pods), namespaces: map[string]labels.Set{}}
	namespaces, _ := e.namespaces.List(labels.Everything())
	for _, namespace := range namespaces {
		c.namespaces[namespace.Name] = namespace.Labels
	}
	c.policies, _ = e.policies.List(labels.Everything())
	ruleset := c.ruleset(e.podCIDR)
	if ruleset != e.inForce {
		start := time.Now()
		if err := apply(ctx, ruleset); err != nil {
			log.Printf("%v\n%s", err, ruleset)
			e.newcomers.putBack(waiting)
			time.AfterFunc(retryAfter, e.kick)
			return
		}
		e.inForce = ruleset
		log.Printf("%d pods, %d policies in %s", len(c.pods), len(c.policies), time.Since(start).Round(time.Millisecond))
	}
	for _, done := range waiting {
		close(done)
	}
}

// newestByAddress leaves out pods without an address of their own, and those whose address another
// pod has by now.
func newestByAddress(pods []*corev1.Pod) []*corev1.Pod {
	byAddress := map[string]*corev1.Pod{}
	for _, pod := range pods {
		if !isLive(pod) {
			continue
		}
		other := byAddress[pod.Status.PodIP]
		if other == nil || other.CreationTimestamp.Before(&pod.CreationTimestamp) {
			byAddress[pod.Status.PodIP] = pod
		}
	}
	newest := make([]*corev1.Pod, 0, len(byAddress))
	for _, pod := range byAddress {
		newest = append(newest, pod)
	}
	return newest
}

func isLive(pod *corev1.Pod) bool {
	address, phase := pod.Status.PodIP, pod.Status.Phase
	return !pod.Spec.HostNetwork && address != "" && !strings.Contains(address, ":") &&
		phase != corev1.PodSucceeded && phase != corev1.PodFailed
}

// apply swaps the ruleset in, in one transaction.
func apply(ctx context.Context, ruleset string) error {
	nft := exec.CommandContext(ctx, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(ruleset)
	var stderr bytes.Buffer
	nft.Stderr = &stderr
	if err := nft.Run(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, stderr.String())
	}
	return nil
}
