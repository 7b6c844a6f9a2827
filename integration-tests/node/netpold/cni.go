package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// patience is how long a pod may wait for its policies to be in force.
const patience = 10 * time.Second

// newcomer is what the plugin tells of a pod: its address, before the pod's status has it.
type newcomer struct{ Namespace, Name, IP string }

func (n newcomer) key() string { return n.Namespace + "/" + n.Name }

// plugin is the last one of a CNI chain. Its ADD returns when the pod's policies are in force, so that
// the pod's first process runs under them. It returns the exit code.
func plugin(input io.Reader, output io.Writer) int {
	switch os.Getenv("CNI_COMMAND") {
	case "VERSION":
		fmt.Fprintln(output, `{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}`)
	case "ADD":
		result, err := add(input)
		if err != nil {
			json.NewEncoder(output).Encode(map[string]any{"cniVersion": "1.0.0", "code": 11, "msg": err.Error()})
			return 1
		}
		output.Write(result)
	}
	return 0
}

func add(input io.Reader) (json.RawMessage, error) {
	var config struct {
		Socket     string
		PrevResult json.RawMessage
	}
	if err := json.NewDecoder(input).Decode(&config); err != nil {
		return nil, err
	}
	var result struct{ IPs []struct{ Address string } }
	if err := json.Unmarshal(config.PrevResult, &result); err != nil || len(result.IPs) == 0 {
		return nil, fmt.Errorf("netpold must be chained after a plugin that gives an address: %s", config.PrevResult)
	}
	address, _, _ := strings.Cut(result.IPs[0].Address, "/")
	n := newcomer{IP: address}
	for _, argument := range strings.Split(os.Getenv("CNI_ARGS"), ";") {
		switch name, value, _ := strings.Cut(argument, "="); name {
		case "K8S_POD_NAMESPACE":
			n.Namespace = value
		case "K8S_POD_NAME":
			n.Name = value
		}
	}
	return config.PrevResult, announce(config.Socket, n)
}

func announce(socket string, n newcomer) error {
	connection, err := net.DialTimeout("unix", socket, patience)
	if err != nil {
		return err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	if err := json.NewEncoder(connection).Encode(n); err != nil {
		return err
	}
	if answer, err := bufio.NewReader(connection).ReadString('\n'); err != nil || answer != "ok\n" {
		return fmt.Errorf("netpold did not confirm %s: %q %w", n.key(), answer, err)
	}
	return nil
}

// newcomers keeps what plugins told until the pods' status says it too.
type newcomers struct {
	sync.Mutex
	addresses map[string]string
	waiting   map[string][]chan struct{}
	overdue   []chan struct{} // their pods are listed, but the transaction failed
}

func newNewcomers() *newcomers {
	return &newcomers{addresses: map[string]string{}, waiting: map[string][]chan struct{}{}}
}

func (n *newcomers) serve(socket string, kick func()) error {
	os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go n.answer(connection, kick)
		}
	}()
	return nil
}

func (n *newcomers) answer(connection net.Conn, kick func()) {
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	var told newcomer
	if json.NewDecoder(connection).Decode(&told) != nil {
		return
	}
	done := make(chan struct{})
	n.Lock()
	n.addresses[told.key()] = told.IP
	n.waiting[told.key()] = append(n.waiting[told.key()], done)
	n.Unlock()
	kick()
	select {
	case <-done:
		connection.Write([]byte("ok\n"))
	case <-time.After(patience):
	}
}

// resolve gives pods the addresses that plugins told, and returns those to be told once a ruleset with
// them is in force.
func (n *newcomers) resolve(listed []*corev1.Pod) (pods []*corev1.Pod, waiting []chan struct{}) {
	n.Lock()
	defer n.Unlock()
	waiting, n.overdue = n.overdue, nil
	isListed := map[string]bool{}
	for _, pod := range listed {
		key := pod.Namespace + "/" + pod.Name
		isListed[key] = true
		address := n.addresses[key]
		isWaiting := len(n.waiting[key]) > 0
		switch {
		case address == "" || address == pod.Status.PodIP:
		case pod.Status.PodIP != "" && !isWaiting:
			delete(n.addresses, key) // the status has moved on
		default:
			pod = pod.DeepCopy()
			pod.Status.PodIP = address
		}
		pods = append(pods, pod)
		waiting = append(waiting, n.waiting[key]...)
		delete(n.waiting, key)
	}
	for key := range n.addresses {
		if !isListed[key] && len(n.waiting[key]) == 0 {
			delete(n.addresses, key)
		}
	}
	return pods, waiting
}

// putBack has them told after the next transaction.
func (n *newcomers) putBack(waiting []chan struct{}) {
	n.Lock()
	defer n.Unlock()
	n.overdue = append(n.overdue, waiting...)
}
