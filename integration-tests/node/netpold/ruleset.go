package main

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// cluster is what the ruleset is computed from. Everything in this file is pure.
type cluster struct {
	pods       []*corev1.Pod // each with an address of its own
	namespaces map[string]labels.Set
	policies   []*netv1.NetworkPolicy
}

// direction is one of the two that policies speak of.
type direction struct {
	policyType netv1.PolicyType
	prefix     string // of chains
	peer       string // nft's word for the address of the other side
}

var (
	egress  = direction{netv1.PolicyTypeEgress, "egress", "daddr"}
	ingress = direction{netv1.PolicyTypeIngress, "ingress", "saddr"}
)

// ruleset is an nft script that replaces the table. A pod that a policy selects has one chain for each
// direction: its rules return, which is leave to go on, and whatever no rule knows is dropped.
func (c *cluster) ruleset(podCIDR string) string {
	sort.Slice(c.pods, func(i, j int) bool { return c.pods[i].Status.PodIP < c.pods[j].Status.PodIP })
	sort.Slice(c.policies, func(i, j int) bool { return name(c.policies[i]) < name(c.policies[j]) })
	var chains strings.Builder
	var known []string
	selected := map[netv1.PolicyType][]string{}
	for _, pod := range c.pods {
		known = append(known, pod.Status.PodIP)
		for _, d := range []direction{egress, ingress} {
			rules, isSelected := c.rules(pod, d)
			if isSelected {
				chain := d.prefix + "_" + strings.ReplaceAll(pod.Status.PodIP, ".", "_")
				writeChain(&chains, chain, pod, rules)
				selected[d.policyType] = append(selected[d.policyType], pod.Status.PodIP+" : goto "+chain)
			}
		}
	}
	var b strings.Builder
	b.WriteString("table inet netpold\ndelete table inet netpold\ntable inet netpold {\n")
	fmt.Fprintf(&b, "  set known { type ipv4_addr; %s }\n", elements(known))
	b.WriteString(chains.String())
	for _, d := range []direction{egress, ingress} {
		fmt.Fprintf(&b, "  map %s_of { type ipv4_addr : verdict; %s }\n", d.prefix, elements(selected[d.policyType]))
	}
	b.WriteString("  chain egress { ip saddr vmap @egress_of; }\n  chain ingress { ip daddr vmap @ingress_of; }\n")
	from := fmt.Sprintf("    ip saddr %s ip saddr != @known counter drop comment \"pod not known yet\"\n", podCIDR)
	to := fmt.Sprintf("    ip daddr %s ip daddr != @known counter drop comment \"pod not known yet\"\n", podCIDR)
	const established = "    ct state established,related accept\n"
	b.WriteString("  chain forward { type filter hook forward priority filter; policy accept;\n" + established + from + to)
	b.WriteString("    jump egress\n    jump ingress\n  }\n")
	// What a pod sends to the node itself obeys its egress rules, too. What the node sends to a pod (the
	// kubelet's probes) is always allowed, as the API demands: there is no chain for output.
	b.WriteString("  chain input { type filter hook input priority filter; policy accept;\n" + established + from)
	b.WriteString("    jump egress\n  }\n}\n")
	return b.String()
}

func name(policy *netv1.NetworkPolicy) string { return policy.Namespace + "/" + policy.Name }

func elements(list []string) string {
	if len(list) == 0 {
		return "" // nft knows no empty list
	}
	return "elements = { " + strings.Join(list, ", ") + " };"
}

func writeChain(b *strings.Builder, chain string, pod *corev1.Pod, rules []string) {
	address := pod.Status.PodIP
	fmt.Fprintf(b, "  chain %s { comment \"%.100s\";\n", chain, pod.Namespace+"/"+pod.Name)
	// No policy keeps a pod from itself (by way of a Service).
	fmt.Fprintf(b, "    ip saddr %s ip daddr %s return\n", address, address)
	for _, rule := range rules {
		fmt.Fprintf(b, "    %s\n", rule)
	}
	b.WriteString("    counter drop comment \"no policy allows it\"\n  }\n")
}

// rules are those of all policies that select the pod, and whether there is such a policy.
func (c *cluster) rules(pod *corev1.Pod, d direction) (rules []string, isSelected bool) {
	for _, policy := range c.policies {
		if policy.Namespace != pod.Namespace || !speaksOf(policy, d) || !matches(&policy.Spec.PodSelector, pod.Labels) {
			continue
		}
		isSelected = true
		var lines []string
		if d == egress {
			for _, rule := range policy.Spec.Egress {
				lines = append(lines, c.lines(pod, policy.Namespace, rule.To, rule.Ports, d)...)
			}
		} else {
			for _, rule := range policy.Spec.Ingress {
				lines = append(lines, c.lines(pod, policy.Namespace, rule.From, rule.Ports, d)...)
			}
		}
		for _, line := range lines {
			rules = append(rules, fmt.Sprintf("%s counter return comment \"%.100s\"", line, name(policy)))
		}
	}
	return rules, isSelected
}

func speaksOf(policy *netv1.NetworkPolicy, d direction) bool {
	return slices.Contains(policy.Spec.PolicyTypes, d.policyType) // the API server defaults them
}

func matches(selector *metav1.LabelSelector, set map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(set))
}

// lines are nft matches, one for each combination of peers and ports that a rule allows to a pod.
func (c *cluster) lines(pod *corev1.Pod, namespace string, peers []netv1.NetworkPolicyPeer, ports []netv1.NetworkPolicyPort, d direction) (lines []string) {
	addresses, peerPods := c.peers(namespace, peers, d)
	if len(ports) == 0 {
		return addresses
	}
	for _, port := range ports {
		if port.Port != nil && port.Port.Type == intstr.String && d == egress {
			// The name is of a port of the peer.
			for _, peer := range peerPods {
				if number, ok := named(peer, port); ok {
					lines = append(lines, fmt.Sprintf("ip daddr %s %s dport %d", peer.Status.PodIP, protocol(port), number))
				}
			}
			continue
		}
		if match, ok := portMatch(pod, port); ok {
			for _, address := range addresses {
				lines = append(lines, strings.TrimSpace(address+" "+match))
			}
		}
	}
	return lines
}

// portMatch is nft's expression for a port of a rule, a name being one of this pod's.
func portMatch(pod *corev1.Pod, port netv1.NetworkPolicyPort) (string, bool) {
	switch {
	case port.Port == nil:
		return "meta l4proto " + protocol(port), true
	case port.Port.Type == intstr.String:
		number, ok := named(pod, port)
		return fmt.Sprintf("%s dport %d", protocol(port), number), ok
	case port.EndPort != nil:
		return fmt.Sprintf("%s dport %d-%d", protocol(port), port.Port.IntVal, *port.EndPort), true
	default:
		return fmt.Sprintf("%s dport %d", protocol(port), port.Port.IntVal), true
	}
}

func protocol(port netv1.NetworkPolicyPort) string {
	if port.Protocol == nil {
		return "tcp"
	}
	return strings.ToLower(string(*port.Protocol))
}

// named is the number of the pod's port that has the name and the protocol.
func named(pod *corev1.Pod, port netv1.NetworkPolicyPort) (int32, bool) {
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, p := range container.Ports {
			if p.Name == port.Port.StrVal && strings.EqualFold(string(p.Protocol), protocol(port)) {
				return p.ContainerPort, true
			}
		}
	}
	return 0, false
}

// peers are nft matches for the other side of a rule, and the pods among them; "" matches everybody.
func (c *cluster) peers(namespace string, peers []netv1.NetworkPolicyPeer, d direction) (addresses []string, pods []*corev1.Pod) {
	if len(peers) == 0 {
		return []string{""}, c.pods
	}
	var own []string
	for _, pod := range c.pods {
		if slices.ContainsFunc(peers, func(peer netv1.NetworkPolicyPeer) bool { return c.isPeer(namespace, peer, pod) }) {
			own = append(own, pod.Status.PodIP)
			pods = append(pods, pod)
		}
	}
	if len(own) > 0 {
		addresses = append(addresses, fmt.Sprintf("ip %s { %s }", d.peer, strings.Join(own, ", ")))
	}
	for _, peer := range peers {
		if block := peer.IPBlock; block != nil && !strings.Contains(block.CIDR, ":") {
			match := fmt.Sprintf("ip %s %s", d.peer, block.CIDR)
			if len(block.Except) > 0 {
				match += fmt.Sprintf(" ip %s != { %s }", d.peer, strings.Join(block.Except, ", "))
			}
			addresses = append(addresses, match)
		}
	}
	return addresses, pods
}

func (c *cluster) isPeer(namespace string, peer netv1.NetworkPolicyPeer, pod *corev1.Pod) bool {
	if peer.IPBlock != nil {
		return false
	}
	if peer.NamespaceSelector == nil {
		if pod.Namespace != namespace {
			return false
		}
	} else if !matches(peer.NamespaceSelector, c.namespaces[pod.Namespace]) {
		return false
	}
	return peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels)
}
