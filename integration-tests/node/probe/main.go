// probe is the workload of tests on a real node. One static binary plays every part: a server, a
// client whose exit code says how a connection ended, a process that takes too much memory, one that
// leaves a termination message, and the pause container of every pod.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// Exit codes of get and dial. "Blocked" is exactly timedOut: any other failure has a code of its own,
// so that a broken client cannot be taken for one whose packets were dropped.
const (
	answered     = 0
	timedOut     = 10
	refused      = 11
	nameNotFound = 12
	failed       = 13
	usage        = 64
)

// patience is how long get and dial wait for an answer.
const patience = 2 * time.Second

const help = `usage:
  probe serve NAME [PORT...]   answer HTTP requests with NAME and the client's address, on $PORT by default
  probe relay ADDRESS          pass connections to $PORT on to ADDRESS
  probe get URL                fetch URL and print the answer
  probe dial NETWORK ADDRESS   connect, for example: dial tcp 10.0.0.1:443
  probe allocate MIB           take that much memory and touch it, then wait
  probe write FILE TEXT        write TEXT to FILE
  probe read FILE              print FILE
  probe end TEXT CODE          leave TEXT as termination message and exit with CODE
  probe wait                   wait for SIGTERM, reaping orphans
exit codes of get and dial: 0 answered, 10 timed out, 11 refused, 12 name not found, 13 another failure
`

func main() {
	arguments := os.Args[1:]
	command := ""
	if len(arguments) > 0 {
		command, arguments = arguments[0], arguments[1:]
	}
	switch {
	case command == "serve" && len(arguments) == 1 && os.Getenv("PORT") != "":
		os.Exit(serve(arguments[0], []string{os.Getenv("PORT")}))
	case command == "serve" && len(arguments) >= 2:
		os.Exit(serve(arguments[0], arguments[1:]))
	case command == "relay" && len(arguments) == 1 && os.Getenv("PORT") != "":
		os.Exit(outcome(relay(arguments[0], os.Getenv("PORT"))))
	case command == "get" && len(arguments) == 1:
		os.Exit(outcome(get(arguments[0])))
	case command == "dial" && len(arguments) == 2:
		os.Exit(outcome(dial(arguments[0], arguments[1])))
	case command == "allocate" && len(arguments) == 1:
		os.Exit(allocate(arguments[0]))
	case command == "end" && len(arguments) == 2:
		os.Exit(end(arguments[0], arguments[1]))
	case command == "write" && len(arguments) == 2:
		os.Exit(outcome(os.WriteFile(arguments[0], []byte(arguments[1]), 0o644)))
	case command == "read" && len(arguments) == 1:
		os.Exit(outcome(read(arguments[0])))
	case command == "wait" && len(arguments) == 0:
		untilTerminated()
	default:
		fmt.Fprint(os.Stderr, help)
		os.Exit(usage)
	}
}

func serve(name string, ports []string) int {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, name, "to", r.RemoteAddr)
	})
	ended := make(chan error)
	for _, port := range ports {
		go func() { ended <- http.ListenAndServe(":"+port, handler) }()
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM, syscall.SIGINT)
	select {
	case <-terminated:
		return answered
	case err := <-ended:
		fmt.Fprintln(os.Stderr, err)
		return failed
	}
}

// relay copies bytes both ways; it ends by being killed only.
func relay(address, port string) error {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer client.Close()
			server, err := net.DialTimeout("tcp", address, patience)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			go func() {
				defer server.Close()
				io.Copy(server, client)
			}()
			io.Copy(client, server)
		}()
	}
}

func get(url string) error {
	client := http.Client{Timeout: patience}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func dial(network, address string) error {
	connection, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return err
	}
	fmt.Println("connected to", connection.RemoteAddr())
	return connection.Close()
}

// outcome turns how a connection ended into the exit code.
func outcome(err error) int {
	if err == nil {
		return answered
	}
	fmt.Fprintln(os.Stderr, err)
	var name *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return nameNotFound
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return timedOut
	default:
		return failed
	}
}

func allocate(mebibytes string) int {
	count, err := strconv.Atoi(mebibytes)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return usage
	}
	held := make([][]byte, 0, count)
	for range count {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += os.Getpagesize() {
			block[i] = 1
		}
		held = append(held, block)
	}
	fmt.Println("holding", len(held), "MiB")
	untilTerminated()
	return answered
}

func read(file string) error {
	content, err := os.ReadFile(file)
	if err == nil {
		_, err = os.Stdout.Write(content)
	}
	return err
}

func end(text, code string) int {
	number, err := strconv.Atoi(code)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return usage
	}
	if err := os.WriteFile("/dev/termination-log", []byte(text), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return failed
	}
	return number
}

// untilTerminated also reaps what is reparented to it: as a pod's pause container it may be the init
// process of a shared PID namespace.
func untilTerminated() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
